//! What stands behind the imports of one instance: who it is, what it does now, what it has used.

#![expect(clippy::result_large_err, reason = "a failure is lowered into the guest by value")]

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use wasmtime::UpdateDeadline;
use wasmverse_core::{CallError, Chain, Durability, Effects, ErrorKind, Limits, RevisionNumber};

use crate::{
    Turn,
    bindings::Failure,
    failure,
    journal::{Journal, Writer},
    memory::Memory,
    meter::{Budget, Meter},
    metrics::Metrics,
    stop::{LimitHit, Remedy},
    storage::Storage,
    wasi::Wasi,
};

/// All sends and pushes of one turn together hold at most so many times the payload limit.
const EFFECTS_PAYLOADS_MAX: usize = 16;
/// What each send, push and addressee takes beside its texts: empty ones are kept, too.
pub(crate) const EFFECT_BYTES: usize = 64;

/// What an instance is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Start,
    Describe,
    Activate,
    Handle,
    Snapshot,
    Deactivate,
}

impl Step {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Describe => "describe",
            Self::Activate => "activate",
            Self::Handle => "handle",
            Self::Snapshot => "snapshot",
            Self::Deactivate => "deactivate",
        }
    }
}

/// The data of an instance's store.
pub(crate) struct Host {
    /// Who it is; none: it only describes itself.
    pub(crate) writer: Option<Arc<Writer>>,
    pub(crate) revision: RevisionNumber,
    /// A durable object has a storage, and all but volatile ones have reminders.
    pub(crate) durability: Durability,
    pub(crate) storage: Storage,
    pub(crate) limits: Limits,
    pub(crate) step: Step,
    pub(crate) budget: Budget,
    /// When the step is stopped, whatever it waits for.
    pub(crate) ends: Instant,
    /// When the caller of the step gives up.
    pub(crate) deadline: Instant,
    /// The turn that is running, within [`Step::Handle`].
    pub(crate) turn: Option<Turn>,
    /// The turn's chain with the object itself, once it is needed.
    pub(crate) chain: Option<Chain>,
    pub(crate) effects: Effects,
    effect_bytes: usize,
    pub(crate) host_calls: u32,
    /// Methods of other objects that the turn has called so far.
    pub(crate) calls: u32,
    /// Names of the reminders that there are, once the turn has asked for them.
    pub(crate) reminders: Option<BTreeSet<Arc<str>>>,
    /// The platform's failures that the guest was given in this turn, the latest of each kind.
    pub(crate) given: Vec<CallError>,
    pub(crate) memory: Memory,
    pub(crate) meter: Arc<Meter>,
    pub(crate) journal: Arc<Mutex<Journal>>,
    pub(crate) wasi: Option<Box<Wasi>>,
}

impl Host {
    pub(crate) fn new(
        writer: Option<Arc<Writer>>,
        revision: RevisionNumber,
        durability: Durability,
        limits: Limits,
        meter: Arc<Meter>,
        metrics: Arc<Metrics>,
    ) -> Self {
        let journal = Journal::new(writer.clone(), limits.log_bytes);
        let memory =
            Memory::new(limits.memory_bytes, limits.table_elements, Arc::clone(&meter), metrics);
        let budget = Budget { cpu: limits.cpu, time: limits.time, remedy: Remedy::Description };
        let now = Instant::now();
        Self {
            writer,
            revision,
            durability,
            storage: Storage::default(),
            limits,
            step: Step::Start,
            budget,
            ends: now,
            deadline: now,
            turn: None,
            chain: None,
            effects: Effects::default(),
            effect_bytes: 0,
            host_calls: 0,
            calls: 0,
            reminders: None,
            given: Vec::new(),
            memory,
            meter,
            journal,
            wasi: None,
        }
    }

    /// What a step may use whose limits the type's description sets.
    pub(crate) fn described_budget(&self) -> Budget {
        let Limits { cpu, time, .. } = self.limits;
        Budget { cpu, time, remedy: Remedy::Description }
    }

    /// A step begins.
    pub(crate) fn begin(&mut self, step: Step, budget: Budget, turn: Option<Turn>, now: Instant) {
        self.journal.lock().begin(turn.as_ref().map(|turn| turn.id));
        self.ends = now.checked_add(budget.time).unwrap_or(now);
        self.deadline = turn.as_ref().map_or(self.ends, |turn| turn.deadline);
        self.step = step;
        self.budget = budget;
        self.turn = turn;
        if let Some(turn) = &mut self.turn {
            self.effects.reminders = std::mem::take(&mut turn.reminders);
        }
        self.effect_bytes = 0;
        (self.host_calls, self.calls) = (0, 0);
        self.reminders = None;
        self.given.clear();
        self.memory.begin();
    }

