//! A node whose store is in trouble, or whose objects stand in line.

use std::{
    sync::atomic::{AtomicBool, Ordering::SeqCst},
    time::Instant,
};

use parking_lot::Mutex;
use wasmverse_core::{Action, Caller, Chain, ErrorKind, Invocation, ObjectId, Version};
use wasmverse_store::{Answer, Commit, Error, NewRevision, Store, StoredObject};

use super::*;

const AGES: std::time::Duration = std::time::Duration::from_secs(30);

/// A store that does its work until it is told not to.
struct Troubled {
    store: Arc<dyn Store>,
    away: AtomicBool,
    stuck: AtomicBool,
    /// Commits are not answered, and come late.
    loses: AtomicBool,
    late: Mutex<Vec<Commit>>,
}

impl Troubled {
    /// What was on its way arrives.
    async fn arrive(&self) {
        let late = std::mem::take(&mut *self.late.lock());
        if !late.is_empty() {
            self.store.commit(late).await.unwrap();
        }
    }
}

impl Store for Troubled {
    fn add_revision(&self, new: NewRevision) -> Answer<'_, RevisionRecord> {
        if self.stuck.load(SeqCst) {
            return Box::pin(std::future::pending());
        }
        self.store.add_revision(new)
    }

    fn load(&self, object: &ObjectId) -> Answer<'_, Option<StoredObject>> {
        if self.away.load(SeqCst) {
            return Box::pin(std::future::ready(Err(Error::Unavailable("gone fishing".into()))));
        }
        let object = object.clone();
        Box::pin(async move {
            let found = self.store.load(&object).await;
            // Right after it was looked at.
            self.arrive().await;
            found
        })
    }

    fn settle(&self) -> Answer<'_, ()> {
        Box::pin(async {
            self.arrive().await;
            Ok(())
        })
    }

    fn commit(&self, batch: Vec<Commit>) -> Answer<'_, Vec<Result<Version, Error>>> {
        if self.loses.swap(false, SeqCst) {
            self.late.lock().extend(batch);
            return Box::pin(std::future::ready(Err(Error::Unknown("cut off".into()))));
        }
        if self.stuck.load(SeqCst) {
            return Box::pin(std::future::pending());
        }
        if self.away.load(SeqCst) {
            return Box::pin(std::future::ready(Err(Error::Unavailable("gone fishing".into()))));
        }
        self.store.commit(batch)
    }

    wasmverse_store::pass_on! {
        store: cluster_id, result, result_keys, forget_results, sends, reminders, due, dead_letters, dead_letter, activate_revision, active_revisions, revision, component, claim, raise, epochs, storage_get, storage_keys, storage_scan, status, dump, restore, list, close
    }
}

struct Stage {
    node: Node,
    store: Arc<Troubled>,
    _data: tempfile::TempDir,
}

impl Stage {
    async fn set() -> Self {
        let data = tempfile::tempdir().unwrap();
        let opening = wasmverse_store::Config {
            url: Some("sqlite::memory:".into()),
            data_dir: data.path().into(),
            shards: 16,
            ..wasmverse_store::Config::default()
        };
        let store = wasmverse_store::open(&opening).await.unwrap();
        let (away, stuck) = (AtomicBool::new(false), AtomicBool::new(false));
        let (loses, late) = (AtomicBool::new(false), Mutex::default());
        let store = Arc::new(Troubled { store, away, stuck, loses, late });
        let config = NodeConfig { drain: std::time::Duration::ZERO, ..NodeConfig::default() };
        let engine = engine(&config, data.path()).unwrap();
        let shards = ShardCount::new(16).unwrap();
        let owned = Owned::claim(&*store, "n", shards).await.unwrap();
        let node = Node(Host::new(config, shards, engine, store.clone(), owned, 100));
        node.run_in_background(AutoLoad::default(), Duration::from_secs(3600), &Shutdown::new());
        Self { node, store, _data: data }
    }

    fn asked(&self, method: &str, payload: &'static str) -> Call {
        let invocation = Invocation {
            method: method.into(),
            payload: Bytes::from_static(payload.as_bytes()),
            key: None,
            read_only: false,
        };
        Call {
            object: "GoldenC/a".parse().unwrap(),
            action: Action::Invoke(invocation),
            caller: Caller::Client(None),
            chain: Chain::default(),
            deadline: Instant::now() + AGES,
            traceparent: None,
        }
    }

