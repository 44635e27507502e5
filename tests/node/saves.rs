//! What survives the process.

use std::time::Duration;

use serde_json::{Value, json};
use wasmverse_core::ErrorKind;
use wasmverse_node::ObjectState::{Live, Stored};
use wasmverse_tests::guests::chameleon;

use crate::world::{World, durability, eventually};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_saves_everything_and_a_start_finds_it() {
    let folder = tempfile::tempdir().unwrap();
    {
        let world = World::at(&folder, |_| {}).await;
        world.describe(durability("periodic")).await;
        for n in 0..300 {
            world.call(&format!("Chameleon/{n}"), "add", json!(n + 1)).await.unwrap();
        }
        world.node.stop().await;
    }
    let world = World::at(&folder, |_| {}).await;
    for n in 0..300 {
        let value = world.call(&format!("Chameleon/{n}"), "value", Value::Null).await;
        assert_eq!(value.unwrap(), json!(n + 1));
    }
    assert_eq!(world.node.types().borrow().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_changed_is_saved_within_an_interval_without_a_stop() {
    let world = World::with(|config| config.node.save_interval = Duration::from_millis(30)).await;
    world.describe(durability("periodic")).await;
    let object = "Chameleon/a".parse().unwrap();
    let mut before = 0;
    for _ in 0..3 {
        world.call("Chameleon/a", "add", json!(1)).await.unwrap();
        eventually("it is saved again", || async {
            world.node.get(&object).await.unwrap().unwrap().updated_at_micros > before
        })
        .await;
        before = world.node.get(&object).await.unwrap().unwrap().updated_at_micros;
        assert_eq!(world.state("Chameleon/a").await, Some(Live));
    }
    // What is as it was is not written.
    world.call("Chameleon/a", "add", json!(0)).await.unwrap();
    tokio::time::sleep(Duration::from_millis(120)).await;
    assert_eq!(world.node.get(&object).await.unwrap().unwrap().updated_at_micros, before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_created_object_is_on_disk_before_the_answer() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::at(&folder, |_| {}).await;
    world
        .describe(
            json!({ "type": "Chameleon", "durability": "periodic", "activation": "explicit" }),
        )
        .await;
    world.create("Chameleon/a").await.unwrap();
    assert_eq!(world.state("Chameleon/a").await, Some(Stored));
    world.node.stop().await;
    drop(world);
    let world = World::at(&folder, |_| {}).await;
    assert!(world.exists("Chameleon/a").await);
    assert_eq!(world.create("Chameleon/a").await.unwrap_err().kind(), ErrorKind::AlreadyExists);
    assert_eq!(world.call("Chameleon/a", "add", json!(1)).await.unwrap(), json!(1));
    world.delete("Chameleon/a").await.unwrap();
    assert_eq!(world.state("Chameleon/a").await, None);
    world.node.stop().await;
    drop(world);
    let world = World::at(&folder, |_| {}).await;
    assert!(!world.exists("Chameleon/a").await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_who_create_at_once_make_one() {
    let world = World::new().await;
    world.describe(durability("periodic")).await;
    for n in 0..20 {
        let object = format!("Chameleon/{n}");
        let all = (0..8).map(|_| world.create(&object));
        let made = futures_util::future::join_all(all).await;
        assert_eq!(made.iter().filter(|answer| answer.is_ok()).count(), 1, "{made:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn state_that_the_active_revision_refuses_wakes_on_the_one_that_wrote_it() {
    let folder = tempfile::tempdir().unwrap();
    {
        let world = World::at(&folder, |_| {}).await;
        let old = json!({ "describe": { "type": "Chameleon", "durability": "periodic", "revision": "old" }, "schema": 2 });
        world.deploy(chameleon(&old)).await;
        world.call("Chameleon/a", "add", json!(1)).await.unwrap();
        world.node.stop().await;
    }
    let world = World::at(&folder, |_| {}).await;
    let new =
        json!({ "describe": { "type": "Chameleon", "durability": "periodic", "revision": "new" } });
    world.deploy(chameleon(&new)).await;
    assert_eq!(world.call("Chameleon/a", "label", Value::Null).await.unwrap(), json!("old"));
    assert_eq!(world.call("Chameleon/a", "add", json!(1)).await.unwrap(), json!(2));
    assert_eq!(world.call("Chameleon/b", "label", Value::Null).await.unwrap(), json!("new"));
}
