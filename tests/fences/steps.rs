//! The older node stops itself at each step of a commit, the newer one takes over, and then the older
//! one goes on.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use serde_json::json;
use tokio::task::JoinSet;
use wasmverse_tests::{
    patience::eventually,
    postgres::Databases,
    proxy::{Passage, Proxy},
    station::Station,
};

use crate::pair::{Pair, STEPS, assert_refused, count, deploy, held, until_stopped};

/// The turn of an object that meets the step.
const COUNT: i64 = 4;
/// By so much a stopped node may delay the start of another: more than a statement takes, less than
/// any time after which something is given up.
const DELAY_MAX: Duration = Duration::from_secs(2);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_stopped_at_any_step_of_a_commit_changes_nothing_after_a_claim() {
    let databases = Databases::find();
    let pair = Pair::new(&databases);
    let (first, _) = pair.one.node(&[]).await;
    deploy(&pair.one).await;
    drop(first);
    let (second, unhindered) = pair.other.node(&[]).await;
    drop(second);
    for (step, is_committed) in STEPS {
        let object = format!("Chameleon/{step}");
        let at = format!("{step}:{COUNT}:stop");
        let (older, _) = pair.one.node(&[("WASMVERSE_FAILPOINT", &at)]).await;
        let mut counting = JoinSet::new();
        counting.spawn(count(Arc::clone(&pair.one), object.clone()));
        until_stopped(&older);
        let epoch: u64 = pair.epochs().parse().unwrap();

        let (_newer, took) = pair.other.node(&[]).await;
        assert!(took < unhindered + DELAY_MAX, "{step}: {took:?}, and {unhindered:?} without");
        assert_eq!(pair.epochs(), (epoch + 1).to_string(), "{step}");
        let turns = COUNT - i64::from(!is_committed);
        let (kept, storage) = held(&pair.other, &object).await;
        assert_eq!(kept, storage, "{step}");
        assert_eq!(kept, turns, "{step}");
        for value in kept + 1..=kept + 3 {
            assert_eq!(pair.other.http.ok(&object, "count_twice", 1).await, json!(value), "{step}");
        }

        let rows = pair.rows();
        older.signal("CONT");
        let (acknowledged, fate) = counting.join_next().await.unwrap().unwrap();
        // A turn that was committed before the claim may be answered after it.
        assert_eq!(acknowledged, (1..=kept).collect::<Vec<_>>(), "{step}");
        assert_refused(&fate, step);
        insist(&pair.one, &object, step).await;
        assert!(older.printed().contains("another process has claimed"), "{}", older.printed());
        assert_eq!(pair.rows(), rows, "{step}: it changed rows after the claim");
        assert_eq!(pair.other.http.ok(&object, "count_twice", 1).await, json!(kept + 4), "{step}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_that_was_on_its_way_while_its_node_was_stopped_is_refused() {
    let databases = Databases::find();
    let url = databases.database();
    let (front, database) = url.rsplit_once('/').unwrap();
    let (who, address) = front.rsplit_once('@').unwrap();
    let proxy = Proxy::start(address.parse::<SocketAddr>().unwrap()).await;
    let pair = Pair::on(&url, &format!("{who}@{}/{database}", proxy.address()));
    let (older, _) = pair.one.node(&[]).await;
    deploy(&pair.one).await;
    let (object, step) = ("Chameleon/a", "on its way");
    assert_eq!(pair.one.http.ok(object, "count_twice", 1).await, json!(1));
    proxy.pass(Passage { hold_requests: usize::MAX, ..Passage::default() });
    let mut counting = JoinSet::new();
    counting.spawn(count(Arc::clone(&pair.one), object.to_owned()));
    eventually("the commit is on its way", async || (proxy.held() > 0).then_some(())).await;
    older.signal("STOP");
    let (_newer, _) = pair.other.node(&[]).await;
    assert_eq!(held(&pair.other, object).await, (1, 1));
    let rows = pair.rows();
    // First the statement arrives, and then its node goes on, and hears what became of it.
    proxy.pass(Passage::default());
    eventually("the commit has arrived", async || (proxy.held() == 0).then_some(())).await;
    older.signal("CONT");
    let (acknowledged, fate) = counting.join_next().await.unwrap().unwrap();
    assert_eq!(acknowledged, Vec::<i64>::new());
    assert_refused(&fate, step);
    insist(&pair.one, object, step).await;
    assert_eq!(pair.rows(), rows, "it changed rows after the claim");
    assert_eq!(pair.other.http.ok(object, "count_twice", 1).await, json!(2));
}

/// Calls a node that owns nothing any more, in all the ways that would write, and hears each time
/// that it cannot; and it says the same of itself.
async fn insist(station: &Station, object: &str, step: &str) {
    for attempt in 0..5 {
        for (object, method, argument) in [
            (object, "count_twice", json!(1)),
            (object, "put", json!(["other", attempt])),
            ("Chameleon/new", "add", json!(1)),
        ] {
            let fate = station.try_call(object, method, argument).await;
            assert_refused(&fate, &format!("{step}, attempt {attempt}, {object}.{method}"));
        }
    }
    let readiness = eventually("it is not ready", async || {
        station.readiness().await.filter(|readiness| readiness.status == 503)
    })
    .await;
    let told = String::from_utf8_lossy(&readiness.body).into_owned();
    assert!(told.contains("shards: another process has claimed"), "{step}: {told}");
}
