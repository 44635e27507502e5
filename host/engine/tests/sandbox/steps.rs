//! The steps of an instance, and what passes between a guest and the world.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures_util::poll;
use wasmverse_core::{Action, Caller, ErrorKind, PushTo, State, TurnEnd};
use wasmverse_engine::{Leaving, LogLevel, MAPPINGS_PER_INSTANCE};

use crate::{
    guest::Guest,
    world::{Bench, failure, invoke, me, result, trap, turn},
};

#[tokio::test]
async fn state_goes_in_and_comes_out() {
    let bench = Bench::new().await;
    let mut instance = bench.instance().await;
    let state = State { schema: 3, data: Bytes::from_static(b"seven") };
    instance.activate(Some(state.clone())).await.unwrap();
    assert_eq!(instance.snapshot().await, Ok(state));
    assert_eq!(instance.memory_bytes(), 4 * 65_536);
}

#[tokio::test]
async fn state_that_the_guest_refuses_is_its_own_error() {
    let mut instance = Bench::new().await.instance().await;
    let state = State { schema: 1, data: Bytes::from_static(b"!") };
    let error = instance.activate(Some(state)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Application);
    assert_eq!(error.object(), Some(&me()));
    assert!(!instance.is_dead());
}

#[tokio::test]
async fn a_result_comes_back_and_one_instance_runs_many_turns() {
    let mut object = Bench::new().await.object().await;
    for text in ["", "x", "hello"] {
        let report = invoke(&mut object, "echo", text.as_bytes()).await;
        assert_eq!(result(&report), text.as_bytes());
        assert!(report.effects.is_empty());
    }
}

#[tokio::test]
async fn a_call_leaves_with_its_chain_its_deadline_and_its_trace() {
    let bench = Bench::new().await;
    let mut object = bench.object().await;
    let asked = turn();
    let deadline = asked.deadline;
    let report = object.handle(asked, "call", Bytes::from_static(b"other")).await;
    assert_eq!(result(&report), b"other");
    assert_eq!(report.host_calls, 1);
    let calls = bench.world.calls.lock();
    assert_eq!(calls[0].object.to_string(), "T/other");
    assert_eq!(calls[0].caller, Caller::Object(me()));
    assert_eq!(calls[0].chain.to_string(), "Probe/me");
    assert_eq!(calls[0].deadline, deadline);
    assert_eq!(calls[0].traceparent.as_deref(), Some("00-trace"));
    let Action::Invoke(invocation) = &calls[0].action else { panic!("{:?}", calls[0]) };
    assert_eq!((&*invocation.method, invocation.read_only), ("run", false));
}

#[tokio::test]
async fn a_call_back_into_the_chain_is_a_cycle_and_goes_nowhere() {
    let bench = Bench::new().await;
    let mut object = bench.object().await;
    let mut asked = turn();
    asked.chain = asked.chain.and(&"T/outer".parse().unwrap());
    let report = object.handle(asked, "call", Bytes::from_static(b"outer")).await;
    let error = failure(&report);
    assert_eq!(error.kind(), ErrorKind::Cycle);
    assert!(error.message().contains("T/outer → Probe/me → T/outer"), "{error}");
    assert!(bench.world.calls.lock().is_empty());
}

#[tokio::test]
async fn a_failure_of_the_platform_may_be_passed_on_and_stays_what_it_was() {
    let report = Bench::new().await.invoke("call", b"gone").await;
    let error = failure(&report);
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.may_have_executed());
    assert_eq!(error.object().unwrap().to_string(), "T/gone");
}

#[tokio::test]
async fn a_failure_that_only_poses_as_the_platforms_is_the_guests_own() {
    let bench = Bench::new().await;
    for kind in ["unavailable", "internal", "trapped", "teapot"] {
        let report = bench.invoke("pose", kind.as_bytes()).await;
        assert_eq!(failure(&report).kind(), ErrorKind::Application, "{kind}");
    }
    // Not even if the host gave it one in an earlier turn.
    let mut object = bench.object().await;
    invoke(&mut object, "call", b"gone").await;
    let report = invoke(&mut object, "pose", b"unavailable").await;
    assert_eq!(failure(&report).kind(), ErrorKind::Application);
    let report = invoke(&mut object, "pose", b"invalid-argument").await;
    assert_eq!(failure(&report).kind(), ErrorKind::InvalidArgument);
}

