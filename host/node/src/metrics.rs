//! What a node counts: `wasmverse_node_*`. Handles are looked up once, at start.

use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};
use wasmverse_core::{CallError, ErrorKind};

/// Handles of all metrics of a node.
pub(crate) struct Metrics {
    calls_ok: Counter,
    calls_failed: [Counter; ErrorKind::ALL.len()],
    /// How long calls waited for their turn.
    pub(crate) mailbox_wait: Histogram,
    /// How long turns took.
    pub(crate) turn_time: Histogram,
    /// Callers that gave up while their turn waited or ran.
    pub(crate) abandoned: Counter,
    pub(crate) wakes: Counter,
    pub(crate) wake_failures: Counter,
    pub(crate) wake_time: Histogram,
    pub(crate) fallbacks: Counter,
    pub(crate) traps: Counter,
    pub(crate) log_lines_dropped: Counter,
    pub(crate) sleeps: Counter,
    pub(crate) sleeps_failed: Counter,
    pub(crate) snapshots_dropped: Counter,
    pub(crate) live: Gauge,
    pub(crate) asleep: Gauge,
    pub(crate) asleep_bytes: Gauge,
    pub(crate) memory_bytes: Gauge,
    pub(crate) queued_bytes: Gauge,
    pub(crate) objects: Gauge,
    /// Turns whose commit was asked of the store, and how long it took.
    pub(crate) commits: Counter,
    pub(crate) commits_failed: Counter,
    pub(crate) commit_time: Histogram,
    /// Failed turns of durable objects that had changed something.
    pub(crate) turns_undone: Counter,
    /// Read-only turns that changed the state after all.
    pub(crate) reads_that_changed: Counter,
    pub(crate) saves: Counter,
    pub(crate) saves_failed: Counter,
    pub(crate) save_time: Histogram,
    pub(crate) unsaved: Gauge,
    pub(crate) pushes: Counter,
    pub(crate) pushes_dropped: Counter,
    /// Clients whose end objects have heard of, and have not.
    pub(crate) clients_gone: Counter,
    pub(crate) clients_gone_lost: Counter,
    pub(crate) sends: Counter,
    pub(crate) sends_lost: Counter,
    /// Sends that wait in memory to arrive.
    pub(crate) sends_pending: Gauge,
    /// Keyed calls that were answered before.
    pub(crate) repeated: Counter,
    pub(crate) dead_letters: Counter,
    /// Reminders that wait in memory, how often one was fired, and how late.
    pub(crate) reminders: Gauge,
    pub(crate) firings: Counter,
    lateness: Histogram,
    pub(crate) upgrades: Counter,
    pub(crate) upgrades_refused: Counter,
    /// Peers that are linked up.
    pub(crate) links: Gauge,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        Self {
            calls_ok: counter!("wasmverse_node_calls_total", "end" => "ok"),
            calls_failed: ErrorKind::ALL
                .map(|kind| counter!("wasmverse_node_calls_total", "end" => kind.as_str())),
            mailbox_wait: histogram!("wasmverse_node_mailbox_wait_seconds"),
            turn_time: histogram!("wasmverse_node_turn_seconds"),
            abandoned: counter!("wasmverse_node_callers_gone_total"),
            wakes: counter!("wasmverse_node_wakes_total"),
            wake_failures: counter!("wasmverse_node_wake_failures_total"),
            wake_time: histogram!("wasmverse_node_wake_seconds"),
            fallbacks: counter!("wasmverse_node_revision_fallbacks_total"),
            traps: counter!("wasmverse_node_traps_total"),
            log_lines_dropped: counter!("wasmverse_node_log_lines_dropped_total"),
            sleeps: counter!("wasmverse_node_sleeps_total"),
            sleeps_failed: counter!("wasmverse_node_sleeps_failed_total"),
            snapshots_dropped: counter!("wasmverse_node_snapshots_dropped_total"),
            live: gauge!("wasmverse_node_live_objects"),
            asleep: gauge!("wasmverse_node_asleep_objects"),
            asleep_bytes: gauge!("wasmverse_node_asleep_bytes"),
            memory_bytes: gauge!("wasmverse_node_instance_memory_bytes"),
            queued_bytes: gauge!("wasmverse_node_queued_bytes"),
            objects: gauge!("wasmverse_node_known_objects"),
            commits: counter!("wasmverse_node_commits_total", "end" => "ok"),
            commits_failed: counter!("wasmverse_node_commits_total", "end" => "failed"),
            commit_time: histogram!("wasmverse_node_commit_seconds"),
            turns_undone: counter!("wasmverse_node_turns_undone_total"),
            reads_that_changed: counter!("wasmverse_node_read_only_changes_total"),
            saves: counter!("wasmverse_node_saves_total"),
            saves_failed: counter!("wasmverse_node_saves_failed_total"),
            save_time: histogram!("wasmverse_node_save_seconds"),
            unsaved: gauge!("wasmverse_node_unsaved_objects"),
            pushes: counter!("wasmverse_node_pushes_total"),
            pushes_dropped: counter!("wasmverse_node_pushes_dropped_total"),
            clients_gone: counter!("wasmverse_node_clients_gone_total"),
            clients_gone_lost: counter!("wasmverse_node_clients_gone_lost_total"),
            sends: counter!("wasmverse_node_sends_total"),
            sends_lost: counter!("wasmverse_node_sends_lost_total"),
            sends_pending: gauge!("wasmverse_node_pending_sends"),
            repeated: counter!("wasmverse_node_repeated_calls_total"),
            dead_letters: counter!("wasmverse_node_dead_letters_total"),
            reminders: gauge!("wasmverse_node_reminders"),
            firings: counter!("wasmverse_node_firings_total"),
            lateness: histogram!("wasmverse_node_reminder_lateness_seconds"),
            upgrades: counter!("wasmverse_node_upgrades_total"),
            upgrades_refused: counter!("wasmverse_node_upgrades_refused_total"),
            links: gauge!("wasmverse_node_links"),
        }
    }

    /// The turn of a reminder begins, so many microseconds after it was due.
    pub(crate) fn lateness(&self, micros: i64) {
        self.lateness.record(std::time::Duration::from_micros(micros.max(0).unsigned_abs()));
    }

    /// A call has ended.
    pub(crate) fn ended<T>(&self, end: &Result<T, CallError>) {
        match end {
            Ok(_) => self.calls_ok.increment(1),
            Err(error) => self.refused(error),
        }
    }

    /// A call has ended otherwise than well.
    pub(crate) fn refused(&self, error: &CallError) {
        // The array is in the order of the set's declaration, as are the discriminants.
        self.calls_failed[error.kind() as usize].increment(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_end_has_its_own_counter() {
        for (place, kind) in ErrorKind::ALL.into_iter().enumerate() {
            assert_eq!(kind as usize, place);
        }
    }
}
