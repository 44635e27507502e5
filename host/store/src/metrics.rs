//! What a store counts.

use std::time::Instant;

use metrics::{counter, histogram};

use crate::Error;

/// Rows in one call of `commit`.
pub(crate) fn saved(rows: usize, begun: Instant) {
    #[expect(clippy::cast_precision_loss, reason = "batches are far below 2^52 rows")]
    histogram!("wasmverse_store_save_rows").record(rows as f64);
    histogram!("wasmverse_store_save_seconds").record(begun.elapsed());
}

/// Commands in one transaction, and how long that took with its commit.
pub(crate) fn committed(commands: usize, begun: Instant) {
    #[expect(clippy::cast_precision_loss, reason = "groups are far below 2^52 commands")]
    histogram!("wasmverse_store_commit_commands").record(commands as f64);
    histogram!("wasmverse_store_commit_seconds").record(begun.elapsed());
}

/// How long a connection was waited for.
pub(crate) fn connected(begun: Instant) {
    histogram!("wasmverse_store_pool_wait_seconds").record(begun.elapsed());
}

/// Something that is tried again, since nothing was done: what was in the way.
pub(crate) fn repeated(reason: &'static str) {
    counter!("wasmverse_store_retries_total", "reason" => reason).increment(1);
}

/// An object looked up.
pub(crate) fn loaded(begun: Instant) {
    histogram!("wasmverse_store_load_seconds").record(begun.elapsed());
}

/// Rows of keyed storage that were read.
pub(crate) fn storage_read(rows: usize) {
    counter!("wasmverse_store_storage_rows_read_total").increment(rows as u64);
}

/// Something went wrong.
pub(crate) fn failed(error: &Error) {
    let kind = match error {
        Error::NotFound(_) => "not-found",
        Error::Conflict(_) => "conflict",
        Error::Fenced(_) => "fenced",
        Error::Repeated(_) => "repeated",
        Error::Refused(_) => "refused",
        Error::Unavailable(_) => "unavailable",
        Error::Unknown(_) => "unknown",
        Error::InUse { .. } => "in-use",
        Error::NotOurs(_) => "not-ours",
        Error::Damaged(_) => "damaged",
    };
    counter!("wasmverse_store_errors_total", "kind" => kind).increment(1);
}
