//! Runs one step of a guest: meters it, ends it when its time is up, and survives our own panics.

use std::{
    any::Any,
    future::{Future, poll_fn},
    panic::{AssertUnwindSafe, catch_unwind},
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
    time::Instant,
};

use tokio::time::Sleep;

use crate::{
    meter::{Budget, Meter},
    stop::{LimitHit, Stop},
};

/// Runs `step` to its end or to the end of its budget. No timer is armed unless it waits.
pub(crate) async fn run<T>(
    meter: &Arc<Meter>,
    budget: Budget,
    began: Instant,
    step: impl Future<Output = wasmtime::Result<T>>,
) -> Result<T, Stop> {
    let mut step = pin!(step);
    let mut alarm = Alarm::new(began.checked_add(budget.time));
    let out_of_time = |alarm: &mut Alarm, cx: &mut Context<'_>| {
        alarm.poll(cx).map(|()| Err(Stop::Time(LimitHit::time(budget.time, budget.remedy))))
    };
    let mut first = true;
    let mut queued = None;
    meter.begin(began);
    poll_fn(|cx| {
        if queued.is_none() {
            queued = meter.entering().map(Box::pin);
        }
        if let Some(place) = &mut queued {
            if place.as_mut().poll(cx).is_pending() {
                first = false;
                return out_of_time(&mut alarm, cx);
            }
            queued = None;
        }
        if !std::mem::take(&mut first) {
            meter.resume(Instant::now());
        }
        let polled = catch_unwind(AssertUnwindSafe(|| step.as_mut().poll(cx)));
        meter.pause();
        match polled {
            Ok(Poll::Ready(result)) => return Poll::Ready(result.map_err(Stop::Trap)),
            Err(panic) => return Poll::Ready(Err(Stop::Panic(words(&*panic)))),
            Ok(Poll::Pending) => {}
        }
        // Who waits again and again may never be found running by a tick.
        if meter.used() >= budget.cpu {
            let hit = LimitHit::cpu(budget.cpu, budget.remedy);
            return Poll::Ready(Err(Stop::Trap(wasmtime::Error::new(hit))));
        }
        out_of_time(&mut alarm, cx)
    })
    .await
}

/// Waits for `work` until `deadline`; none: it did not end by then.
pub(crate) async fn until<T>(deadline: Instant, work: impl Future<Output = T>) -> Option<T> {
    let mut work = pin!(work);
    let mut alarm = Alarm::new(Some(deadline));
    poll_fn(|cx| match work.as_mut().poll(cx) {
        Poll::Ready(value) => Poll::Ready(Some(value)),
        Poll::Pending => alarm.poll(cx).map(|()| None),
    })
    .await
}

/// A timer that costs nothing until something has to be waited for.
struct Alarm {
    at: Option<Instant>,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Alarm {
    fn new(at: Option<Instant>) -> Self {
        Self { at, sleep: None }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(at) = self.at else {
            return Poll::Pending;
        };
        let arm = || Box::pin(tokio::time::sleep_until(at.into()));
        self.sleep.get_or_insert_with(arm).as_mut().poll(cx)
    }
}

fn words(panic: &(dyn Any + Send)) -> String {
    match (panic.downcast_ref::<&str>(), panic.downcast_ref::<String>()) {
        (Some(text), _) => (*text).to_owned(),
        (_, Some(text)) => text.clone(),
        (None, None) => "a panic without words".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::sync::Semaphore;

    use super::*;
    use crate::{metrics::Metrics, stop::Remedy};

    #[tokio::test]
    async fn who_waits_before_every_tick_is_stopped_at_the_end_of_its_budget_too() {
        let meter = Meter::new(Arc::new(Semaphore::new(1)), Metrics::new());
        let cpu = Duration::from_millis(20);
        let budget = Budget { cpu, time: Duration::from_secs(60), remedy: Remedy::Description };
        let short_stretches = async {
            loop {
                let began = Instant::now();
                while began.elapsed() < Duration::from_millis(1) {}
                tokio::task::yield_now().await;
            }
        };
        let stop = run::<()>(&meter, budget, Instant::now(), short_stretches).await.unwrap_err();
        let Stop::Trap(error) = stop else { panic!("{stop:?}") };
        assert_eq!(error.downcast_ref(), Some(&LimitHit::cpu(cpu, Remedy::Description)));
    }

    #[tokio::test]
    async fn who_waits_often_after_its_first_tick_keeps_out_of_a_full_lane() {
        let lane = Arc::new(Semaphore::new(1));
        let meter = Meter::new(Arc::clone(&lane), Metrics::new());
        let (cpu, time) = (Duration::from_secs(60), Duration::from_millis(100));
        let budget = Budget { cpu, time, remedy: Remedy::Description };
        let taken = lane.acquire().await.unwrap();
        let short_stretches = async {
            loop {
                let began = Instant::now();
                while began.elapsed() < Duration::from_millis(1) {}
                tokio::task::yield_now().await;
            }
        };
        let stop = run::<()>(&meter, budget, Instant::now(), short_stretches).await.unwrap_err();
        assert!(matches!(stop, Stop::Time(_)), "{stop:?}");
        assert!(meter.used() < Duration::from_millis(20), "{:?}", meter.used());
        drop(taken);
    }

    #[tokio::test]
    async fn the_last_stretch_counts() {
        let meter = Meter::new(Arc::new(Semaphore::new(1)), Metrics::new());
        let second = Duration::from_secs(1);
        let budget = Budget { cpu: second, time: second, remedy: Remedy::Description };
        let one_stretch = async {
            let began = Instant::now();
            while began.elapsed() < Duration::from_millis(1) {}
            Ok(())
        };
        run(&meter, budget, Instant::now(), one_stretch).await.unwrap();
        assert!(meter.used() >= Duration::from_millis(1), "{:?}", meter.used());
    }
}
