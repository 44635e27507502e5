//! The floor under durable turns: what a batch of commits costs when nothing else is done, bare and
//! through the store.
//!
//! PostgreSQL is measured if `WASMVERSE_TEST_POSTGRES` names an empty database of a server.

#![expect(clippy::unwrap_used, reason = "a benchmark fails by panicking")]

use std::{
    hint::black_box,
    sync::Arc,
    time::{Duration, Instant},
};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use futures_util::future::join_all;
use tokio::runtime::Runtime;
use wasmverse_core::{Durability, Encoding, Epoch, ObjectId, RevisionNumber, ShardId, State};
use wasmverse_store::{Change, Commit, Config, Expected, Owner, Store};

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
        callers(criterion, &runtime, opened);
        runtime.block_on(opened.store.close()).unwrap();
    }
}

criterion_group!(benches, commits);
criterion_main!(benches);
