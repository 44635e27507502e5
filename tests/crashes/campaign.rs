//! The node is killed at random moments under load: what was acknowledged is there, what was not is
//! there at most once, and state and storage of an object agree.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use serde_json::json;
use tokio::task::JoinSet;

use super::site::{Fate, Kind, Site};

/// Objects under load at a time, each with one call under way.
const OBJECTS: usize = 8;

/// What callers know of an object's turns.
#[derive(Clone, Copy, Debug, Default)]
struct Known {
    acknowledged: u64,
    unknown: u64,
}

fn kills() -> usize {
    if std::env::var_os("WASMVERSE_TORTURE").is_some() { 1000 } else { 20 }
}

async fn campaign(kind: Kind) {
    let seed = std::env::var("WASMVERSE_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(rand::random);
    println!("WASMVERSE_SEED={seed}");
    let mut dice = StdRng::seed_from_u64(seed);
    let (site, mut node) = Site::start(kind).await;
    let site = Arc::new(site);
    let mut known = [Known::default(); OBJECTS];
    for kill in 1..=kills() {
        let until = Instant::now() + Duration::from_millis(dice.random_range(1..150));
        let mut load = JoinSet::new();
        for (number, known) in known.into_iter().enumerate() {
            load.spawn(drive(Arc::clone(&site), number, known, until));
        }
        tokio::time::sleep_until(until.into()).await;
        node.kill();
        while let Some(driven) = load.join_next().await {
            let (number, now) = driven.unwrap();
            known[number] = now;
        }
        node = site.node(None).await;
        for (number, known) in known.iter_mut().enumerate() {
            let (state, storage) = site.held(&object(number)).await;
            let told = format!("seed {seed}, kill {kill}, {number}: {state}, {storage}, {known:?}");
            assert_eq!(state, storage, "{told}");
            let most = known.acknowledged + known.unknown;
            assert!((known.acknowledged..=most).contains(&state), "{told}");
            *known = Known { acknowledged: state, unknown: 0 };
        }
    }
    assert!(known.iter().all(|known| known.acknowledged > 0), "{known:?}");
}

fn object(number: usize) -> String {
    format!("Chameleon/{number}")
}

/// Calls one object again and again, and a little beyond the kill.
async fn drive(site: Arc<Site>, number: usize, mut known: Known, until: Instant) -> (usize, Known) {
    while Instant::now() < until {
        match site.try_call(&object(number), "count_twice", json!(1)).await {
            (value, Fate::Acknowledged) => {
                known.acknowledged += 1;
                // What was unknown before is known by now.
                let value = value.as_u64().unwrap();
                let most = known.acknowledged + known.unknown;
                assert!((known.acknowledged..=most).contains(&value), "{value}, {known:?}");
                known = Known { acknowledged: value, unknown: 0 };
            }
            (_, Fate::Unknown) => known.unknown += 1,
            (_, Fate::Refused) => {}
        }
    }
    (number, known)
}

#[tokio::test]
async fn sqlite_keeps_what_was_acknowledged_whenever_the_node_is_killed() {
    campaign(Kind::Sqlite).await;
}

#[tokio::test]
async fn postgresql_keeps_what_was_acknowledged_whenever_the_node_is_killed() {
    campaign(Kind::Postgres).await;
}
