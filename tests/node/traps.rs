//! A trap discards one activation and nothing else.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use wasmverse_core::{CallError, ErrorKind};
use wasmverse_tests::guests::{ECHO, MISCHIEF, chameleon};

use crate::world::{World, durability};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_mischief_ends_as_it_says_and_the_object_serves_again() {
    use ErrorKind::{Cycle, Denied, Trapped};
    let world = World::new().await;
    world.deploy(MISCHIEF.bytes()).await;
    let cases = [
        ("spin", json!(null), Some(Trapped)),
        ("allocate", json!(1_000_000_000), Some(Trapped)),
        ("recurse", json!(null), Some(Trapped)),
        ("trap", json!(null), Some(Trapped)),
        ("huge_reply", json!(50_000_000), Some(Trapped)),
        ("log_flood", json!(3000), None),
        ("call_storm", json!(1_000_000), Some(Trapped)),
        ("push_storm", json!(1_000_000), Some(Trapped)),
        ("call_myself", json!(null), Some(Cycle)),
        ("call_chain", json!(80), Some(Cycle)),
        ("wait", json!(10), None),
        ("write_in_read_only", json!(null), Some(Denied)),
    ];
    for (method, argument, expected) in cases {
        let answer = world.call("Mischief/m", method, argument).await;
        assert_eq!(answer.as_ref().err().map(CallError::kind), expected, "{method}: {answer:?}");
        let after = world.call("Mischief/m", "wait", json!(1)).await;
        assert!(after.is_ok(), "after {method}: {after:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_trap_a_volatile_object_starts_anew_and_still_exists() {
    let world = World::new().await;
    world.describe(durability("volatile")).await;
    world.call("Chameleon/a", "add", json!(3)).await.unwrap();
    world.fails(ErrorKind::Trapped, "Chameleon/a", "add_and_trap", json!(1)).await;
    assert!(world.exists("Chameleon/a").await);
    assert_eq!(world.call("Chameleon/a", "value", Value::Null).await.unwrap(), json!(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_trap_a_periodic_object_falls_back_to_its_last_save() {
    let world = World::with(|config| config.node.save_interval = Duration::from_millis(30)).await;
    world.describe(durability("periodic")).await;
    world.call("Chameleon/a", "add", json!(3)).await.unwrap();
    crate::world::eventually("it is saved", || async {
        let object = "Chameleon/a".parse().unwrap();
        world.node.get(&object).await.unwrap().unwrap().updated_at_micros > 0
    })
    .await;
    world.fails(ErrorKind::Trapped, "Chameleon/a", "add_and_trap", json!(1)).await;
    assert_eq!(world.call("Chameleon/a", "value", Value::Null).await.unwrap(), json!(3));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failure_keeps_what_memory_holds() {
    for kept in ["volatile", "periodic"] {
        let world = World::new().await;
        world.describe(durability(kept)).await;
        world.fails(ErrorKind::Application, "Chameleon/a", "add_and_fail", json!(4)).await;
        assert_eq!(world.call("Chameleon/a", "value", Value::Null).await.unwrap(), json!(4));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_that_wait_behind_a_trap_are_served_in_order() {
    let world = World::new().await;
    world.describe(durability("volatile")).await;
    let slow = world.begin("Chameleon/a", "wait", json!(50));
    let trap = world.begin("Chameleon/a", "trap", Value::Null);
    let rest: Vec<_> = (0..10).map(|_| world.begin("Chameleon/a", "add", json!(1))).collect();
    slow.await.unwrap();
    assert_eq!(trap.await.unwrap_err().kind(), ErrorKind::Trapped);
    for (n, answer) in join_all(rest).await.into_iter().enumerate() {
        assert_eq!(answer.unwrap(), json!(n + 1));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_object_that_keeps_trapping_is_left_alone_for_a_while() {
    let world = World::new().await;
    world.describe(durability("volatile")).await;
    let mut trapped = 0;
    let error = loop {
        let error = world.begin("Chameleon/bad", "trap", Value::Null).await.unwrap_err();
        if error.kind() != ErrorKind::Trapped {
            break error;
        }
        trapped += 1;
        assert!(trapped < 30, "it never backs off");
    };
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    assert!(trapped >= 5, "only {trapped} traps were free");
    let pause = error.retry_after_hint().expect("it says when to come back");
    assert_eq!(world.call("Chameleon/good", "add", json!(1)).await.unwrap(), json!(1));
    tokio::time::sleep(pause).await;
    assert_eq!(world.call("Chameleon/bad", "add", json!(1)).await.unwrap(), json!(1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_object_that_cannot_wake_answers_why_and_its_neighbours_serve() {
    let world = World::new().await;
    for (how, kind) in [("trap", ErrorKind::Trapped), ("refuse", ErrorKind::Application)] {
        let settings = json!({
            "describe": durability("volatile"), "activate": how, "victims": "victim",
        });
        world.deploy(chameleon(&settings)).await;
        let object = format!("Chameleon/victim-{how}");
        let all: Vec<_> = (0..20).map(|_| world.begin(&object, "value", Value::Null)).collect();
        for answer in join_all(all).await {
            assert_eq!(answer.unwrap_err().kind(), kind, "{how}");
        }
        let other = world.call("Chameleon/other", "value", Value::Null).await;
        assert_eq!(other.unwrap(), json!(0));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_loop_delays_its_neighbours_by_little() {
    let world = World::new().await;
    world.deploy(MISCHIEF.bytes()).await;
    world.deploy(ECHO.bytes()).await;
    world.call("Echo/a", "echo", json!(1)).await.unwrap();
    let spin = world.begin("Mischief/m", "spin", Value::Null);
    let mut worst = Duration::ZERO;
    let mut spin = JoinSet::from_iter([spin]);
    let trapped = loop {
        let began = Instant::now();
        world.call("Echo/a", "echo", json!(1)).await.unwrap();
        worst = worst.max(began.elapsed());
        if let Some(ended) = spin.try_join_next() {
            break ended.unwrap().unwrap_err();
        }
    };
    assert_eq!(trapped.kind(), ErrorKind::Trapped);
    // Two ticks are promised; a machine that is busy with other things adds its own.
    assert!(worst < Duration::from_millis(500), "{worst:?}");
}
