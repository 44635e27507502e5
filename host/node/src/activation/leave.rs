//! Sleep and stop: an object leaves memory only when nothing is lost by it.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use wasmverse_core::{Durability, State};
use wasmverse_engine::Leaving;

use super::{Activation, Awake};
use crate::{
    entry::{Entry, Nap},
    host::Host,
    known_types::Revision,
    letter,
};

/// One that could not sleep is not asked again for so long.
const RESTLESS: Duration = Duration::from_secs(5);
/// At the end of the process a save that failed is tried again so often, with a pause between.
pub(super) const LAST_SAVES: usize = 5;
pub(super) const LAST_SAVE_PAUSE: Duration = Duration::from_millis(200);

impl Activation {
    /// Sleeps, unless that would lose something or somebody calls meanwhile.
    pub(super) async fn leave(&mut self, why: Leaving) {
        match self.put_away(why).await {
            Ok(()) => {}
            Err(problem) => {
                self.host.metrics.sleeps_failed.increment(1);
                tracing::debug!(object = %self.object(), %problem, "an object cannot sleep now");
                self.entry.lock().restless_until = Some(Instant::now() + RESTLESS);
            }
        }
    }

    async fn put_away(&mut self, why: Leaving) -> Result<(), String> {
        if self.durability() == Some(Durability::Periodic) {
            self.save_now().await.map_err(|error| error.to_string())?;
        }
        let memory = {
            let inner = self.entry.lock();
            if !inner.mailbox.is_empty() || inner.wanted.overtaken {
                return Ok(());
            }
            // What has a row, or never was touched, wakes again as it is. A volatile object wakes
            // from no row, even if an earlier revision left one.
            let row = inner.row.version.is_some() && !self.is_volatile();
            !row && (inner.exists || inner.dirty)
        };
        if memory {
            self.fall_asleep(why).await?;
        }
        let Some(Awake { instance, slot, .. }) = self.awake.take() else { return Ok(()) };
        self.forget_live();
        self.host.metrics.sleeps.increment(1);
        instance.deactivate(why).await;
        drop(slot);
        Ok(())
    }

    /// Keeps the state in memory.
    async fn fall_asleep(&mut self, why: Leaving) -> Result<(), String> {
        let Some(awake) = self.awake.as_mut() else { return Ok(()) };
        let snapshot = awake.instance.snapshot().await;
        let revision = awake.revision.clone();
        if awake.instance.is_dead() {
            self.discard();
        }
        let state = snapshot.map_err(|error| error.to_string())?;
        if why == Leaving::Evicted {
            self.host.nap(&self.entry, Some((state, revision)));
            return Ok(());
        }
        // Under one lock: whoever comes upon the place shall find who sleeps there.
        let mut inner = self.entry.lock();
        let place = self.host.asleep.place(&self.entry, state.data.len());
        let place = place.ok_or("there is no room for sleeping objects")?;
        inner.nap = Some(Nap { state: Some((state, revision)), place });
        Ok(())
    }

    /// A sleeper that did not wake sleeps on: its place may have been taken meanwhile.
    pub(super) fn sleep_on(&self) {
        let host = &self.host;
        {
            let mut inner = self.entry.lock();
            let Some(nap) = inner.nap.as_mut() else { return };
            let bytes = nap.state.as_ref().map_or(0, |(state, _)| state.data.len());
            nap.place = host.asleep.place_again(nap.place, &self.entry, bytes);
        }
        while host.asleep.is_overfull() && host.asleep.make_room(&host.directory, &host.metrics) {}
    }

    /// The process ends: those that wait hear so, the state is saved, the guest hears so, too.
    pub(super) async fn stop(&mut self) {
        let letters = std::mem::take(&mut self.entry.lock().mailbox);
        for letter in letters {
            self.answer(letter.reply, Err(letter::stopping()));
        }
        for attempt in 1..=LAST_SAVES {
            match self.save_now().await {
                Ok(()) => break,
                // Somebody else has written, and the saver has told.
                Err(_) if self.entry.lock().wanted.overtaken => break,
                Err(error) if attempt == LAST_SAVES => {
                    tracing::error!(object = %self.object(), %error, "an object was not saved");
                    self.host.saver.lose(1);
                }
                Err(_) => tokio::time::sleep(LAST_SAVE_PAUSE).await,
            }
        }
        if let Some(Awake { instance, slot, .. }) = self.awake.take() {
            self.forget_live();
            instance.deactivate(Leaving::Shutdown).await;
            drop(slot);
        }
    }

    /// It runs no revision any more, and nothing in memory is to be saved.
    pub(super) fn forget_live(&self) {
        let mut inner = self.entry.lock();
        inner.revision = None;
        inner.dirty = false;
    }
}

impl Host {
    /// Keeps in memory what is nowhere else, and forgets others for it if there is no room.
    pub(crate) fn nap(&self, entry: &Arc<Entry>, state: Option<(State, Arc<Revision>)>) {
        let bytes = state.as_ref().map_or(0, |(state, _)| state.data.len());
        let mut room = self.asleep.fits(bytes);
        while room {
            {
                let mut inner = entry.lock();
                if let Some(place) = self.asleep.place(entry, bytes) {
                    inner.nap = Some(Nap { state, place });
                    return;
                }
            }
            room = self.asleep.make_room(&self.directory, &self.metrics);
        }
        entry.lock().exists = false;
    }
}
