//! What a router counts.

use metrics::{
    Counter, Gauge, Histogram, counter, describe_counter, describe_gauge, describe_histogram,
    gauge, histogram,
};
use wasmverse_core::{CallError, ErrorKind};

/// The counters of a router, looked up once: a call only adds to them.
pub(crate) struct Metrics {
    pub(crate) calls: Counter,
    pub(crate) sends: Counter,
    pub(crate) sends_lost: Counter,
    pub(crate) waiting: Gauge,
    pub(crate) batch_frames: Histogram,
    pub(crate) links: Gauge,
    pub(crate) dials_failed: Counter,
    pub(crate) links_lost: Counter,
    pub(crate) peers: Gauge,
    pub(crate) moved: Counter,
    pub(crate) parked: Gauge,
    pub(crate) parked_bytes: Gauge,
    errors: [Counter; ErrorKind::ALL.len()],
}

impl Metrics {
    pub(crate) fn new() -> Self {
        describe_counter!("wasmverse_router_calls_total", "Calls to other processes.");
        describe_counter!("wasmverse_router_sends_total", "One-way calls to other processes.");
        describe_counter!(
            "wasmverse_router_sends_lost_total",
            "One-way calls that were dropped: the queue was full, or the link was lost for long."
        );
        describe_counter!("wasmverse_router_errors_total", "Calls that failed, by kind of error.");
        describe_gauge!("wasmverse_router_waiting", "Calls that wait for their answers.");
        describe_histogram!("wasmverse_router_batch_frames", "Frames that were written at once.");
        describe_gauge!("wasmverse_router_links", "Links to peers that are up.");
        describe_counter!("wasmverse_router_dials_failed_total", "Peers that did not answer.");
        describe_counter!("wasmverse_router_links_lost_total", "Links that were lost.");
        describe_gauge!("wasmverse_router_peers", "Other nodes that are registered.");
        describe_counter!(
            "wasmverse_router_moved_total",
            "Calls that were taken back, unexecuted, from a node that does not serve their shard."
        );
        describe_gauge!("wasmverse_router_parked", "Calls that wait for an owner of their shard.");
        describe_gauge!("wasmverse_router_parked_bytes", "What these calls hold, in bytes.");
        Self {
            calls: counter!("wasmverse_router_calls_total"),
            sends: counter!("wasmverse_router_sends_total"),
            sends_lost: counter!("wasmverse_router_sends_lost_total"),
            waiting: gauge!("wasmverse_router_waiting"),
            batch_frames: histogram!("wasmverse_router_batch_frames"),
            links: gauge!("wasmverse_router_links"),
            dials_failed: counter!("wasmverse_router_dials_failed_total"),
            links_lost: counter!("wasmverse_router_links_lost_total"),
            peers: gauge!("wasmverse_router_peers"),
            moved: counter!("wasmverse_router_moved_total"),
            parked: gauge!("wasmverse_router_parked"),
            parked_bytes: gauge!("wasmverse_router_parked_bytes"),
            errors: ErrorKind::ALL
                .map(|kind| counter!("wasmverse_router_errors_total", "kind" => kind.as_str())),
        }
    }

    pub(crate) fn count(&self, error: &CallError) {
        let place = ErrorKind::ALL.iter().position(|kind| *kind == error.kind());
        self.errors[place.expect("every kind is among all of them")].increment(1);
    }
}
