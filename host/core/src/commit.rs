//! The turn commit, step by step: what is asked of the instance and of the store after a turn, and
//! what may leave.
//!
//! Each step is a value that only its own answer turns into the next one, so that no driver can let
//! anything out before the store has answered.

use crate::{CallError, Durability, Outcome, TurnEnd};

/// What a turn's commit needs next. `D` is a digest of a state.
#[derive(Debug)]
pub enum Step<D> {
    /// A snapshot of the instance.
    Snapshot(AwaitSnapshot<D>),
    /// The store takes all that the turn changed, or nothing of it.
    Write(Write, AwaitAnswer),
    /// The store removes all of the object, or nothing of it.
    Erase(AwaitAnswer),
    /// There is no more to do.
    End(End),
}

/// What a turn changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Write {
    /// The state, and whatever goes beside it.
    State,
    /// What goes beside the state, which is as it was.
    Beside,
    /// That it ended, and how.
    EndOnly,
}

/// How a turn's commit ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct End {
    /// The reply and all effects may leave; or nothing of them, and the caller hears why.
    pub released: Result<(), CallError>,
    /// What becomes of the instance.
    pub instance: Fate,
}

/// What becomes of an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It lives on: what it holds is true.
    Kept,
    /// What it holds is not the truth, or nobody knows: the next call wakes the object from its last
    /// commit, or anew.
    Dropped,
}

const RELEASED: End = End { released: Ok(()), instance: Fate::Kept };

/// A turn has ended: what its commit needs first. `committed` is the digest of the state that was
/// last stored, if there is one; `before`, of the state before the turn, where that is another one.
pub fn begin<D>(
    outcome: &Outcome,
    durability: Durability,
    committed: Option<D>,
    before: Option<D>,
) -> Step<D> {
    let is_durable = durability == Durability::Durable;
    match &outcome.end {
        TurnEnd::Trap(_) => Step::End(End { instance: Fate::Dropped, ..RELEASED }),
        TurnEnd::Well(_) if outcome.effects.delete => {
            Step::Erase(AwaitAnswer { is_durable, instance: Fate::Kept })
        }
        // Others have a saver, or nobody, for what memory holds.
        TurnEnd::Well(_) | TurnEnd::Failure(_) if !is_durable || outcome.read_only => match outcome
            .is_once
            || !outcome.effects.reminders.is_empty()
        {
            true => Step::Write(Write::EndOnly, AwaitAnswer { is_durable, instance: Fate::Kept }),
            false => Step::End(RELEASED),
        },
        TurnEnd::Well(_) => {
            let (beside, is_once) = (outcome.effects.has_stored(), outcome.is_once);
            Step::Snapshot(AwaitSnapshot { committed, of: Snapshot::Changed { beside, is_once } })
        }
        TurnEnd::Failure(_) => {
            let committed = before.or(committed);
            let is_once = outcome.is_once;
            Step::Snapshot(AwaitSnapshot { committed, of: Snapshot::Failed { is_once } })
        }
    }
}

/// A snapshot is being taken.
#[derive(Debug)]
pub struct AwaitSnapshot<D> {
    committed: Option<D>,
    of: Snapshot,
}

#[derive(Debug)]
enum Snapshot {
    /// Of a turn that ended well: what it changed is to be stored.
    Changed { beside: bool, is_once: bool },
    /// Of a turn that failed: what it changed is to be undone.
    Failed { is_once: bool },
}

impl<D: PartialEq> AwaitSnapshot<D> {
    /// What the instance gave.
    pub fn took(self, snapshot: Result<D, CallError>) -> Step<D> {
        let is_same = |digest: &D| self.committed.as_ref() == Some(digest);
        match (self.of, snapshot) {
            // Without it, the turn cannot be kept.
            (Snapshot::Changed { .. }, Err(error)) => {
                Step::End(End { released: Err(error), instance: Fate::Dropped })
            }
            (Snapshot::Changed { beside, is_once }, Ok(digest)) => {
                let answer = AwaitAnswer { is_durable: true, instance: Fate::Kept };
                match (is_same(&digest), beside, is_once) {
                    (true, false, false) => Step::End(RELEASED),
                    (true, false, true) => Step::Write(Write::EndOnly, answer),
                    (true, true, _) => Step::Write(Write::Beside, answer),
                    (false, ..) => Step::Write(Write::State, answer),
                }
            }
            (Snapshot::Failed { is_once }, snapshot) => {
                let is_same = snapshot.is_ok_and(|digest| is_same(&digest));
                let instance = if is_same { Fate::Kept } else { Fate::Dropped };
                match is_once {
                    true => Step::Write(Write::EndOnly, AwaitAnswer { is_durable: true, instance }),
                    false => Step::End(End { instance, ..RELEASED }),
                }
            }
        }
    }
}

/// The store is at it.
#[derive(Debug)]
pub struct AwaitAnswer {
    is_durable: bool,
    /// If all goes well.
    instance: Fate,
}

impl AwaitAnswer {
    /// What the store answered: all of it is stored, or nothing, or (`maybe_executed`) nobody knows.
    pub fn answered(self, stored: Result<(), CallError>) -> End {
        let instance = match &stored {
            // Turns before this one were acknowledged out of the memory of other objects.
            Err(_) if self.is_durable => Fate::Dropped,
            Ok(()) | Err(_) => self.instance,
        };
        End { released: stored, instance }
    }
}

#[cfg(test)]
mod tests;