    /// A step ends, well or not: what it used and let out is handed over. Answers the dropped log
    /// lines.
    pub(crate) fn end(&mut self, well: bool) -> (Effects, Duration, u32) {
        self.meter.end();
        let may_write = self.turn.as_ref().is_some_and(|turn| !turn.read_only);
        match self.step {
            Step::Activate if well => self.storage.carry(),
            Step::Handle if well && may_write => self.effects.storage = self.storage.take(),
            _ => self.storage.drop_written(),
        }
        self.turn = None;
        self.chain = None;
        let dropped = self.journal.lock().end();
        (std::mem::take(&mut self.effects), self.meter.used(), dropped)
    }

    /// The guest called `calls` host functions.
    ///
    /// # Errors
    /// Traps the guest when it called too many.
    pub(crate) fn count(&mut self, calls: usize) -> Result<(), LimitHit> {
        let calls = u32::try_from(calls).unwrap_or(u32::MAX);
        self.host_calls = self.host_calls.saturating_add(calls);
        self.within_host_calls()
    }

    fn within_host_calls(&self) -> Result<(), LimitHit> {
        let limit = self.limits.host_calls;
        if self.host_calls <= limit {
            return Ok(());
        }
        Err(LimitHit::host_calls(limit, self.budget.remedy))
    }

    /// A tick found the guest running.
    pub(crate) fn on_tick(&self) -> wasmtime::Result<UpdateDeadline> {
        // WASI's functions are counted where nothing can trap: their limit bites here.
        self.within_host_calls()?;
        Ok(self.meter.on_tick(self.budget)?)
    }

    /// The step is over, in the guest's eyes: were its last host calls within the limit?
    pub(crate) fn check_host_calls(&self) -> wasmtime::Result<()> {
        Ok(self.within_host_calls()?)
    }

    /// The running turn; `denied` outside `handle`.
    pub(crate) fn turn(&self, function: &str) -> Result<&Turn, CallError> {
        self.turn.as_ref().ok_or_else(|| {
            let step = self.step.as_str();
            denied(format!("`{function}` is for `handle` only, this is `{step}`"))
        })
    }

    /// The running turn, if it may change anything.
    pub(crate) fn write_turn(&self, function: &str) -> Result<&Turn, CallError> {
        let turn = self.turn(function)?;
        if turn.read_only {
            return Err(denied(format!("`{function}` changes something, this turn is read-only")));
        }
        Ok(turn)
    }

    /// Takes so many bytes of what a turn may let out.
    pub(crate) fn take_effect_bytes(&mut self, bytes: usize) -> Result<(), CallError> {
        let limit = self.limits.payload_bytes.saturating_mul(EFFECTS_PAYLOADS_MAX);
        self.effect_bytes = self.effect_bytes.saturating_add(bytes);
        if self.effect_bytes <= limit {
            return Ok(());
        }
        Err(invalid(format!(
            "all that a turn sends, pushes and stores holds at most {limit} bytes together: raise \
             `limits.payload_bytes` in the type's description, or do less at once"
        )))
    }

    /// A payload that goes out is within its limit.
    pub(crate) fn check_payload(&self, payload: &[u8]) -> Result<(), CallError> {
        let (bytes, limit) = (payload.len(), self.limits.payload_bytes);
        if bytes <= limit {
            return Ok(());
        }
        Err(invalid(format!(
            "the payload has {bytes} bytes of at most {limit}: raise `limits.payload_bytes` in \
             the type's description, or pass less at once"
        )))
    }

    /// What the guest hears of an answer: a failure is remembered, so that it may be passed on.
    pub(crate) fn answer<T>(&mut self, answer: Result<T, CallError>) -> Result<T, Failure> {
        answer.map_err(|error| {
            let failure = failure::to_guest(&error);
            if error.kind() != ErrorKind::Application {
                self.given.retain(|given| given.kind() != error.kind());
                self.given.push(error);
            }
            failure
        })
    }
}

pub(crate) fn denied(message: impl Into<String>) -> CallError {
    CallError::new(ErrorKind::Denied, message)
}

pub(crate) fn invalid(message: impl Into<String>) -> CallError {
    CallError::new(ErrorKind::InvalidArgument, message)
}
