//! How long a registration may be relied on, by this process's own clock.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use nix::time::{ClockId, clock_gettime};
use tokio::{sync::Notify, time::Instant};
use wasmverse_core::cluster::Lease;

/// What time is measured by.
#[derive(Clone, Copy, Debug, Default)]
pub enum Clock {
    /// The machine's, which also runs while it sleeps.
    #[default]
    Machine,
    /// The runtime's, since a moment: a test may stop it.
    Runtime(Instant),
}

impl Clock {
    /// The time since some moment.
    pub fn now(&self) -> Duration {
        match self {
            Self::Machine => machine(),
            Self::Runtime(start) => start.elapsed(),
        }
    }
}

#[cfg(target_os = "linux")]
const CLOCK: ClockId = ClockId::CLOCK_BOOTTIME;
/// Elsewhere this is the one that comes closest.
#[cfg(not(target_os = "linux"))]
const CLOCK: ClockId = ClockId::CLOCK_MONOTONIC;

fn machine() -> Duration {
    clock_gettime(CLOCK).expect("the system has this clock").into()
}

/// Whether the registration's lease is surely still there: until a margin before it could lapse,
/// counted from the sending of the keep-alive that was answered last. Cheap to ask.
#[derive(Debug)]
pub struct LeaseClock {
    clock: Clock,
    /// In nanoseconds of the clock; 0: it is not held.
    until: AtomicU64,
    changed: Notify,
}

impl LeaseClock {
    pub(crate) fn new(clock: Clock) -> Self {
        Self { clock, until: AtomicU64::new(0), changed: Notify::new() }
    }

    /// Whether it is held at this moment.
    pub fn is_held(&self) -> bool {
        self.until.load(Ordering::Acquire) > nanoseconds(self.clock.now())
    }

    /// Waits until it is not held any more; at once, if it is not held now.
    pub async fn until_lapse(&self) {
        loop {
            let changed = self.changed.notified();
            let until = Duration::from_nanos(self.until.load(Ordering::Acquire));
            let left = until.saturating_sub(self.clock.now());
            if left.is_zero() {
                return;
            }
            // The runtime's timers stand still while the machine sleeps: so it looks again.
            tokio::select! {
                () = changed => {}
                () = tokio::time::sleep(left) => {}
            }
        }
    }

    /// Waits until it is held; at once, if it is held now.
    pub async fn until_held(&self) {
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            changed.as_mut().enable();
            if self.is_held() {
                return;
            }
            changed.await;
        }
    }

    pub(crate) fn now(&self) -> Duration {
        self.clock.now()
    }

    /// It is held as the lease says.
    pub(crate) fn hold(&self, lease: &Lease) {
        self.until.store(nanoseconds(lease.until()), Ordering::Release);
        self.changed.notify_waiters();
    }

    /// It is not held any more.
    pub(crate) fn drop_it(&self) {
        self.until.store(0, Ordering::Release);
        self.changed.notify_waiters();
    }
}

/// Enough for 584 years.
fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn stopped() -> Arc<LeaseClock> {
        Arc::new(LeaseClock::new(Clock::Runtime(Instant::now())))
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_held_until_a_margin_before_the_lease_lapses() {
        let clock = stopped();
        assert!(!clock.is_held());
        clock.hold(&Lease::new(5 * SECOND, clock.now()));
        assert!(clock.is_held());
        clock.until_lapse().await;
        assert_eq!(clock.now().as_secs(), 4);
        assert!(!clock.is_held());
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_for_the_lapse_hears_of_every_change() {
        let clock = stopped();
        let mut lease = Lease::new(5 * SECOND, clock.now());
        clock.hold(&lease);
        let waits = async {
            clock.until_lapse().await;
            clock.now()
        };
        let confirms = async {
            tokio::time::sleep(3 * SECOND).await;
            lease.confirm(clock.now());
            clock.hold(&lease);
            tokio::time::sleep(3 * SECOND).await;
            clock.drop_it();
        };
        let (lapsed, ()) = tokio::join!(waits, confirms);
        assert_eq!(lapsed.as_secs(), 6);
    }

    #[test]
    fn the_clock_of_the_machine_runs() {
        let before = Clock::Machine.now();
        std::thread::sleep(Duration::from_millis(2));
        assert!(Clock::Machine.now() > before);
    }
}
