//! What a guest's step costs in CPU time, and its place in the slow lane.
//!
//! CPU time is the sum of the stretches for which the step's future is polled: waiting costs
//! nothing. Every tick asks a running guest for an account; one that has run for a tick already
//! goes on only with a permit of the slow lane, so that those who run long never hold all cores.

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use wasmtime::UpdateDeadline;

use crate::{
    metrics::Metrics,
    stop::{LimitHit, Remedy},
    ticker::TICK,
};

/// A stretch that began less than this before a tick is not yet asked to make room.
const SHORT: Duration = Duration::from_millis(2);
/// No stretch counts for more: what is longer was the machine's doing, not the guest's.
const STRETCH_MAX: Duration = TICK.saturating_add(SHORT);

/// What a step may use.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Budget {
    pub(crate) cpu: Duration,
    pub(crate) time: Duration,
    pub(crate) remedy: Remedy,
}

/// The account of one instance. Shared between the store, which is borrowed while a guest runs,
/// and the future that polls it.
#[derive(Debug)]
pub(crate) struct Meter {
    born: Instant,
    stretch_began: AtomicU64,
    used: AtomicU64,
    in_lane: AtomicBool,
    /// It runs in the lane only, from the first instant of each step.
    heavy: AtomicBool,
    lane: Arc<Semaphore>,
    permit: Mutex<Option<OwnedSemaphorePermit>>,
    metrics: Arc<Metrics>,
}

impl Meter {
    pub(crate) fn new(lane: Arc<Semaphore>, metrics: Arc<Metrics>) -> Arc<Self> {
        Arc::new(Self {
            born: Instant::now(),
            stretch_began: AtomicU64::new(0),
            used: AtomicU64::new(0),
            in_lane: AtomicBool::new(false),
            heavy: AtomicBool::new(false),
            lane,
            permit: Mutex::new(None),
            metrics,
        })
    }

    /// A step begins: its first stretch, too.
    pub(crate) fn begin(&self, now: Instant) {
        self.used.store(0, Relaxed);
        self.in_lane.store(false, Relaxed);
        self.resume(now);
    }

    /// A stretch begins.
    pub(crate) fn resume(&self, now: Instant) {
        self.stretch_began.store(self.since_birth(now), Relaxed);
    }

    /// A guest wants to begin, or to go on after it waited. Having run for a tick already, it needs
    /// a place in the lane first: else one that waits often would never be asked. One that is
    /// heavy needs it always. None: it may go on at once.
    pub(crate) fn entering(self: &Arc<Self>) -> Option<impl Future<Output = ()> + Send + use<>> {
        let light = self.used() < TICK && !self.heavy.load(Relaxed);
        // In the lane, the guest's own future waits for its place.
        if light || self.in_lane.load(Relaxed) || self.permit.lock().is_some() {
            return None;
        }
        if let Ok(permit) = Arc::clone(&self.lane).try_acquire_owned() {
            *self.permit.lock() = Some(permit);
            return None;
        }
        self.metrics.slow_turns.increment(1);
        Some(self.place())
    }

    /// Waits for a place in the lane.
    fn place(self: &Arc<Self>) -> impl Future<Output = ()> + Send + use<> {
        let meter = Arc::clone(self);
        async move {
            let permit = Arc::clone(&meter.lane).acquire_owned().await.ok();
            *meter.permit.lock() = permit;
        }
    }

    /// A stretch ends. Who waits for anything but the lane gives its place in it away.
    pub(crate) fn pause(&self) {
        self.used.fetch_add(nanos(self.stretch()), Relaxed);
        if !self.in_lane.load(Relaxed) {
            self.leave_lane();
        }
    }

    /// The step is over.
    pub(crate) fn end(&self) {
        self.in_lane.store(false, Relaxed);
        self.leave_lane();
    }

    /// CPU time up to the last pause.
    pub(crate) fn used(&self) -> Duration {
        Duration::from_nanos(self.used.load(Relaxed))
    }

    /// A tick found the guest running: may it go on, and when is it asked again?
    pub(crate) fn on_tick(self: &Arc<Self>, budget: Budget) -> Result<UpdateDeadline, LimitHit> {
        let stretch = self.stretch();
        if stretch < SHORT {
            return Ok(UpdateDeadline::Continue(1));
        }
        let used = self.used() + stretch;
        if used >= budget.cpu {
            return Err(LimitHit::cpu(budget.cpu, budget.remedy));
        }
        if used < TICK {
            return Ok(UpdateDeadline::YieldCustom(1, Box::pin(tokio::task::yield_now())));
        }
        let meter = Arc::clone(self);
        Ok(UpdateDeadline::YieldCustom(1, Box::pin(async move { meter.queue().await })))
    }

    /// Goes to the end of the lane and waits for a place.
    async fn queue(&self) {
        self.in_lane.store(true, Relaxed);
        self.leave_lane();
        let lane = Arc::clone(&self.lane);
        let permit = match lane.try_acquire_owned() {
            // Nobody queues; other tasks still get their chance.
            Ok(permit) => {
                tokio::task::yield_now().await;
                Some(permit)
            }
            Err(_) => {
                self.metrics.slow_turns.increment(1);
                Arc::clone(&self.lane).acquire_owned().await.ok()
            }
        };
        *self.permit.lock() = permit;
        self.in_lane.store(false, Relaxed);
    }

