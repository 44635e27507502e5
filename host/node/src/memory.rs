//! The memory of all live instances: bounded, because objects are many and each may grow. Beyond
//! the bound the idle sleep: first those that grew a lot, then the least recently used.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use wasmverse_core::{CallError, ErrorKind, life::Phase};
use wasmverse_engine::Leaving;

use crate::{
    budget::{Budget, Charge},
    host::Host,
};

/// What an object that never lived here is reckoned to take, until it is known.
const GUESS_BYTES: usize = 1 << 20;
/// One that wakes waits so long for memory.
const PATIENCE: Duration = Duration::from_secs(1);
/// While there is too little, the node looks so often who could sleep.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// The same when all are busy.
const LOOK_SELDOM: Duration = Duration::from_millis(50);
const RETRY_AFTER: Duration = Duration::from_millis(500);

/// The memory of all live instances.
pub(crate) struct Memory {
    budget: Arc<Budget>,
    /// What those that wait for memory want.
    wanted: AtomicUsize,
    pressure: Notify,
}

impl Memory {
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self {
            budget: Budget::new(bytes_max),
            wanted: AtomicUsize::new(0),
            pressure: Notify::new(),
        }
    }

    pub(crate) fn used(&self) -> usize {
        self.budget.used()
    }

    /// Memory for one that wakes; `bytes`: what it took before.
    ///
    /// # Errors
    /// `overloaded` if there is none, and all others are busy.
    pub(crate) async fn take(&self, bytes: usize, until: Instant) -> Result<Charge, CallError> {
        let bytes = bytes.max(GUESS_BYTES);
        if let Some(charge) = self.budget.charge(bytes) {
            return Ok(charge);
        }
        let _waiting = Waiting::new(&self.wanted, bytes);
        self.pressure.notify_one();
        let until = until.min(Instant::now() + PATIENCE);
        while Instant::now() < until {
            tokio::time::sleep(LOOK_EVERY).await;
            if let Some(charge) = self.budget.charge(bytes) {
                return Ok(charge);
            }
        }
        let message = format!(
            "the live objects take {} bytes of memory and are busy: {} are allowed",
            self.budget.used(),
            self.budget.max()
        );
        Err(CallError::new(ErrorKind::Overloaded, message).retry_after(RETRY_AFTER))
    }

    /// An instance has another size than before.
    pub(crate) fn resized(&self) {
        if self.excess() > 0 {
            self.pressure.notify_one();
        }
    }

    fn excess(&self) -> usize {
        let wanted = self.budget.used().saturating_add(self.wanted.load(SeqCst));
        wanted.saturating_sub(self.budget.max())
    }

    /// Lets the idle sleep whenever there is too little.
    pub(crate) async fn relieve(host: Arc<Host>, end: CancellationToken) {
        while end.run_until_cancelled(host.memory.pressure.notified()).await.is_some() {
            while host.memory.excess() > 0 {
                let found = ask_to_leave(&host, host.memory.excess());
                let pause = if found { LOOK_EVERY } else { LOOK_SELDOM };
                if end.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
                    return;
                }
            }
        }
    }
}

/// Asks idle objects to sleep that take so much together; `false`: all are busy.
fn ask_to_leave(host: &Host, excess: usize) -> bool {
    let now = Instant::now();
    let (mut idle, mut leaving, mut total, mut live) = (Vec::new(), 0_usize, 0, 0);
    host.directory.each(|entry, inner| {
        if !inner.phase.is_live() {
            return;
        }
        (total, live) = (total + inner.memory_bytes, live + 1);
        if inner.phase == Phase::Leaving || inner.wanted.leave.is_some() {
            leaving += inner.memory_bytes;
        } else if inner.is_idle(now) {
            idle.push((inner.memory_bytes, inner.last_used, entry.clone()));
        }
    });
    let mean = total / live.max(1);
    let found = !idle.is_empty() || leaving > 0;
    for entry in victims(idle, mean, excess.saturating_sub(leaving)) {
        entry.wish(|inner| {
            if inner.is_idle(now) {
                inner.wanted.leave = Some((Leaving::Evicted, None));
            }
        });
    }
    found
}

/// Who sleeps: first those that grew to twice the mean, then the least recently used.
fn victims<T>(mut idle: Vec<(usize, Instant, T)>, mean: usize, excess: usize) -> Vec<T> {
    idle.sort_unstable_by_key(|(bytes, used, _)| (*bytes <= mean.saturating_mul(2), *used));
    let mut freed = 0;
    let enough = idle.into_iter().take_while(|(bytes, ..)| {
        let more = freed < excess;
        freed += bytes;
        more
    });
    enough.map(|(.., entry)| entry).collect()
}

struct Waiting<'a>(&'a AtomicUsize, usize);

impl<'a> Waiting<'a> {
    fn new(wanted: &'a AtomicUsize, bytes: usize) -> Self {
        wanted.fetch_add(bytes, SeqCst);
        Self(wanted, bytes)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(self.1, SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_that_grew_sleep_first_and_then_the_least_recently_used() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let idle = || vec![(2, at(1), "old"), (2, at(2), "older"), (90, at(9), "large")];
        assert_eq!(victims(idle(), 20, 50), ["large"]);
        assert_eq!(victims(idle(), 20, 91), ["large", "old"]);
        assert_eq!(victims(idle(), 20, 0), [""; 0]);
        assert_eq!(victims(idle(), 20, 1000).len(), 3);
    }
}
