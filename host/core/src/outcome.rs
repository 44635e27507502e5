//! The outcome of a turn: the one value that passes the commit step before anything leaves.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;

use crate::{CallError, ObjectId};

/// What a turn asked to let out. It leaves at the turn's end, in order, only if that ends well.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Effects {
    /// One-way calls.
    pub sends: Vec<SendRequest>,
    /// Events for clients.
    pub pushes: Vec<Push>,
    /// Keys of its storage: the new value, or none where the key is removed.
    pub storage: StorageWrites,
    /// The object deletes itself.
    pub delete: bool,
}

impl Effects {
    /// Whether there is nothing to let out or to keep.
    pub fn is_empty(&self) -> bool {
        self.sends.is_empty() && self.pushes.is_empty() && self.storage.is_empty() && !self.delete
    }
}

/// What is written to an object's keyed storage: new values, or none where a key is removed.
pub type StorageWrites = BTreeMap<Arc<str>, Option<Bytes>>;

/// A one-way call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SendRequest {
    /// To whom.
    pub to: ObjectId,
    /// Which method.
    pub method: Arc<str>,
    /// Its argument.
    pub payload: Bytes,
}

/// An event for clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Push {
    /// For whom.
    pub to: PushTo,
    /// The event's name.
    pub event: Arc<str>,
    /// Its payload.
    pub payload: Bytes,
}

/// For whom a push is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PushTo {
    /// These client ids.
    Clients(Vec<Arc<str>>),
    /// Every connected client.
    Everyone,
}

/// How a turn ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TurnEnd {
    /// With a result; what it asked to let out may leave.
    Well(Bytes),
    /// The guest answered an error; nothing leaves.
    Failure(CallError),
    /// Trap, exhausted limit or cancelled: the instance can never be entered again.
    Trap(CallError),
}

/// Everything that a turn leads to.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// How it ended, and so what the caller hears.
    pub end: TurnEnd,
    /// What it lets out. Empty unless it ended well.
    pub effects: Effects,
    /// The method was read-only.
    pub read_only: bool,
}

impl Outcome {
    /// The outcome of a turn that ended so: only one that ends well, and may write, lets
    /// anything out.
    pub fn new(end: TurnEnd, effects: Effects, read_only: bool) -> Self {
        let out = matches!(end, TurnEnd::Well(_)) && !read_only;
        Self { end, effects: if out { effects } else { Effects::default() }, read_only }
    }

    /// Whether the object exists from now on because of it: a write turn was completed.
    pub fn completes_a_write(&self) -> bool {
        matches!(self.end, TurnEnd::Well(_)) && !self.read_only
    }

    /// Whether the memory may differ from what was last saved.
    pub fn dirties(&self) -> bool {
        !self.read_only && !matches!(self.end, TurnEnd::Trap(_))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    fn effects() -> Effects {
        Effects { delete: true, ..Effects::default() }
    }

    fn error() -> CallError {
        CallError::new(ErrorKind::Application, "no")
    }

    #[test]
    fn only_a_write_turn_that_ends_well_lets_anything_out() {
        let ends = [TurnEnd::Well(Bytes::new()), TurnEnd::Failure(error()), TurnEnd::Trap(error())];
        for end in ends {
            for read_only in [false, true] {
                let outcome = Outcome::new(end.clone(), effects(), read_only);
                let well = matches!(end, TurnEnd::Well(_)) && !read_only;
                assert_eq!(outcome.effects.is_empty(), !well);
                assert_eq!(outcome.completes_a_write(), well);
            }
        }
    }

    #[test]
    fn only_a_trap_leaves_memory_as_it_was_saved() {
        let ends = [TurnEnd::Well(Bytes::new()), TurnEnd::Failure(error()), TurnEnd::Trap(error())];
        let dirties = ends.map(|end| Outcome::new(end, effects(), false).dirties());
        assert_eq!(dirties, [true, true, false]);
    }
}
