//! A node that stops lets turns end, and takes no more.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use wasmverse_core::ErrorKind;
use wasmverse_node::ObjectState::Live;

use crate::world::{World, durability, errand};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn turns_under_way_end_well_and_may_call_others() {
    let world = World::new().await;
    world.describe(durability("volatile")).await;
    let slow = world.begin("Chameleon/a", "wait", json!(200));
    let relayed = errand("Chameleon/c", "add", json!(1));
    let then = world.begin("Chameleon/a", "relay", relayed);
    world.until("Chameleon/a", Some(Live)).await;
    let (slow, then, ()) = futures_util::join!(slow, then, world.node.stop());
    slow.unwrap();
    assert_eq!(then.unwrap(), json!(1));
    world.fails(ErrorKind::Unavailable, "Chameleon/a", "value", Value::Null).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_turn_that_does_not_end_is_cut_at_the_limit() {
    let world = World::with(|config| config.node.drain = Duration::from_millis(50)).await;
    world.describe(durability("volatile")).await;
    let slow = world.begin("Chameleon/a", "wait", json!(20_000));
    world.until("Chameleon/a", Some(Live)).await;
    let began = Instant::now();
    let (slow, ()) = futures_util::join!(slow, world.node.stop());
    let error = slow.unwrap_err();
    assert!(error.may_have_executed(), "{error}");
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stopping_twice_is_stopping_once() {
    let world = World::new().await;
    futures_util::join!(world.node.stop(), world.node.stop());
}
