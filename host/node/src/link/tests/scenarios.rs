//! What works: answers, order, sizes, bounds, deadlines, pins, types.

use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::{StreamExt as _, future::join_all, stream::FuturesUnordered};
use tokio_stream::iter;
use tokio_util::task::TaskTracker;
use wasmverse_core::{Action, CallError, Caller, Chain, ErrorKind, Reply};
use wasmverse_proto::{
    PROTOCOL,
    admin::{ListTypesRequest, ListTypesResponse},
    node::{CallFrame, Frame, Frames, Hello, ReplyFrame, frame::Frame as Kind, reply_frame},
};
use wasmverse_router::{Callee as _, LinkBounds, Router};

use super::{
    proxy::until,
    running::{Running, Setup, call, config, router, type_info},
};
use crate::link::Bounds;

async fn pair() -> (Running, Router) {
    let tasks = TaskTracker::new();
    let node = Running::start(Setup::default(), &tasks).await;
    let router = router(config(), &[node.address], &tasks);
    (node, router)
}

#[tokio::test]
async fn answers_come_back_whole() {
    let (_node, router) = pair().await;
    assert_eq!(router.call(call("a", "echo", "hi")).await, Ok(Reply::Payload("hi".into())));
    let error = router.call(call("a", "fail", "")).await.unwrap_err();
    let told = CallError::application("nope", "no", Bytes::from_static(b"7"));
    assert_eq!(error, told.about(&"T/a".parse().unwrap()));
    for (action, reply) in [
        (Action::Create, Reply::Done),
        (Action::Delete, Reply::Done),
        (Action::Exists, Reply::Exists(true)),
    ] {
        assert_eq!(router.call(call_to_do(action)).await, Ok(reply));
    }
}

fn call_to_do(action: Action) -> wasmverse_core::Call {
    wasmverse_core::Call { action, ..call("a", "", "") }
}

