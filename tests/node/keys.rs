//! Keyed calls: each happens once, and a repeat hears what the first one heard.

use std::time::Duration;

use serde_json::{Value, json};
use wasmverse_core::ErrorKind;

use crate::world::{World, durability, errand, eventually};

const A: &str = "Chameleon/a";
const B: &str = "Chameleon/b";

async fn durable() -> World {
    let world = World::new().await;
    world.describe(durability("durable")).await;
    world
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repeat_hears_what_the_first_one_heard_and_does_nothing() {
    let folder = tempfile::tempdir().unwrap();
    {
        let world = World::at(&folder, |_| {}).await;
        world.describe(durability("durable")).await;
        for _ in 0..3 {
            assert_eq!(world.keyed("k1", A, "add", json!(5)).await, Ok(json!(5)));
            assert_eq!(world.keyed("k2", A, "add", json!(5)).await, Ok(json!(10)));
            // One that changes nothing, and one without a result.
            assert_eq!(world.keyed("k3", A, "add", json!(0)).await, Ok(json!(10)));
            assert_eq!(world.keyed("k4", A, "put", json!(["x", 1])).await, Ok(Value::Null));
        }
        world.ok(A, "put", json!(["x", 2])).await;
        world.node.stop().await;
    }
    let world = World::at(&folder, |_| {}).await;
    assert_eq!(world.keyed("k1", A, "add", json!(5)).await, Ok(json!(5)));
    assert_eq!(world.keyed("k4", A, "put", json!(["x", 1])).await, Ok(Value::Null));
    assert_eq!(world.ok(A, "value", Value::Null).await, json!(10));
    assert_eq!(world.ok(A, "read", json!("x")).await, json!(2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_objects_own_failure_is_kept_and_undone() {
    let world = durable().await;
    for object in [A, B] {
        if object == A {
            world.ok(A, "add", json!(1)).await;
        }
        let first = world.keyed("k", object, "add_and_fail", json!(7)).await.unwrap_err();
        assert_eq!((first.kind(), first.code()), (ErrorKind::Application, "changed-my-mind"));
        let again = world.keyed("k", object, "add_and_fail", json!(7)).await.unwrap_err();
        assert_eq!(again, first);
        let refused = world.keyed("d", object, "fail", json!("no-money")).await.unwrap_err();
        assert_eq!(refused.details(), &bytes::Bytes::from_static(b"[1,2,3]"));
        assert_eq!(world.keyed("d", object, "fail", json!("no-money")).await, Err(refused));
    }
    assert_eq!(world.ok(A, "value", Value::Null).await, json!(1));
    assert!(!world.exists(B).await, "what only failed does not exist");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failure_of_the_platform_is_not_kept() {
    let world = durable().await;
    let ask = || errand("Later/x", "add", json!(1));
    let missing = world.keyed("k", A, "relay_and_add", ask()).await.unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::NotFound);
    world.describe(json!({ "type": "Later", "durability": "durable" })).await;
    assert_eq!(world.keyed("k", A, "relay_and_add", ask()).await, Ok(json!(1)));
    assert_eq!(world.keyed("k", A, "relay_and_add", ask()).await, Ok(json!(1)));
    for _ in 0..2 {
        let trapped = world.keyed("t", A, "add_and_trap", json!(1)).await.unwrap_err();
        assert_eq!(trapped.kind(), ErrorKind::Trapped);
    }
    assert_eq!(world.ok(A, "value", Value::Null).await, json!(1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_is_for_one_request() {
    let world = durable().await;
    world.keyed("k", A, "add", json!(5)).await.unwrap();
    for (method, argument) in [("add", json!(6)), ("append", json!("5")), ("tick", Value::Null)] {
        let refused = world.keyed("k", A, method, argument).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::InvalidArgument, "{method}");
    }
    // Each object has its own keys.
    assert_eq!(world.keyed("k", B, "add", json!(6)).await, Ok(json!(6)));
    assert_eq!(world.ok(A, "value", Value::Null).await, json!(5));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repeat_waits_for_the_first_one_that_runs() {
    let world = durable().await;
    let both =
        futures_util::future::join_all((0..4).map(|_| world.keyed("k", A, "add_slowly", json!(3))));
    assert_eq!(both.await, vec![Ok(json!(3)); 4]);
    assert_eq!(world.ok(A, "value", Value::Null).await, json!(3));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callers_have_keys_of_their_own_and_clients_share_theirs() {
    let world = durable().await;
    let ask = |key: &str| {
        let mut errand = errand("Chameleon/target", "add", json!(1));
        errand["key"] = json!(key);
        errand
    };
    for _ in 0..2 {
        assert_eq!(world.ok(A, "relay", ask("k")).await, json!(1));
        assert_eq!(world.ok(B, "relay", ask("k")).await, json!(2));
        assert_eq!(world.keyed("k", "Chameleon/target", "add", json!(1)).await, Ok(json!(3)));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_cannot_be_honoured_is_refused_and_one_that_matters_not_is_ignored() {
    for other in ["volatile", "periodic"] {
        let world = World::new().await;
        world.describe(durability(other)).await;
        let refused = world.keyed("k", A, "add", json!(1)).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::InvalidArgument, "{other}");
        assert_eq!(world.keyed("k", A, "value", Value::Null).await, Ok(json!(0)), "{other}");
    }
    let world = durable().await;
    assert_eq!(world.keyed("k", A, "value", Value::Null).await, Ok(json!(0)));
    world.ok(A, "add", json!(1)).await;
    assert_eq!(world.keyed("k", A, "value", Value::Null).await, Ok(json!(1)), "it reads anew");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_keyed_turn_that_is_run_again_repeats_none_of_its_calls() {
    let world = durable().await;
    world.describe(json!({ "type": "Memory", "durability": "volatile" })).await;
    for _ in 0..3 {
        let ask = errand(B, "add", json!(1));
        let trapped = world.keyed("k", A, "relay_and_trap", ask).await.unwrap_err();
        assert_eq!(trapped.kind(), ErrorKind::Trapped);
    }
    assert_eq!(world.ok(B, "value", Value::Null).await, json!(1));
    // Another key is another turn, and a turn without one makes its calls each time.
    let trapped = world.keyed("l", A, "relay_and_trap", errand(B, "add", json!(1))).await;
    assert!(trapped.is_err());
    world.call(A, "relay_and_trap", errand(B, "add", json!(1))).await.unwrap_err();
    assert_eq!(world.ok(B, "value", Value::Null).await, json!(3));
    // Over an object that keeps nothing, too; and what is not durable counts each time.
    let through = || errand("Memory/m", "relay", errand(B, "add", json!(10)));
    for _ in 0..2 {
        world.keyed("m", A, "relay_and_trap", through()).await.unwrap_err();
        let ask = errand("Memory/m", "add", json!(1));
        world.keyed("n", A, "relay_and_trap", ask).await.unwrap_err();
    }
    assert_eq!(world.ok(B, "value", Value::Null).await, json!(13));
    assert_eq!(world.ok("Memory/m", "value", Value::Null).await, json!(2));
    // Side by side, the same call twice is two calls.
    let twice = || json!([errand(B, "add", json!(100)), errand(B, "add", json!(100))]);
    for _ in 0..2 {
        world.keyed("o", A, "relay_many", twice()).await.unwrap();
    }
    assert_eq!(world.ok(B, "value", Value::Null).await, json!(213));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn results_outlive_their_object() {
    let world = durable().await;
    world.keyed("k", A, "add", json!(5)).await.unwrap();
    world.delete(A).await.unwrap();
    assert_eq!(world.keyed("k", A, "add", json!(5)).await, Ok(json!(5)));
    assert!(!world.exists(A).await);
    assert_eq!(world.keyed("l", A, "add", json!(1)).await, Ok(json!(1)));
    // It may go in a keyed turn.
    assert_eq!(world.keyed("m", A, "add_and_leave", json!(6)).await, Ok(json!(7)));
    assert_eq!(world.keyed("m", A, "add_and_leave", json!(6)).await, Ok(json!(7)));
    assert!(!world.exists(A).await);
    // Also if nothing of it was ever stored.
    assert_eq!(world.keyed("n", B, "add_and_leave", json!(2)).await, Ok(json!(2)));
    assert_eq!(world.keyed("n", B, "add_and_leave", json!(2)).await, Ok(json!(2)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn results_are_forgotten_after_their_time() {
    let world = World::with(|config| config.store.results_kept = Duration::from_millis(200)).await;
    world.describe(durability("durable")).await;
    world.keyed("k", A, "add", json!(1)).await.unwrap();
    eventually("the result is forgotten", || async {
        world.keyed("k", A, "add", json!(1)).await == Ok(json!(2))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_keys_than_memory_holds_are_remembered_all_the_same() {
    let world = durable().await;
    for n in 0..4_200 {
        let key = format!("k{n}");
        assert_eq!(world.keyed(&key, A, "add", json!(1)).await, Ok(json!(n + 1)));
    }
    for n in [0, 1, 2_000, 4_199] {
        let key = format!("k{n}");
        assert_eq!(world.keyed(&key, A, "add", json!(1)).await, Ok(json!(n + 1)));
    }
    assert_eq!(world.keyed("new", A, "add", json!(1)).await, Ok(json!(4_201)));
}
