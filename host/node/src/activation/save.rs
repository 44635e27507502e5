//! Hands the state of a periodic object to the saver, if it changed.

use wasmverse_core::CallError;
use wasmverse_store::StateDigest;

use super::Activation;
use crate::deploy::unstored;

impl Activation {
    /// The saver asked for the state.
    pub(super) async fn save(&mut self) {
        if let Err(error) = self.hand_over().await {
            tracing::warn!(object = %self.object(), %error, "an object cannot be saved now");
            self.host.metrics.saves_failed.increment(1);
            self.note_again();
        }
    }

    /// Saves, and waits until it is done.
    pub(super) async fn save_now(&mut self) -> Result<(), CallError> {
        // What is under way may be older than what memory holds.
        let _ = self.entry.saved().await;
        let host = self.host.clone();
        let _one_of_some = host.saver.waiting.0.acquire().await;
        if self.hand_over().await? {
            self.entry.saved().await.map_err(|error| unstored(&error))?;
        }
        Ok(())
    }

    /// Takes a snapshot and hands it to the saver; `false`: there is nothing to save.
    async fn hand_over(&mut self) -> Result<bool, CallError> {
        if !self.is_periodic() {
            return Ok(false);
        }
        let (changed, unsure) = {
            let inner = self.entry.lock();
            (inner.dirty && inner.exists, inner.row.unsure)
        };
        if !changed {
            return Ok(false);
        }
        if unsure {
            // Whatever version the row has then is ours: nobody else writes it.
            self.make_sure().await.map_err(|error| unstored(&error))?;
        }
        let awake = self.awake.as_mut().expect("only a live object is saved");
        let snapshot = awake.instance.snapshot().await;
        if awake.instance.is_dead() {
            self.discard();
        }
        let state = snapshot?;
        let known = {
            let mut inner = self.entry.lock();
            let known = inner.row.digest == Some(StateDigest::of(&state));
            inner.dirty &= !known;
            known
        };
        if let (Some(awake), false) = (&self.awake, known) {
            let (spec, number) = (awake.revision.spec(), awake.revision.number);
            let epoch = self.host.epoch(self.entry.shard);
            self.host.saver.submit(&self.entry, epoch, spec, number, state);
        }
        Ok(!known)
    }

    /// Puts it on the saver's list once more.
    fn note_again(&self) {
        let noted = self.entry.lock().is_to_be_noted();
        if noted {
            self.host.saver.note(self.entry.clone());
        }
    }
}
