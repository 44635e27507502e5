//! Durable objects: what is acknowledged is kept, what failed never was, storage and state agree.

use std::time::Duration;

use serde_json::{Value, json};
use wasmverse_core::ErrorKind;
use wasmverse_node::ObjectState::Stored;

use wasmverse_tests::guests::chameleon;

use crate::world::{World, durability, eventually};

const A: &str = "Chameleon/a";

async fn durable() -> World {
    let world = World::with(|_| {}).await;
    world.describe(durability("durable")).await;
    world
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_answered_is_in_the_store() {
    let folder = tempfile::tempdir().unwrap();
    {
        let world = World::at(&folder, |_| {}).await;
        world.describe(durability("durable")).await;
        for n in 1..=5 {
            assert_eq!(world.call(A, "add", json!(1)).await.unwrap(), json!(n));
        }
        world.call(A, "put", json!(["k", [1, null]])).await.unwrap();
        // A stop saves periodic objects alone: what is durable is in the store already.
        world.node.stop().await;
    }
    let world = World::at(&folder, |_| {}).await;
    assert_eq!(world.call(A, "value", Value::Null).await.unwrap(), json!(5));
    assert_eq!(world.call(A, "read", json!("k")).await.unwrap(), json!([1, null]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_turn_that_failed_or_trapped_never_was() {
    let world = durable().await;
    world.call(A, "add", json!(5)).await.unwrap();
    world.call(A, "put", json!(["k", 1])).await.unwrap();
    for (method, argument) in
        [("add_and_fail", json!(7)), ("add_and_trap", json!(7)), ("put_and_fail", json!(["k", 2]))]
    {
        world.call(A, method, argument).await.unwrap_err();
        assert_eq!(world.call(A, "value", Value::Null).await.unwrap(), json!(5), "{method}");
        assert_eq!(world.call(A, "read", json!("k")).await.unwrap(), json!(1), "{method}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_turn_that_changed_nothing_leaves_the_instance_alone() {
    let world = durable().await;
    world.call(A, "add", json!(5)).await.unwrap();
    let born = world.call(A, "born", Value::Null).await.unwrap();
    let refused = world.call(A, "fail", json!("no")).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Application);
    assert_eq!(world.call(A, "born", Value::Null).await.unwrap(), born);
    world.call(A, "add_and_fail", json!(1)).await.unwrap_err();
    assert_eq!(world.call(A, "value", Value::Null).await.unwrap(), json!(5));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_turn_that_changed_nothing_writes_nothing() {
    let world = durable().await;
    world.call(A, "add", json!(5)).await.unwrap();
    let object = A.parse().unwrap();
    let before = world.node.get(&object).await.unwrap().unwrap().updated_at_micros;
    world.call(A, "add", json!(0)).await.unwrap();
    world.call(A, "value", Value::Null).await.unwrap();
    assert_eq!(world.node.get(&object).await.unwrap().unwrap().updated_at_micros, before);
    world.call(A, "add", json!(1)).await.unwrap();
    assert!(world.node.get(&object).await.unwrap().unwrap().updated_at_micros > before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_turn_sees_what_it_wrote_and_pages_end() {
    let world = durable().await;
    for n in 0..25 {
        world.call(A, "put", json!([format!("k/{n:02}"), n])).await.unwrap();
    }
    world.call(A, "remove", json!("k/03")).await.unwrap();
    assert_eq!(world.call(A, "read", json!("k/03")).await.unwrap(), Value::Null);
    let (mut seen, mut after) = (Vec::new(), String::new());
    loop {
        let page = world.call(A, "scan", json!(["k/", after, 10])).await.unwrap();
        let Some(last) = page.as_array().unwrap().last() else { break };
        after = last[0].as_str().unwrap().to_owned();
        seen.extend(page.as_array().unwrap().iter().map(|pair| pair[1].as_u64().unwrap()));
    }
    assert_eq!(seen, (0..25).filter(|n| *n != 3).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_delete_takes_state_and_storage_whether_the_object_is_live_or_not() {
    for sleeps in [false, true] {
        let world = World::with(|config| {
            config.node.idle = if sleeps { Duration::from_millis(20) } else { Duration::ZERO };
        })
        .await;
        world.describe(durability("durable")).await;
        world.call(A, "add", json!(5)).await.unwrap();
        world.call(A, "put", json!(["k", 1])).await.unwrap();
        if sleeps {
            world.until(A, Some(Stored)).await;
        }
        world.delete(A).await.unwrap();
        assert_eq!(world.state(A).await, None);
        assert_eq!(world.call(A, "value", Value::Null).await.unwrap(), json!(0), "{sleeps}");
        assert_eq!(world.call(A, "read", json!("k")).await.unwrap(), Value::Null, "{sleeps}");
    }
    // It deletes itself, too.
    let world = durable().await;
    world.call(A, "add", json!(1)).await.unwrap();
    world.call(A, "leave", Value::Null).await.unwrap();
    assert_eq!(world.call(A, "value", Value::Null).await.unwrap(), json!(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn storage_is_for_durable_types_in_turns_that_may_write() {
    for other in ["volatile", "periodic"] {
        let world = World::with(|_| {}).await;
        world.describe(durability(other)).await;
        for (method, argument) in [("put", json!(["k", 1])), ("read", json!("k"))] {
            let refused = world.call(A, method, argument).await.unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::Denied, "{other}");
        }
    }
    let world = durable().await;
    for (method, argument) in [
        ("put", json!(["", 1])),
        ("put", json!(["x".repeat(1025), 1])),
        ("put", json!(["a\u{0}b", 1])),
        ("put", json!(["k", "x".repeat(5 << 20)])),
    ] {
        let refused = world.call(A, method, argument).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::InvalidArgument, "{refused}");
    }
    assert_eq!(world.call(A, "value", Value::Null).await.unwrap(), json!(0), "and it serves on");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_object_whose_type_becomes_durable_is_kept_from_then_on() {
    for before in ["volatile", "periodic"] {
        let folder = tempfile::tempdir().unwrap();
        {
            let world = World::at(&folder, |_| {}).await;
            world.describe(durability(before)).await;
            world.call(A, "add", json!(5)).await.unwrap();
            world.describe(durability("durable")).await;
            eventually("it has changed over, and is in the store", || async {
                let object = A.parse().unwrap();
                world.node.get(&object).await.unwrap().unwrap().updated_at_micros > 0
            })
            .await;
            assert_eq!(world.call(A, "value", Value::Null).await.unwrap(), json!(5));
            world.node.stop().await;
        }
        let world = World::at(&folder, |_| {}).await;
        let value = world.call(A, "value", Value::Null).await;
        assert_eq!(value.unwrap(), json!(5), "{before}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_object_has_so_many_keys_and_no_more() {
    let world = World::with(|config| config.node.idle = Duration::from_millis(20)).await;
    let limits = json!({ "storage_keys": 3 });
    world.describe(json!({ "type": "Chameleon", "durability": "durable", "limits": limits })).await;
    let put = async |key: &str| world.call(A, "put", json!([key, 1])).await;
    for key in ["a", "b", "c", "a"] {
        put(key).await.unwrap();
    }
    let full = put("d").await.unwrap_err();
    assert_eq!(full.kind(), ErrorKind::Denied);
    assert!(full.message().contains("storage_keys"), "{full}");
    // An instance that does not know what is there.
    world.until(A, Some(Stored)).await;
    put("b").await.unwrap();
    assert_eq!(put("d").await.unwrap_err().kind(), ErrorKind::Denied);
    world.call(A, "remove", json!("a")).await.unwrap();
    put("d").await.unwrap();
    assert_eq!(put("a").await.unwrap_err().kind(), ErrorKind::Denied);
    world.delete(A).await.unwrap();
    for key in ["x", "y", "z"] {
        put(key).await.unwrap();
    }
    assert_eq!(put("a").await.unwrap_err().kind(), ErrorKind::Denied);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_activate_wrote_is_not_lost_when_the_code_changes_again_before_a_turn_wrote() {
    let folder = tempfile::tempdir().unwrap();
    {
        let world = World::at(&folder, |_| {}).await;
        let describe = |revision: &str| {
            let mut describe = durability("durable");
            describe["revision"] = json!(revision);
            json!({ "describe": describe, "schema": 2, "moves": true })
        };
        world.describe(durability("durable")).await;
        world.call(A, "add", json!(5)).await.unwrap();
        for revision in ["one", "two", "three"] {
            world.deploy(chameleon(&describe(revision))).await;
            assert_eq!(world.rolled_out("Chameleon").await.refused_total, 0, "{revision}");
            assert_eq!(world.call(A, "read", json!("moved")).await.unwrap(), json!(5));
        }
        assert_eq!(world.call(A, "add", json!(1)).await.unwrap(), json!(1));
        assert_eq!(world.call(A, "read", json!("moved")).await.unwrap(), json!(5));
        // One that is not there has nothing to move, and comes into being by no change of code.
        world.call("Chameleon/b", "value", Value::Null).await.unwrap();
        world.deploy(chameleon(&describe("four"))).await;
        world.rolled_out("Chameleon").await;
        assert!(!world.exists("Chameleon/b").await);
        world.node.stop().await;
    }
    let world = World::at(&folder, |_| {}).await;
    assert_eq!(world.call(A, "read", json!("moved")).await.unwrap(), json!(5));
    assert_eq!(world.call(A, "value", Value::Null).await.unwrap(), json!(1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_slept_in_memory_is_kept_once_its_type_is_durable() {
    let folder = tempfile::tempdir().unwrap();
    {
        let world = World::at(&folder, |config| {
            config.node.idle = Duration::from_millis(20);
        })
        .await;
        world.describe(durability("volatile")).await;
        world.call(A, "add", json!(5)).await.unwrap();
        world.until(A, Some(wasmverse_node::ObjectState::Asleep)).await;
        world.describe(durability("durable")).await;
        world.call(A, "add_and_fail", json!(1)).await.unwrap_err();
        assert_eq!(world.call(A, "value", Value::Null).await.unwrap(), json!(5));
        world.node.stop().await;
        assert_eq!(world.node.unsaved(), 0);
    }
    let world = World::at(&folder, |_| {}).await;
    assert_eq!(world.call(A, "value", Value::Null).await.unwrap(), json!(5));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_that_traps_again_and_again_is_left_alone_for_a_while() {
    let world = World::with(|_| {}).await;
    let describe = durability("durable");
    world.deploy(chameleon(&json!({ "describe": describe, "snapshot": "trap" }))).await;
    let mut kinds = Vec::new();
    while kinds.last() != Some(&ErrorKind::Unavailable) {
        assert!(kinds.len() < 50, "it is tried for ever");
        kinds.push(world.call(A, "add", json!(1)).await.unwrap_err().kind());
    }
    assert_eq!(kinds[0], ErrorKind::Trapped, "{kinds:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failing_at_an_object_that_is_not_there_costs_no_instance() {
    let world = durable().await;
    world.call(A, "fail", json!("no")).await.unwrap_err();
    let born = world.call(A, "born", Value::Null).await.unwrap();
    world.call(A, "fail", json!("no")).await.unwrap_err();
    assert_eq!(world.call(A, "born", Value::Null).await.unwrap(), born);
    world.call(A, "add_and_fail", json!(1)).await.unwrap_err();
    assert_eq!(world.call(A, "value", Value::Null).await.unwrap(), json!(0));
    assert!(!world.exists(A).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failing_after_a_change_of_code_costs_no_instance_either() {
    let world = durable().await;
    world.call(A, "add", json!(5)).await.unwrap();
    let mut describe = durability("durable");
    describe["schema"] = json!(2);
    world.deploy(chameleon(&json!({ "describe": describe, "schema": 2 }))).await;
    world.rolled_out("Chameleon").await;
    let born = world.call(A, "born", Value::Null).await.unwrap();
    world.call(A, "fail", json!("no")).await.unwrap_err();
    assert_eq!(world.call(A, "born", Value::Null).await.unwrap(), born);
    world.call(A, "add_and_fail", json!(1)).await.unwrap_err();
    assert_eq!(world.call(A, "value", Value::Null).await.unwrap(), json!(5));
}