#[tokio::test]
async fn a_call_arrives_as_it_was_made() {
    let (node, router) = pair().await;
    let (outer, inner) = ("A/1".parse().unwrap(), "B/2".parse().unwrap());
    let mut made = call("ä/{ö}", "echo", "x");
    made.caller = Caller::Object(outer);
    made.chain = Chain::default().and(&inner);
    made.traceparent = Some("00-1-2-01".into());
    router.call(made.clone()).await.unwrap();
    let seen = node.fake.seen.lock()[0].clone();
    assert_eq!((seen.object, seen.caller), (made.object, made.caller));
    assert_eq!(seen.chain.objects(), [&inner]);
    assert_eq!(seen.traceparent, made.traceparent);
    // Only what was left of the deadline has passed on.
    assert!(seen.deadline <= made.deadline + Duration::from_millis(50));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_and_sends_of_one_task_arrive_in_their_order() {
    let (node, router) = pair().await;
    let answers = FuturesUnordered::new();
    for n in 0..3000 {
        if n % 3 == 0 {
            router.send(call(&n.to_string(), "echo", ""));
        } else {
            answers.push(router.call(call(&n.to_string(), "echo", n.to_string())));
        }
    }
    assert!(answers.all(|answer| async move { answer.is_ok() }).await);
    node.fake.arrived(3000).await;
    assert_eq!(node.fake.ids(), (0..3000).map(|n| n.to_string()).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_send_however_large_keeps_its_place() {
    let (node, router) = pair().await;
    router.send(call("1", "echo", vec![7; 4 << 20]));
    router.send(call("2", "echo", ""));
    node.fake.arrived(2).await;
    assert_eq!(node.fake.ids(), ["1", "2"]);
}

#[tokio::test]
async fn arguments_and_results_of_four_mebibytes_pass() {
    let (_node, router) = pair().await;
    let large = Bytes::from(vec![7; 4 << 20]);
    let echoed = router.call(call("a", "echo", large.clone())).await.unwrap();
    assert_eq!(echoed.into_payload(), large);
    let size = large.len().to_string();
    let bigs = (0..8).map(|_| router.call(call("a", "big", size.clone())));
    for big in join_all(bigs).await {
        assert_eq!(big.unwrap().into_payload(), large);
    }
}

#[tokio::test]
async fn neither_long_names_nor_long_errors_cost_others_the_link() {
    let (_node, router) = pair().await;
    let named = "m".repeat(200 << 10);
    for (method, kind) in [(&*named, ErrorKind::NotFound), ("verbose", ErrorKind::Application)] {
        for answer in join_all((0..256).map(|_| router.call(call("a", method, "")))).await {
            assert_eq!(answer.unwrap_err().kind(), kind);
        }
    }
}

#[tokio::test]
async fn a_large_argument_fails_as_a_small_one_does() {
    let (_node, router) = pair().await;
    for size in [1, 1 << 20] {
        let error = router.call(call("a", "fail", vec![0; size])).await.unwrap_err();
        assert_eq!((error.kind(), error.code()), (ErrorKind::Application, "nope"));
    }
}

#[tokio::test]
async fn a_caller_whose_deadline_passes_is_told_and_its_call_taken_back() {
    let (node, router) = pair().await;
    for size in [1, 1 << 20] {
        let mut late = call("a", "gated", vec![0; size]);
        late.deadline = Instant::now() + Duration::from_millis(100);
        let error = router.call(late).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Timeout);
        assert!(error.may_have_executed());
    }
    node.fake.dropped(2).await;
}

#[tokio::test]
async fn a_caller_that_goes_takes_its_call_back() {
    let (node, router) = pair().await;
    let calling: Vec<_> = (0..100).map(|_| router.call(call("a", "gated", ""))).collect();
    node.fake.arrived(100).await;
    drop(calling);
    node.fake.dropped(100).await;
    assert!(router.call(call("a", "echo", "")).await.is_ok());
}

#[tokio::test]
async fn beyond_its_bounds_a_node_is_overloaded() {
    let tasks = TaskTracker::new();
    let bounds = Bounds { calls_max: 4, large_bytes_max: 1 << 20, ..Bounds::default() };
    let node = Running::start(Setup { bounds, ..Setup::default() }, &tasks).await;
    let router = router(config(), &[node.address], &tasks);
    let held = join_all((0..4).map(|_| router.call(call("a", "gated", ""))));
    let large = router.call(call("a", "gated", vec![0; 1 << 20]));
    let (held, large) = (tasks.spawn(held), tasks.spawn(large));
    node.fake.arrived(5).await;
    for size in [0, 1 << 20] {
        let error = router.call(call("a", "echo", vec![0; size])).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Overloaded);
        assert!(!error.may_have_executed() && error.retry_after_hint().is_some());
    }
    node.fake.open_gate();
    assert!(held.await.unwrap().iter().all(Result::is_ok) && large.await.unwrap().is_ok());
}

#[tokio::test]
async fn beyond_its_bounds_a_router_is_overloaded() {
    let tasks = TaskTracker::new();
    let node = Running::start(Setup::default(), &tasks).await;
    for bounds in [
        LinkBounds { calls_max: 2, ..LinkBounds::default() },
        LinkBounds { queue_length_max: 2, ..LinkBounds::default() },
        LinkBounds { queue_bytes_max: 2100, ..LinkBounds::default() },
    ] {
        let router =
            router(wasmverse_router::RouterConfig { bounds, ..config() }, &[node.address], &tasks);
        // Nothing is written before this task yields.
        let held = [0, 1].map(|_| router.call(call("a", "echo", vec![0; 900])));
        let error = router.call(call("a", "echo", vec![0; 900])).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Overloaded);
        assert!(join_all(held).await.iter().all(Result::is_ok));
        assert!(router.call(call("a", "echo", "")).await.is_ok());
    }
}

#[tokio::test]
async fn a_pin_that_is_none_is_refused_and_the_node_itself_decides_on_the_others() {
    let (node, router) = pair().await;
    for id in ["shard#7/x", "node#elsewhere:1/x"] {
        assert!(router.call(call(id, "echo", "")).await.is_ok(), "{id}");
    }
    for id in ["node#nowhere/x", "shard#8192/x"] {
        let error = router.call(call(id, "echo", "")).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{id}");
    }
    assert_eq!(node.fake.ids().len(), 2);
}

