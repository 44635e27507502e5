//! The sandbox of one object, entered one step at a time.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use tracing::Instrument;
use wasmverse_core::{CallError, Effects, ErrorKind, State, StorageWrites, TurnEnd};

use crate::{
    LogLevel, Turn, TurnReport, bindings, failure,
    host::Step,
    journal::Writer,
    meter::Budget,
    metrics::Metrics,
    run::run,
    sandbox::Sandbox,
    stop::{LimitHit, Remedy, Stop, Verdict},
};

/// What a guest may use to say farewell.
const FAREWELL: Budget =
    Budget { cpu: Duration::from_millis(100), time: Duration::from_secs(1), remedy: Remedy::Fixed };

/// Memory mappings that the operating system keeps for one instance: together with its limit on
/// them (`vm.max_map_count` on Linux) this bounds how many instances may live at once.
pub const MAPPINGS_PER_INSTANCE: usize = 6;

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

/// The sandbox of one object. After a trap it is dead: every step answers `trapped` at once. So it
/// is when a step's future was dropped before its end.
pub struct Instance {
    /// None after a trap: its memory is free at once.
    sandbox: Option<Box<Sandbox>>,
    /// A step is under way, or was and never ended.
    inside: bool,
    writer: Arc<Writer>,
    metrics: Arc<Metrics>,
}

/// What a step used and let out.
#[derive(Default)]
struct Used {
    effects: Effects,
    cpu: Duration,
    host_calls: u32,
    log_lines_dropped: u32,
}

impl Instance {
    pub(crate) fn new(sandbox: Sandbox, writer: Arc<Writer>, metrics: Arc<Metrics>) -> Self {
        Self { sandbox: Some(Box::new(sandbox)), inside: false, writer, metrics }
    }

    /// Makes it its object. Called once, first.
    ///
    /// # Errors
    /// `application` if the guest refuses the state, `trapped` if it traps or exhausts a limit.
    pub async fn activate(&mut self, state: Option<State>) -> Result<(), CallError> {
        let object = &self.writer.object;
        let type_name = object.type_name().as_str().to_owned();
        let me = bindings::ObjectRef { type_name, id: object.id().to_owned() };
        let state =
            state.map(|State { schema, data }| bindings::State { schema, data: data.into() });
        let (sandbox, budget, began) = self.enter(Step::Activate, None, None)?;
        let Sandbox { store, object, meter, .. } = sandbox;
        let guest = object.wasmverse_object_guest();
        let step = guest.call_activate(&mut *store, &me, state.as_ref());
        let answer = run(meter, budget, began, step).await;
        let well = matches!(answer, Ok(Ok(())));
        let (answer, _) = self.leave(Step::Activate, answer, well);
        answer?.map_err(|failure| self.about(failure::from_guest(failure, &[])))
    }

    /// Runs one turn. Payloads over the limit were refused before.
    pub async fn handle(&mut self, turn: Turn, method: &str, payload: Bytes) -> TurnReport {
        let object = &self.writer.object;
        let span = tracing::debug_span!("engine.invoke", %object, method, turn = %turn.id);
        self.invoke(turn, method, payload).instrument(span).await
    }

    async fn invoke(&mut self, turn: Turn, method: &str, payload: Bytes) -> TurnReport {
        let (sandbox, budget, began) = match self.enter(Step::Handle, None, Some(turn)) {
            Ok(entered) => entered,
            Err(dead) => return report(TurnEnd::Trap(dead), false, Used::default()),
        };
        let Sandbox { store, object, meter, .. } = sandbox;
        let guest = object.wasmverse_object_guest();
        let limit = store_limit(store);
        let step = guest.call_handle(&mut *store, method, &payload);
        let answer = run(meter, budget, began, step).await;
        let answer = answer.and_then(|answer| match answer {
            Ok(result) if result.len() > limit => Err(too_large("result", result.len(), limit)),
            answer => Ok(answer),
        });
        let well = matches!(answer, Ok(Ok(_)));
        let (answer, used) = self.leave(Step::Handle, answer, well);
        let (end, is_passed_on) = match answer {
            Ok(Ok(result)) => (TurnEnd::Well(result.into()), false),
            Ok(Err(failure)) => {
                let given = self.sandbox.as_ref().map_or(&[][..], |s| &s.store.data().given);
                let error = failure::from_guest(failure, given);
                let is_passed_on = failure::is_passed_on(&error, given);
                (TurnEnd::Failure(self.about(error)), is_passed_on)
            }
            Err(trap) => (TurnEnd::Trap(trap), false),
        };
        report(end, is_passed_on, used)
    }

    /// The whole state now.
    ///
    /// # Errors
    /// `application` if the guest answers an error, `trapped` if it traps, exhausts a limit or
    /// its state is over the payload limit.
    pub async fn snapshot(&mut self) -> Result<State, CallError> {
        let (sandbox, budget, began) = self.enter(Step::Snapshot, None, None)?;
        let Sandbox { store, object, meter, .. } = sandbox;
        let limit = store_limit(store);
        let step = object.wasmverse_object_guest().call_snapshot(&mut *store);
        let answer = run(meter, budget, began, step).await;
        let answer = answer.and_then(|answer| match answer {
            Ok(state) if state.data.len() > limit => {
                Err(too_large("state", state.data.len(), limit))
            }
            answer => Ok(answer),
        });
        let (answer, _) = self.leave(Step::Snapshot, answer, false);
        match answer? {
            Ok(bindings::State { schema, data }) => Ok(State { schema, data: data.into() }),
            Err(failure) => Err(self.about(failure::from_guest(failure, &[]))),
        }
    }

