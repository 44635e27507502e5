//! A cluster of nodes in the process of the test, and a router that stands for its gates.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use wasmverse_cluster::{Cluster, Coordination, Faulty, Memory, Settings, Who};
use wasmverse_core::{
    Action, Call, CallError, Caller, Chain, Invocation, NodeId, ObjectId, Placement, Reply,
    ShardCount, ShardId,
    cluster::{Route, View},
};
use wasmverse_daemon::Shutdown;
use wasmverse_node::{Config, Node};
use wasmverse_router::{Callee as _, LinkBounds, Role, Router, RouterConfig};
use wasmverse_store::Store;
use wasmverse_tests::guests::chameleon;

/// Far beyond what anything takes, for a slow machine.
pub(crate) const AGES: Duration = Duration::from_secs(30);
/// Few, so that a test may look at each.
pub(crate) const SHARDS: u16 = 64;
const LEASE_TTL: Duration = Duration::from_secs(2);

/// A cluster of a test's own.
pub(crate) struct World {
    pub(crate) members: Vec<Member>,
    pub(crate) cluster: Cluster,
    pub(crate) router: Router,
    pub(crate) coordination: Memory,
    shares: Vec<Arc<dyn Store>>,
    tasks: TaskTracker,
    end: CancellationToken,
    _folder: TempDir,
}

/// One of its nodes.
pub(crate) struct Member {
    pub(crate) id: NodeId,
    pub(crate) node: Node,
    /// Its way to the coordination.
    pub(crate) way: Faulty,
    listening: JoinHandle<()>,
}

impl World {
    /// So many nodes, all shards being served.
    pub(crate) async fn of(nodes: usize) -> Self {
        Self::with(nodes, |_| {}).await
    }

    /// The same, configured.
    pub(crate) async fn with(nodes: usize, configure: impl Fn(&mut Config)) -> Self {
        let (coordination, tasks, end) =
            (Memory::new(), TaskTracker::new(), CancellationToken::new());
        let folder = TempDir::new().expect("a folder");
        let url = format!("sqlite:{}", folder.path().join("db").display());
        let config = wasmverse_store::Config {
            url: Some(url),
            shards: SHARDS,
            ..wasmverse_store::Config::default()
        };
        let store = wasmverse_store::open(&config).await.expect("a store");
        let gate = Settings {
            who: Who::Gate { id: NodeId::new("gate"), address: "gate:1".into() },
            ..settings()
        };
        let way: Arc<dyn Coordination> = Arc::new(coordination.clone());
        let cluster = Cluster::join(way, gate, &tasks, end.clone()).await.expect("it joins");
        cluster.register().await;
        let config = RouterConfig {
            secret: None,
            id: "gate".into(),
            incarnation: "1".into(),
            address: "gate:1".into(),
            shards: ShardCount::new(SHARDS).expect("some"),
            bounds: LinkBounds::default(),
        };
        let view = cluster.view();
        let router = Router::new(config, view, None, None, Role::Gate, &tasks, end.clone());
        // More than a test ever starts: the store outlives them all.
        let shares = wasmverse_store::shares(&store, 100);
        let members = Vec::new();
        let mut world =
            Self { members, cluster, router, coordination, shares, tasks, end, _folder: folder };
        for number in 0..nodes {
            world.start(&format!("n{number}"), &configure).await;
        }
        world.until_balanced().await;
        world
    }

