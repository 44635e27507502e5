//! What fails: links are lost at any time, nodes are away, strangers call.

use std::{
    collections::BTreeSet,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use tokio::net::TcpListener;
use tokio_stream::StreamExt as _;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use wasmverse_core::{CallError, ErrorKind, Reply, ShardCount};
use wasmverse_proto::{
    PROTOCOL,
    node::{Frame, Frames, Hello, frame::Frame as Kind},
};
use wasmverse_router::{Callee as _, LinkBounds, RouterConfig};

use super::{
    proxy::{Proxy, until},
    running::{Running, Setup, call, config, router},
};

/// An address where nobody listens.
async fn nobody() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

fn impatient(config: RouterConfig) -> RouterConfig {
    let bounds = LinkBounds { patience: Duration::from_millis(300), ..LinkBounds::default() };
    RouterConfig { bounds, ..config }
}

fn is_unavailable(error: &CallError, maybe_executed: bool) -> bool {
    error.kind() == ErrorKind::Unavailable && error.may_have_executed() == maybe_executed
}

/// Whatever happens to the link, a call is answered or its error says whether it may have run;
/// and no call runs twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_that_is_lost_at_any_time_lies_about_no_call() {
    let seed: u64 = rand::random();
    println!("seed {seed}");
    let mut rng: rand::rngs::StdRng = rand::SeedableRng::seed_from_u64(seed);
    let tasks = TaskTracker::new();
    let node = Running::start(Setup::default(), &tasks).await;
    let proxy = Proxy::start(Some(node.address), &tasks).await;
    let router = router(config(), &[proxy.address], &tasks);
    let mut asked = 0;
    let mut answers = Vec::new();
    for _ in 0..30 {
        for _ in 0..rand::Rng::random_range(&mut rng, 1..60) {
            asked += 1;
            let id = asked.to_string();
            let method = if asked % 2 == 0 { "slow" } else { "echo" };
            let calling = router.call(call(&id, method, id.clone()));
            answers.push(tasks.spawn(async move { (id, calling.await) }));
            if rand::Rng::random_bool(&mut rng, 0.2) {
                tokio::task::yield_now().await;
            }
        }
        let wait = rand::Rng::random_range(&mut rng, 0..3000);
        tokio::time::sleep(Duration::from_micros(wait)).await;
        proxy.cut(Some(node.address));
    }
    let (mut answered, mut lost) = (0, 0);
    for answer in join_all(answers).await {
        let (id, answer) = answer.unwrap();
        let runs = node.fake.seen.lock().iter().filter(|call| call.object.id() == id).count();
        match answer {
            Ok(reply) => {
                assert_eq!((reply.into_payload(), runs), (id.into_bytes().into(), 1));
                answered += 1;
            }
            Err(error) => {
                assert!(is_unavailable(&error, true), "{error:?}");
                assert!(runs <= 1, "{id} ran {runs} times");
                lost += 1;
            }
        }
    }
    println!("{answered} answered, {lost} lost");
    let ids = node.fake.ids();
    let numbers: Vec<u32> = ids.iter().map(|id| id.parse().unwrap()).collect();
    assert!(numbers.is_sorted(), "order is kept across links");
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len());
}

#[tokio::test]
async fn what_was_written_to_a_lost_link_may_have_run_and_the_rest_waits_for_the_next() {
    let tasks = TaskTracker::new();
    let node = Running::start(Setup::default(), &tasks).await;
    let proxy = Proxy::start(Some(node.address), &tasks).await;
    let router = router(config(), &[proxy.address], &tasks);
    let written = tasks.spawn(router.call(call("written", "gated", "")));
    node.fake.arrived(1).await;
    proxy.cut(None);
    let error = written.await.unwrap().unwrap_err();
    assert!(is_unavailable(&error, true), "{error}");
    assert!(error.message().contains(&proxy.address.to_string()), "{error}");
    // Its caller is gone as far as the node can tell.
    node.fake.dropped(1).await;
    let waiting = tasks.spawn(router.call(call("waiting", "echo", "")));
    tokio::task::yield_now().await;
    proxy.cut(Some(node.address));
    assert!(waiting.await.unwrap().is_ok());
}

