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
    /// Its reminders.
    pub reminders: ReminderChanges,
    /// The object deletes itself.
    pub delete: bool,
}

impl Effects {
    /// Whether there is nothing to let out or to keep.
    pub fn is_empty(&self) -> bool {
        self.sends.is_empty()
            && self.pushes.is_empty()
            && self.storage.is_empty()
            && self.reminders.is_empty()
            && !self.delete
    }

    /// Whether there is something that is stored with the turn, beside the state.
    pub fn has_stored(&self) -> bool {
        !self.storage.is_empty() || !self.sends.is_empty() || !self.reminders.is_empty()
    }
}

/// What is written to an object's keyed storage: new values, or none where a key is removed.
pub type StorageWrites = BTreeMap<Arc<str>, Option<Bytes>>;

/// What is changed about an object's reminders, by their names: set anew, or cancelled.
pub type ReminderChanges = BTreeMap<Arc<str>, Option<Reminder>>;

/// A call of an object to itself at a later time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reminder {
    /// When it fires, in the words in which it was set ([`When`](crate::When)).
    pub when: Arc<str>,
    /// The method that it calls.
    pub method: Arc<str>,
    /// The argument of that call.
    pub payload: Bytes,
    /// When it fires next, in microseconds since 1970.
    pub due_micros: i64,
}

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
    /// That it ended, and how, is stored, whatever else it did: a result is kept under its key, a send
    /// has arrived, a reminder has fired.
    pub is_once: bool,
}

impl Outcome {
    /// The outcome of a turn that ended so: only one that ends well, and may write, lets
    /// anything out.
    pub fn new(end: TurnEnd, effects: Effects, read_only: bool) -> Self {
        let out = matches!(end, TurnEnd::Well(_)) && !read_only;
        let effects = if out { effects } else { Effects::default() };
        Self { end, effects, read_only, is_once: false }
    }

    /// The same of a turn that is to be run once. `passed_on`: the failure that it answers is the
    /// platform's, which another call may not meet.
    #[must_use]
    pub fn once(mut self, passed_on: bool) -> Self {
        self.is_once = match &self.end {
            TurnEnd::Well(_) => true,
            TurnEnd::Failure(_) => !passed_on,
            TurnEnd::Trap(_) => false,
        };
        self
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
    fn what_is_run_once_is_so_with_its_own_failure_and_not_with_another_ones() {
        let once = |end, passed_on| Outcome::new(end, effects(), false).once(passed_on).is_once;
        assert!(once(TurnEnd::Well(Bytes::new()), false));
        assert!(once(TurnEnd::Failure(error()), false));
        assert!(!once(TurnEnd::Failure(error()), true));
        assert!(!once(TurnEnd::Trap(error()), false));
    }

    #[test]
    fn only_a_trap_leaves_memory_as_it_was_saved() {
        let ends = [TurnEnd::Well(Bytes::new()), TurnEnd::Failure(error()), TurnEnd::Trap(error())];
        let dirties = ends.map(|end| Outcome::new(end, effects(), false).dirties());
        assert_eq!(dirties, [true, true, false]);
    }
}
