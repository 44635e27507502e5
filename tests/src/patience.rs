//! Waits for conditions, never for time to pass.

use std::time::{Duration, Instant};

/// How long a condition may take on a slow machine before it counts as never.
pub const PATIENCE: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(5);

/// Asks again and again until there is an answer.
///
/// # Panics
/// If there is none within [`PATIENCE`]; it names `what`.
#[track_caller]
pub fn eventually<T>(what: &str, ask: impl AsyncFnMut() -> Option<T>) -> impl Future<Output = T> {
    let caller = std::panic::Location::caller();
    patiently(format!("{what} ({caller})"), ask)
}

async fn patiently<T>(what: String, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(began.elapsed() < PATIENCE, "not within {PATIENCE:?}: {what}");
        tokio::time::sleep(PAUSE).await;
    }
}

/// The same for what cannot await.
///
/// # Panics
/// As [`eventually`].
#[track_caller]
pub fn eventually_sync<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(began.elapsed() < PATIENCE, "not within {PATIENCE:?}: {what}");
        std::thread::sleep(PAUSE);
    }
}
