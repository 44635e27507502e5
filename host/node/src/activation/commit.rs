//! The one commit step: every outcome passes it before anything leaves.

use wasmverse_core::{Aftermath, CallError, Durability, Outcome, State, Version};
use wasmverse_store::{Change, Commit, Expected, StateDigest};

use super::Activation;
use crate::{deploy::unstored, entry::Row, failpoint, saver::now_micros};

impl Activation {
    /// Makes what a turn did the truth.
    ///
    /// # Errors
    /// Nothing of it happened, and nothing may leave; or (`maybe_executed`) nobody knows.
    pub(super) async fn commit(&mut self, outcome: &mut Outcome) -> Result<(), CallError> {
        match self.durability() {
            Some(Durability::Durable) => Box::pin(self.commit_durable(outcome)).await,
            // The saver, or nobody, has what memory holds; only a delete is for the store.
            None | Some(Durability::Volatile | Durability::Periodic) => {
                if outcome.effects.delete {
                    Box::pin(self.erase()).await
                } else {
                    Ok(())
                }
            }
        }
    }

    async fn commit_durable(&mut self, outcome: &mut Outcome) -> Result<(), CallError> {
        match outcome.aftermath(Durability::Durable) {
            Aftermath::Gone => return self.erase().await,
            // Its instance is dropped, and all that it held with it.
            Aftermath::Discarded => return Ok(()),
            Aftermath::Reverts => {
                self.undo().await;
                return Ok(());
            }
            Aftermath::Stays if outcome.read_only => return Ok(()),
            Aftermath::Stays => {}
        }
        failpoint::pass("turn-ended");
        let state = self.take_snapshot().await?;
        let row = self.entry.lock().row;
        let digest = StateDigest::of(&state);
        let is_new = row.version.is_none() || row.digest != Some(digest);
        let storage = std::mem::take(&mut outcome.effects.storage);
        if !is_new && storage.is_empty() {
            return Ok(());
        }
        let storage = storage.into_iter().map(|(key, value)| (key.to_string(), value)).collect();
        let change = if is_new { self.put(state, Durability::Durable) } else { Change::Touch };
        self.write(row.version, change, storage, digest).await
    }

    /// The whole state after a turn. Without it, the turn cannot be kept.
    async fn take_snapshot(&mut self) -> Result<State, CallError> {
        let awake = self.awake.as_mut().expect("a turn has an instance");
        awake.instance.snapshot().await
    }

    /// A row with this state, which the running revision wrote.
    pub(super) fn put(&self, state: State, durability: Durability) -> Change {
        let awake = self.awake.as_ref().expect("a live object has an instance");
        let (encoding, revision) = (awake.revision.spec().encoding, awake.revision.number);
        Change::Put { state: Some(state), encoding, durability, revision }
    }

    /// A commit of this object, by this node, that leaves its storage alone.
    pub(super) fn commit_of(&self, expected: Expected, change: Change) -> Commit {
        let (object, shard) = (self.entry.object.clone(), self.entry.shard);
        let epoch = self.host.epoch(shard);
        Commit { object, shard, epoch, expected, change, storage: Vec::new() }
    }

    /// Writes a row over that of the version that is known, or over none.
    pub(super) async fn write(
        &mut self,
        version: Option<Version>,
        change: Change,
        storage: Vec<(String, Option<bytes::Bytes>)>,
        digest: StateDigest,
    ) -> Result<(), CallError> {
        let expected = version.map_or(Expected::Absent, Expected::Version);
        let commit = Commit { storage, ..self.commit_of(expected, change) };
        failpoint::pass("commit-begins");
        let written = self.host.write(commit).await;
        failpoint::pass("commit-done");
        match written {
            Ok(version) => {
                let updated_at_micros = now_micros();
                let digest = Some(digest);
                let mut inner = self.entry.lock();
                inner.row =
                    Row { version: Some(version), unsure: false, digest, updated_at_micros };
                (inner.exists, inner.looked) = (true, true);
                Ok(())
            }
            Err(error) => Err(unstored(&error)),
        }
    }

    /// After a turn that failed, the object is as its last commit left it: it stays if nothing
    /// changed, else the next call wakes it from there.
    async fn undo(&mut self) {
        let committed = self.entry.lock().row.digest;
        let state = self.take_snapshot().await;
        if committed.is_none() || state.ok().map(|state| StateDigest::of(&state)) != committed {
            self.host.metrics.turns_undone.increment(1);
            self.discard();
        }
    }
}
