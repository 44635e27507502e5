//! Read-only turns that change something after all are reported where somebody looks.

use futures_util::StreamExt as _;
use serde_json::{Value, json};
use wasmverse_core::ErrorKind;
use wasmverse_node::LogFilter;
use wasmverse_tests::guests::chameleon;

use crate::world::{World, durability};

const A: &str = "Chameleon/a";

async fn looked_at() -> World {
    World::with(|config| config.node.check_read_only = true).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_only_turn_that_changes_the_state_is_named_in_the_objects_log() {
    for kept in ["volatile", "periodic", "durable"] {
        let world = looked_at().await;
        world.describe(durability(kept)).await;
        world.call(A, "add", json!(1)).await.unwrap();
        world.call(A, "value", Value::Null).await.unwrap();
        world.call(A, "sneak", Value::Null).await.unwrap();
        let mut lines = world.node.logs().tail(LogFilter::default(), 10);
        let line = lines.next().await.unwrap().line;
        assert!(line.message.starts_with("`sneak` is read-only"), "{kept}: {}", line.message);
        assert_eq!(line.object.to_string(), A);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guest_that_traps_when_it_is_looked_at_is_looked_at_once() {
    let world = looked_at().await;
    let describe = durability("volatile");
    world.deploy(chameleon(&json!({ "describe": describe, "snapshot": "trap" }))).await;
    world.fails(ErrorKind::Trapped, A, "value", Value::Null).await;
    for id in ["b", "c"] {
        let value = world.call(&format!("Chameleon/{id}"), "value", Value::Null).await;
        assert_eq!(value.unwrap(), json!(0));
    }
}
