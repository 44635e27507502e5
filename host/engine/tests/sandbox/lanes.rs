//! Guests that run long share the cores with those that do not.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures_util::{
    FutureExt,
    future::{join, join_all},
};
use wasmverse_core::TurnEnd;
use wasmverse_engine::Config;

use crate::{
    guest::Guest,
    world::{Bench, invoke, result, trap, turn},
};

fn one_lane() -> Config {
    Config { slow_lane: 1, ..Config::default() }
}

/// On one thread: were it not for the ticks, the first to run would keep it to its end.
#[tokio::test]
async fn a_spinning_guest_lets_others_in_at_every_tick() {
    let bench = Bench::with(one_lane(), Guest::limited(r#""cpu_ms": 300"#)).await;
    let (mut hog, mut other) = (bench.object().await, bench.object().await);
    let over = AtomicBool::new(false);
    let hogging = async {
        let report = invoke(&mut hog, "spin", b"").await;
        over.store(true, Ordering::Relaxed);
        report
    };
    let echoing = async {
        let mut turns = 0;
        while !over.load(Ordering::Relaxed) {
            assert_eq!(result(&invoke(&mut other, "echo", b"x").await), b"x");
            turns += 1;
            tokio::task::yield_now().await;
        }
        turns
    };
    let (report, turns) = join(hogging, echoing).await;
    assert!(trap(&report).message().contains("limits.cpu_ms"));
    assert!(turns >= 10, "only {turns} turns beside a guest that ran for 30 ticks");
}

#[tokio::test]
async fn many_who_run_long_take_turns_and_all_get_done() {
    let bench = Bench::with(one_lane(), Guest::limited(r#""cpu_ms": 60"#)).await;
    let mut hogs = join_all((0..5).map(|_| bench.object())).await;
    let reports = join_all(hogs.iter_mut().map(|hog| invoke(hog, "spin", b""))).await;
    for report in reports {
        assert!(trap(&report).message().contains("limits.cpu_ms"), "{report:?}");
        assert!(report.cpu <= Duration::from_millis(90), "{:?}", report.cpu);
    }
}

#[tokio::test]
async fn waiting_in_the_lane_counts_as_time_but_not_as_cpu_time() {
    let limits = r#""cpu_ms": 200, "time_ms": 120"#;
    let bench = Bench::with(one_lane(), Guest::limited(limits)).await;
    let mut hogs = join_all((0..4).map(|_| bench.object())).await;
    let reports = join_all(hogs.iter_mut().map(|hog| invoke(hog, "spin", b""))).await;
    for report in reports {
        assert!(trap(&report).message().contains("limits.time_ms"), "{report:?}");
        assert!(report.cpu < Duration::from_millis(200), "{:?}", report.cpu);
    }
}

#[tokio::test]
async fn a_turn_that_runs_long_within_its_limits_ends_well() {
    let bench = Bench::with(one_lane(), Guest::default()).await;
    let mut object = bench.object().await;
    let mut rounds = 8_u32;
    loop {
        let payload = Bytes::copy_from_slice(&rounds.to_le_bytes());
        let report = object.handle(turn(), "work", payload).await;
        assert!(matches!(report.end, TurnEnd::Well(_)), "{report:?}");
        if report.cpu > Duration::from_millis(20) {
            return;
        }
        rounds *= 2;
    }
}

/// A hog that is dropped, or that waits for a call, gives its place to the next.
#[tokio::test]
async fn a_cancelled_hog_leaves_the_lane() {
    let bench = Arc::new(Bench::with(one_lane(), Guest::default()).await);
    let (mut first, mut second) = (bench.object().await, bench.object().await);
    {
        let mut step = Box::pin(invoke(&mut first, "spin", b""));
        let began = Instant::now();
        while began.elapsed() < Duration::from_millis(60) {
            assert!((&mut step).now_or_never().is_none());
        }
    }
    assert!(first.is_dead());
    let report = invoke(&mut second, "work", &50_u32.to_le_bytes()).await;
    assert!(matches!(report.end, TurnEnd::Well(_)), "{report:?}");
}
