//! Room for live instances: so many at most, and who sleeps when another wants to wake.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use wasmverse_core::{CallError, ErrorKind, eviction};
use wasmverse_engine::Leaving;

use crate::directory::Directory;

/// When to ask again on a full node.
const RETRY_AFTER: Duration = Duration::from_millis(500);

/// Room for live instances.
pub(crate) struct Room {
    slots: Arc<Semaphore>,
    live_max: usize,
    waiting: AtomicUsize,
    departures: Arc<Departures>,
    choosing: Mutex<()>,
}

/// Room for one live instance, until it is dropped.
pub(crate) type Slot = OwnedSemaphorePermit;

#[derive(Default)]
struct Departures {
    under_way: AtomicUsize,
    changed: Notify,
}

/// Held by an activation that was asked to make room, until it has slept or declined.
pub(crate) struct Departure(Arc<Departures>);

impl Drop for Departure {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, SeqCst);
        self.0.changed.notify_waiters();
    }
}

impl Room {
    pub(crate) fn new(live_max: usize) -> Self {
        Self {
            slots: Arc::new(Semaphore::new(live_max)),
            live_max,
            waiting: AtomicUsize::new(0),
            departures: Arc::default(),
            choosing: Mutex::default(),
        }
    }

    /// How many are live.
    pub(crate) fn taken(&self) -> usize {
        self.live_max.saturating_sub(self.slots.available_permits())
    }

    /// Room for one more; the least recently used idle activations sleep for it.
    ///
    /// # Errors
    /// `overloaded` if all are busy.
    pub(crate) async fn take(
        &self,
        directory: &Directory,
        until: Instant,
    ) -> Result<Slot, CallError> {
        if let Ok(slot) = self.slots.clone().try_acquire_owned() {
            return Ok(slot);
        }
        let _waiting = Waiting::new(&self.waiting);
        let mut slot = std::pin::pin!(self.slots.clone().acquire_owned());
        loop {
            let mut changed = std::pin::pin!(self.departures.changed.notified());
            changed.as_mut().enable();
            self.ask_to_leave(directory);
            let hopeless = self.departures.under_way.load(SeqCst) == 0;
            tokio::select! {
                biased;
                slot = &mut slot => return Ok(slot.expect("slots are never closed")),
                () = std::future::ready(()), if hopeless => return Err(self.full()),
                () = changed => {}
                () = tokio::time::sleep_until(until.into()) => return Err(self.full()),
            }
        }
    }

    fn full(&self) -> CallError {
        let message = format!("{} objects are live and busy, and no more fit", self.live_max);
        CallError::new(ErrorKind::Overloaded, message).retry_after(RETRY_AFTER)
    }

    fn ask_to_leave(&self, directory: &Directory) {
        let _one_at_a_time = self.choosing.lock();
        let leaving = self.departures.under_way.load(SeqCst);
        let wanted = eviction::batch(self.waiting.load(SeqCst), leaving, self.live_max);
        if wanted == 0 {
            return;
        }
        let now = Instant::now();
        let mut idle = Vec::new();
        directory.each(|entry, inner| {
            if inner.is_idle(now) {
                idle.push((inner.last_used, entry.clone()));
            }
        });
        for entry in eviction::least_recently_used(idle, wanted) {
            entry.wish(|inner| {
                if inner.is_idle(now) {
                    self.departures.under_way.fetch_add(1, SeqCst);
                    let departure = Departure(self.departures.clone());
                    inner.wanted.leave = Some((Leaving::Evicted, Some(departure)));
                }
            });
        }
    }
}

struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, SeqCst);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, SeqCst);
    }
}
