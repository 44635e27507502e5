//! The world that the guests of these tests see: it answers calls by the id of their target and
//! remembers calls and log lines.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures_util::future::{self, BoxFuture};
use parking_lot::Mutex;
use tokio::sync::Notify;
use wasmverse_core::{
    Action, Call, CallError, Caller, Chain, ErrorKind, ObjectId, Reminder, ReminderChanges, Reply,
    RevisionNumber, TurnEnd,
};
use wasmverse_engine::{
    Component, Config, Engine, Instance, LogLine, Outbound, Turn, TurnId, TurnReport,
};

use crate::guest::{self, Guest};

/// Remembers what objects asked of it.
#[derive(Default)]
pub(crate) struct World {
    pub(crate) calls: Mutex<Vec<Call>>,
    pub(crate) lines: Mutex<Vec<LogLine>>,
    /// What is committed under keys.
    pub(crate) stored: Mutex<BTreeMap<String, Bytes>>,
    /// The keys that were asked for.
    pub(crate) reads: Mutex<Vec<String>>,
    /// Rung at every call.
    pub(crate) called: Notify,
}

impl Outbound for World {
    fn call(&self, call: Call) -> BoxFuture<'static, Result<Reply, CallError>> {
        self.calls.lock().push(call.clone());
        self.called.notify_one();
        let id = call.object.id().to_owned();
        Box::pin(async move {
            match (id.as_str(), call.action) {
                ("gone", _) => Err(CallError::new(ErrorKind::Unavailable, "its node is gone")
                    .about(&call.object)
                    .maybe_executed()),
                ("never", _) => future::pending().await,
                ("soon", _) => {
                    tokio::time::sleep(Duration::from_millis(15)).await;
                    Ok(Reply::Payload(Bytes::from_static(b"soon")))
                }
                ("large", _) => Ok(Reply::Payload(vec![b'x'; (4 << 20) + 1].into())),
                ("broken", _) => panic!("a bug of ours"),
                (_, Action::Invoke(invocation) | Action::Deliver(invocation, _)) => {
                    Ok(Reply::Payload(invocation.payload))
                }
                (_, Action::Exists) => Ok(Reply::Exists(true)),
                (_, Action::Create | Action::Delete | Action::ClientsGone(_)) => Ok(Reply::Done),
            }
        })
    }

    fn storage_get(
        &self,
        _object: &ObjectId,
        key: &str,
    ) -> BoxFuture<'static, Result<Option<Bytes>, CallError>> {
        self.reads.lock().push(key.to_owned());
        let value = self.stored.lock().get(key).cloned();
        Box::pin(async { Ok(value) })
    }

    fn storage_keys(&self, _object: &ObjectId) -> BoxFuture<'static, Result<u64, CallError>> {
        let keys = self.stored.lock().len() as u64;
        Box::pin(async move { Ok(keys) })
    }

    fn storage_scan(
        &self,
        _object: &ObjectId,
        prefix: &str,
        after: &str,
        limit: u32,
    ) -> BoxFuture<'static, Result<Vec<(String, Bytes)>, CallError>> {
        let stored = self.stored.lock();
        let matching =
            stored.iter().filter(|(key, _)| key.starts_with(prefix) && key.as_str() > after);
        let page = matching.take(limit as usize).map(|(k, v)| (k.clone(), v.clone())).collect();
        Box::pin(async { Ok(page) })
    }

    fn reminders(
        &self,
        _object: &ObjectId,
    ) -> BoxFuture<'static, Result<BTreeMap<Arc<str>, Reminder>, CallError>> {
        Box::pin(async { Ok(BTreeMap::new()) })
    }

    fn log(&self, line: LogLine) {
        self.lines.lock().push(line);
    }
}

/// An engine with one component in it, and a world around.
pub(crate) struct Bench {
    pub(crate) component: Component,
    pub(crate) world: Arc<World>,
}

impl Bench {
    pub(crate) async fn new() -> Self {
        Self::of(Guest::default()).await
    }

    pub(crate) async fn of(guest: Guest) -> Self {
        Self::with(Config::default(), guest).await
    }

    pub(crate) async fn with(config: Config, guest: Guest) -> Self {
        let engine = Engine::new(config).unwrap();
        let component = engine.load(guest::component(&guest)).await.unwrap();
        Self { component, world: Arc::new(World::default()) }
    }

    /// A new object, not yet activated.
    pub(crate) async fn instance(&self) -> Instance {
        let world: Arc<dyn Outbound> = self.world.clone();
        self.component.instantiate(me(), RevisionNumber(7), world).await.unwrap()
    }

    pub(crate) async fn object(&self) -> Instance {
        let mut instance = self.instance().await;
        instance.activate(None).await.unwrap();
        instance
    }

    /// One turn of a new object.
    pub(crate) async fn invoke(&self, method: &str, payload: &[u8]) -> TurnReport {
        invoke(&mut self.object().await, method, payload).await
    }

    pub(crate) fn messages(&self) -> Vec<String> {
        self.world.lines.lock().iter().map(|line| line.message.clone()).collect()
    }
}

pub(crate) async fn invoke(instance: &mut Instance, method: &str, payload: &[u8]) -> TurnReport {
    instance.handle(turn(), method, Bytes::copy_from_slice(payload)).await
}

pub(crate) fn me() -> ObjectId {
    "Probe/me".parse().unwrap()
}

pub(crate) fn turn() -> Turn {
    Turn {
        id: TurnId { process: 1, sequence: 2 },
        caller: Caller::Client(None),
        chain: Chain::default(),
        deadline: Instant::now() + Duration::from_secs(30),
        key: None,
        traceparent: Some("00-trace".into()),
        read_only: false,
        reminders: ReminderChanges::default(),
    }
}

/// The error of a turn that trapped.
pub(crate) fn trap(report: &TurnReport) -> &CallError {
    match &report.end {
        TurnEnd::Trap(error) => error,
        end => panic!("no trap but {end:?}"),
    }
}

/// The error of a turn that failed.
pub(crate) fn failure(report: &TurnReport) -> &CallError {
    match &report.end {
        TurnEnd::Failure(error) => error,
        end => panic!("no failure but {end:?}"),
    }
}

/// The result of a turn that ended well.
pub(crate) fn result(report: &TurnReport) -> &[u8] {
    match &report.end {
        TurnEnd::Well(result) => result,
        end => panic!("not well but {end:?}"),
    }
}
