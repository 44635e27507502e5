//! What a call costs on one node: from a caller in the process, and from object to object.
//!
//! The guest is the golden component in C: it does next to nothing, so what is measured is ours.

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use bytes::Bytes;
use criterion::{Criterion, criterion_group, criterion_main};
use tokio_util::task::TaskTracker;
use wasmverse_core::{Action, Call, Caller, Chain, Invocation, Reply};
use wasmverse_daemon::Shutdown;
use wasmverse_node::{Config, Node};
use wasmverse_router::Callee;

fn calls(criterion: &mut Criterion) {
    let runtime = wasmverse_daemon::runtime().build().expect("a runtime");
    let node = runtime.block_on(start());
    let mut group = criterion.benchmark_group("node");
    let payload = Bytes::from_static(&[b'x'; 64]);
    for (name, object, method, argument) in [
        ("call in the process, echo of 64 B", "GoldenC/a", "echo", payload.clone()),
        ("the same, one object more on the way", "GoldenC/a", "relay", relay(1)),
        ("the same, nine objects more", "GoldenC/a", "relay", relay(9)),
    ] {
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|times| {
                runtime.block_on(on_a_worker(
                    node.clone(),
                    times,
                    call(object, method, argument.clone()),
                ))
            });
        });
    }
    group.bench_function("call and wake, then delete", |bencher| {
        bencher.to_async(&runtime).iter(|| async {
            let answer = node.call(call("GoldenC/new", "add", Bytes::from_static(b"1"))).await;
            answer.expect("the object answers");
            let mut delete = call("GoldenC/new", "", Bytes::new());
            delete.action = Action::Delete;
            assert_eq!(node.call(delete).await, Ok(Reply::Done));
        });
    });
    group.finish();
    runtime.block_on(node.stop());
}

/// Makes a call so many times, one after the other, on a worker: as calls that come over a link.
async fn on_a_worker(node: Node, times: u64, call: Call) -> Duration {
    let calling = TaskTracker::new().spawn(async move {
        let began = Instant::now();
        for _ in 0..times {
            let mut call = call.clone();
            call.deadline = Instant::now() + Duration::from_secs(30);
            node.call(call).await.expect("the object answers");
        }
        began.elapsed()
    });
    calling.await.expect("no call panics")
}

async fn start() -> Node {
    let mut config = Config::default();
    config.store.url = wasmverse_daemon::config::Secret::find("sqlite::memory:").ok();
    config.store.data_dir = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("bench");
    let node = Node::start(config, Shutdown::new()).await.expect("the node starts");
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/c/golden.wasm");
    let component = std::fs::read(golden).expect("the golden component is there");
    node.upload(component.into(), "bench", true).await.expect("it is deployed");
    node
}

/// What `relay` is told, so that so many more objects are on the way.
fn relay(more: u32) -> Bytes {
    let last = format!("GoldenC/{more} echo {}", "x".repeat(64));
    let all = (1..more).rev().fold(last, |rest, n| format!("GoldenC/{n} relay {rest}"));
    all.into()
}

fn call(object: &str, method: &str, payload: Bytes) -> Call {
    let invocation = Invocation { method: method.into(), payload, key: None, read_only: false };
    Call {
        object: object.parse().expect("a name"),
        action: Action::Invoke(invocation),
        caller: Caller::Client(None),
        chain: Chain::default(),
        deadline: Instant::now() + Duration::from_secs(30),
        traceparent: None,
    }
}

criterion_group!(benches, calls);
criterion_main!(benches);
