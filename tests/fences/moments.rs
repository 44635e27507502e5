//! The older node is stopped at random moments under load, the newer one takes over, and the older
//! one goes on while the newer one is under load.

use std::{sync::Arc, time::Duration};

use futures_util::future::join_all;
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use serde_json::json;
use tokio::task::JoinSet;
use wasmverse_tests::{
    patience::eventually,
    postgres::Databases,
    programs::Process,
    station::{Fate, Station},
};

use crate::pair::{Pair, assert_refused, count, deploy, held};

/// Objects under load at a time, each with one call under way.
const OBJECTS: usize = 6;
/// What each of them does on the newer node before the older one goes on, and meanwhile.
const TURNS_BEFORE: i64 = 2;
const TURNS_MEANWHILE: i64 = 30;

fn rounds() -> usize {
    if std::env::var_os("WASMVERSE_TORTURE").is_some() { 300 } else { 10 }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_was_stopped_at_any_moment_changes_nothing_after_a_claim() {
    let seed = std::env::var("WASMVERSE_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(rand::random);
    println!("WASMVERSE_SEED={seed}");
    let mut dice = StdRng::seed_from_u64(seed);
    let databases = Databases::find();
    let pair = Pair::new(&databases);
    let (mut old, mut new) = (Arc::clone(&pair.one), Arc::clone(&pair.other));
    let (mut older, _) = old.node(&[]).await;
    deploy(&old).await;
    let mut values = [0; OBJECTS];
    for round in 1..=rounds() {
        let told = format!("seed {seed}, round {round}");
        let mut counting = JoinSet::new();
        for (n, before) in values.into_iter().enumerate() {
            let counting_one = count(Arc::clone(&old), object(n));
            counting.spawn(async move { (n, before, counting_one.await) });
        }
        tokio::time::sleep(Duration::from_millis(dice.random_range(1..150))).await;
        older.signal("STOP");
        let newer = take_over(&new, &mut values, &told).await;
        let rows = pair.rows();
        older.signal("CONT");
        let meanwhile = join_all((0..OBJECTS).map(|n| go_on(&new, n, values[n], &told)));
        let (refused, ()) = tokio::join!(counting.join_all(), async { drop(meanwhile.await) });
        for (n, before, (acknowledged, fate)) in refused {
            // What it acknowledged, it had committed before the claim: the newer one saw it.
            let seen = values[n] - TURNS_BEFORE;
            let told = format!("{told}, {n}: {before}, {acknowledged:?}, {seen}, {fate:?}");
            let last = acknowledged.last().copied().unwrap_or(before);
            assert_eq!(acknowledged, (before + 1..=last).collect::<Vec<_>>(), "{told}");
            assert!(last <= seen && seen <= last + 1, "{told}");
            if matches!(fate, Fate::Refused(..)) {
                assert_eq!(last, seen, "{told}");
            }
        }
        assert_ne!(pair.rows(), rows, "{told}: the newer one commits");
        values = values.map(|value| value + TURNS_MEANWHILE);
        insist(&old, &pair, &told).await;
        (older, old, new) = (newer, new, old);
    }
}

fn object(n: usize) -> String {
    format!("Chameleon/{n}")
}

/// Starts the newer node, looks what the older one left, and commits further.
async fn take_over(new: &Station, values: &mut [i64; OBJECTS], told: &str) -> Process {
    let (newer, _) = new.node(&[]).await;
    for (n, value) in values.iter_mut().enumerate() {
        let (state, storage) = held(new, &object(n)).await;
        assert_eq!(state, storage, "{told}, {n}");
        *value = state;
        for _ in 0..TURNS_BEFORE {
            *value += 1;
            assert_eq!(new.http.ok(&object(n), "count_twice", 1).await, json!(*value), "{told}");
        }
    }
    newer
}

/// What the newer node does is never disturbed by the older one.
async fn go_on(new: &Station, n: usize, value: i64, told: &str) {
    for value in value + 1..=value + TURNS_MEANWHILE {
        let answer = new.http.ok(&object(n), "count_twice", 1).await;
        assert_eq!(answer, json!(value), "{told}, {n}");
    }
}

/// The older node is called on, in vain.
async fn insist(old: &Station, pair: &Pair, told: &str) {
    let rows = pair.rows();
    // Its link may have broken while it was stopped.
    eventually("it is called again", async || {
        let fate = old.try_call("Chameleon/new", "count_twice", json!(1)).await;
        matches!(&fate, Fate::Refused(_, message) if message.contains("claimed")).then_some(())
    })
    .await;
    for n in 0..OBJECTS {
        let fate = old.try_call(&object(n), "count_twice", json!(1)).await;
        assert_refused(&fate, told);
    }
    assert_eq!(pair.rows(), rows, "{told}: the older one changed rows after the claim");
}
