//! The one commit step: every outcome passes it before anything leaves.

use std::time::Instant;

use wasmverse_core::{
    CallError, Durability, Outcome, State, StorageWrites, TurnEnd, Version,
    commit::{self, End, Fate, Step, Write},
};
use wasmverse_store::{self as store, Change, Commit, Effect, Expected, StateDigest};

use super::{Activation, once::Once};
use crate::{deploy::unstored, entry::Row, saver::now_micros};

/// What goes with an object's row.
#[derive(Default)]
pub(super) struct Beside {
    pub(super) storage: StorageWrites,
    pub(super) effects: Vec<Effect>,
}

/// Why a turn was not committed.
pub(super) enum Uncommitted {
    /// What it was run for had been done before.
    Repeated,
    /// Nothing of it happened; or (`maybe_executed`) nobody knows.
    Failed(CallError),
}

impl Activation {
    /// Makes what a turn did the truth, by the steps that `core::commit` decides. What was committed
    /// is taken out of the outcome: the rest has yet to leave.
    ///
    /// # Errors
    /// Nothing may leave.
    pub(super) async fn commit(
        &mut self,
        once: &Once,
        outcome: &mut Outcome,
    ) -> Result<(), Uncommitted> {
        let durability = self.durability().unwrap_or_default();
        let row = match durability {
            Durability::Durable => self.entry.lock().row,
            Durability::Volatile | Durability::Periodic => Row::default(),
        };
        let committed = row.committed();
        let before = self.awake.as_ref().and_then(|awake| awake.before);
        let mut is_repeated = false;
        let end = match commit::begin(outcome, durability, committed, before) {
            Step::End(end) => end,
            step => {
                let carried = self.carry_out(step, row.version, once, outcome, &mut is_repeated);
                Box::pin(carried).await
            }
        };
        if end.instance == Fate::Dropped {
            self.drop_untrue(&outcome.end, end.released.is_ok());
        } else if durability == Durability::Durable {
            self.entry.lock().backoff.served();
        }
        match end.released {
            Err(_) if is_repeated => Err(Uncommitted::Repeated),
            released => released.map_err(Uncommitted::Failed),
        }
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
        once: &Once,
        outcome: &mut Outcome,
        is_repeated: &mut bool,
    ) -> End {
        wasmverse_failpoint::pass("turn-ended");
        let is_durable = self.durability() == Some(Durability::Durable);
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
                    let effects = self.effects_of(once, outcome, is_durable);
                    let storage = std::mem::take(&mut outcome.effects.storage);
                    let beside = Beside { storage, effects };
                    let written = match (write, taken.take()) {
                        (Write::State, Some((state, digest))) => {
                            let change = self.put(state);
                            self.write(version, change, beside, Some(digest)).await
                        }
                        (Write::Beside, Some((_, digest))) => {
                            self.write(version, Change::Touch, beside, Some(digest)).await
                        }
                        (Write::EndOnly, _) => self.write_end(beside).await,
                        (Write::State | Write::Beside, None) => {
                            unreachable!("a snapshot comes before the write")
                        }
                    };
                    let written = written.map(|version| {
                        self.committed(once, outcome, is_durable, version);
                    });
                    Step::End(waiting.answered(self.known(written, is_repeated)))
                }
                Step::Erase(waiting) => {
                    let effects = self.effects_of(once, outcome, is_durable);
                    let written = self.erase(effects).await;
                    let written = written.map(|version| {
                        self.committed(once, outcome, is_durable, version);
                    });
                    Step::End(waiting.answered(self.known(written, is_repeated)))
                }
                Step::End(end) => return end,
            };
        }
    }

    /// What a write came to, as callers hear it. `is_repeated`: it had been done before.
    fn known(
        &self,
        written: Result<(), store::Error>,
        is_repeated: &mut bool,
    ) -> Result<(), CallError> {
        written.map_err(|error| {
            *is_repeated = matches!(error, store::Error::Repeated(_));
            if *is_repeated {
                tracing::debug!(object = %self.object(), "a turn is undone: it was run before");
            }
            unstored(&error)
        })
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
        let beside = Beside { storage, effects: Vec::new() };
        let written = self.write(version, self.put(state), beside, Some(digest)).await;
        written.map(drop).map_err(|error| unstored(&error))
    }

    /// A commit of this object, by this node, that leaves its storage alone.
    pub(super) fn commit_of(&self, expected: Expected, change: Change) -> Commit {
        let commit = self.host.beside(self.entry.object.clone(), self.entry.shard, Vec::new());
        Commit { expected, change, ..commit }
    }

    /// Writes a row over that of the version that is known, or over none.
    pub(super) async fn write(
        &mut self,
        version: Option<Version>,
        change: Change,
        beside: Beside,
        digest: Option<StateDigest>,
    ) -> Result<Version, store::Error> {
        let expected = version.map_or(Expected::Absent, Expected::Version);
        let version = self.write_commit(self.commit_of(expected, change), beside).await?;
        if let Some(awake) = &mut self.awake {
            (awake.before, awake.is_migrated) = (None, false);
        }
        let updated_at_micros = now_micros();
        let mut inner = self.entry.lock();
        inner.row = Row { version: Some(version), unsure: false, digest, updated_at_micros };
        (inner.exists, inner.looked) = (true, true);
        Ok(version)
    }

    /// Writes what goes beside the row, and leaves that as it is. An object that has reminders has a
    /// row, so that whoever deletes it finds them.
    async fn write_end(&mut self, beside: Beside) -> Result<Version, store::Error> {
        let sets = beside.effects.iter().any(|effect| matches!(effect, Effect::Remind(_)));
        if sets && self.durability() != Some(Durability::Durable) {
            self.entry.saved().await.ok();
            if self.entry.lock().row.version.is_none() {
                let awake = self.awake.as_ref().expect("a turn has an instance");
                let (spec, revision) = (awake.revision.spec(), awake.revision.number);
                let (encoding, durability) = (spec.encoding, spec.durability);
                let change = Change::Put { state: None, encoding, durability, revision };
                return self.write(None, change, beside, None).await;
            }
        }
        self.write_commit(self.commit_of(Expected::Any, Change::Nothing), beside).await
    }

    async fn write_commit(
        &mut self,
        commit: Commit,
        beside: Beside,
    ) -> Result<Version, store::Error> {
        let Beside { storage, effects } = beside;
        let storage = storage.into_iter().map(|(key, value)| (key.to_string(), value)).collect();
        wasmverse_failpoint::pass("commit-begins");
        let written = self.host.write(Commit { storage, effects, ..commit }).await;
        wasmverse_failpoint::pass("commit-done");
        if let Err(error) = &written {
            self.entry.lock().row.unsure |= matches!(error, store::Error::Unknown(_));
        }
        written
    }
}
