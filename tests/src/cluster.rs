//! Node and gate in the test's own process, on sockets of their own: what a test calls is what a
//! client calls.

use std::{
    os::unix::fs::symlink,
    path::Path,
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;
use wasmverse_core::{Action, Call, CallError, Caller, Chain, Invocation, Reply};
use wasmverse_daemon::{Shutdown, config::Secret};
use wasmverse_gate::{Addresses, Gate, Listeners};
use wasmverse_node::Node;
use wasmverse_router::Callee as _;

use crate::{grpc::Grpc, guests::chameleon, http::Http, patience::PATIENCE};

const GRACE: Duration = Duration::from_secs(60);

/// The configuration of both processes.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Of the node.
    pub node: wasmverse_node::Config,
    /// Of the gate.
    pub gate: wasmverse_gate::Config,
}

/// A cluster of one node and one gate that runs.
#[derive(Debug)]
pub struct Cluster {
    /// The node, for what no client sees.
    pub node: Node,
    /// A client of the HTTP side.
    pub http: Http,
    addresses: Addresses,
    settings: Settings,
    node_shutdown: Shutdown,
    gate_shutdown: Shutdown,
    data: TempDir,
}

impl Cluster {
    /// Starts one on an empty folder.
    pub async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    /// Starts one with another configuration than the usual.
    ///
    /// # Panics
    /// If it does not start.
    pub async fn start_with(change: impl FnOnce(&mut Settings)) -> Self {
        let data = TempDir::new().expect("a folder for the data");
        keep_compiled_code(data.path());
        let mut settings = Settings::default();
        settings.node.store.data_dir = data.path().to_owned();
        change(&mut settings);
        Self::on(settings, data).await
    }

    /// Stops in order and starts again on the same data.
    pub async fn restart(self) -> Self {
        let (settings, data) = self.stop().await;
        Self::on(settings, data).await
    }

    /// Stops in order: clients first, then the objects are saved.
    ///
    /// # Panics
    /// If some task does not end.
    pub async fn stop(self) -> (Settings, TempDir) {
        assert!(self.gate_shutdown.drain(GRACE).await, "the gate ends");
        assert!(self.node_shutdown.drain(GRACE).await, "the node ends");
        (self.settings, self.data)
    }

    /// A client of the gRPC side.
    pub async fn grpc(&self) -> Grpc {
        Grpc::connect(&self.addresses.grpc.to_string()).await
    }

    /// Where clients come in.
    pub fn addresses(&self) -> Addresses {
        self.addresses
    }

    /// Puts a call of a client into the queue of its object, at once: two such calls run in this
    /// order. What comes over sockets has no order but that of its arrival.
    pub fn enqueue(
        &self,
        object: &str,
        method: &str,
        payload: impl Into<Bytes>,
    ) -> BoxFuture<'static, Result<Reply, CallError>> {
        let invocation = Invocation {
            method: method.into(),
            payload: payload.into(),
            key: None,
            read_only: false,
        };
        self.node.call(Call {
            object: object.parse().expect("Type/id"),
            action: Action::Invoke(invocation),
            caller: Caller::Client(None),
            chain: Chain::default(),
            deadline: Instant::now() + PATIENCE,
            traceparent: None,
        })
    }

    /// Deploys a component, which must be accepted; answers its revision.
    pub async fn deploy(&self, component: Bytes) -> u64 {
        self.http.deploy(component).await
    }

    /// Deploys a chameleon that describes itself so; see [`chameleon`].
    pub async fn deploy_chameleon(&self, description: Value) -> u64 {
        self.deploy(chameleon(&json!({ "describe": description }))).await
    }

    /// Starts one on data that is there.
    ///
    /// # Panics
    /// If it does not start.
    pub async fn on(settings: Settings, data: TempDir) -> Self {
        let (node_shutdown, gate_shutdown) = (Shutdown::new(), Shutdown::new());
        let listener = bind().await;
        let mut run = settings.clone();
        run.node.node.listen = listener.local_addr().expect("an address").to_string();
        let secret = run.node.cluster.secret.clone();
        let node = Node::start(run.node.clone(), node_shutdown.clone()).await;
        let node = node.expect("the node starts");
        let (serving, requested) = (node.clone(), node_shutdown.token());
        node_shutdown.spawn(async move {
            let secret = secret.as_ref().map(Secret::expose);
            serving.listen(listener, secret, requested).await.expect("the node serves");
        });
        run.gate.gate.nodes = vec![run.node.node.listen.clone()];
        let listeners = Listeners { http: bind().await, grpc: bind().await };
        let gate = Gate::start(run.gate, listeners, gate_shutdown.clone()).await;
        let gate = gate.expect("the gate starts");
        tokio::time::timeout(PATIENCE, gate.readiness().ready()).await.expect("the gate is ready");
        let addresses = gate.addresses();
        let http = Http::new(format!("http://{}", addresses.http));
        Self { node, http, addresses, settings, node_shutdown, gate_shutdown, data }
    }
}

async fn bind() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").await.expect("a port")
}

/// Compiling is what tests would mostly wait for: code that was compiled once is kept beside the
/// tests, whichever cluster asks for it.
pub fn keep_compiled_code(data: &Path) {
    let kept = crate::programs::target_folder().join("compiled");
    std::fs::create_dir_all(&kept).expect("a folder for compiled code");
    symlink(kept, data.join("cache")).expect("a link to it");
}
