//! How long to wait before something is tried again.

use std::time::Duration;

use rand::Rng as _;

/// Pauses that double, each a little off, so that processes do not all come at once.
#[derive(Debug)]
pub(super) struct Pause {
    next: Duration,
}

impl Pause {
    const FIRST: Duration = Duration::from_millis(20);
    const LONGEST: Duration = Duration::from_secs(1);

    pub(super) fn new() -> Self {
        Self { next: Self::FIRST }
    }

    /// It worked.
    pub(super) fn reset(&mut self) {
        self.next = Self::FIRST;
    }

    /// It did not.
    pub(super) async fn wait(&mut self) {
        let part = rand::rng().random_range(0.5..1.0);
        let pause = self.next.mul_f64(part);
        self.next = (self.next * 2).min(Self::LONGEST);
        tokio::time::sleep(pause).await;
    }
}
