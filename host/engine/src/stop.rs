//! Why a guest was stopped, in words that say what to do about it.

use std::{fmt, time::Duration};

use wasmtime::{Trap, WasmBacktrace};
use wasmtime_wasi::I32Exit;
use wasmverse_core::{CallError, ErrorKind};

use crate::{host::Host, settings::STACK_BYTES};

/// Function names that a log line of a trap shows at most.
const FRAMES_MAX: usize = 16;

/// How wasmtime begins to say that a guest passed more at once than [`traffic_bytes_max`].
const TOO_MUCH_AT_ONCE: &str = "too much data is being copied";

/// What one host call, or one answer, may pass in all: two payloads, and their names. It is copied
/// in one go, in which no tick can interrupt the guest.
pub(crate) fn traffic_bytes_max(payload_bytes: usize) -> usize {
    payload_bytes.saturating_mul(2).saturating_add(1 << 20)
}

/// What stopped a guest, as metrics tell it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    Cpu,
    Time,
    Memory,
    Tables,
    Stack,
    Payload,
    HostCalls,
    Code,
    Platform,
}

impl Cause {
    /// Every cause, in the order of the declaration.
    pub(crate) const ALL: [Self; 9] = [
        Self::Cpu,
        Self::Time,
        Self::Memory,
        Self::Tables,
        Self::Stack,
        Self::Payload,
        Self::HostCalls,
        Self::Code,
        Self::Platform,
    ];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Time => "time",
            Self::Memory => "memory",
            Self::Tables => "tables",
            Self::Stack => "stack",
            Self::Payload => "payload",
            Self::HostCalls => "host_calls",
            Self::Code => "code",
            Self::Platform => "platform",
        }
    }
}

/// A limit that a guest ran into. Also the error with which host functions trap a guest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LimitHit {
    pub(crate) cause: Cause,
    message: String,
}

impl LimitHit {
    pub(crate) fn cpu(limit: Duration, remedy: Remedy) -> Self {
        let message = format!(
            "the object used up its CPU time of {limit:?}: {}",
            remedy.text("limits.cpu_ms", "do less at once")
        );
        Self { cause: Cause::Cpu, message }
    }

    pub(crate) fn time(limit: Duration, remedy: Remedy) -> Self {
        let message = format!(
            "the object did not end within {limit:?}: {}",
            remedy.text("limits.time_ms", "wait for less at once")
        );
        Self { cause: Cause::Time, message }
    }

    pub(crate) fn host_calls(limit: u32, remedy: Remedy) -> Self {
        let message = format!(
            "the object made more than {limit} host calls: {}",
            remedy.text("limits.host_calls", "call less at once")
        );
        Self { cause: Cause::HostCalls, message }
    }

    pub(crate) fn payload(what: &str, bytes: usize, limit: usize) -> Self {
        let message = format!(
            "the object's {what} has {bytes} bytes of at most {limit}: \
             raise `limits.payload_bytes` in the type's description, or answer less at once"
        );
        Self { cause: Cause::Payload, message }
    }

    /// What one host call passes in all, or one answer.
    fn traffic(payload_bytes: usize) -> Self {
        let limit = traffic_bytes_max(payload_bytes);
        let message = format!(
            "the object passed more than {limit} bytes at once: raise `limits.payload_bytes` in \
             the type's description, or pass less at once"
        );
        Self { cause: Cause::Payload, message }
    }

    fn memory(limit: usize) -> Self {
        let message = format!(
            "the object asked for more memory than its {limit} bytes and could not go on without: \
             raise `limits.memory_bytes` in the type's description, or keep less"
        );
        Self { cause: Cause::Memory, message }
    }

    fn tables(limit: usize) -> Self {
        let message = format!(
            "the object asked for more than its {limit} table elements and could not go on without: \
             raise `limits.table_elements` in the type's description"
        );
        Self { cause: Cause::Tables, message }
    }

    fn stack() -> Self {
        let message = format!(
            "the object used up its stack of {STACK_BYTES} bytes: recurse less deeply (the limit is fixed)"
        );
        Self { cause: Cause::Stack, message }
    }

    /// A trap of the guest's own making.
    pub(crate) fn code(message: impl Into<String>) -> Self {
        Self { cause: Cause::Code, message: message.into() }
    }
}

impl fmt::Display for LimitHit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for LimitHit {}

