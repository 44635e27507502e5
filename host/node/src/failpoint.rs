//! Named steps at which a process can be made to die, so that tests see what a crash leaves.
//!
//! Compiled into debug builds only; there, `WASMVERSE_FAILPOINT=NAME` or `NAME:COUNT` kills the
//! process when it passes that step for the first (or COUNTth) time.

/// Passes a step, unless this is where the process is to die.
#[cfg(not(debug_assertions))]
pub(crate) fn pass(_name: &'static str) {}

/// Passes a step, unless this is where the process is to die.
#[cfg(debug_assertions)]
pub(crate) fn pass(name: &'static str) {
    use std::sync::{LazyLock, atomic::AtomicU64, atomic::Ordering};

    static WANTED: LazyLock<Option<(String, AtomicU64)>> = LazyLock::new(|| {
        let wanted = std::env::var("WASMVERSE_FAILPOINT").ok()?;
        let (name, count) = wanted.split_once(':').unwrap_or((&wanted, "1"));
        Some((name.to_owned(), AtomicU64::new(count.parse().unwrap_or(1))))
    });
    let Some((wanted, left)) = &*WANTED else { return };
    if wanted == name && left.fetch_sub(1, Ordering::SeqCst) == 1 {
        // As a kill from outside: nothing is flushed, nobody is told.
        std::process::abort();
    }
}
