//! The floor under durable turns: what a batch of commits costs when nothing else is done, and what
//! goes with them beside their rows costs more.
//!
//! PostgreSQL is measured if `WASMVERSE_TEST_POSTGRES` names an empty database of a server.

#![expect(clippy::unwrap_used, reason = "a benchmark fails by panicking")]

use std::{
    hint::black_box,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use futures_util::future::join_all;
use tokio::runtime::Runtime;
use wasmverse_core::{
    Durability, Encoding, Epoch, ObjectId, RevisionNumber, SendNumber, ShardId, State,
};
use wasmverse_store::{
    Change, Commit, Config, Effect, Expected, KeptResult, NewSend, Owner, ResultKey, SendId, Store,
};

const SHARDS: u16 = 8192;
const OBJECTS: usize = 10_000;

/// A store whose shards are claimed, and their epoch.
struct Opened {
    name: &'static str,
    store: Arc<dyn Store>,
    epoch: Epoch,
}

async fn opened(name: &'static str, config: Config) -> Opened {
    let store = wasmverse_store::open(&config).await.unwrap();
    let owner = Owner { node: "bench".to_owned(), incarnation: name.to_owned() };
    let shards = (0..SHARDS).map(|shard| (ShardId(shard), Epoch(0))).collect();
    let claimed = store.claim(owner, shards).await.unwrap();
    Opened { name, store, epoch: claimed[0].1 }
}

fn row(n: usize, epoch: Epoch) -> Commit {
    let n = n % OBJECTS;
    let state = State { schema: 1, data: format!(r#"{{"v":"{}"}}"#, "x".repeat(1000)).into() };
    Commit {
        object: ObjectId::parse("Bench", &n.to_string()).unwrap(),
        shard: ShardId(u16::try_from(n % usize::from(SHARDS)).unwrap()),
        epoch,
        expected: Expected::Any,
        change: Change::Put {
            state: Some(state),
            encoding: Encoding::Json,
            durability: Durability::Durable,
            revision: RevisionNumber(1),
        },
        storage: Vec::new(),
        effects: Vec::new(),
    }
}

/// One caller with batches of so many rows of 1 KiB.
fn batches(criterion: &mut Criterion, runtime: &Runtime, opened: &Opened) {
    let mut group = criterion.benchmark_group(format!("{}/batch", opened.name));
    group.measurement_time(Duration::from_secs(5)).sample_size(20);
    for rows in [1, 10, 100, 500] {
        group.throughput(Throughput::Elements(u64::try_from(rows).unwrap()));
        group.bench_function(BenchmarkId::from_parameter(rows), |bencher| {
            let mut next = 0;
            bencher.iter(|| {
                let batch = (next..next + rows).map(|n| row(n, opened.epoch)).collect();
                next += rows;
                let answers = runtime.block_on(opened.store.commit(batch)).unwrap();
                assert!(black_box(answers).iter().all(Result::is_ok));
            });
        });
    }
    group.finish();
}

/// What goes with each row of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Beside {
    Nothing,
    /// The result of a keyed call.
    Result,
    /// A send, and the arrival of one that the batch before has sent.
    Send,
}

/// One caller with batches of so many rows of 1 KiB, and what goes with them.
fn effects(criterion: &mut Criterion, runtime: &Runtime, opened: &Opened) {
    let mut group = criterion.benchmark_group(format!("{}/effects", opened.name));
    group.measurement_time(Duration::from_secs(5)).sample_size(20);
    for rows in [64, 512] {
        group.throughput(Throughput::Elements(u64::try_from(rows).unwrap()));
        for beside in [Beside::Nothing, Beside::Result, Beside::Send] {
            let name = format!("{beside:?}").to_lowercase();
            group.bench_function(BenchmarkId::new(name, rows), |bencher| {
                let (mut next, mut sent) = (0, Vec::new());
                bencher.iter(|| {
                    let mut batch: Vec<Commit> =
                        (next..next + rows).map(|n| row(n, opened.epoch)).collect();
                    let mut arrived = std::mem::take(&mut sent).into_iter();
                    for (n, row) in batch.iter_mut().enumerate() {
                        match beside {
                            Beside::Nothing => {}
                            Beside::Result => row.effects.push(result(next + n)),
                            Beside::Send => {
                                row.effects.push(send(next + n));
                                row.effects.extend(arrived.next().map(Effect::Arrived));
                            }
                        }
                    }
                    next += rows;
                    let from: Vec<_> =
                        batch.iter().map(|row| (row.shard, row.object.clone())).collect();
                    let answers = runtime.block_on(opened.store.commit(batch)).unwrap();
                    if beside == Beside::Send {
                        let sends = from.into_iter().zip(answers).map(|((shard, from), answer)| {
                            let number = SendNumber { version: answer.unwrap(), place: 0 };
                            SendId { shard, from, number }
                        });
                        sent.extend(sends);
                    } else {
                        assert!(black_box(answers).iter().all(Result::is_ok));
                    }
                });
            });
        }
    }
    group.finish();
}

fn result(n: usize) -> Effect {
    // Keys are scattered, as those of clients are.
    let scattered = (n as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let key = format!("{scattered:016x}-{:016x}", now.as_nanos());
    let key = ResultKey { origin: "user/somebody".to_owned(), key };
    let answer = Bytes::from_static(br#"{"value":1234,"at":"2026-01-01T00:00:00Z"}"#);
    Effect::Result(KeptResult { key, asked: [7; 16], answer })
}

fn send(n: usize) -> Effect {
    let to = ObjectId::parse("Bench", &((n + 17) % OBJECTS).to_string()).unwrap();
    let payload = Bytes::from_static(br#"{"order":"4711","items":[{"sku":"a","count":2}]}"#);
    Effect::Send(NewSend { to, method: "take_order".into(), payload })
}

/// So many callers, each with one row at a time, as objects have: what group commit makes of them.
fn callers(criterion: &mut Criterion, runtime: &Runtime, opened: &Opened) {
    let mut group = criterion.benchmark_group(format!("{}/callers", opened.name));
    group.measurement_time(Duration::from_secs(5)).sample_size(20);
    for callers in [1_usize, 64, 256] {
        group.throughput(Throughput::Elements(1));
        group.bench_function(BenchmarkId::from_parameter(callers), |bencher| {
            bencher.iter_custom(|rows| {
                let each = usize::try_from(rows).unwrap().div_ceil(callers);
                let begun = Instant::now();
                runtime.block_on(join_all((0..callers).map(|caller| async move {
                    for n in 0..each {
                        let batch = vec![row(caller + n * callers, opened.epoch)];
                        let answers = opened.store.commit(batch).await.unwrap();
                        assert!(answers[0].is_ok());
                    }
                })));
                let done = u32::try_from(each * callers).unwrap();
                begun.elapsed() * u32::try_from(rows).unwrap() / done
            });
        });
    }
    group.finish();
}

fn commits(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let config = Config { data_dir: folder.path().into(), shards: SHARDS, ..Config::default() };
    let mut stores = vec![runtime.block_on(opened("sqlite", config))];
    if let Ok(url) = std::env::var("WASMVERSE_TEST_POSTGRES") {
        let config = Config { url: Some(url), shards: SHARDS, ..Config::default() };
        stores.push(runtime.block_on(opened("postgres", config)));
    }
    for opened in &stores {
        batches(criterion, &runtime, opened);
        effects(criterion, &runtime, opened);
        callers(criterion, &runtime, opened);
        runtime.block_on(opened.store.close()).unwrap();
    }
}

criterion_group!(benches, commits);
criterion_main!(benches);
