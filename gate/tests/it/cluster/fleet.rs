//! A gate among nodes that own what the leader wants them to own, at once, and host nothing.

use std::{sync::Arc, time::Duration};

use serde_json::json;
use tokio::net::TcpListener;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use wasmverse_cluster::{Cluster, Coordination as _, Memory, Op, Settings, Who};
use wasmverse_core::{NodeId, ShardCount, ShardId, cluster::View};
use wasmverse_daemon::Shutdown;
use wasmverse_gate::{Config, Gate, Listeners};
use wasmverse_proto::PROTOCOL;

use crate::{
    node::{Node, described},
    scene::within,
};

const SHARDS: u16 = 4;

/// What a test needs. What it started ends with its runtime.
pub(super) struct Fleet {
    pub(super) gate: Gate,
    pub(super) shutdown: Shutdown,
    pub(super) nodes: Vec<(Node, Cluster)>,
    tasks: TaskTracker,
}

impl Fleet {
    /// A gate that is ready, and nodes of these names; each owns what it should.
    pub(super) async fn start(names: &[&'static str]) -> Self {
        let (memory, tasks) = (Memory::new(), TaskTracker::new());
        let mut nodes = Vec::new();
        for name in names {
            nodes.push(node(name, names.len(), &memory, &tasks).await);
        }
        let mut config = Config::default();
        config.cluster.shards = SHARDS;
        config.gate.id = Some("gate-1".into());
        config.gate.grpc_listen = "127.0.0.1:0".into();
        config.gate.ops_listen = "127.0.0.1:0".into();
        let bind = || TcpListener::bind("127.0.0.1:0");
        let listeners = Listeners { http: bind().await.unwrap(), grpc: bind().await.unwrap() };
        let (shutdown, coordination) = (Shutdown::new(), Arc::new(memory.clone()));
        let gate = Gate::start_in(config, coordination, listeners, shutdown.clone());
        let gate = within(gate).await.unwrap();
        within(gate.readiness().ready()).await;
        let mut view = nodes[0].1.view();
        let owned = |view: &View| view.shards().all(|shard| view.owner(shard).is_some());
        drop(within(view.wait_for(|view| owned(view))).await.unwrap());
        Self { gate, shutdown, nodes, tasks }
    }

    /// The owner of each shard, as a node sees it.
    pub(super) fn owners(&self) -> Vec<String> {
        let view = Arc::clone(&self.nodes[0].1.view().borrow());
        let owner = |shard| view.owner(shard).map(|(member, _)| member.id.to_string());
        view.shards().map(|shard| owner(shard).unwrap_or_default()).collect()
    }

    /// Runs beside the test.
    pub(super) fn tasks(&self) -> &TaskTracker {
        &self.tasks
    }
}

/// A node that is registered, listens, and owns what it should.
async fn node(
    name: &'static str,
    count: usize,
    memory: &Memory,
    tasks: &TaskTracker,
) -> (Node, Cluster) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let node = Node::named(name, vec![described("Json", "json")]);
    node.serve(listener);
    let settings = Settings {
        who: Who::Node {
            id: NodeId::new(name),
            process: String::new(),
            addresses: vec![address],
            weight: 1,
        },
        cluster: Some("c1".to_owned()),
        shards: ShardCount::new(SHARDS).unwrap(),
        protocol: PROTOCOL,
        version: "0".into(),
        lease_ttl: Duration::from_secs(60),
        stability: Duration::ZERO,
        min_nodes: count,
        moves_max: 64,
        by_load: false,
    };
    let (end, coordination) = (CancellationToken::new(), Arc::new(memory.clone()));
    let joined = Cluster::join(coordination, settings, tasks, end).await.unwrap();
    joined.register().await;
    tasks.spawn(own(name, joined.clone(), memory.clone()));
    (node, joined)
}

/// Takes every shard that should be its own, without asking whoever had it.
async fn own(name: &'static str, cluster: Cluster, memory: Memory) {
    let (mut views, id) = (cluster.view(), NodeId::new(name));
    loop {
        let view = Arc::clone(&views.borrow_and_update());
        let incarnation = cluster.registration().borrow().as_ref().map(|it| it.incarnation.clone());
        for shard in view.shards() {
            let wanted = view.slot(shard).target.as_ref().is_some_and(|it| it.node == id);
            let has = view.owner(shard).is_some_and(|(member, _)| member.id == id);
            if let (true, false, Some(incarnation)) = (wanted, has, &incarnation) {
                let epoch = view.slot(shard).owner.as_ref().map_or(0, |owner| owner.epoch.0);
                put_owner(&memory, shard, name, incarnation.as_str(), epoch + 1).await;
            }
        }
        if views.changed().await.is_err() {
            return;
        }
    }
}

async fn put_owner(memory: &Memory, shard: ShardId, node: &str, incarnation: &str, epoch: u64) {
    let value = json!({"node": node, "incarnation": incarnation, "epoch": epoch});
    let (key, value) = (format!("owners/{}", shard.0), value.to_string().into());
    memory.commit(Vec::new(), vec![Op::Put { key, value, lease: None }]).await.unwrap();
}