    /// The guest has become heavy: from now on it runs in the lane only.
    pub(crate) async fn weigh_down(&self) {
        self.heavy.store(true, Relaxed);
        if self.permit.lock().is_none() {
            self.queue().await;
        }
    }

    fn leave_lane(&self) {
        let permit = self.permit.lock().take();
        drop(permit);
    }

    fn stretch(&self) -> Duration {
        let nanos = self.since_birth(Instant::now()) - self.stretch_began.load(Relaxed);
        Duration::from_nanos(nanos).min(STRETCH_MAX)
    }

    fn since_birth(&self, now: Instant) -> u64 {
        nanos(now.saturating_duration_since(self.born))
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::task::Poll;

    use super::*;

    fn meter(lane: &Arc<Semaphore>) -> Arc<Meter> {
        let meter = Meter::new(Arc::clone(lane), Metrics::new());
        meter.begin(Instant::now());
        meter
    }

    fn budget(cpu: Duration) -> Budget {
        Budget { cpu, time: Duration::from_secs(1), remedy: Remedy::Description }
    }

    /// As if the guest had run for so long when the tick came.
    fn age(meter: &Meter, by: Duration) {
        let began = meter.since_birth(Instant::now()).saturating_sub(nanos(by));
        meter.stretch_began.store(began, Relaxed);
    }

    fn born_a_second_ago(lane: &Arc<Semaphore>) -> Arc<Meter> {
        let mut meter = Arc::try_unwrap(meter(lane)).unwrap();
        meter.born = Instant::now().checked_sub(Duration::from_secs(1)).unwrap();
        meter.begin(Instant::now());
        Arc::new(meter)
    }

    #[test]
    fn a_tick_right_after_the_start_costs_nothing() {
        let meter = meter(&Arc::new(Semaphore::new(1)));
        let answer = meter.on_tick(budget(Duration::from_secs(1))).unwrap();
        assert!(matches!(answer, UpdateDeadline::Continue(1)));
    }

    #[test]
    fn a_guest_that_used_its_budget_is_stopped() {
        let meter = born_a_second_ago(&Arc::new(Semaphore::new(1)));
        for _ in 0..2 {
            age(&meter, TICK);
            assert!(meter.on_tick(budget(Duration::from_millis(25))).is_ok());
            meter.pause();
        }
        age(&meter, TICK);
        let hit = meter.on_tick(budget(Duration::from_millis(25))).err().unwrap();
        assert!(hit.to_string().contains("limits.cpu_ms"), "{hit}");
    }

    #[tokio::test]
    async fn the_lane_has_only_so_many_places_and_waiting_elsewhere_frees_one() {
        let lane = Arc::new(Semaphore::new(1));
        let (first, second) = (born_a_second_ago(&lane), born_a_second_ago(&lane));
        first.queue().await;
        assert_eq!(lane.available_permits(), 0);

        let mut queued = Box::pin(second.queue());
        let poll = futures_util::poll!(queued.as_mut());
        assert!(poll.is_pending(), "the lane is full");
        first.pause();
        queued.await;
        assert!(second.permit.lock().is_some());
        second.end();
        assert_eq!(lane.available_permits(), 1);
    }

    #[tokio::test]
    async fn who_holds_a_place_goes_behind_those_who_wait() {
        let lane = Arc::new(Semaphore::new(1));
        let (first, second) = (born_a_second_ago(&lane), born_a_second_ago(&lane));
        first.queue().await;
        let mut waiting = Box::pin(second.queue());
        assert!(futures_util::poll!(waiting.as_mut()).is_pending());
        let mut again = Box::pin(first.queue());
        assert!(futures_util::poll!(again.as_mut()).is_pending());
        assert_eq!(futures_util::poll!(waiting.as_mut()), Poll::Ready(()));
        second.end();
        again.await;
    }

    #[tokio::test]
    async fn who_waited_after_its_first_tick_needs_a_place_to_go_on() {
        let lane = Arc::new(Semaphore::new(1));
        let (first, second) = (born_a_second_ago(&lane), born_a_second_ago(&lane));
        assert!(first.entering().is_none(), "it has not run for a tick");
        assert_eq!(lane.available_permits(), 1);
        for meter in [&first, &second] {
            age(meter, TICK);
            meter.pause();
        }
        assert!(first.entering().is_none(), "there was a place");
        assert_eq!(lane.available_permits(), 0);
        let mut queued = Box::pin(second.entering().expect("the lane is full"));
        assert!(futures_util::poll!(queued.as_mut()).is_pending());
        first.resume(Instant::now());
        first.pause();
        queued.await;
        assert!(second.permit.lock().is_some());
    }

    #[tokio::test]
    async fn a_dropped_place_in_the_queue_is_free_again() {
        let lane = Arc::new(Semaphore::new(1));
        let meter = born_a_second_ago(&lane);
        let mut queued: std::pin::Pin<Box<dyn Future<Output = ()> + '_>> = Box::pin(meter.queue());
        assert!(futures_util::poll!(queued.as_mut()).is_pending());
        drop(queued);
        assert_eq!(lane.available_permits(), 1);
    }
}
