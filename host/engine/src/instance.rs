//! The sandbox of one object, entered one step at a time.

use bytes::Bytes;
use wasmverse_core::{CallError, State};

use crate::{Turn, TurnReport};

/// Why an instance goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leaving {
    /// Nobody called for a while.
    Idle,
    /// Others needed the room.
    Evicted,
    /// Its shard moved.
    Moved,
    /// A new revision took over.
    Upgraded,
    /// The object was deleted.
    Deleted,
    /// The process ends.
    Shutdown,
}

impl Leaving {
    /// The word that the guest hears.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Evicted => "evicted",
            Self::Moved => "moved",
            Self::Upgraded => "upgraded",
            Self::Deleted => "deleted",
            Self::Shutdown => "shutdown",
        }
    }
}

/// The sandbox of one object. After a trap it is dead: every step answers `trapped` at once.
#[derive(Debug)]
pub struct Instance {}

impl Instance {
    /// Makes it its object. Called once, first.
    ///
    /// # Errors
    /// `application` if the guest refuses the state, `trapped` if it traps or exhausts a limit.
    pub async fn activate(&mut self, state: Option<State>) -> Result<(), CallError> {
        drop(state);
        unimplemented!()
    }

    /// Runs one turn. Payloads over the limit were refused before.
    pub async fn handle(&mut self, turn: Turn, method: &str, payload: Bytes) -> TurnReport {
        let _ = (turn, method, payload);
        unimplemented!()
    }

    /// The whole state now.
    ///
    /// # Errors
    /// `application` if the guest answers an error, `trapped` if it traps, exhausts a limit or
    /// its state is over the payload limit.
    pub async fn snapshot(&mut self) -> Result<State, CallError> {
        unimplemented!()
    }

    /// Tells the guest that it goes, within a small budget, and drops it. Never fails: what a
    /// leaving guest does wrong is logged.
    pub async fn deactivate(self, why: Leaving) {
        let _ = why;
    }

    /// Whether it trapped and can never be entered again.
    pub fn is_dead(&self) -> bool {
        unimplemented!()
    }

    /// Its linear memory, in bytes.
    pub fn memory_bytes(&self) -> usize {
        unimplemented!()
    }
}
