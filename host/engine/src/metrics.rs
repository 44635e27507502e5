//! What the engine counts. Handles are made once: counting costs an atomic addition.
//!
//! The recorder must be installed before the engine is made.

use std::{fmt, sync::Arc, time::Duration};

use metrics::{Counter, Gauge, Histogram, counter, describe_counter, gauge, histogram};

use crate::stop::Cause;

/// All that the engine counts.
pub(crate) struct Metrics {
    instances: Gauge,
    compile_seconds: Histogram,
    refused: Counter,
    traps: [Counter; Cause::ALL.len()],
    /// Memory that a guest asked for and did not get.
    pub(crate) memory_denied: Counter,
    /// Table elements likewise.
    pub(crate) tables_denied: Counter,
    /// Keys that a guest wanted in its storage and did not get.
    pub(crate) keys_denied: Counter,
    log_lines_dropped: Counter,
    /// Turns that had to take the slow lane.
    pub(crate) slow_turns: Counter,
}

impl Metrics {
    pub(crate) fn new() -> Arc<Self> {
        describe();
        Arc::new(Self {
            instances: gauge!("wasmverse_engine_instances"),
            compile_seconds: histogram!("wasmverse_engine_compile_seconds"),
            refused: counter!("wasmverse_engine_refused_total"),
            traps: Cause::ALL
                .map(|cause| counter!("wasmverse_engine_traps_total", "cause" => cause.as_str())),
            memory_denied: counter!("wasmverse_engine_growth_denied_total", "what" => "memory"),
            tables_denied: counter!("wasmverse_engine_growth_denied_total", "what" => "tables"),
            keys_denied: counter!("wasmverse_engine_growth_denied_total", "what" => "storage-keys"),
            log_lines_dropped: counter!("wasmverse_engine_log_lines_dropped_total"),
            slow_turns: counter!("wasmverse_engine_slow_turns_total"),
        })
    }

    pub(crate) fn trapped(&self, cause: Cause) {
        self.traps[cause as usize].increment(1);
    }

    pub(crate) fn compiled(&self, took: Duration) {
        self.compile_seconds.record(took.as_secs_f64());
    }

    pub(crate) fn refused(&self) {
        self.refused.increment(1);
    }

    pub(crate) fn dropped_log_lines(&self, lines: u32) {
        if lines > 0 {
            self.log_lines_dropped.increment(u64::from(lines));
        }
    }
}

fn describe() {
    metrics::describe_gauge!("wasmverse_engine_instances", "Sandboxes that exist now.");
    metrics::describe_histogram!(
        "wasmverse_engine_compile_seconds",
        metrics::Unit::Seconds,
        "Time to check and compile a component."
    );
    describe_counter!("wasmverse_engine_refused_total", "Components that were refused.");
    describe_counter!("wasmverse_engine_traps_total", "Guests that ended in a trap, by cause.");
    describe_counter!(
        "wasmverse_engine_growth_denied_total",
        "Requests of guests to grow beyond their limits, by what should have grown."
    );
    describe_counter!(
        "wasmverse_engine_log_lines_dropped_total",
        "Log lines of guests beyond their budget."
    );
    describe_counter!("wasmverse_engine_slow_turns_total", "Times a turn queued in the slow lane.");
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metrics")
    }
}

/// Counts one live instance for as long as it exists.
#[derive(Debug)]
pub(crate) struct LiveInstance(Arc<Metrics>);

impl LiveInstance {
    pub(crate) fn new(metrics: Arc<Metrics>) -> Self {
        metrics.instances.increment(1.0);
        Self(metrics)
    }
}

impl Drop for LiveInstance {
    fn drop(&mut self) {
        self.0.instances.decrement(1.0);
    }
}
