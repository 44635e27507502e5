//! How a call comes to its turn, or does not.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use wasmverse_core::{Action, Caller, Chain, ErrorKind, ObjectId};
use wasmverse_node::ObjectState;
use wasmverse_router::Callee;
use wasmverse_tests::guests::{ECHO, MISCHIEF};

use crate::world::{World, durability, errand, invoke};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_echo_answers() {
    let world = World::new().await;
    world.deploy(ECHO.bytes()).await;
    let answer = world.call("Echo/a", "echo", json!({"x": [1, 2]})).await;
    assert_eq!(answer.unwrap(), json!({"x": [1, 2]}));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strangers_are_not_found_with_a_hint() {
    let world = World::new().await;
    let error = world.fails(ErrorKind::NotFound, "Echo/a", "echo", Value::Null).await;
    assert!(error.message().contains("wasmverse deploy"), "{error}");
    world.deploy(ECHO.bytes()).await;
    let error = world.fails(ErrorKind::NotFound, "Echo/a", "ecko", Value::Null).await;
    assert!(error.message().contains("echo"), "{error}");
    assert_eq!(error.object().unwrap().to_string(), "Echo/a");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn order_of_arrival_is_order_of_turns_even_while_the_object_wakes() {
    let world = World::new().await;
    world.describe(durability("volatile")).await;
    let calls: Vec<_> =
        (0..300).map(|n| world.begin("Chameleon/a", "append", json!(n.to_string()))).collect();
    for (n, answer) in join_all(calls).await.into_iter().enumerate() {
        assert_eq!(answer.unwrap(), json!(n + 1));
    }
    let entries = world.call("Chameleon/a", "entries", Value::Null).await.unwrap();
    let expected: Vec<_> = (0..300).map(|n| n.to_string()).collect();
    assert_eq!(entries, json!(expected));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_object_wakes_once_however_many_calls_race() {
    let world = World::new().await;
    world.describe(durability("volatile")).await;
    for round in 0..20 {
        let object = format!("Chameleon/{round}");
        let calls = (0..50).map(|_| world.begin(&object, "born", Value::Null));
        let calls: JoinSet<_> = calls.collect();
        let born: Vec<_> = calls.join_all().await.into_iter().map(Result::unwrap).collect();
        assert!(born.iter().all(|one| *one == born[0]), "{born:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_mailbox_is_overloaded_and_says_when_to_come_back() {
    let world = World::new().await;
    world.describe(json!({ "type": "Chameleon", "limits": { "mailbox_length": 3 } })).await;
    world.call("Chameleon/a", "value", Value::Null).await.unwrap();
    let busy = world.begin("Chameleon/a", "wait", json!(300));
    let mut waiting = Vec::new();
    let error = loop {
        assert!(waiting.len() < 5, "the mailbox is never full");
        // One that nobody waits for any more would give way.
        let mut call = world.node.call(invoke("Chameleon/a", "add", json!(1)));
        let early = tokio::time::timeout(Duration::from_millis(1), &mut call);
        match early.await {
            Ok(answer) => break answer.unwrap_err(),
            Err(_) => waiting.push(call),
        }
    };
    assert_eq!(error.kind(), ErrorKind::Overloaded, "{error}");
    assert!(error.retry_after_hint().is_some());
    busy.await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_gets_its_timeout_while_the_turn_goes_on() {
    let world = World::new().await;
    world.describe(durability("volatile")).await;
    let began = Instant::now();
    let slow = world.within(Duration::from_millis(60), "Chameleon/a", "wait", json!(400));
    let queued = world.within(Duration::from_millis(60), "Chameleon/a", "add", json!(1));
    let patient = world.begin("Chameleon/a", "add", json!(10));
    assert_eq!(slow.await.unwrap_err().kind(), ErrorKind::Timeout);
    assert_eq!(queued.await.unwrap_err().kind(), ErrorKind::Timeout);
    assert!(began.elapsed() < Duration::from_millis(350), "{:?}", began.elapsed());
    // The one whose deadline passed while it was queued was dropped.
    assert_eq!(patient.await.unwrap(), json!(10));
    assert!(began.elapsed() >= Duration::from_millis(400), "{:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_that_goes_away_harms_no_turn() {
    let world = World::new().await;
    world.describe(durability("volatile")).await;
    world.call("Chameleon/a", "add", json!(1)).await.unwrap();
    for _ in 0..50 {
        let call = world.begin("Chameleon/a", "add", json!(1));
        // Polled or not, it is dropped.
        let _ = tokio::time::timeout(Duration::ZERO, call).await;
    }
    assert!(world.call("Chameleon/a", "add", json!(0)).await.unwrap().as_i64() >= Some(1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_back_into_the_chain_is_a_cycle_at_once() {
    let world = World::new().await;
    world.describe(durability("volatile")).await;
    let back = errand("Chameleon/a", "add", json!(1));
    let there = errand("Chameleon/b", "relay", back);
    let error = world.fails(ErrorKind::Cycle, "Chameleon/a", "relay", there).await;
    let printed = "Chameleon/a → Chameleon/b → Chameleon/a";
    assert!(error.message().contains(printed), "{error}");
    world.deploy(MISCHIEF.bytes()).await;
    world.fails(ErrorKind::Cycle, "Mischief/m", "call_myself", Value::Null).await;
    world.fails(ErrorKind::Cycle, "Mischief/m", "call_chain", json!(70)).await;
    world.call("Mischief/n", "call_chain", json!(60)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_side_by_side_fail_alone_and_answer_in_order() {
    let world = World::new().await;
    world.describe(durability("volatile")).await;
    let began = Instant::now();
    let errands = json!([
        errand("Chameleon/b", "wait", json!(300)),
        errand("Chameleon/c", "fail", json!("no")),
        errand("Nobody/x", "y", Value::Null),
        errand("Chameleon/d", "wait", json!(301)),
    ]);
    let answer = world.call("Chameleon/a", "relay_many", errands).await.unwrap();
    let expected = json!([{"ok": 300}, {"err": "application"}, {"err": "not-found"}, {"ok": 301}]);
    assert_eq!(answer, expected);
    assert!(began.elapsed() < Duration::from_millis(590), "{:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deadline_is_passed_on_and_never_extended() {
    let world = World::new().await;
    world.describe(durability("volatile")).await;
    let who = errand("Chameleon/b", "who", Value::Null);
    let limit = Duration::from_millis(5000);
    let answer = world.within(limit, "Chameleon/a", "relay", who).await.unwrap();
    let left = answer["left_ms"].as_u64().unwrap();
    assert!(left > 0 && left <= 5000, "{answer}");
    assert_eq!(answer["caller"], "Chameleon/a");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_only_turn_may_only_read() {
    let world = World::new().await;
    world.describe(durability("volatile")).await;
    let read = errand("Chameleon/b", "value", Value::Null);
    assert_eq!(world.call("Chameleon/a", "ask", read).await.unwrap(), json!(0));
    let write = errand("Chameleon/b", "add", json!(1));
    world.fails(ErrorKind::Denied, "Chameleon/a", "ask", write).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn methods_say_who_may_call_them() {
    let world = World::new().await;
    world
        .describe(json!({ "type": "Chameleon", "methods": [
            { "name": "add", "callers": "objects" },
            { "name": "value", "callers": "clients", "mode": "read-only" },
            { "name": "relay" },
            { "name": "on_client_gone" },
        ]}))
        .await;
    world.fails(ErrorKind::Denied, "Chameleon/a", "add", json!(1)).await;
    world.fails(ErrorKind::Denied, "Chameleon/a", "on_client_gone", json!("c")).await;
    let add = errand("Chameleon/b", "add", json!(1));
    assert_eq!(world.call("Chameleon/a", "relay", add).await.unwrap(), json!(1));
    let read = errand("Chameleon/b", "value", Value::Null);
    world.fails(ErrorKind::Denied, "Chameleon/a", "relay", read).await;
    assert_eq!(world.call("Chameleon/b", "value", Value::Null).await.unwrap(), json!(1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_is_refused_where_it_could_not_be_honoured() {
    let world = World::new().await;
    for kept in ["volatile", "periodic"] {
        world.describe(durability(kept)).await;
        for (method, refused) in [("add", true), ("value", false)] {
            let mut call = invoke("Chameleon/a", method, json!(1));
            let Action::Invoke(invocation) = &mut call.action else { unreachable!() };
            invocation.key = Some("k".into());
            let kind = world.node.call(call).await.err().map(|error| error.kind());
            assert_eq!(kind, refused.then_some(ErrorKind::InvalidArgument), "{kept} {method}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pins_are_followed_where_they_make_sense() {
    let world = World::new().await;
    world.describe(durability("volatile")).await;
    let value = |id: &str| world.begin(&format!("Chameleon/{id}"), "value", Value::Null);
    assert!(value("shard#8191/x").await.is_ok());
    assert!(value("node#127.0.0.1:47000/x").await.is_ok());
    let kind = |answer: Result<Value, wasmverse_core::CallError>| answer.unwrap_err().kind();
    assert_eq!(kind(value("shard#8192/x").await), ErrorKind::InvalidArgument);
    assert_eq!(kind(value("node#127.0.0.1/x").await), ErrorKind::InvalidArgument);
    assert_eq!(kind(value("node#127.0.0.1:47009/x").await), ErrorKind::Unavailable);
    world.describe(durability("periodic")).await;
    assert_eq!(kind(value("node#127.0.0.1:47000/y").await), ErrorKind::InvalidArgument);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_peer_sends_is_checked_again() {
    let world = World::new().await;
    world.describe(durability("volatile")).await;
    let me: ObjectId = "Chameleon/a".parse().unwrap();
    let mut call = invoke("Chameleon/a", "value", Value::Null);
    call.chain = Chain::default().and(&me);
    call.caller = Caller::Object(me);
    assert_eq!(world.node.call(call).await.unwrap_err().kind(), ErrorKind::Cycle);
    let mut late = invoke("Chameleon/a", "value", Value::Null);
    late.deadline = Instant::now();
    assert_eq!(world.node.call(late).await.unwrap_err().kind(), ErrorKind::Timeout);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_argument_over_the_limit_is_invalid() {
    let world = World::new().await;
    world.describe(json!({ "type": "Chameleon", "limits": { "payload_bytes": 100 } })).await;
    let long = json!("x".repeat(200));
    let error = world.fails(ErrorKind::InvalidArgument, "Chameleon/a", "append", long).await;
    assert!(error.message().contains("limits.payload_bytes"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn objects_of_auto_load_wake_by_themselves() {
    let folder = tempfile::tempdir().unwrap();
    {
        let world = World::at(&folder, |_| {}).await;
        world.describe(durability("periodic")).await;
        world.node.stop().await;
    }
    let world = World::at(&folder, |config| {
        config.node.auto_load = vec!["Chameleon/first".into(), "Nobody/x".into()];
    })
    .await;
    world.until("Chameleon/first", Some(ObjectState::Live)).await;
    world.node.stop().await;
}