#[tokio::test]
async fn a_node_that_nobody_finds_is_unavailable_and_named() {
    let tasks = TaskTracker::new();
    let address = nobody().await;
    let router = router(impatient(config()), &[address], &tasks);
    for size in [0, 1 << 20] {
        let began = Instant::now();
        let error = router.call(call("a", "echo", vec![0; size])).await.unwrap_err();
        assert!(is_unavailable(&error, false), "{error:?}");
        assert!(error.message().contains(&address.to_string()), "{error}");
        assert!(began.elapsed() < Duration::from_secs(5));
    }
    let mut hasty = call("a", "echo", "");
    hasty.deadline = Instant::now() + Duration::from_millis(20);
    let error = router.call(hasty).await.unwrap_err();
    assert_eq!((error.kind(), error.may_have_executed()), (ErrorKind::Timeout, false));
}

#[tokio::test]
async fn without_any_address_calls_are_unavailable() {
    let tasks = TaskTracker::new();
    let router = router(impatient(config()), &[], &tasks);
    let error = router.call(call("a", "echo", "")).await.unwrap_err();
    assert!(is_unavailable(&error, false), "{error:?}");
    assert!(router.control().is_none());
}

#[tokio::test]
async fn the_first_node_that_answers_is_taken() {
    let tasks = TaskTracker::new();
    let node = Running::start(Setup::default(), &tasks).await;
    let router = router(config(), &[nobody().await, node.address], &tasks);
    assert!(router.call(call("a", "echo", "")).await.is_ok());
}

#[tokio::test]
async fn a_peer_that_accepts_and_says_nothing_is_given_up() {
    let tasks = TaskTracker::new();
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let bounds = LinkBounds {
        connect_timeout: Duration::from_millis(200),
        patience: Duration::from_millis(400),
        ..LinkBounds::default()
    };
    let address = silent.local_addr().unwrap();
    let router = router(RouterConfig { bounds, ..config() }, &[address], &tasks);
    let error = router.call(call("a", "echo", "")).await.unwrap_err();
    assert!(is_unavailable(&error, false), "{error:?}");
}

#[tokio::test]
async fn strangers_are_told_what_is_wrong() {
    let tasks = TaskTracker::new();
    let secret = Some("s3cret");
    let node = Running::start(Setup { secret, ..Setup::default() }, &tasks).await;
    let good = RouterConfig { secret: secret.map(Into::into), ..config() };
    let few = ShardCount::new(64).unwrap();
    for (word, bad) in [
        ("secret", RouterConfig { secret: None, ..good.clone() }),
        ("secret", RouterConfig { secret: Some("s3cre".into()), ..good.clone() }),
        ("secret", RouterConfig { secret: Some("s3cretx".into()), ..good.clone() }),
        ("shards", RouterConfig { shards: few, ..good.clone() }),
    ] {
        let router = router(impatient(bad), &[node.address], &tasks);
        let error = router.call(call("a", "echo", "")).await.unwrap_err();
        assert!(is_unavailable(&error, false), "{error:?}");
        assert!(error.message().contains(word), "{error}");
    }
    assert!(node.fake.ids().is_empty());
    let router = router(good, &[node.address], &tasks);
    for size in [0, 1 << 20] {
        assert!(router.call(call("a", "echo", vec![0; size])).await.is_ok());
    }
}

#[tokio::test]
async fn a_node_of_another_cluster_is_not_taken_for_the_one_that_was_there() {
    let tasks = TaskTracker::new();
    let ours = Running::start(Setup::default(), &tasks).await;
    let theirs = Running::start(Setup { cluster: "d", ..Setup::default() }, &tasks).await;
    let proxy = Proxy::start(Some(ours.address), &tasks).await;
    let router = router(impatient(config()), &[proxy.address], &tasks);
    assert!(router.call(call("a", "echo", "")).await.is_ok());
    proxy.cut(Some(theirs.address));
    until("lost", || router.linked().is_none()).await;
    let error = router.call(call("a", "echo", "")).await.unwrap_err();
    assert!(is_unavailable(&error, false), "{error:?}");
    assert!(error.message().contains("cluster"), "{error}");
}

#[tokio::test]
async fn a_node_that_stops_answers_what_is_under_way_and_takes_no_more() {
    let tasks = TaskTracker::new();
    let node = Running::start(Setup::default(), &tasks).await;
    let router = router(impatient(config()), &[node.address], &tasks);
    let small = tasks.spawn(router.call(call("a", "gated", "small")));
    let large = tasks.spawn(router.call(call("a", "gated", vec![0; 1 << 20])));
    node.fake.arrived(2).await;
    node.ending.drain.cancel();
    until("told", || router.linked().is_none()).await;
    let mut hasty = call("hasty", "echo", "");
    hasty.deadline = Instant::now() + Duration::from_millis(20);
    let error = router.call(hasty).await.unwrap_err();
    assert_eq!((error.kind(), error.may_have_executed()), (ErrorKind::Timeout, false));
    let late = router.call(call("late", "echo", ""));
    node.fake.open_gate();
    assert!(small.await.unwrap().is_ok() && large.await.unwrap().is_ok());
    let fake = node.stop().await;
    let error = late.await.unwrap_err();
    assert!(is_unavailable(&error, false), "{error:?}");
    assert_eq!(fake.ids(), ["a", "a"]);
}