/// Whether the type's description can raise the limit in question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Remedy {
    /// It can.
    Description,
    /// The limit is fixed.
    Fixed,
}

impl Remedy {
    fn text(self, limit: &str, or: &str) -> String {
        match self {
            Self::Description => format!("raise `{limit}` in the type's description, or {or}"),
            Self::Fixed => format!("{or} (the limit is fixed)"),
        }
    }
}

/// Why a step did not come to its end.
#[derive(Debug)]
pub(crate) enum Stop {
    /// The guest trapped, or a host function trapped it.
    Trap(wasmtime::Error),
    /// It ran out of time while it waited.
    Time(LimitHit),
    /// Code of ours panicked.
    Panic(String),
}

/// What is to be said about a stop: the cause for metrics, the words for the caller, the frames
/// for the log.
#[derive(Debug)]
pub(crate) struct Verdict {
    pub(crate) cause: Cause,
    pub(crate) message: String,
    pub(crate) frames: Vec<String>,
}

impl Verdict {
    pub(crate) fn new(stop: &Stop, host: &Host) -> Self {
        match stop {
            Stop::Time(hit) => Self::of(hit.clone()),
            Stop::Panic(message) => Self {
                cause: Cause::Platform,
                message: format!("the platform failed while the object ran: {message}"),
                frames: Vec::new(),
            },
            Stop::Trap(error) => Self { frames: frames(error), ..Self::of(explain(error, host)) },
        }
    }

    fn of(hit: LimitHit) -> Self {
        Self { cause: hit.cause, message: hit.message, frames: Vec::new() }
    }

    /// What the caller hears.
    pub(crate) fn error(&self) -> CallError {
        let kind = match self.cause {
            Cause::Platform => ErrorKind::Internal,
            _ => ErrorKind::Trapped,
        };
        CallError::new(kind, self.message.clone()).with("cause", self.cause.as_str())
    }
}

fn explain(error: &wasmtime::Error, host: &Host) -> LimitHit {
    if let Some(hit) = error.downcast_ref::<LimitHit>() {
        return hit.clone();
    }
    if let Some(Trap::StackOverflow) = error.downcast_ref::<Trap>() {
        return LimitHit::stack();
    }
    if host.memory.memory_denied {
        return LimitHit::memory(host.limits.memory_bytes);
    }
    if host.memory.tables_denied {
        return LimitHit::tables(host.limits.table_elements);
    }
    if let Some(exit) = error.downcast_ref::<I32Exit>() {
        return LimitHit::code(format!("the object exited with status {}", exit.0));
    }
    let reason = error.root_cause().to_string();
    if reason.starts_with(TOO_MUCH_AT_ONCE) {
        return LimitHit::traffic(host.limits.payload_bytes);
    }
    let reason = reason.strip_prefix("wasm trap: ").unwrap_or(&reason);
    LimitHit::code(format!("the object's code trapped: {reason}"))
}

/// The functions that a trapped guest was in, innermost first.
fn frames(error: &wasmtime::Error) -> Vec<String> {
    let Some(backtrace) = error.downcast_ref::<WasmBacktrace>() else {
        return Vec::new();
    };
    let name = |frame: &wasmtime::FrameInfo| match frame.func_name() {
        Some(name) => name.to_owned(),
        None => format!("function {}", frame.func_index()),
    };
    backtrace.frames().iter().take(FRAMES_MAX).map(name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_stand_in_the_order_of_their_numbers() {
        for (place, cause) in Cause::ALL.into_iter().enumerate() {
            assert_eq!(cause as usize, place);
        }
    }

    #[test]
    fn one_host_call_passes_two_payloads_and_little_more() {
        assert_eq!(traffic_bytes_max(4 << 20), 9 << 20);
        assert_eq!(traffic_bytes_max(usize::MAX), usize::MAX);
    }

    #[test]
    fn a_limit_is_named_with_its_value_and_its_remedy() {
        let hit = LimitHit::host_calls(10_000, Remedy::Description).to_string();
        assert!(hit.contains("10000") && hit.contains("`limits.host_calls`"), "{hit}");
        let fixed = LimitHit::cpu(Duration::from_millis(200), Remedy::Fixed).to_string();
        assert!(fixed.contains("200ms") && !fixed.contains("limits."), "{fixed}");
    }
}
