//! Load on a running cluster: many connections, each with one call under way.
//!
//! Closed loop: each connection calls as fast as it is answered. Open loop: calls are due at a
//! fixed rate; a call that had to wait for the one before counts from when it was due, so that a
//! slow cluster does not hide behind a patient client.

mod lane;
mod report;

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use hdrhistogram::Histogram;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use wasmverse_core::ObjectId;

use crate::{endpoint::Endpoint, failure::Result};
use lane::Lane;

pub(crate) use report::Report;

/// After a broken connection, before the next one.
const RECONNECT_DELAY: Duration = Duration::from_millis(100);
/// Longer than any call takes, in microseconds.
const LATENCY_MAX: u64 = 3_600_000_000;
const LATENCY_DIGITS: u8 = 3;

/// By what clients come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Surface {
    /// gRPC.
    Grpc,
    /// JSON over HTTP.
    Http,
    /// Frames of a session, over a WebSocket.
    Ws,
}

/// What is to be done.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) endpoint: Endpoint,
    pub(crate) surface: Surface,
    pub(crate) token: Option<String>,
    pub(crate) objects: Vec<ObjectId>,
    pub(crate) method: String,
    pub(crate) payload: Bytes,
    pub(crate) connections: usize,
    pub(crate) duration: Duration,
    /// Calls per second in all; none: closed loop.
    pub(crate) rate: Option<f64>,
    /// What idempotency keys begin with; none: calls have none.
    pub(crate) key_prefix: Option<String>,
}

/// What came of it.
#[derive(Clone, Debug)]
pub(crate) struct Tally {
    /// In microseconds, of the calls that were answered well.
    pub(crate) latency: Histogram<u64>,
    /// Of the others, how many for which reason.
    pub(crate) errors: BTreeMap<String, u64>,
    /// From the first call to the last answer.
    pub(crate) elapsed: Duration,
}

impl Tally {
    fn new() -> Self {
        let latency = Histogram::new_with_bounds(1, LATENCY_MAX, LATENCY_DIGITS)
            .expect("the bounds are right");
        Self { latency, errors: BTreeMap::new(), elapsed: Duration::ZERO }
    }

    fn add(&mut self, other: &Self) {
        self.latency.add(&other.latency).expect("all histograms have the same bounds");
        for (code, count) in &other.errors {
            *self.errors.entry(code.clone()).or_default() += count;
        }
        self.elapsed = self.elapsed.max(other.elapsed);
    }
}

/// Connects, wakes every object once, then calls until the time is over or `stop` says so.
pub(crate) async fn drive(plan: Arc<Plan>, stop: CancellationToken) -> Result<Tally> {
    let targets = Arc::new(lane::targets(&plan)?);
    let mut preparing = JoinSet::new();
    for number in 0..plan.connections {
        preparing.spawn(prepare(plan.clone(), targets.clone(), number));
    }
    let mut lanes = Vec::new();
    while let Some(lane) = preparing.join_next().await {
        lanes.push(lane.expect("preparing does not panic")?);
    }
    let start = Instant::now();
    let mut workers = JoinSet::new();
    for (number, lane) in lanes.into_iter().enumerate() {
        let schedule = Schedule::new(&plan, number, start);
        workers.spawn(work(plan.clone(), lane, number, schedule, stop.clone()));
    }
    let mut tally = Tally::new();
    while let Some(part) = workers.join_next().await {
        tally.add(&part.expect("workers do not panic"));
    }
    Ok(tally)
}

/// Connects, and calls this connection's share of the objects once, so that none sleeps. What these
/// calls are answered does not matter.
async fn prepare(plan: Arc<Plan>, targets: Arc<lane::Targets>, number: usize) -> Result<Lane> {
    let mut lane = Lane::connect(plan.clone(), targets).await?;
    for object in (number..plan.objects.len()).step_by(plan.connections) {
        let key = key(&plan, number, &format!("wake-{object}"));
        if lane.call(object, key).await.is_err_and(|slip| slip.is_broken) {
            lane.reconnect().await?;
        }
    }
    Ok(lane)
}

