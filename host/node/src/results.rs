//! Forgets what keyed calls were answered, once it is old enough.

use std::{sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;

use crate::host::Host;

/// The store is asked so many times while a result is kept, and so often at least.
const ASKED: u32 = 60;
const PAUSE_MAX: Duration = Duration::from_secs(60);
const PAUSE_MIN: Duration = Duration::from_millis(20);

/// Asks the store again and again to forget what is older than `kept`.
pub(crate) async fn forget(host: Arc<Host>, kept: Duration, end: CancellationToken) {
    let pause = (kept / ASKED).clamp(PAUSE_MIN, PAUSE_MAX);
    while end.run_until_cancelled(tokio::time::sleep(pause)).await.is_some() {
        match host.store.forget_results(kept).await {
            Ok(true) => tracing::debug!("forgot old results"),
            Ok(false) => {}
            Err(error) => tracing::debug!(%error, "old results are not forgotten now"),
        }
    }
}