#[tokio::test]
async fn what_is_too_large_to_pass_fails_alone() {
    let (node, router) = pair().await;
    let held = tokio::join!(
        router.call(call("a", "big", (9 << 20).to_string())),
        router.call(call("a", "echo", vec![0; 9 << 20])),
        router.call(call("a", "echo", "")),
    );
    assert_eq!(held.0.unwrap_err().kind(), ErrorKind::Trapped);
    assert_eq!(held.1.unwrap_err().kind(), ErrorKind::InvalidArgument);
    assert!(held.2.is_ok());
    router.send(call("b", "echo", vec![0; 9 << 20]));
    assert!(router.call(call("a", "echo", "")).await.is_ok());
    assert_eq!(node.fake.ids(), ["a", "a", "a"]);
}

#[tokio::test]
async fn the_types_of_the_node_are_kept_current() {
    let (node, router) = pair().await;
    let mut types = router.types();
    types.wait_for(Option::is_some).await.unwrap();
    node.types.send_replace(ListTypesResponse { types: vec![type_info("B"), type_info("A")] });
    let known = types.wait_for(|types| types.as_ref().is_some_and(|t| t.len() == 2)).await;
    let names: Vec<_> = known.unwrap().as_ref().unwrap().iter().map(|t| t.r#type.clone()).collect();
    assert_eq!(names, ["A", "B"]);
    let mut control = router.control().unwrap();
    let listed = control.list_types(ListTypesRequest {}).await.unwrap().into_inner();
    assert_eq!(listed.types.len(), 2);
    assert_eq!(router.linked().unwrap().as_str(), "n1");
}

#[tokio::test]
async fn a_malformed_call_is_refused_alone() {
    let (node, router) = pair().await;
    until("linked", || router.linked().is_some()).await;
    let hello = Hello { protocol: PROTOCOL, shards: 8192, ..Hello::default() };
    let frames = [
        Kind::Hello(hello),
        Kind::Call(CallFrame { id: 5, ..CallFrame::default() }),
        Kind::Call(CallFrame { id: 6, one_way: true, ..CallFrame::default() }),
        Kind::Reply(ReplyFrame::default()),
    ];
    let frames = frames.into_iter().map(|frame| Frame { frame: Some(frame) });
    let batch = Frames { frames: frames.chain([Frame { frame: None }]).collect() };
    let mut control = router.control().unwrap();
    let mut answers = control.link(iter([batch])).await.unwrap().into_inner();
    let mut seen = Vec::new();
    while let Some(batch) = answers.message().await.unwrap() {
        seen.extend(batch.frames);
    }
    let Some(Kind::Reply(reply)) = &seen[1].frame else { panic!("{seen:?}") };
    let Some(reply_frame::Reply::Failure(failure)) = &reply.reply else { panic!("{seen:?}") };
    assert_eq!((reply.id, failure.kind.as_str()), (5, "invalid-argument"));
    assert_eq!((seen.len(), node.fake.ids().len()), (2, 0));
}

#[tokio::test]
async fn a_link_that_does_not_begin_with_one_hello_is_refused() {
    let (_node, router) = pair().await;
    until("linked", || router.linked().is_some()).await;
    let hello = || Kind::Hello(Hello { protocol: PROTOCOL, shards: 8192, ..Hello::default() });
    let call = || Kind::Call(CallFrame::default());
    for frames in [vec![call()], vec![hello(), hello()]] {
        let frames = frames.into_iter().map(|frame| Frame { frame: Some(frame) }).collect();
        let mut control = router.control().unwrap();
        let mut answers = control.link(iter([Frames { frames }])).await.unwrap().into_inner();
        assert!(answers.message().await.unwrap().is_some(), "its hello");
        let status = answers.message().await.unwrap_err();
        assert_eq!(status.code(), tonic::Code::InvalidArgument, "{status}");
    }
}