    async fn call(&self, method: &str, payload: &'static str) -> Result<Bytes, CallError> {
        let call = self.asked(method, payload);
        let answer = tokio::time::timeout(AGES, self.node.call_untimed(call)).await;
        answer.expect("an answer comes").map(Reply::into_payload)
    }
}

fn golden() -> Vec<u8> {
    let here = std::path::PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    std::fs::read(here.join("../../tests/golden/c/golden.wasm")).unwrap()
}

fn periodic() -> Bytes {
    lasting("periodic")
}

/// The same with that durability: a description of the same length.
fn lasting(durability: &str) -> Bytes {
    let before = br#""methods":[{"name":"add"},{"name":"fail"},{"name":"pretend"},"#;
    let after = format!(r#""durability":"{durability}","methods":[{{"name":"add"}},"#);
    let mut after = after.into_bytes();
    after.resize(before.len(), b' ');
    let mut component = golden();
    let at = component.windows(before.len()).position(|window| window == before).unwrap();
    component[at..at + before.len()].copy_from_slice(&after);
    component.into()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_delete_that_the_store_does_not_take_loses_nothing_that_was_acknowledged() {
    let stage = Stage::set().await;
    stage.node.upload(periodic(), "me", true).await.unwrap();
    assert_eq!(stage.call("add", "5").await.unwrap(), "5");
    stage.store.away.store(true, SeqCst);
    let error = stage.call("unmake", "GoldenC/a").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    assert_eq!(stage.call("value", "").await.unwrap(), "5");
    stage.store.away.store(false, SeqCst);
    stage.call("unmake", "GoldenC/a").await.unwrap();
    assert_eq!(stage.call("value", "").await.unwrap(), "0");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_stops_even_if_its_store_never_answers() {
    let stage = Stage::set().await;
    stage.node.upload(periodic(), "me", true).await.unwrap();
    assert_eq!(stage.call("add", "5").await.unwrap(), "5");
    stage.store.stuck.store(true, SeqCst);
    let uploading = stage.node.upload(golden().into(), "me", true);
    let stopping = async {
        tokio::task::yield_now().await;
        tokio::time::timeout(2 * AGES, stage.node.stop()).await.expect("it stops");
    };
    let (uploaded, ()) = futures_util::join!(uploading, stopping);
    assert_eq!(uploaded.unwrap_err().kind(), ErrorKind::Unavailable);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_stands_in_line_to_change_over_serves_on() {
    let stage = Stage::set().await;
    stage.node.upload(golden().into(), "me", true).await.unwrap();
    assert_eq!(stage.call("add", "5").await.unwrap(), "5");
    let all = stage.node.0.upgrades.available_permits();
    let held = stage.node.0.upgrades.acquire_many(u32::try_from(all).unwrap()).await.unwrap();
    let deployed = stage.node.upload(periodic(), "me", true).await.unwrap();
    let mut progress = stage.node.rollout(&deployed.type_name).unwrap();
    for n in 6..20 {
        assert_eq!(stage.call("add", "1").await.unwrap(), n.to_string());
    }
    assert!(!progress.borrow().done);
    drop(held);
    let done = tokio::time::timeout(AGES, progress.wait_for(|progress| progress.done)).await;
    assert_eq!(done.unwrap().unwrap().moved, 1);
    assert_eq!(stage.call("value", "").await.unwrap(), "19");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_read_after_a_commit_of_which_nobody_knows_stays_so() {
    let stage = Stage::set().await;
    stage.node.upload(lasting("durable"), "me", true).await.unwrap();
    for n in 1..=3 {
        stage.store.loses.store(true, SeqCst);
        let error = stage.call("add", "5").await.unwrap_err();
        assert!(error.may_have_executed(), "{error}");
        // It has come by now, or never will.
        let value = (5 * n).to_string();
        assert_eq!(stage.call("value", "").await.unwrap(), value);
        assert_eq!(stage.call("value", "").await.unwrap(), value);
    }
    assert_eq!(stage.call("add", "1").await.unwrap(), "16");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_comes_back_after_an_acknowledged_delete() {
    let stage = Stage::set().await;
    stage.node.upload(lasting("durable"), "me", true).await.unwrap();
    stage.store.loses.store(true, SeqCst);
    stage.call("add", "5").await.unwrap_err();
    let delete = Call { action: Action::Delete, ..stage.asked("value", "") };
    stage.node.0.call_untimed(delete).await.unwrap();
    assert_eq!(stage.call("value", "").await.unwrap(), "0");
    let object = "GoldenC/a".parse().unwrap();
    assert!(stage.store.store.load(&object).await.unwrap().is_none());
}