    /// What `activate` wrote to its storage and no turn has taken along, to be committed by the
    /// caller.
    pub fn take_carried(&mut self) -> StorageWrites {
        let sandbox = self.sandbox.as_deref_mut();
        sandbox.map(|sandbox| sandbox.store.data_mut().storage.take()).unwrap_or_default()
    }

    /// Tells the guest that it goes, within a small budget, and drops it. Never fails: what a
    /// leaving guest does wrong is logged.
    pub async fn deactivate(mut self, why: Leaving) {
        let Ok((sandbox, budget, began)) = self.enter(Step::Deactivate, Some(FAREWELL), None)
        else {
            return;
        };
        let Sandbox { store, object, meter, .. } = sandbox;
        let step = object.wasmverse_object_guest().call_deactivate(&mut *store, why.as_str());
        let answer = run(meter, budget, began, step).await;
        // A trap is logged there.
        let _ = self.leave(Step::Deactivate, answer, false);
    }

    /// Whether it trapped and can never be entered again.
    pub fn is_dead(&self) -> bool {
        self.inside || self.sandbox.is_none()
    }

    /// Its linear memory and what is kept of its storage, in bytes.
    pub fn memory_bytes(&self) -> usize {
        self.sandbox.as_ref().map_or(0, |sandbox| {
            let host = sandbox.store.data();
            host.memory.bytes + host.storage.bytes()
        })
    }

    fn enter(
        &mut self,
        step: Step,
        budget: Option<Budget>,
        turn: Option<Turn>,
    ) -> Result<(&mut Sandbox, Budget, Instant), CallError> {
        if self.inside {
            // A step was dropped half-way: nothing of it may be seen.
            self.sandbox = None;
        }
        let Some(sandbox) = self.sandbox.as_deref_mut() else {
            let message = "the object's instance trapped before and cannot be entered again";
            return Err(CallError::new(ErrorKind::Trapped, message).about(&self.writer.object));
        };
        let budget = budget.unwrap_or_else(|| sandbox.store.data().described_budget());
        let began = sandbox.begin(step, budget, turn);
        self.inside = true;
        Ok((sandbox, budget, began))
    }

    /// The end of a step. A stopped guest is gone for good: logged, counted, its memory free.
    fn leave<T>(
        &mut self,
        step: Step,
        answer: Result<T, Stop>,
        well: bool,
    ) -> (Result<T, CallError>, Used) {
        self.inside = false;
        let Some(sandbox) = self.sandbox.as_deref_mut() else {
            return (Err(self.about(gone())), Used::default());
        };
        let host = sandbox.store.data_mut();
        let answer = answer.and_then(|answer| match host.check_host_calls() {
            Ok(()) => Ok(answer),
            Err(error) => Err(Stop::Trap(error)),
        });
        let verdict = answer.as_ref().err().map(|stop| Verdict::new(stop, host));
        if let Some(verdict) = &verdict {
            self.metrics.trapped(verdict.cause);
            let message = format!("trapped in `{}`: {}", step.as_str(), verdict.message);
            let frames = verdict.frames.iter().map(|name| ("at".to_owned(), name.clone()));
            host.journal.lock().note(LogLevel::Error, message, frames.collect());
        }
        let host_calls = host.host_calls;
        let (effects, cpu, log_lines_dropped) = host.end(well);
        self.metrics.dropped_log_lines(log_lines_dropped);
        let used = Used { effects, cpu, host_calls, log_lines_dropped };
        match (answer, verdict) {
            (Ok(answer), _) => (Ok(answer), used),
            (Err(_), verdict) => {
                self.sandbox = None;
                (Err(self.about(verdict.map_or_else(gone, |verdict| verdict.error()))), used)
            }
        }
    }

    fn about(&self, error: CallError) -> CallError {
        error.about(&self.writer.object)
    }
}

impl fmt::Debug for Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Instance")
            .field("object", &self.writer.object)
            .field("dead", &self.is_dead())
            .finish_non_exhaustive()
    }
}

fn store_limit(store: &wasmtime::Store<crate::host::Host>) -> usize {
    store.data().limits.payload_bytes
}

fn gone() -> CallError {
    CallError::new(ErrorKind::Trapped, "the object's instance is gone")
}

fn too_large(what: &str, bytes: usize, limit: usize) -> Stop {
    Stop::Trap(wasmtime::Error::new(LimitHit::payload(what, bytes, limit)))
}

fn report(end: TurnEnd, is_passed_on: bool, used: Used) -> TurnReport {
    let Used { effects, cpu, host_calls, log_lines_dropped } = used;
    TurnReport { end, is_passed_on, effects, cpu, host_calls, log_lines_dropped }
}
