//! Who sleeps, when, and that nothing is lost by it.

use std::time::Duration;

use serde_json::{Value, json};
use wasmverse_core::ErrorKind;
use wasmverse_node::ObjectState::{Asleep, Live, Stored};
use wasmverse_tests::guests::{ECHO, chameleon};

use crate::world::{World, durability, eventually};

const SOON: Duration = Duration::from_millis(40);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_object_sleeps_and_wakes_as_it_was() {
    for (kept, place) in [("volatile", Asleep), ("periodic", Stored)] {
        let world = World::with(|config| config.node.idle = SOON).await;
        world.describe(durability(kept)).await;
        for n in 1..4 {
            assert_eq!(world.call("Chameleon/a", "add", json!(1)).await.unwrap(), json!(n));
            world.until("Chameleon/a", Some(place)).await;
            assert!(world.exists("Chameleon/a").await);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_object_that_does_not_exist_is_forgotten() {
    let world = World::with(|config| config.node.idle = SOON).await;
    world.deploy(ECHO.bytes()).await;
    world.call("Echo/a", "echo", json!(1)).await.unwrap();
    world.until("Echo/a", None).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_guest_hears_why_it_goes() {
    let world = World::with(|config| config.node.idle = SOON).await;
    world.describe(durability("volatile")).await;
    world.call("Chameleon/a", "add", json!(1)).await.unwrap();
    let mut lines = world.node.logs().tail(wasmverse_node::LogFilter::default(), 10);
    let line = futures_util::StreamExt::next(&mut lines).await.unwrap();
    assert_eq!(line.line.message, "leaving: idle");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn when_there_is_no_room_the_least_recently_used_sleeps() {
    let world = World::with(|config| config.node.live_max = Some(3)).await;
    world.describe(durability("volatile")).await;
    for id in ["a", "b", "c", "a", "d"] {
        world.call(&format!("Chameleon/{id}"), "add", json!(1)).await.unwrap();
    }
    assert_eq!(world.state("Chameleon/b").await, Some(Asleep));
    for id in ["a", "c", "d"] {
        assert_eq!(world.state(&format!("Chameleon/{id}")).await, Some(Live), "{id}");
    }
    assert_eq!(world.call("Chameleon/b", "add", json!(1)).await.unwrap(), json!(2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_more_objects_than_room_take_turns() {
    for kept in ["volatile", "periodic"] {
        let world = World::with(|config| config.node.live_max = Some(8)).await;
        world.describe(durability(kept)).await;
        for round in 1..4 {
            let calls = (0..40).map(|n| world.begin(&format!("Chameleon/{n}"), "add", json!(1)));
            for answer in futures_util::future::join_all(calls).await {
                assert_eq!(answer.unwrap(), json!(round), "{kept}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_all_are_busy_there_is_no_room() {
    let world = World::with(|config| config.node.live_max = Some(2)).await;
    world.describe(durability("volatile")).await;
    let busy = ["a", "b"].map(|id| world.begin(&format!("Chameleon/{id}"), "wait", json!(3000)));
    eventually("both are busy", || async {
        world.state("Chameleon/a").await == Some(Live)
            && world.state("Chameleon/b").await == Some(Live)
    })
    .await;
    let error = world.fails(ErrorKind::Overloaded, "Chameleon/c", "value", Value::Null).await;
    assert!(error.retry_after_hint().is_some());
    for answer in busy {
        answer.await.unwrap();
    }
    world.call("Chameleon/c", "value", Value::Null).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn beyond_the_memory_for_sleepers_objects_stay_awake() {
    let world = World::with(|config| {
        config.node.idle = SOON;
        config.node.asleep_bytes_max = 2500;
    })
    .await;
    world.describe(durability("volatile")).await;
    for id in ["a", "b", "c"] {
        world.call(&format!("Chameleon/{id}"), "add", json!(1)).await.unwrap();
        // Each has its chance before the next one comes.
        if id != "c" {
            world.until(&format!("Chameleon/{id}"), Some(Asleep)).await;
        }
    }
    tokio::time::sleep(SOON * 3).await;
    assert_eq!(world.state("Chameleon/c").await, Some(Live));
    for id in ["a", "b", "c"] {
        let value = world.call(&format!("Chameleon/{id}"), "value", Value::Null).await;
        assert_eq!(value.unwrap(), json!(1), "{id}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_cannot_be_saved_stays_awake() {
    for kept in ["volatile", "periodic"] {
        let world = World::with(|config| config.node.idle = SOON).await;
        let settings = json!({ "describe": durability(kept), "snapshot": "refuse" });
        world.deploy(chameleon(&settings)).await;
        world.call("Chameleon/a", "add", json!(1)).await.unwrap();
        tokio::time::sleep(SOON * 4).await;
        assert_eq!(world.state("Chameleon/a").await, Some(Live), "{kept}");
        assert_eq!(world.call("Chameleon/a", "add", json!(1)).await.unwrap(), json!(2));
    }
}
