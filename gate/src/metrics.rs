//! What the gate counts. Handles are made once: a request only adds to them.
//!
//! `wasmverse_gate_requests_total` (surface, operation, code), `wasmverse_gate_request_seconds`
//! (surface, operation), `wasmverse_gate_connections` (surface).

use std::time::Instant;

use metrics::{
    Counter, Gauge, Histogram, counter, describe_counter, describe_gauge, describe_histogram,
    gauge, histogram,
};
use wasmverse_core::{CallError, ErrorKind};

/// Requests, by how they ended.
pub(crate) const REQUESTS: &str = "wasmverse_gate_requests_total";
/// How long they took.
pub(crate) const SECONDS: &str = "wasmverse_gate_request_seconds";
/// Open connections.
pub(crate) const CONNECTIONS: &str = "wasmverse_gate_connections";

/// What a request came in by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Surface {
    Http,
    Grpc,
}

impl Surface {
    const ALL: [(Self, &'static str); 2] = [(Self::Http, "http"), (Self::Grpc, "grpc")];
}

/// What a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    Call,
    Create,
    Delete,
    Get,
    List,
    Types,
    Admin,
    Session,
}

impl Operation {
    const ALL: [(Self, &'static str); 8] = [
        (Self::Call, "call"),
        (Self::Create, "create"),
        (Self::Delete, "delete"),
        (Self::Get, "get"),
        (Self::List, "list"),
        (Self::Types, "types"),
        (Self::Admin, "admin"),
        (Self::Session, "session"),
    ];
}

/// Beside the closed set: it went well; the client went away first.
const OK: usize = ErrorKind::ALL.len();
const CANCELLED: usize = OK + 1;

fn code_name(code: usize) -> &'static str {
    match code {
        OK => "ok",
        CANCELLED => "cancelled",
        kind => ErrorKind::ALL.get(kind).map_or("unknown", |kind| kind.as_str()),
    }
}

/// All handles.
#[derive(Debug)]
pub(crate) struct Meter {
    surfaces: [Vec<Series>; 2],
    connections: [Gauge; 2],
}

#[derive(Debug)]
struct Series {
    ended: Vec<Counter>,
    seconds: Histogram,
}

impl Meter {
    /// Describes and registers everything.
    pub(crate) fn new() -> Self {
        describe_counter!(REQUESTS, "Requests by surface, operation and how they ended.");
        describe_histogram!(SECONDS, "How long requests took, in seconds.");
        describe_gauge!(CONNECTIONS, "Open connections.");
        Self {
            surfaces: Surface::ALL.map(|(_, surface)| {
                Operation::ALL
                    .iter()
                    .map(|(_, operation)| Series::new(surface, operation))
                    .collect()
            }),
            connections: Surface::ALL.map(|(_, surface)| gauge!(CONNECTIONS, "surface" => surface)),
        }
    }

    /// The open connections of a surface.
    pub(crate) fn connections(&self, surface: Surface) -> Gauge {
        self.connections[surface as usize].clone()
    }

    /// A request begins.
    pub(crate) fn begin(&self, surface: Surface, operation: Operation) -> Measure<'_> {
        let series = &self.surfaces[surface as usize][operation as usize];
        Measure { series, begun: Instant::now(), code: CANCELLED }
    }
}

impl Series {
    fn new(surface: &'static str, operation: &'static str) -> Self {
        let ended = |code| {
            counter!(REQUESTS, "surface" => surface, "operation" => operation,
                "code" => code_name(code))
        };
        Self {
            ended: (0..=CANCELLED).map(ended).collect(),
            seconds: histogram!(SECONDS, "surface" => surface, "operation" => operation),
        }
    }
}

/// A request under way. Dropped before its end is known, it counts as cancelled.
#[derive(Debug)]
pub(crate) struct Measure<'a> {
    series: &'a Series,
    begun: Instant,
    code: usize,
}

impl Measure<'_> {
    /// The request is answered.
    pub(crate) fn end<T>(mut self, result: &Result<T, CallError>) {
        self.code = result.as_ref().err().map_or(OK, |error| error.kind() as usize);
    }
}

impl Drop for Measure<'_> {
    fn drop(&mut self) {
        self.series.ended[self.code].increment(1);
        self.series.seconds.record(self.begun.elapsed());
    }
}

/// What sessions count.
pub(crate) struct SessionMetrics {
    pub(crate) sessions: Gauge,
    pub(crate) opened: Counter,
    pub(crate) resumed: Counter,
    pub(crate) refused: Counter,
    pub(crate) pushes: Counter,
    pub(crate) dropped: Counter,
    pub(crate) cleared: Counter,
}

impl SessionMetrics {
    /// Describes and registers everything.
    pub(crate) fn new() -> Self {
        describe_gauge!("wasmverse_gate_sessions", "Sessions, connected or not.");
        describe_counter!("wasmverse_gate_sessions_opened_total", "Sessions that were opened.");
        describe_counter!("wasmverse_gate_sessions_resumed_total", "Sessions that were resumed.");
        describe_counter!(
            "wasmverse_gate_sessions_refused_total",
            "Sessions that there was no room for."
        );
        describe_counter!("wasmverse_gate_pushes_total", "Pushes, for each client one.");
        describe_counter!(
            "wasmverse_gate_pushes_dropped_total",
            "Pushes that a client did not get, for want of room; it is told of the gap."
        );
        describe_counter!(
            "wasmverse_gate_sessions_cleared_total",
            "Sessions that lost all that waited for them, so that others had room."
        );
        Self {
            sessions: gauge!("wasmverse_gate_sessions"),
            opened: counter!("wasmverse_gate_sessions_opened_total"),
            resumed: counter!("wasmverse_gate_sessions_resumed_total"),
            refused: counter!("wasmverse_gate_sessions_refused_total"),
            pushes: counter!("wasmverse_gate_pushes_total"),
            dropped: counter!("wasmverse_gate_pushes_dropped_total"),
            cleared: counter!("wasmverse_gate_sessions_cleared_total"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_error_kind_has_its_place() {
        for (place, kind) in ErrorKind::ALL.into_iter().enumerate() {
            assert_eq!(kind as usize, place);
            assert_eq!(code_name(place), kind.as_str());
        }
        for (place, (surface, _)) in Surface::ALL.into_iter().enumerate() {
            assert_eq!(surface as usize, place);
        }
        for (place, (operation, _)) in Operation::ALL.into_iter().enumerate() {
            assert_eq!(operation as usize, place);
        }
    }

    #[test]
    fn every_request_is_counted_by_how_it_ended() {
        let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
        let handle = recorder.handle();
        let meter = metrics::with_local_recorder(&recorder, Meter::new);
        meter.begin(Surface::Http, Operation::Call).end(&Ok(()));
        let refused = Err::<(), _>(CallError::new(ErrorKind::Denied, "x"));
        meter.begin(Surface::Grpc, Operation::Admin).end(&refused);
        drop(meter.begin(Surface::Grpc, Operation::Call));
        let text = handle.render();
        for line in [
            "requests_total{surface=\"http\",operation=\"call\",code=\"ok\"} 1",
            "requests_total{surface=\"grpc\",operation=\"admin\",code=\"denied\"} 1",
            "requests_total{surface=\"grpc\",operation=\"call\",code=\"cancelled\"} 1",
            "request_seconds_count{surface=\"http\",operation=\"call\"} 1",
        ] {
            assert!(text.contains(line), "{line}: {text}");
        }
    }
}
