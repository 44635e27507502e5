//! Reminders: they outlive everything but their object, and fire once for each time they are due.

use std::time::Duration;

use serde_json::{Value, json};
use wasmverse_core::ErrorKind;
use wasmverse_node::ObjectState::Stored;
use wasmverse_store::DeadSource;

use crate::world::{World, durability, eventually};

const A: &str = "Chameleon/a";
const HOUR_MICROS: i64 = 3_600_000_000;

async fn durable() -> World {
    let world = World::with(|config| config.node.delivery_tries_max = 2).await;
    world.describe(durability("durable")).await;
    world
}

fn every(millis: i64, method: &str, argument: Value) -> Value {
    json!(["r", ["every", millis], method, argument])
}

fn after(millis: i64, method: &str, argument: Value) -> Value {
    json!(["r", ["after", millis], method, argument])
}

async fn names(world: &World) -> Vec<String> {
    let pending = world.ok(A, "pending", Value::Null).await;
    let names =
        pending.as_array().unwrap().iter().map(|it| it["name"].as_str().unwrap().to_owned());
    names.collect()
}

async fn count(world: &World) -> i64 {
    world.ok(A, "value", Value::Null).await.as_i64().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_fires_once_and_is_gone() {
    let world = durable().await;
    world.ok(A, "remind", after(50, "add", json!(7))).await;
    assert_eq!(names(&world).await, ["r"]);
    assert_eq!(count(&world).await, 0);
    world.until_it_answers(A, "value", json!(7)).await;
    assert!(names(&world).await.is_empty());
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(count(&world).await, 7);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_fires_again_and_again_until_it_is_cancelled_or_set_anew() {
    let world = durable().await;
    world.ok(A, "remind", every(20, "add", json!(1))).await;
    eventually("it fired five times", || async { count(&world).await >= 5 }).await;
    world.ok(A, "remind", after(HOUR_MICROS / 1000, "add", json!(1))).await;
    let fired = count(&world).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(count(&world).await, fired);
    assert_eq!(names(&world).await, ["r"]);
    world.ok(A, "cancel", json!("r")).await;
    world.ok(A, "cancel", json!("nobody")).await;
    assert!(names(&world).await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_firing_may_cancel_and_set_its_own_reminder() {
    let world = durable().await;
    world.ok(A, "remind", every(20, "cancel", json!("r"))).await;
    eventually("it cancelled itself", || async { names(&world).await.is_empty() }).await;
    let inner = after(20, "add", json!(5));
    world.ok(A, "remind", after(20, "remind", inner)).await;
    world.until_it_answers(A, "value", json!(5)).await;
    assert!(names(&world).await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn they_outlive_their_node_and_what_was_missed_fires_once() {
    let folder = tempfile::tempdir().unwrap();
    let before = {
        let world = World::at(&folder, |_| {}).await;
        world.describe(durability("durable")).await;
        world.ok(A, "remind", every(400, "add", json!(1))).await;
        world.until_it_answers(A, "value", json!(1)).await;
        world.node.stop().await;
        1
    };
    // Three of them.
    tokio::time::sleep(Duration::from_millis(1500)).await;
    let world = World::at(&folder, |_| {}).await;
    world.until_it_answers(A, "value", json!(before + 1)).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(count(&world).await, before + 1);
    world.until_it_answers(A, "value", json!(before + 2)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sleeping_object_wakes_for_one() {
    let world = World::with(|config| config.node.idle = Duration::from_millis(20)).await;
    world.describe(durability("durable")).await;
    world.ok(A, "remind", after(400, "add", json!(1))).await;
    world.until(A, Some(Stored)).await;
    let object = A.parse().unwrap();
    let updated = |world: &World| {
        let found = world.node.clone();
        let object = wasmverse_core::ObjectId::clone(&object);
        async move { found.get(&object).await.unwrap().unwrap().updated_at_micros }
    };
    let before = updated(&world).await;
    eventually("it was woken, and changed", || async { updated(&world).await > before }).await;
    assert_eq!(count(&world).await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_clock_may_jump() {
    let world = durable().await;
    let hour = HOUR_MICROS / 1000;
    world.ok(A, "remind", json!(["hourly", ["every", hour], "add", 1])).await;
    world.ok(A, "remind", json!(["soon", ["every", 50], "append", "x"])).await;
    world.node.shift_clock(5 * HOUR_MICROS);
    world.until_it_answers(A, "value", json!(1)).await;
    tokio::time::sleep(Duration::from_millis(150)).await;
    assert_eq!(count(&world).await, 1, "five were missed, and one fires");
    world.node.shift_clock(-4 * HOUR_MICROS);
    let fired = world.ok(A, "entries", Value::Null).await.as_array().unwrap().len();
    eventually("what fires every so often goes on", || async {
        world.ok(A, "entries", Value::Null).await.as_array().unwrap().len() > fired + 3
    })
    .await;
    assert_eq!(count(&world).await, 1, "nothing fires twice");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_delete_takes_them_along() {
    for kept in ["durable", "periodic"] {
        let world = World::new().await;
        world.describe(durability(kept)).await;
        world.ok(A, "remind", every(30, "add", json!(1))).await;
        world.delete(A).await.unwrap();
        tokio::time::sleep(Duration::from_millis(150)).await;
        assert!(!world.exists(A).await, "{kept}");
        assert!(names(&world).await.is_empty());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn they_are_for_what_outlives_its_node_and_for_turns_that_may_write() {
    let world = World::new().await;
    world.describe(durability("periodic")).await;
    world.ok(A, "remind", every(30, "add", json!(1))).await;
    eventually("a periodic one is reminded", || async { count(&world).await >= 3 }).await;

    let world = World::new().await;
    world.describe(durability("volatile")).await;
    world.fails(ErrorKind::Denied, A, "remind", every(30, "add", json!(1))).await;
    world.fails(ErrorKind::Denied, A, "cancel", json!("r")).await;

    let world = durable().await;
    for wrong in [every(1, "add", json!(1)), json!(["", ["every", 50], "add", 1])] {
        world.fails(ErrorKind::InvalidArgument, A, "remind", wrong).await;
    }
    let never = json!(["r", ["cron", "0 0 31 2 *"], "add", 1]);
    world.fails(ErrorKind::InvalidArgument, A, "remind", never).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_object_has_no_more_than_it_may_have() {
    let world = World::with(|config| config.node.limits.host_calls = 5_000).await;
    world.describe(durability("durable")).await;
    for n in 0..1000 {
        world.ok(A, "remind", json!([format!("r{n}"), ["every", HOUR_MICROS], "add", 1])).await;
    }
    world.fails(ErrorKind::InvalidArgument, A, "remind", every(50, "add", json!(1))).await;
    world.ok(A, "remind", json!(["r7", ["every", HOUR_MICROS], "add", 1])).await;
    world.ok(A, "cancel", json!("r8")).await;
    world.ok(A, "remind", every(HOUR_MICROS, "add", json!(1))).await;
    assert_eq!(names(&world).await.len(), 1000);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failure_of_its_own_counts_as_fired_and_what_cannot_be_run_is_a_dead_letter() {
    let world = durable().await;
    world.ok(A, "remind", every(100, "add_and_fail", json!(1))).await;
    tokio::time::sleep(Duration::from_millis(350)).await;
    assert_eq!(names(&world).await, ["r"]);
    assert_eq!(count(&world).await, 0);
    assert!(world.node.dead_letters(None, 0, 10).await.unwrap().is_empty());

    world.ok(A, "remind", every(200, "nothing", Value::Null)).await;
    let dead = || async { world.node.dead_letters(None, 0, 10).await.unwrap() };
    eventually("its firing is dead", || async { !dead().await.is_empty() }).await;
    let letter = dead().await.remove(0);
    assert_eq!(letter.source, DeadSource::Firing("r".into()));
    assert_eq!((letter.from.to_string(), letter.send.to.to_string()), (A.into(), A.into()));
    assert!(letter.reason.contains("nothing"), "{}", letter.reason);
    assert_eq!(names(&world).await, ["r"], "it is due again");
    world.ok(A, "cancel", json!("r")).await;
}

/// So many objects, with ten reminders each that are due at once.
fn objects() -> i64 {
    if std::env::var_os("WASMVERSE_TORTURE").is_some() { 10_000 } else { 300 }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_that_are_due_at_once_all_fire_and_once() {
    let world = durable().await;
    for id in 0..objects() {
        for n in 0..10 {
            let set = json!([format!("r{n}"), ["after", HOUR_MICROS / 1000], "add", 1]);
            world.ok(&format!("Chameleon/{id}"), "remind", set).await;
        }
    }
    world.node.shift_clock(2 * HOUR_MICROS);
    for id in 0..objects() {
        world.until_it_answers(&format!("Chameleon/{id}"), "value", json!(10)).await;
    }
}
