//! What a cluster counts.

use metrics::{Counter, Histogram, counter, describe_counter, describe_histogram, histogram};
use wasmverse_core::cluster::Why;

/// Looked up once.
pub(crate) struct Metrics {
    pub(crate) views: Counter,
    pub(crate) watch_restarts: Counter,
    pub(crate) keep_alive_seconds: Histogram,
    pub(crate) leases_lost: Counter,
    pub(crate) leader_changes: Counter,
    pub(crate) commits: Counter,
    pub(crate) commits_refused: Counter,
    pub(crate) loads_told: Counter,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        describe_counter!("wasmverse_cluster_views_total", "Views of the cluster that came.");
        describe_counter!(
            "wasmverse_cluster_watch_restarts_total",
            "How often the watch broke and began anew."
        );
        describe_histogram!(
            "wasmverse_cluster_keep_alive_seconds",
            "How long the answer to a keep-alive took."
        );
        describe_counter!(
            "wasmverse_cluster_leases_lost_total",
            "Registrations that were lost, so that the process owned nothing any more."
        );
        describe_counter!("wasmverse_cluster_leader_changes_total", "New leaders.");
        describe_counter!("wasmverse_cluster_commits_total", "Commits that were tried.");
        describe_counter!(
            "wasmverse_cluster_commits_refused_total",
            "Commits that rested on what was so no more."
        );
        describe_counter!(
            "wasmverse_cluster_loads_told_total",
            "How often this node told what its shards had to do."
        );
        describe_counter!(
            "wasmverse_cluster_placements_total",
            "Shards that got another place while this node led, by why."
        );
        Self {
            views: counter!("wasmverse_cluster_views_total"),
            watch_restarts: counter!("wasmverse_cluster_watch_restarts_total"),
            keep_alive_seconds: histogram!("wasmverse_cluster_keep_alive_seconds"),
            leases_lost: counter!("wasmverse_cluster_leases_lost_total"),
            leader_changes: counter!("wasmverse_cluster_leader_changes_total"),
            commits: counter!("wasmverse_cluster_commits_total"),
            commits_refused: counter!("wasmverse_cluster_commits_refused_total"),
            loads_told: counter!("wasmverse_cluster_loads_told_total"),
        }
    }
}

/// A shard has got another place.
pub(crate) fn placed(why: Why) {
    counter!("wasmverse_cluster_placements_total", "why" => why.as_str()).increment(1);
}
