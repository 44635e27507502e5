//! A node of one's own, and short words for what tests do with it.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use serde_json::{Value, json};
use wasmverse_core::{
    Action, Call, CallError, Caller, Chain, ErrorKind, Invocation, ObjectId, Reply, TypeName,
};
use wasmverse_daemon::{Shutdown, config::Secret};
use wasmverse_node::{Config, Node, ObjectState, Progress, Uploaded};
use wasmverse_router::Callee;
use wasmverse_tests::guests::chameleon;

/// Far beyond what anything takes, for a slow machine.
pub(crate) const AGES: Duration = Duration::from_secs(30);

/// A node of a test's own.
pub(crate) struct World {
    pub(crate) node: Node,
}

impl World {
    /// A node that keeps its state in memory.
    pub(crate) async fn new() -> Self {
        Self::with(|_| {}).await
    }

    /// The same, configured.
    pub(crate) async fn with(configure: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config::default();
        // What is compiled once serves all tests.
        config.store.data_dir = concat!(env!("CARGO_TARGET_TMPDIR"), "/node").into();
        config.store.url = secret("sqlite::memory:");
        config.node.idle = Duration::ZERO;
        configure(&mut config);
        let node = Node::start(config, Shutdown::new()).await.expect("the node starts");
        Self { node }
    }

    /// A node that keeps its state in this folder.
    pub(crate) async fn at(
        folder: &tempfile::TempDir,
        configure: impl FnOnce(&mut Config),
    ) -> Self {
        let url = format!("sqlite:{}", PathBuf::from(folder.path()).join("db").display());
        Self::with(|config| {
            config.store.url = secret(&url);
            configure(config);
        })
        .await
    }

    /// Deploys a component that must be accepted.
    pub(crate) async fn deploy(&self, component: Bytes) -> Uploaded {
        self.node.upload(component, "tests", true).await.expect("the component is deployed")
    }

    /// Deploys a chameleon with this description and nothing special about it.
    pub(crate) async fn describe(&self, description: Value) -> Uploaded {
        self.deploy(chameleon(&json!({ "describe": description }))).await
    }

    /// Calls as a client.
    pub(crate) async fn call(
        &self,
        object: &str,
        method: &str,
        argument: Value,
    ) -> Result<Value, CallError> {
        self.begin(object, method, argument).await
    }

    /// The same; the call is on its way when this returns.
    pub(crate) fn begin(
        &self,
        object: &str,
        method: &str,
        argument: Value,
    ) -> BoxFuture<'static, Result<Value, CallError>> {
        self.within(AGES, object, method, argument)
    }

    /// The same, with a deadline.
    pub(crate) fn within(
        &self,
        timeout: Duration,
        object: &str,
        method: &str,
        argument: Value,
    ) -> BoxFuture<'static, Result<Value, CallError>> {
        let mut call = invoke(object, method, argument);
        call.deadline = Instant::now() + timeout;
        let answer = self.node.call(call);
        Box::pin(async move { answer.await.map(value) })
    }

    /// Calls with a key.
    pub(crate) async fn keyed(
        &self,
        key: &str,
        object: &str,
        method: &str,
        argument: Value,
    ) -> Result<Value, CallError> {
        let mut call = invoke(object, method, argument);
        if let Action::Invoke(invocation) = &mut call.action {
            invocation.key = Some(key.into());
        }
        self.node.call(call).await.map(value)
    }

    /// Calls a method that must answer well.
    pub(crate) async fn ok(&self, object: &str, method: &str, argument: Value) -> Value {
        self.call(object, method, argument).await.expect("it answers well")
    }

    /// Waits until a method answers so.
    pub(crate) async fn until_it_answers(&self, object: &str, method: &str, wanted: Value) {
        let what = format!("{object} answers {method} with {wanted}");
        eventually(&what, || async { self.ok(object, method, Value::Null).await == wanted }).await;
    }

    /// Calls, and must get this kind of error.
    #[track_caller]
    pub(crate) fn fails(
        &self,
        kind: ErrorKind,
        object: &str,
        method: &str,
        argument: Value,
    ) -> impl Future<Output = CallError> + use<> {
        let what = format!("{object} {method} {argument}");
        let answer = self.begin(object, method, argument);
        async move {
            let error = answer.await.expect_err(&what);
            assert_eq!(error.kind(), kind, "{what}: {error}");
            error
        }
    }

    pub(crate) async fn create(&self, object: &str) -> Result<(), CallError> {
        self.node.call(action(object, Action::Create)).await.map(|_| ())
    }

    pub(crate) async fn delete(&self, object: &str) -> Result<(), CallError> {
        self.node.call(action(object, Action::Delete)).await.map(|_| ())
    }

    pub(crate) async fn exists(&self, object: &str) -> bool {
        let answer = self.node.call(action(object, Action::Exists)).await;
        answer.expect("existence is known") == Reply::Exists(true)
    }

    /// Where an object is.
    pub(crate) async fn state(&self, object: &str) -> Option<ObjectState> {
        let object = object.parse().expect("a name");
        self.node.get(&object).await.expect("the store answers").map(|status| status.state)
    }

    /// Waits until an object is somewhere.
    pub(crate) async fn until(&self, object: &str, state: Option<ObjectState>) {
        let what = format!("{object} is {state:?}");
        eventually(&what, || async { self.state(object).await == state }).await;
    }

    /// How the latest deploy of a type ended.
    pub(crate) async fn rolled_out(&self, type_name: &str) -> Progress {
        let name = TypeName::new(type_name).expect("a name");
        let mut watch = self.node.rollout(&name).expect("there was a deploy");
        let done = tokio::time::timeout(AGES, watch.wait_for(|progress| progress.done)).await;
        done.expect("the rollout ends").expect("the node lives").clone()
    }
}

fn secret(text: &str) -> Option<Secret> {
    Some(Secret::find(text).expect("a secret"))
}

/// Waits until something holds.
pub(crate) async fn eventually<F: Future<Output = bool>>(what: &str, holds: impl Fn() -> F) {
    let since = Instant::now();
    while !holds().await {
        assert!(since.elapsed() < AGES, "it never came true: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A client's call of a method.
pub(crate) fn invoke(object: &str, method: &str, argument: Value) -> Call {
    let payload = if argument.is_null() { Bytes::new() } else { argument.to_string().into() };
    let method = method.into();
    action(object, Action::Invoke(Invocation { method, payload, key: None, read_only: false }))
}

pub(crate) fn action(object: &str, action: Action) -> Call {
    Call {
        object: object.parse().expect("a name"),
        action,
        caller: Caller::Client(None),
        chain: Chain::default(),
        deadline: Instant::now() + AGES,
        traceparent: None,
    }
}

pub(crate) fn value(reply: Reply) -> Value {
    let payload = reply.into_payload();
    if payload.is_empty() {
        return Value::Null;
    }
    serde_json::from_slice(&payload).expect("a result of JSON")
}

/// What a chameleon is told about another object.
pub(crate) fn errand(object: &str, method: &str, argument: Value) -> Value {
    let object: ObjectId = object.parse().expect("a name");
    json!({ "type": object.type_name().as_str(), "id": object.id(), "method": method, "argument": argument })
}

/// A description of that durability.
pub(crate) fn durability(durability: &str) -> Value {
    json!({ "type": "Chameleon", "durability": durability })
}
