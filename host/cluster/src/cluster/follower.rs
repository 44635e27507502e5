//! Keeps the view up to date: a snapshot, then what happens after it; after any break, again.

use std::sync::Arc;

use futures_util::StreamExt as _;
use tokio::sync::watch;
use tracing::{debug, error, info, warn};
use wasmverse_core::cluster::View;

use super::{Seen, Shared, Sight, pause::Pause};
use crate::Error;

/// Whom it tells.
struct Follower {
    shared: Arc<Shared>,
    sight: Sight,
    seen: watch::Sender<Seen>,
    view: watch::Sender<Arc<View>>,
}

/// Begins with what has been read already.
pub(super) async fn run(
    shared: Arc<Shared>,
    sight: Sight,
    seen: watch::Sender<Seen>,
    view: watch::Sender<Arc<View>>,
) {
    let end = shared.end.clone();
    let mut follower = Follower { shared, sight, seen, view };
    tokio::select! {
        () = end.cancelled() => {}
        () = follower.follow() => {}
    }
}

impl Follower {
    async fn follow(&mut self) {
        let mut pause = Pause::new();
        let mut is_first = true;
        let mut is_lost = false;
        loop {
            let error = match self.once(&mut is_first, &mut is_lost, &mut pause).await {
                Ok(()) => Error::Unavailable("the watch ended".to_owned()),
                Err(error) => error,
            };
            self.shared.metrics.watch_restarts.increment(1);
            if !is_lost && error != Error::Compacted {
                warn!(%error, "lost sight of the cluster: it is taken to be as it was");
            }
            debug!(%error, "the watch begins anew");
            is_lost = error != Error::Compacted;
            pause.wait().await;
        }
    }

    /// Until it breaks.
    async fn once(
        &mut self,
        is_first: &mut bool,
        is_lost: &mut bool,
        pause: &mut Pause,
    ) -> Result<(), Error> {
        if !std::mem::take(is_first) {
            let snapshot = self.shared.coordination.snapshot().await?;
            let before = self.sight.seen().view.revision;
            if snapshot.revision < before {
                error!(
                    before,
                    now = snapshot.revision,
                    "the coordination service has lost what it had agreed to"
                );
            }
            self.sight.read_all(&snapshot);
            self.tell();
        }
        let after = self.sight.seen().view.revision;
        let mut batches = self.shared.coordination.watch(after).await?;
        if std::mem::take(is_lost) {
            info!(revision = after, "the cluster is in sight again");
        }
        while let Some(batch) = batches.next().await {
            self.sight.read(&batch?);
            pause.reset();
            self.tell();
        }
        Ok(())
    }

    fn tell(&self) {
        let seen = self.sight.seen();
        let leader = |seen: &Seen| seen.leader.as_ref().map(|leader| leader.revision);
        if leader(seen).is_some() && leader(seen) != leader(&self.seen.borrow()) {
            self.shared.metrics.leader_changes.increment(1);
        }
        self.shared.metrics.views.increment(1);
        self.seen.send_replace(seen.clone());
        self.view.send_replace(Arc::clone(&seen.view));
    }
}
