//! The shard moves: an object ends its life here, and what it has in memory alone goes along.

use tokio::sync::oneshot;
use wasmverse_engine::Leaving;

use super::{Activation, Awake, leave::LAST_SAVE_PAUSE, leave::LAST_SAVES};
use crate::shards::Piece;

impl Activation {
    /// Saves what is to be saved, gives away what memory alone has, and tells the guest.
    pub(super) async fn pack(&mut self, into: oneshot::Sender<Option<Piece>>) {
        for attempt in 1..=LAST_SAVES {
            match self.save_now().await {
                Ok(()) => break,
                Err(_) if self.entry.lock().wanted.overtaken => break,
                Err(error) if attempt == LAST_SAVES => {
                    tracing::error!(object = %self.object(), %error, "moved without what it changed");
                }
                Err(_) => tokio::time::sleep(LAST_SAVE_PAUSE).await,
            }
        }
        let piece = match &self.awake {
            Some(_) => self.take_along().await,
            None => self.host.pack_asleep(&self.entry),
        };
        if let Some(Awake { instance, slot, .. }) = self.awake.take() {
            self.forget_live();
            instance.deactivate(Leaving::Moved).await;
            drop(slot);
        }
        self.entry.lock().forget_row();
        // If nobody waits for it any more, the process ends.
        let _ = into.send(piece);
    }

    /// What it has in memory alone.
    async fn take_along(&mut self) -> Option<Piece> {
        let in_memory = {
            let inner = self.entry.lock();
            let has_row = inner.row.version.is_some() && !self.is_volatile();
            !has_row && (inner.exists || inner.dirty)
        };
        let awake = self.awake.as_mut().filter(|_| in_memory)?;
        let revision = awake.revision.clone();
        match awake.instance.snapshot().await {
            Ok(state) => {
                Some(Piece { object: self.entry.object.clone(), state: Some((state, revision)) })
            }
            Err(error) => {
                tracing::warn!(object = %self.entry.object, %error, "an object moves without its state");
                self.host.metrics.snapshots_dropped.increment(1);
                None
            }
        }
    }
}
