//! Turns that call each other across a move.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::world::{World, call, errand, shard_of};

/// Two that share a shard, and one that does not.
const X: &str = "Chameleon/x{tag}";
const X2: &str = "Chameleon/x2{tag}";
const B: &str = "Chameleon/elsewhere";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_chain_under_way_is_served_by_a_shard_that_is_about_to_move() {
    assert_ne!(shard_of(X), shard_of(B), "the test wants two shards");
    let world = World::of(2).await;
    world.describe("volatile").await;
    // x waits for b, which first waits a while, and then calls x2, of the shard that moves meanwhile.
    let inner = errand(X2, "add", json!(5));
    let slow = errand(B, "relay", inner.clone());
    world.ok(B, "add", json!(0)).await;
    let busy = world.call(B, "wait", json!(400));
    let chain = world.call(X, "relay", slow);
    tokio::time::sleep(Duration::from_millis(100)).await;
    let began = Instant::now();
    let moving = async {
        world.move_to(X, &world.other_than_owner(X)).await;
        began.elapsed()
    };
    let (answer, busy, moved) = tokio::join!(chain, busy, moving);
    assert_eq!(answer.expect("the chain ends"), json!(5));
    busy.expect("it waited");
    assert!(moved < Duration::from_secs(5), "nobody waited for the limit: {moved:?}");
    assert_eq!(world.ok(X2, "value", Value::Null).await, json!(5), "it went along");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_asks_whether_an_object_exists_is_in_no_drains_way() {
    let world = World::of(2).await;
    world.describe("volatile").await;
    let owner = world.owner_of(X);
    // Two more on the same node, of other shards: what they call goes by its own router.
    let names = (0..200).map(|number| format!("Chameleon/{number}"));
    let beside: Vec<_> =
        names.filter(|it| world.owner_of(it) == owner && shard_of(it) != shard_of(X)).collect();
    let [slow, asks, ..] = beside.as_slice() else { panic!("{owner:?} has others") };
    for object in [X2, slow, asks] {
        world.ok(object, "add", json!(0)).await;
    }
    let busy = world.call(slow, "wait", json!(600));
    let to_the_end = errand(slow, "relay", errand(X2, "add", json!(5)));
    let chain = world.call(X, "relay", to_the_end);
    tokio::time::sleep(Duration::from_millis(100)).await;
    let began = Instant::now();
    let moving = async {
        world.move_to(X, &world.other_than_owner(X)).await;
        began.elapsed()
    };
    let asked = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        world.call(asks, "exists", errand(X2, "value", Value::Null)).await
    };
    let (answer, busy, asked, moved) = tokio::join!(chain, busy, asked, moving);
    assert_eq!(answer.expect("the chain ends"), json!(5));
    busy.expect("it waited");
    assert_eq!(asked.expect("it is told"), json!(true));
    assert!(moved < Duration::from_secs(5), "nobody waited for the limit: {moved:?}");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_turn_that_outlasts_the_limit_is_cancelled_and_who_waited_goes_on() {
    let world = World::with(2, |config| config.node.drain = Duration::from_millis(300)).await;
    world.describe("durable").await;
    world.ok(X, "add", json!(1)).await;
    let long = world.call(X, "wait", json!(3_000));
    tokio::time::sleep(Duration::from_millis(100)).await;
    let queued = world.call(X, "add", json!(1));
    let began = Instant::now();
    world.move_to(X, &world.other_than_owner(X)).await;
    assert!(began.elapsed() < Duration::from_millis(2_500), "{:?}", began.elapsed());
    let cancelled = long.await.expect_err("it was cancelled");
    assert!(cancelled.may_have_executed(), "{cancelled}");
    assert_eq!(queued.await.expect("it waited"), json!(2));
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sends_and_reminders_go_on_at_the_next_owner() {
    let world = World::of(2).await;
    world.describe("durable").await;
    let ticking = json!(["r", ["every", 50], "note_firing", null]);
    world.ok(X, "remind", ticking).await;
    for step in 0..6 {
        let words: Vec<_> =
            (0..20).map(|n| errand(B, "append", json!(format!("{step}.{n}")))).collect();
        world.ok(X, "send_many", json!(words)).await;
        world.move_to(X, &world.other_than_owner(X)).await;
    }
    let all: Vec<_> = (0..6).flat_map(|s| (0..20).map(move |n| format!("{s}.{n}"))).collect();
    world.until_it_answers(B, "entries", json!(all)).await;
    let fired = async || {
        let fired = world.ok(X, "fired", json!(0)).await;
        fired["count"].as_u64().expect("a count")
    };
    let before = fired().await;
    let since = Instant::now();
    while fired().await < before + 5 {
        assert!(since.elapsed() < crate::world::AGES, "its reminder fires no more");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_keyed_call_is_executed_once_across_moves() {
    let world = World::of(2).await;
    world.describe("durable").await;
    for step in 0..10 {
        let key = format!("k{step}");
        let first = call(&world.router, X, "add", &json!(1), Some(&key));
        let moving = world.move_to(X, &world.other_than_owner(X)).await;
        let second = call(&world.router, X, "add", &json!(1), Some(&key));
        let ((), first, second) = (moving, first.await, second.await);
        assert_eq!(first.expect("executed"), json!(step + 1));
        assert_eq!(second.expect("answered again"), json!(step + 1));
    }
    world.end().await;
}
