//! How long a claim takes while the node that owns the shards is stopped in the middle of a commit.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::task::JoinSet;
use wasmverse_core::{Epoch, ShardId};
use wasmverse_store::{Owner, Store};
use wasmverse_tests::postgres::Databases;

use crate::pair::{Pair, STEPS, assert_refused, count, deploy, until_stopped};

/// As many objects are under load, so that commits of some are under way when one stops them all.
const OBJECTS: usize = 6;
/// What a statement takes, on a machine that is busy.
const STATEMENT: Duration = Duration::from_secs(1);
const SHARDS: u16 = 8192;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_stopped_at_any_step_of_a_commit_delays_no_claim() {
    let databases = Databases::find();
    let pair = Pair::new(&databases);
    let (first, _) = pair.one.node(&[]).await;
    deploy(&pair.one).await;
    let store = pair.other.store().await;
    let unhindered = claim(&*store).await;
    drop(first);
    for (step, _) in STEPS {
        let at = format!("{step}:20:stop");
        let (older, _) = pair.one.node(&[("WASMVERSE_FAILPOINT", &at)]).await;
        let mut counting = JoinSet::new();
        for n in 0..OBJECTS {
            counting.spawn(count(Arc::clone(&pair.one), format!("Chameleon/{step}-{n}")));
        }
        until_stopped(&older);
        let took = claim(&*store).await;
        println!("{step}: {took:?}, and {unhindered:?} without");
        assert!(took < unhindered + STATEMENT, "{step}: {took:?}, and {unhindered:?} without");
        let rows = pair.rows();
        older.signal("CONT");
        while let Some(counted) = counting.join_next().await {
            assert_refused(&counted.unwrap().1, step);
        }
        assert_eq!(pair.rows(), rows, "{step}: it changed rows after the claim");
    }
}

/// Claims all shards; answers how long it took.
async fn claim(store: &dyn Store) -> Duration {
    let owner = Owner { node: "by hand".to_owned(), incarnation: "newer".to_owned() };
    let all = (0..SHARDS).map(|shard| (ShardId(shard), Epoch(0))).collect();
    let begun = Instant::now();
    store.claim(owner, all).await.unwrap();
    begun.elapsed()
}
