//! The one commit step: every outcome passes it before anything leaves.

use std::time::Instant;

use wasmverse_core::{
    CallError, Durability, Outcome, State, StorageWrites, TurnEnd, Version,
    commit::{self, End, Fate, Step, Write},
};
use wasmverse_store::{self as store, Change, Commit, Expected, StateDigest};

use super::Activation;
use crate::{deploy::unstored, entry::Row, saver::now_micros};

impl Activation {
    /// Makes what a turn did the truth, by the steps that `core::commit` decides.
    ///
    /// # Errors
    /// Nothing of it happened, and nothing may leave; or (`maybe_executed`) nobody knows.
    pub(super) async fn commit(&mut self, outcome: &mut Outcome) -> Result<(), CallError> {
        let durability = self.durability().unwrap_or_default();
        let row = match durability {
            Durability::Durable => self.entry.lock().row,
            Durability::Volatile | Durability::Periodic => Row::default(),
        };
        let committed = row.committed();
        let before = self.awake.as_ref().and_then(|awake| awake.before);
        let end = match commit::begin(outcome, durability, committed, before) {
            Step::End(end) => end,
            step => Box::pin(self.carry_out(step, row.version, outcome)).await,
        };
        if end.instance == Fate::Dropped {
            self.drop_untrue(&outcome.end, end.released.is_ok());
        } else if durability == Durability::Durable {
            self.entry.lock().backoff.served();
        }
        end.released
    }

    /// Before a turn that may write: what the state is, if nothing that is stored tells.
    pub(super) async fn look_before(&mut self) {
        let is_told = {
            let inner = self.entry.lock();
            let awake = self.awake.as_ref().expect("a turn has an instance");
            inner.row.committed().is_some() && !awake.is_migrated || awake.before.is_some()
        };
        if !is_told {
            let state = self.take_snapshot().await.ok();
            if let (Some(awake), Some(state)) = (&mut self.awake, state) {
                awake.before = Some(StateDigest::of(&state));
            }
        }
    }

    async fn carry_out(
        &mut self,
        mut step: Step<StateDigest>,
        version: Option<Version>,
        outcome: &mut Outcome,
    ) -> End {
        wasmverse_failpoint::pass("turn-ended");
        let mut taken = None;
        loop {
            step = match step {
                Step::Snapshot(waiting) => {
                    let snapshot = self.take_snapshot().await;
                    waiting.took(snapshot.map(|state| {
                        let digest = StateDigest::of(&state);
                        taken = Some((state, digest));
                        digest
                    }))
                }
                Step::Write(write, waiting) => {
                    let (state, digest) = taken.take().expect("a snapshot comes before the write");
                    let change = match write {
                        Write::State => self.put(state),
                        Write::StorageOnly => Change::Touch,
                    };
                    let storage = std::mem::take(&mut outcome.effects.storage);
                    let written = self.write(version, change, storage, digest);
                    Step::End(waiting.answered(written.await))
                }
                Step::Erase(waiting) => Step::End(waiting.answered(self.erase().await)),
                Step::End(end) => return end,
            };
        }
    }

    /// What the instance holds is not the truth, or nobody knows.
    fn drop_untrue(&mut self, end: &TurnEnd, released: bool) {
        match end {
            TurnEnd::Trap(error) => {
                self.host.metrics.traps.increment(1);
                tracing::debug!(object = %self.object(), %error, "a turn trapped");
            }
            TurnEnd::Failure(_) => self.host.metrics.turns_undone.increment(1),
            TurnEnd::Well(_) => debug_assert!(!released, "what ended well and left is true"),
        }
        let has_trapped = self.awake.as_ref().is_some_and(|awake| awake.instance.is_dead());
        if has_trapped && !matches!(end, TurnEnd::Trap(_)) {
            // In the snapshot after the turn.
            self.host.metrics.traps.increment(1);
            self.entry.lock().backoff.trapped(Instant::now());
        }
        self.discard();
    }

    /// The whole state after a turn. Without it, the turn cannot be kept.
    async fn take_snapshot(&mut self) -> Result<State, CallError> {
        let awake = self.awake.as_mut().expect("a turn has an instance");
        awake.instance.snapshot().await
    }

    /// A row with this state, which the running revision wrote.
    fn put(&self, state: State) -> Change {
        let awake = self.awake.as_ref().expect("a live object has an instance");
        let (encoding, revision) = (awake.revision.spec().encoding, awake.revision.number);
        Change::Put { state: Some(state), encoding, durability: Durability::Durable, revision }
    }

    /// Writes this state, which the running revision wrote, and what goes with it.
    pub(super) async fn write_state(
        &mut self,
        version: Option<Version>,
        state: State,
        storage: StorageWrites,
    ) -> Result<(), CallError> {
        let digest = StateDigest::of(&state);
        self.write(version, self.put(state), storage, digest).await
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
        storage: StorageWrites,
        digest: StateDigest,
    ) -> Result<(), CallError> {
        let expected = version.map_or(Expected::Absent, Expected::Version);
        let storage = storage.into_iter().map(|(key, value)| (key.to_string(), value)).collect();
        let commit = Commit { storage, ..self.commit_of(expected, change) };
        wasmverse_failpoint::pass("commit-begins");
        let written = self.host.write(commit).await;
        wasmverse_failpoint::pass("commit-done");
        match written {
            Ok(version) => {
                let updated_at_micros = now_micros();
                let digest = Some(digest);
                if let Some(awake) = &mut self.awake {
                    (awake.before, awake.is_migrated) = (None, false);
                }
                let mut inner = self.entry.lock();
                inner.row =
                    Row { version: Some(version), unsure: false, digest, updated_at_micros };
                (inner.exists, inner.looked) = (true, true);
                Ok(())
            }
            Err(error) => {
                let is_unknown = matches!(error, store::Error::Unknown(_));
                self.entry.lock().row.unsure |= is_unknown;
                Err(unstored(&error))
            }
        }
    }
}