/// A planned restart, with calls under way at all times: each runs once, and is answered.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_restarts_loses_no_call() {
    let tasks = TaskTracker::new();
    let mut node = Running::start(Setup::default(), &tasks).await;
    let router = router(config(), &[node.address], &tasks);
    let (over, made) = (CancellationToken::new(), Arc::new(AtomicUsize::new(0)));
    let callers: Vec<_> = (0..32)
        .map(|_| {
            let (router, over, made) = (router.clone(), over.clone(), Arc::clone(&made));
            tasks.spawn(async move {
                while !over.is_cancelled() {
                    let id = made.fetch_add(1, Relaxed).to_string();
                    let method = if id.ends_with('7') { "slow" } else { "echo" };
                    let answer = router.call(call(&id, method, id.clone())).await;
                    assert_eq!(answer, Ok(Reply::Payload(id.into())));
                }
            })
        })
        .collect();
    for _ in 0..5 {
        let before = node.fake.seen.lock().len();
        node.fake.arrived(before + 300).await;
        let address = node.address;
        let fake = node.stop().await;
        node = Running::start(Setup { fake, address, ..Setup::default() }, &tasks).await;
    }
    over.cancel();
    for caller in callers {
        caller.await.unwrap();
    }
    let ids = node.fake.ids();
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len());
    assert_eq!(ids.len(), made.load(Relaxed));
}

/// One that is asked for no more calls, and goes on as if it had not understood.
#[tokio::test]
async fn a_peer_that_does_not_know_how_nodes_end_holds_up_no_end() {
    let tasks = TaskTracker::new();
    let node = Running::start(Setup::default(), &tasks).await;
    let router = router(config(), &[node.address], &tasks);
    until("linked", || router.linked().is_some()).await;
    let hello = Hello { protocol: PROTOCOL, shards: 8192, ..Hello::default() };
    let first = Frames { frames: vec![Frame { frame: Some(Kind::Hello(hello)) }] };
    let deaf = tokio_stream::iter([first]).chain(tokio_stream::pending());
    let mut answers = router.control().unwrap().link(deaf).await.unwrap().into_inner();
    assert!(answers.message().await.unwrap().is_some());
    let began = Instant::now();
    node.stop().await;
    assert!(began.elapsed() < Duration::from_secs(5));
    let asked = answers.message().await.unwrap().unwrap().frames;
    assert!(matches!(asked[0].frame, Some(Kind::NoMoreCalls(_))), "{asked:?}");
    assert_eq!(answers.message().await.unwrap(), None);
}

#[tokio::test]
async fn a_node_that_drains_for_too_long_cuts_its_links() {
    let tasks = TaskTracker::new();
    let drain = Duration::from_millis(100);
    let node = Running::start(Setup { drain, ..Setup::default() }, &tasks).await;
    let router = router(config(), &[node.address], &tasks);
    let small = tasks.spawn(router.call(call("a", "gated", "")));
    let large = tasks.spawn(router.call(call("a", "gated", vec![0; 1 << 20])));
    node.fake.arrived(2).await;
    node.stop().await;
    for calling in [small, large] {
        let error = calling.await.unwrap().unwrap_err();
        assert!(is_unavailable(&error, true), "{error:?}");
    }
}

#[tokio::test]
async fn a_router_that_ends_answers_all_who_wait() {
    let tasks = TaskTracker::new();
    let node = Running::start(Setup::default(), &tasks).await;
    let (own, shutdown) = (TaskTracker::new(), tokio_util::sync::CancellationToken::new());
    let router = wasmverse_router::Router::to(
        config(),
        vec![node.address.to_string()],
        Some(Arc::new(crate::gates::tests::Nobody)),
        &own,
        shutdown.clone(),
    );
    let calling = tasks.spawn(router.call(call("a", "gated", "")));
    node.fake.arrived(1).await;
    shutdown.cancel();
    own.close();
    own.wait().await;
    let error = calling.await.unwrap().unwrap_err();
    assert!(is_unavailable(&error, true), "{error:?}");
    let error = router.call(call("a", "echo", "")).await.unwrap_err();
    assert!(is_unavailable(&error, false), "{error:?}");
}
