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
/// A full node is looked over so often, for those that have come to rest.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// So long one waits for room while all are busy: most turns are short.
const PATIENCE: Duration = Duration::from_secs(1);

/// Room for live instances.
pub(crate) struct Room {
    slots: Arc<Semaphore>,
    live_max: usize,
    waiting: AtomicUsize,
    /// Of those who wait, one looks for others to leave: were all of them woken by each departure,
    /// a crowd would have no time left for anything else.
    looking: tokio::sync::Mutex<()>,
    /// Objects that are woken by objects stand in a line of their own, and only its head waits for
    /// room among those that clients wake: objects that call for ever more of their kind are many,
    /// and would keep everybody else out.
    line_of_objects: tokio::sync::Mutex<()>,
    departures: Arc<Departures>,
    /// When a full node was looked over last.
    looked: Mutex<Option<Instant>>,
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
            looking: tokio::sync::Mutex::default(),
            line_of_objects: tokio::sync::Mutex::default(),
            departures: Arc::default(),
            looked: Mutex::default(),
        }
    }

    /// How many are live.
    pub(crate) fn taken(&self) -> usize {
        self.live_max.saturating_sub(self.slots.available_permits())
    }

    /// Room for one more; the least recently used idle activations sleep for it. Those whom only
    /// objects called let one that `is_wanted_outside` go first.
    ///
    /// # Errors
    /// `overloaded` if all are busy.
    pub(crate) async fn take(
        &self,
        directory: &Directory,
        until: Instant,
        is_wanted_outside: impl FnOnce() -> bool,
    ) -> Result<Slot, CallError> {
        if let Ok(slot) = self.slots.clone().try_acquire_owned() {
            return Ok(slot);
        }
        let _waiting = Waiting::new(&self.waiting);
        let patience = tokio::time::sleep_until(until.min(Instant::now() + PATIENCE).into());
        let mut patience = std::pin::pin!(patience);
        let _head = match is_wanted_outside() {
            true => None,
            false => tokio::select! {
                biased;
                () = &mut patience => return Err(self.full()),
                head = self.line_of_objects.lock() => Some(head),
            },
        };
        let mut slot = std::pin::pin!(self.slots.clone().acquire_owned());
        let _looking = tokio::select! {
            biased;
            slot = &mut slot => return Ok(slot.expect("slots are never closed")),
            () = &mut patience => return Err(self.full()),
            looking = self.looking.lock() => looking,
        };
        loop {
            let mut changed = std::pin::pin!(self.departures.changed.notified());
            changed.as_mut().enable();
            self.ask_to_leave(directory);
            tokio::select! {
                biased;
                slot = &mut slot => return Ok(slot.expect("slots are never closed")),
                () = &mut patience => return Err(self.full()),
                () = changed => {}
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
        }
    }

    fn full(&self) -> CallError {
        let message = format!("{} objects are live and busy, and no more fit", self.live_max);
        CallError::new(ErrorKind::Overloaded, message).retry_after(RETRY_AFTER)
    }

    fn ask_to_leave(&self, directory: &Directory) {
        let mut looked = self.looked.lock();
        let leaving = self.departures.under_way.load(SeqCst);
        let wanted = eviction::batch(self.waiting.load(SeqCst), leaving, self.live_max);
        if wanted == 0 {
            return;
        }
        let now = Instant::now();
        if looked.is_some_and(|at| now.saturating_duration_since(at) < LOOK_EVERY / 2) {
            return;
        }
        let mut idle = Vec::new();
        directory.each(|entry, inner| {
            if inner.is_idle(now) {
                idle.push((inner.last_used, entry.clone()));
            }
        });
        // One that found somebody may look again at once: it costs as much as it brings.
        *looked = idle.is_empty().then_some(now);
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