#[tokio::test]
async fn after_the_deadline_calls_answer_timeout_without_going_out() {
    let bench = Bench::new().await;
    let mut object = bench.object().await;
    let mut asked = turn();
    asked.deadline = Instant::now();
    let report = object.handle(asked, "call", Bytes::from_static(b"other")).await;
    assert_eq!(failure(&report).kind(), ErrorKind::Timeout);
    assert!(bench.world.calls.lock().is_empty());
}

#[tokio::test]
async fn a_call_that_nobody_answers_ends_with_the_deadline_and_the_turn_goes_on() {
    let mut object = Bench::new().await.object().await;
    let mut asked = turn();
    asked.deadline = Instant::now() + Duration::from_millis(30);
    let report = object.handle(asked, "call", Bytes::from_static(b"never")).await;
    let error = failure(&report);
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert!(error.may_have_executed());
    assert!(!object.is_dead());
}

#[tokio::test]
async fn sends_pushes_and_the_own_delete_are_gathered() {
    let bench = Bench::of(Guest::limited(r#""payload_bytes": 1000"#)).await;
    let report = bench.invoke("out", b"other").await;
    assert_eq!(report.effects.sends[0].to.to_string(), "T/other");
    let report = bench.invoke("broadcast", &500_u32.to_le_bytes()).await;
    assert_eq!(report.effects.pushes[0].to, PushTo::Everyone);
    assert_eq!(&*report.effects.pushes[0].event, "run");
    assert!(bench.world.calls.lock().is_empty());
    let report = bench.invoke("delete", b"other").await;
    assert!(!report.effects.delete);
    assert!(matches!(bench.world.calls.lock()[0].action, Action::Delete));
}

#[tokio::test]
async fn a_turn_lets_out_a_bounded_amount() {
    let bench = Bench::of(Guest::limited(r#""payload_bytes": 1000"#)).await;
    let report = bench.invoke("broadcast", &990_u32.to_le_bytes()).await;
    let error = failure(&report);
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    assert!(error.message().contains("at most 16000 bytes together"), "{error}");
    let bytes: usize = report.effects.pushes.iter().map(|push| push.payload.len()).sum();
    // Each push takes a little beside its payload.
    assert!((14_000..=16_000).contains(&bytes), "{bytes}");
}

#[tokio::test]
async fn a_read_only_turn_may_call_and_nothing_else() {
    let bench = Bench::new().await;
    let mut object = bench.object().await;
    let mut read_only = turn();
    read_only.read_only = true;
    let other = Bytes::from_static(b"other");
    for method in ["out", "broadcast", "delete"] {
        let payload =
            if method == "broadcast" { Bytes::from_static(&[4, 0, 0, 0]) } else { other.clone() };
        let report = object.handle(read_only.clone(), method, payload).await;
        assert_eq!(failure(&report).kind(), ErrorKind::Denied, "{method}");
    }
    let report = object.handle(read_only, "call", other).await;
    assert_eq!(result(&report), b"other");
    let calls = bench.world.calls.lock();
    assert!(matches!(&calls[0].action, Action::Invoke(invocation) if invocation.read_only));
}

#[tokio::test]
async fn storage_is_denied_and_says_why() {
    let report = Bench::new().await.invoke("keyed", b"").await;
    let error = failure(&report);
    assert_eq!(error.kind(), ErrorKind::Denied);
    assert!(error.message().contains("durable types"), "{error}");
}

#[tokio::test]
async fn a_dead_instance_answers_trapped_to_every_step() {
    let bench = Bench::new().await;
    let mut object = bench.object().await;
    assert_eq!(trap(&invoke(&mut object, "trap", b"").await).kind(), ErrorKind::Trapped);
    assert!(object.is_dead());
    assert_eq!(object.memory_bytes(), 0);
    assert_eq!(trap(&invoke(&mut object, "echo", b"x").await).kind(), ErrorKind::Trapped);
    assert_eq!(object.snapshot().await.unwrap_err().kind(), ErrorKind::Trapped);
    assert_eq!(object.activate(None).await.unwrap_err().kind(), ErrorKind::Trapped);
    object.deactivate(Leaving::Idle).await;
    assert_eq!(result(&bench.invoke("echo", b"x").await), b"x");
}

#[tokio::test]
async fn a_trap_is_a_line_of_the_objects_log() {
    let bench = Bench::new().await;
    bench.invoke("trap", b"").await;
    let lines = bench.world.lines.lock();
    assert_eq!(lines[0].level, LogLevel::Error);
    assert_eq!(lines[0].turn, Some(turn().id));
    assert!(lines[0].message.contains("`handle`"), "{}", lines[0].message);
}

#[tokio::test]
async fn a_step_that_is_dropped_half_way_leaves_a_dead_instance() {
    let bench = Bench::new().await;
    let mut object = bench.object().await;
    {
        let mut step = Box::pin(object.handle(turn(), "call", Bytes::from_static(b"never")));
        assert!(poll!(step.as_mut()).is_pending());
        bench.world.called.notified().await;
    }
    assert!(object.is_dead());
    assert_eq!(trap(&invoke(&mut object, "echo", b"x").await).kind(), ErrorKind::Trapped);
}

#[tokio::test]
async fn a_panic_of_ours_ends_one_turn_and_harms_nobody_else() {
    let bench = Bench::new().await;
    let mut other = bench.object().await;
    let mut object = bench.object().await;
    let report = invoke(&mut object, "call", b"broken").await;
    assert_eq!(trap(&report).kind(), ErrorKind::Internal);
    assert!(object.is_dead());
    assert_eq!(result(&invoke(&mut other, "echo", b"x").await), b"x");
}

#[tokio::test]
async fn a_leaving_guest_hears_why_and_cannot_stay() {
    let bench = Bench::new().await;
    bench.object().await.deactivate(Leaving::Evicted).await;
    assert_eq!(bench.messages(), ["evicted"]);
    let mut stubborn = bench.instance().await;
    let state = State { schema: 1, data: Bytes::from_static(b"on") };
    stubborn.activate(Some(state)).await.unwrap();
    stubborn.deactivate(Leaving::Shutdown).await;
    let last = bench.messages().pop().unwrap();
    assert!(last.contains("`deactivate`") && last.contains("100ms"), "{last}");
}

#[tokio::test]
async fn many_calls_side_by_side_answer_in_order() {
    let bench = Bench::of(Guest::default()).await;
    let report = bench.invoke("many", &3_u32.to_le_bytes()).await;
    // All three name nobody, and each fails alone.
    assert!(matches!(report.end, TurnEnd::Well(_)), "{report:?}");
    assert_eq!(report.host_calls, 3);
}

#[tokio::test]
async fn the_engine_and_its_components_may_go_before_their_instances() {
    let bench = Bench::new().await;
    let mut object = bench.object().await;
    let world = Arc::clone(&bench.world);
    drop(bench);
    assert_eq!(result(&invoke(&mut object, "echo", b"x").await), b"x");
    let report = invoke(&mut object, "spin", b"").await;
    assert_eq!(trap(&report).kind(), ErrorKind::Trapped, "its clock still ticks");
    assert_eq!(world.lines.lock().len(), 1);
}

/// The constant that operators' limits are worked out with.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn an_instance_takes_no_more_memory_mappings_than_it_says() {
    const INSTANCES: usize = 200;
    let mappings = || std::fs::read_to_string("/proc/self/maps").unwrap().lines().count();
    // As many empty memories as may be, which it tries to fill.
    let memories = format!("{}{}", "(memory 0)".repeat(14), "(memory $empty 0)");
    let start = "(drop (memory.grow $empty (i32.const 1)))";
    let bench = Bench::of(Guest { memories, start, ..Guest::default() }).await;
    let before = mappings();
    let mut objects = Vec::new();
    for _ in 0..INSTANCES {
        objects.push(bench.object().await);
    }
    let each = mappings().saturating_sub(before) / INSTANCES;
    assert!(each <= MAPPINGS_PER_INSTANCE, "{each}");
}