    /// Starts one more node, under this id.
    pub(crate) async fn start(&mut self, id: &str, configure: impl Fn(&mut Config)) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let mut config = Config::default();
        // What is compiled once serves all tests.
        config.store.data_dir = concat!(env!("CARGO_TARGET_TMPDIR"), "/moves").into();
        config.node.idle = Duration::ZERO;
        config.node.id = Some(id.to_owned());
        config.node.listen = listener.local_addr().expect("its address").to_string();
        config.cluster.shards = SHARDS;
        config.cluster.lease_ttl = LEASE_TTL;
        config.cluster.stability = Duration::from_millis(50);
        configure(&mut config);
        let way = self.coordination.faulty();
        let store = self.shares.pop().expect("a share in the store");
        let node =
            Node::start_in(config, Arc::new(way.clone()), async { Ok(store) }, Shutdown::new());
        let node = node.await.expect("the node starts");
        let (listens, departed) = (node.clone(), node.departed());
        let listening = self.tasks.spawn(async move {
            listens.listen(listener, None, departed).await.expect("it listens");
        });
        self.members.push(Member { id: NodeId::new(id), node, way, listening });
    }

    /// Stops a node as a signal would.
    pub(crate) async fn stop(&mut self, id: &str) {
        let place = self.members.iter().position(|member| member.id.as_str() == id);
        let member = self.members.remove(place.expect("it runs"));
        member.node.stop().await;
        member.listening.await.expect("it listened to the end");
    }

    pub(crate) fn member(&self, id: &str) -> &Member {
        self.members.iter().find(|member| member.id.as_str() == id).expect("it runs")
    }

    /// Deploys a chameleon of this durability, everywhere.
    pub(crate) async fn describe(&self, durability: &str) {
        self.deploy(json!({ "type": "Chameleon", "durability": durability })).await;
    }

    pub(crate) async fn deploy(&self, description: Value) {
        let component: Bytes = chameleon(&json!({ "describe": description }));
        let uploaded = self.members[0].node.upload(component, "tests", true).await;
        assert!(uploaded.expect("it is deployed").active);
    }

    /// Waits until all shards are served by their targets, evenly.
    pub(crate) async fn until_balanced(&self) {
        let nodes = self.members.len();
        self.until(&format!("{nodes} nodes share the shards"), |view| {
            let counts = counts(view);
            let served: usize = counts.values().sum();
            let (least, most) = (counts.values().min(), counts.values().max());
            served == usize::from(SHARDS)
                && counts.len() == nodes
                && most.zip(least).is_some_and(|(most, least)| most - least <= 1)
        })
        .await;
    }

    /// Waits until the view is as wanted.
    pub(crate) async fn until(&self, what: &str, holds: impl Fn(&View) -> bool) {
        let mut view = self.cluster.view();
        let waited = tokio::time::timeout(AGES, view.wait_for(|view| holds(view))).await;
        let view = self.cluster.view();
        let counts = counts(&view.borrow());
        assert!(waited.is_ok(), "it never came true: {what}; shards by node: {counts:?}");
    }

    /// Moves the shard of an object to a node, and waits until it is served there.
    pub(crate) async fn move_to(&self, object: &str, node: &str) {
        let (shard, node) = (shard_of(object), NodeId::new(node));
        self.cluster.wish(shard, &node).await.expect("it is wished");
        self.until(&format!("shard {shard} is served by {node}"), |view| {
            view.owner(shard).is_some_and(|(owner, _)| owner.id == node)
        })
        .await;
    }

    /// Who serves an object now.
    pub(crate) fn owner_of(&self, object: &str) -> Option<String> {
        let view = self.cluster.view();
        let view = view.borrow();
        match view.route(shard_of(object)) {
            Route::At(member, _) => Some(member.id.to_string()),
            Route::Nobody => None,
        }
    }

    /// A node that does not serve an object now.
    pub(crate) fn other_than_owner(&self, object: &str) -> String {
        let owner = self.owner_of(object).expect("it is served");
        let other = self.members.iter().find(|member| member.id.as_str() != owner);
        other.expect("there are two").id.to_string()
    }

    /// Calls as a client.
    #[expect(clippy::needless_pass_by_value, reason = "written where it is used")]
    pub(crate) fn call(
        &self,
        object: &str,
        method: &str,
        argument: Value,
    ) -> impl Future<Output = Result<Value, CallError>> + Send + use<> {
        call(&self.router, object, method, &argument, None)
    }

    /// The same; it must answer well.
    pub(crate) async fn ok(&self, object: &str, method: &str, argument: Value) -> Value {
        self.call(object, method, argument).await.expect("it answers well")
    }

    /// Waits until a method answers so.
    pub(crate) async fn until_it_answers(&self, object: &str, method: &str, wanted: Value) {
        let since = Instant::now();
        loop {
            let answer = self.ok(object, method, Value::Null).await;
            if answer == wanted {
                return;
            }
            assert!(since.elapsed() < AGES, "{object} {method} answers {answer}, not {wanted}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Ends all of it, in order.
    pub(crate) async fn end(mut self) {
        while let Some(member) = self.members.pop() {
            member.node.stop().await;
        }
        self.end.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

/// Calls through a router.
pub(crate) fn call(
    router: &Router,
    object: &str,
    method: &str,
    argument: &Value,
    key: Option<&str>,
) -> impl Future<Output = Result<Value, CallError>> + Send + use<> {
    let answer = router.call(asked(object, method, argument, key));
    async move {
        match answer.await? {
            Reply::Payload(payload) if payload.is_empty() => Ok(Value::Null),
            Reply::Payload(payload) => Ok(serde_json::from_slice(&payload).expect("JSON")),
            reply => panic!("no method answers {reply:?}"),
        }
    }
}

/// A call.
pub(crate) fn asked(object: &str, method: &str, argument: &Value, key: Option<&str>) -> Call {
    let payload = if argument.is_null() { Bytes::new() } else { argument.to_string().into() };
    let (method, key) = (method.into(), key.map(Into::into));
    Call {
        object: object.parse().expect("a name"),
        action: Action::Invoke(Invocation { method, payload, key, read_only: false }),
        caller: Caller::Client(None),
        chain: Chain::default(),
        deadline: Instant::now() + AGES,
        traceparent: None,
    }
}

/// What one object asks of another.
#[expect(clippy::needless_pass_by_value, reason = "written where it is used")]
pub(crate) fn errand(object: &str, method: &str, argument: Value) -> Value {
    let object: ObjectId = object.parse().expect("a name");
    json!({ "type": object.type_name().as_str(), "id": object.id(), "method": method, "argument": argument })
}

/// Where an object belongs.
pub(crate) fn shard_of(object: &str) -> ShardId {
    let object = object.parse().expect("a name");
    match ShardCount::new(SHARDS).expect("some").place(&object) {
        Ok(Placement::Shard(shard)) => shard,
        other => panic!("{object} belongs to no shard: {other:?}"),
    }
}

/// How many shards each node serves.
fn counts(view: &View) -> std::collections::BTreeMap<String, usize> {
    let mut counts = std::collections::BTreeMap::new();
    for shard in view.shards() {
        if let Some((owner, _)) = view.owner(shard) {
            *counts.entry(owner.id.to_string()).or_default() += 1;
        }
    }
    counts
}

fn settings() -> Settings {
    Settings {
        who: Who::Gate { id: NodeId::new("gate"), address: String::new() },
        cluster: None,
        shards: ShardCount::new(SHARDS).expect("some"),
        protocol: wasmverse_proto::PROTOCOL,
        version: "0".into(),
        lease_ttl: LEASE_TTL,
        stability: Duration::from_millis(50),
        min_nodes: 1,
        moves_max: 64,
        by_load: false,
    }
}
