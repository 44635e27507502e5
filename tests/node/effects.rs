//! What a turn lets out, when, and what it leaves behind.

use serde_json::{Value, json};
use wasmverse_core::ErrorKind;

use crate::world::{World, durability, errand, eventually};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sends_leave_when_the_turn_ends_well_and_in_order() {
    let world = World::new().await;
    world.describe(durability("volatile")).await;
    for n in 0..20 {
        let send = errand("Chameleon/b", "append", json!(n.to_string()));
        world.call("Chameleon/a", "send", send).await.unwrap();
    }
    eventually("all sends have arrived", || async {
        let entries = world.call("Chameleon/b", "entries", Value::Null).await.unwrap();
        entries.as_array().unwrap().len() == 20
    })
    .await;
    let entries = world.call("Chameleon/b", "entries", Value::Null).await.unwrap();
    assert_eq!(entries, json!((0..20).map(|n| n.to_string()).collect::<Vec<_>>()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_turn_lets_nothing_out() {
    let world = World::new().await;
    world.describe(durability("volatile")).await;
    let send = errand("Chameleon/b", "add", json!(1));
    let error = world.fails(ErrorKind::Application, "Chameleon/a", "send_and_fail", send).await;
    assert_eq!(error.code(), "changed-my-mind");
    // A send that follows would arrive after it.
    let send = errand("Chameleon/b", "add", json!(10));
    world.call("Chameleon/a", "send", send).await.unwrap();
    eventually("the second send has arrived", || async {
        world.call("Chameleon/b", "value", Value::Null).await.unwrap() != json!(0)
    })
    .await;
    assert_eq!(world.call("Chameleon/b", "value", Value::Null).await.unwrap(), json!(10));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_object_may_send_to_itself() {
    let world = World::new().await;
    world.describe(durability("volatile")).await;
    let send = errand("Chameleon/a", "add", json!(7));
    world.call("Chameleon/a", "send", send).await.unwrap();
    assert_eq!(world.call("Chameleon/a", "value", Value::Null).await.unwrap(), json!(7));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_call_did_stays_whatever_becomes_of_the_caller() {
    let world = World::new().await;
    world.describe(durability("volatile")).await;
    let both = json!([
        errand("Chameleon/b", "add", json!(1)),
        errand("Chameleon/b", "add_and_fail", json!(1)),
    ]);
    world.call("Chameleon/a", "relay_many", both).await.unwrap();
    // Memory is kept after a failure, too.
    assert_eq!(world.call("Chameleon/b", "value", Value::Null).await.unwrap(), json!(2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pushes_are_accepted_and_read_only_turns_may_not_push() {
    let world = World::new().await;
    world.describe(durability("volatile")).await;
    world.call("Chameleon/a", "push", json!("gate/client")).await.unwrap();
    world.call("Chameleon/a", "broadcast", json!("hello")).await.unwrap();
    world.fails(ErrorKind::Denied, "Chameleon/a", "peek", Value::Null).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_object_deletes_itself_when_its_turn_ends_well() {
    for kept in ["volatile", "periodic"] {
        let world = World::new().await;
        world.describe(durability(kept)).await;
        world.call("Chameleon/a", "add", json!(5)).await.unwrap();
        assert!(world.exists("Chameleon/a").await);
        world.call("Chameleon/a", "leave", Value::Null).await.unwrap();
        assert!(!world.exists("Chameleon/a").await);
        assert_eq!(world.state("Chameleon/a").await, None);
        assert_eq!(world.call("Chameleon/a", "value", Value::Null).await.unwrap(), json!(0));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_send_that_cannot_arrive_harms_nobody() {
    let world = World::new().await;
    world.describe(durability("volatile")).await;
    for target in ["Nobody/x", "shardless/x"] {
        let send = errand(target, "y", Value::Null);
        world.call("Chameleon/a", "send", send).await.unwrap();
    }
    assert_eq!(world.call("Chameleon/a", "add", json!(1)).await.unwrap(), json!(1));
}
