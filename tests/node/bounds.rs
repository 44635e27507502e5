//! What a node holds is bounded: the calls that wait, and the memory of those that live.

use std::time::Duration;

use serde_json::{Value, json};
use wasmverse_core::ErrorKind;
use wasmverse_node::ObjectState::Live;

use crate::world::{World, durability, eventually};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_impatient_do_not_fill_a_mailbox_for_others() {
    let world = World::with(|config| config.node.limits.mailbox_length = 4).await;
    world.describe(durability("volatile")).await;
    world.call("Chameleon/a", "value", Value::Null).await.unwrap();
    let busy = world.begin("Chameleon/a", "wait", json!(2000));
    eventually("the turn runs, and four wait behind it", || async {
        let impatient = (0..5)
            .map(|_| world.within(Duration::from_millis(1), "Chameleon/a", "value", Value::Null));
        let answers = futures_util::future::join_all(impatient).await;
        answers
            .iter()
            .any(|answer| answer.as_ref().is_err_and(|error| error.kind() == ErrorKind::Overloaded))
    })
    .await;
    tokio::time::sleep(Duration::from_millis(20)).await;
    let patient = world.begin("Chameleon/a", "add", json!(1));
    assert_eq!(patient.await.unwrap(), json!(1));
    busy.await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waiting_calls_carry_is_bounded_over_all_objects() {
    let world = World::with(|config| config.node.queued_bytes_max = 100_000).await;
    world.describe(durability("volatile")).await;
    let long = || json!("x".repeat(30_000));
    let busy = world.begin("Chameleon/a", "wait", json!(3000));
    let waiting: Vec<_> = (0..3).map(|_| world.begin("Chameleon/a", "append", long())).collect();
    let error = world.fails(ErrorKind::Overloaded, "Chameleon/b", "append", long()).await;
    assert!(error.retry_after_hint().is_some());
    // What nobody waits for any more gives way.
    drop(waiting);
    eventually("another's call fits again", || async {
        world.call("Chameleon/b", "append", long()).await.is_ok()
    })
    .await;
    busy.await.unwrap();
    assert_eq!(world.call("Chameleon/a", "entries", Value::Null).await.unwrap(), json!([]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn beyond_the_memory_for_the_living_the_idle_sleep() {
    let world = World::with(|config| config.node.memory_bytes_max = Some(8 << 20)).await;
    world.describe(durability("volatile")).await;
    let large = json!("x".repeat(1 << 20));
    for n in 0..12 {
        let length = world.call(&format!("Chameleon/{n}"), "append", large.clone()).await;
        assert_eq!(length.unwrap(), json!(1));
    }
    for n in 0..12 {
        let value = world.call(&format!("Chameleon/{n}"), "add", json!(1)).await;
        assert_eq!(value.unwrap(), json!(1));
    }
    eventually("few are live", || async {
        let mut live = 0;
        for n in 0..12 {
            live += u8::from(world.state(&format!("Chameleon/{n}")).await == Some(Live));
        }
        live < 8
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_the_living_are_busy_and_take_all_memory_others_are_turned_away() {
    let world = World::with(|config| config.node.memory_bytes_max = Some(2 << 20)).await;
    world.describe(durability("volatile")).await;
    let large = json!("x".repeat(3 << 19));
    world.call("Chameleon/a", "append", large).await.unwrap();
    let busy = world.begin("Chameleon/a", "wait", json!(3000));
    eventually("another is turned away", || async {
        let answer = world.call("Chameleon/b", "value", Value::Null).await;
        answer.is_err_and(|error| {
            assert_eq!(error.kind(), ErrorKind::Overloaded, "{error}");
            error.retry_after_hint().is_some()
        })
    })
    .await;
    busy.await.unwrap();
    eventually("then there is room", || async {
        world.call("Chameleon/b", "value", Value::Null).await.is_ok()
    })
    .await;
}
