//! A cluster as a whole, in memory and on a real etcd.

mod broken;
mod claiming;
mod leading;
mod loads;
mod members;
mod outages;
mod proxy;
mod secured;
mod server;
mod services;

use std::{sync::Arc, time::Duration};

use tokio::{sync::watch, time::timeout};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use wasmverse_core::{
    NodeId, ShardCount, ShardId,
    cluster::{View, owner::Bid},
};

use crate::{Cluster, Coordination, Error, KeyClaim, Op, Settings, Who};

/// What has to happen happens within this time.
const SOON: Duration = Duration::from_secs(30);

/// A process that takes part, until it is dropped.
struct Process {
    cluster: Cluster,
    tasks: TaskTracker,
    end: CancellationToken,
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end.cancel();
    }
}

impl Process {
    async fn join(coordination: Arc<dyn Coordination>, settings: Settings) -> Result<Self, Error> {
        let (tasks, end) = (TaskTracker::new(), CancellationToken::new());
        let cluster = Cluster::join(coordination, settings, &tasks, end.clone()).await?;
        Ok(Self { cluster, tasks, end })
    }

    /// Joined and registered.
    async fn start(coordination: &(impl Coordination + Clone), settings: Settings) -> Self {
        let process = Self::join(Arc::new(coordination.clone()), settings).await.unwrap();
        timeout(SOON, process.cluster.register()).await.unwrap();
        process
    }

    /// Its view, as soon as something is so in it.
    async fn sees(&self, what: impl FnMut(&Arc<View>) -> bool) -> Arc<View> {
        let mut view = self.cluster.view();
        let seen = timeout(SOON, view.wait_for(what)).await;
        match seen {
            Ok(Ok(view)) => Arc::clone(&view),
            Ok(Err(_)) => panic!("nobody follows the view any more"),
            Err(_) => panic!("it never comes true: {:?}", self.cluster.view().borrow()),
        }
    }

    async fn is_registered(&self, it_is: bool) {
        let mut registration = self.cluster.registration();
        let told = timeout(SOON, registration.wait_for(|now| now.is_some() == it_is)).await;
        assert!(told.is_ok(), "registered: {it_is}, never");
    }

    fn incarnation(&self) -> String {
        self.cluster.registration().borrow().as_ref().unwrap().incarnation.to_string()
    }

    /// A claim of a shard, as its view has it.
    fn bid(&self, shard: u16, epoch: u64) -> KeyClaim {
        let view = self.cluster.view().borrow().clone();
        let slot = view.slot(ShardId(shard));
        let registration = self.cluster.registration();
        let bid = Bid {
            incarnation: registration.borrow().as_ref().unwrap().incarnation.clone(),
            target_revision: slot.target.as_ref().unwrap().revision,
            owner: slot.owner.clone(),
        };
        KeyClaim { shard: ShardId(shard), bid, epoch: wasmverse_core::Epoch(epoch) }
    }
}

/// With a lease of 2 s, and without a leader's plans: `min_nodes` is never met.
fn node(id: &str) -> Settings {
    Settings {
        who: Who::Node {
            id: NodeId::new(id),
            process: format!("process of {id}"),
            addresses: vec![format!("{id}:1")],
            weight: 1,
        },
        cluster: Some("c1".to_owned()),
        shards: ShardCount::new(300).unwrap(),
        protocol: 1,
        version: "0.1.0".to_owned(),
        lease_ttl: Duration::from_secs(2),
        stability: Duration::from_secs(1),
        min_nodes: 99,
        moves_max: 64,
        by_load: false,
    }
}

/// Whose leader plans, as soon as there are so many nodes.
fn planning(id: &str, min_nodes: usize) -> Settings {
    Settings { min_nodes, ..node(id) }
}

fn gate(id: &str) -> Settings {
    let who = Who::Gate { id: NodeId::new(id), address: format!("{id}:9") };
    Settings { who, cluster: None, ..node(id) }
}

/// Writes targets by hand.
async fn target(coordination: &dyn Coordination, shards: impl Iterator<Item = u16>, node: &str) {
    let value = format!(r#"{{"node":"{node}","why":"orphan"}}"#);
    let put = |shard| Op::Put {
        key: format!("targets/{shard}"),
        value: value.clone().into(),
        lease: None,
    };
    let ops: Vec<_> = shards.map(put).collect();
    for some in ops.chunks(crate::TRANSACTION_MAX) {
        coordination.commit(vec![], some.to_vec()).await.unwrap().unwrap();
    }
}

/// How far a value that only grows comes, as a wait for it.
async fn reaches<T: Clone>(receiver: &mut watch::Receiver<T>, what: impl FnMut(&T) -> bool) -> T {
    timeout(SOON, receiver.wait_for(what)).await.unwrap().unwrap().clone()
}
