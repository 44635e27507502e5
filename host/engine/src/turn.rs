//! A turn, as the engine sees it: who calls, until when, and what came of it.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use wasmverse_core::{Caller, Chain, Effects, ReminderChanges, TurnEnd};

/// Unique among turns: which process, and its how-manieth turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TurnId {
    /// Drawn by the process when it started.
    pub process: u32,
    /// Counts the turns of that process.
    pub sequence: u64,
}

impl fmt::Display for TurnId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}-{:x}", self.process, self.sequence)
    }
}

/// What a guest may learn of the turn that it runs.
#[derive(Clone, Debug)]
pub struct Turn {
    /// The same in logs and traces.
    pub id: TurnId,
    /// Who made this very call.
    pub caller: Caller,
    /// The objects that wait for this turn; the object itself is not among them.
    pub chain: Chain,
    /// When the caller gives up.
    pub deadline: Instant,
    /// Makes the call exactly once in effect; one that the platform derived begins with
    /// [`DERIVED`](wasmverse_core::DERIVED).
    pub key: Option<Arc<str>>,
    /// W3C trace context.
    pub traceparent: Option<Arc<str>>,
    /// The method is read-only, or was called by a read-only turn.
    pub read_only: bool,
    /// What has become of the reminder that fires in this turn: it is due anew, or gone.
    pub reminders: ReminderChanges,
}

/// What came of a turn.
#[derive(Clone, Debug)]
pub struct TurnReport {
    /// How it ended. Results over the payload limit are traps.
    pub end: TurnEnd,
    /// The failure is one of the platform's that the guest was given in this turn.
    pub is_passed_on: bool,
    /// What it asked to let out.
    pub effects: Effects,
    /// CPU time it used.
    pub cpu: Duration,
    /// Host functions it called.
    pub host_calls: u32,
    /// Log lines dropped because its log budget was used up.
    pub log_lines_dropped: u32,
}
