//! What the engine costs per turn, per instance and per save, over a golden Rust component.

use std::{collections::BTreeMap, hint::black_box, path::Path, sync::Arc, time::Instant};

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use futures_util::future::BoxFuture;
use tokio::runtime::Runtime;
use wasmverse_core::{
    Call, CallError, Caller, Chain, ObjectId, Reminder, ReminderChanges, Reply, RevisionNumber,
    TurnEnd,
};
use wasmverse_engine::{Component, Config, Engine, Instance, LogLine, Outbound, Turn, TurnId};

struct Nobody;

impl Outbound for Nobody {
    fn call(&self, _call: Call) -> BoxFuture<'static, Result<Reply, CallError>> {
        Box::pin(async { Ok(Reply::Done) })
    }

    fn storage_get(
        &self,
        _object: &ObjectId,
        _key: &str,
    ) -> BoxFuture<'static, Result<Option<Bytes>, CallError>> {
        Box::pin(async { Ok(None) })
    }

    fn storage_keys(&self, _object: &ObjectId) -> BoxFuture<'static, Result<u64, CallError>> {
        Box::pin(async { Ok(0) })
    }

    fn storage_scan(
        &self,
        _object: &ObjectId,
        _prefix: &str,
        _after: &str,
        _limit: u32,
    ) -> BoxFuture<'static, Result<Vec<(String, Bytes)>, CallError>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    fn reminders(
        &self,
        _object: &ObjectId,
    ) -> BoxFuture<'static, Result<BTreeMap<Arc<str>, Reminder>, CallError>> {
        Box::pin(async { Ok(BTreeMap::new()) })
    }

    fn log(&self, _line: LogLine) {}
}

fn turn() -> Turn {
    Turn {
        id: TurnId { process: 1, sequence: 1 },
        caller: Caller::Client(None),
        chain: Chain::default(),
        deadline: Instant::now() + std::time::Duration::from_secs(3600),
        key: None,
        traceparent: None,
        read_only: false,
        reminders: ReminderChanges::default(),
    }
}

async fn load() -> Component {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/rust/golden.wasm");
    let engine = Engine::new(Config::default()).expect("the engine starts");
    let bytes = std::fs::read(file).expect("the golden component is there");
    engine.load(bytes.into()).await.expect("the golden component is good")
}

async fn activate(component: &Component, me: &ObjectId) -> Instance {
    let instance = component.instantiate(me.clone(), RevisionNumber(1), Arc::new(Nobody)).await;
    let mut instance = instance.expect("there is room");
    instance.activate(None).await.expect("a new object activates");
    instance
}

fn benches(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("the runtime starts");
    let me: ObjectId = "GoldenRust/bench".parse().expect("a legal id");
    let component = runtime.block_on(load());
    let mut instance = runtime.block_on(activate(&component, &me));

    let mut group = criterion.benchmark_group("handle");
    for size in [64, 64 << 10] {
        let payload = Bytes::from(vec![b'x'; size]);
        let asked = turn();
        group.throughput(Throughput::Bytes(u64::try_from(size).expect("a small number")));
        group.bench_function(format!("echo of {size} bytes"), |bencher| {
            bencher.iter(|| {
                let step = instance.handle(asked.clone(), "echo", payload.clone());
                let report = runtime.block_on(step);
                assert!(matches!(report.end, TurnEnd::Well(_)));
            });
        });
    }
    group.finish();

    criterion.bench_function("snapshot", |bencher| {
        bencher.iter(|| black_box(runtime.block_on(instance.snapshot())));
    });
    criterion.bench_function("instantiate, activate, drop", |bencher| {
        bencher.iter(|| black_box(runtime.block_on(activate(&component, &me))));
    });
}

criterion_group!(engine, benches);
criterion_main!(engine);