async fn work(
    plan: Arc<Plan>,
    mut lane: Lane,
    number: usize,
    mut schedule: Schedule,
    stop: CancellationToken,
) -> Tally {
    let mut tally = Tally::new();
    let start = schedule.start;
    // Connections begin at different objects.
    let offset = number * plan.objects.len() / plan.connections;
    let mut round = 0;
    while let Some(began) = schedule.next(&stop).await {
        let object = (offset + round) % plan.objects.len();
        let key = key(&plan, number, &round.to_string());
        round += 1;
        let Err(slip) = lane.call(object, key).await else {
            let micros = u64::try_from(began.elapsed().as_micros()).unwrap_or(LATENCY_MAX);
            tally.latency.saturating_record(micros.max(1));
            continue;
        };
        *tally.errors.entry(slip.code).or_default() += 1;
        if slip.is_broken {
            // One that cannot be made anew shows as the error of the next call.
            tokio::time::sleep(RECONNECT_DELAY).await;
            drop(lane.reconnect().await);
        }
    }
    tally.elapsed = start.elapsed();
    tally
}

/// A key that no other call has, if the plan wants keys.
fn key(plan: &Plan, number: usize, round: &str) -> Option<String> {
    plan.key_prefix.as_ref().map(|prefix| format!("{prefix}-{number}-{round}"))
}

/// When the calls of one connection begin.
struct Schedule {
    start: Instant,
    end: Instant,
    /// When the next call is due, and how long after it the one after that; none: at once.
    due: Option<(Instant, Duration)>,
}

impl Schedule {
    /// The calls of all connections together are spread evenly.
    fn new(plan: &Plan, number: usize, start: Instant) -> Self {
        let due = plan.rate.map(|rate| {
            let seconds = |calls: usize| Duration::from_secs_f64(calls as f64 / rate);
            (start + seconds(number), seconds(plan.connections))
        });
        Self { start, end: start + plan.duration, due }
    }

    /// Waits for the next call to be due, and answers from when its latency counts: from when it
    /// was due if the connection was busy then, else from now (timers are late by up to 1 ms).
    async fn next(&mut self, stop: &CancellationToken) -> Option<Instant> {
        let now = Instant::now();
        let Some((due, interval)) = &mut self.due else {
            return (now < self.end && !stop.is_cancelled()).then_some(now);
        };
        let this = *due;
        if this >= self.end || stop.is_cancelled() {
            return None;
        }
        *due += *interval;
        if this <= now {
            return Some(this);
        }
        tokio::select! {
            () = tokio::time::sleep_until(this.into()) => Some(Instant::now()),
            () = stop.cancelled() => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(rate: Option<f64>) -> Plan {
        Plan {
            endpoint: "http://127.0.0.1:1".parse().unwrap(),
            surface: Surface::Http,
            token: None,
            objects: vec!["Echo/bench-0".parse().unwrap()],
            method: "echo".into(),
            payload: Bytes::new(),
            connections: 4,
            duration: Duration::from_secs(1),
            rate,
            key_prefix: None,
        }
    }

    #[tokio::test]
    async fn a_call_that_had_to_wait_counts_from_when_it_was_due() {
        let start = Instant::now() - Duration::from_millis(900);
        let mut schedule = Schedule::new(&plan(Some(100.0)), 2, start);
        let stop = CancellationToken::new();
        let ms = |at: Instant| (at - start).as_millis();
        assert_eq!(ms(schedule.next(&stop).await.unwrap()), 20);
        assert_eq!(ms(schedule.next(&stop).await.unwrap()), 60);
    }

    #[tokio::test]
    async fn all_due_calls_are_made_and_none_after_the_end() {
        let start = Instant::now() - Duration::from_secs(5);
        let stop = CancellationToken::new();
        let mut calls = 0;
        for number in 0..4 {
            let mut schedule = Schedule::new(&plan(Some(100.0)), number, start);
            while schedule.next(&stop).await.is_some() {
                calls += 1;
            }
        }
        assert_eq!(calls, 100);
        let mut closed = Schedule::new(&plan(None), 0, start);
        assert_eq!(closed.next(&stop).await, None);
    }

    #[tokio::test]
    async fn whoever_stops_it_stops_a_waiting_call_too() {
        let stop = CancellationToken::new();
        let mut schedule = Schedule::new(&plan(Some(0.001)), 1, Instant::now());
        schedule.end += Duration::from_secs(10_000);
        stop.cancel();
        assert_eq!(schedule.next(&stop).await, None);
    }

    #[test]
    fn parts_add_up() {
        let mut all = Tally::new();
        for micros in [100, 300] {
            let mut part = Tally::new();
            part.latency.record(micros).unwrap();
            part.errors.insert("overloaded".into(), 2);
            part.elapsed = Duration::from_millis(micros);
            all.add(&part);
        }
        assert_eq!((all.latency.len(), all.latency.max()), (2, 300));
        assert_eq!(all.errors["overloaded"], 4);
        assert_eq!(all.elapsed, Duration::from_millis(300));
    }
}
