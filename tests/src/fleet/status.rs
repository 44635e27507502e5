//! What a gate says of the cluster.

use serde::Deserialize;

/// The answer of `GET /v1/admin/cluster`, as far as the tests ask.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Status {
    /// The node that decides on placement; empty: none.
    pub leader: String,
    /// Which nodes are registered.
    pub nodes: Vec<NodeStatus>,
    /// Which gates are.
    pub gates: Vec<GateStatus>,
    /// Of all shards.
    pub shards: ShardCounts,
}

/// A node that is registered.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct NodeStatus {
    /// Its name.
    pub id: String,
    /// Its registration.
    pub incarnation: String,
    /// So many shards are its own.
    pub shards: u32,
    /// So many should be.
    pub targets: u32,
    /// It is about to stop.
    pub leaving: bool,
    /// It is to have no shards.
    pub draining: bool,
}

/// A gate that is registered.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct GateStatus {
    /// Its name.
    pub id: String,
}

/// How many shards are where.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
pub struct ShardCounts {
    /// All.
    pub count: u32,
    /// Somebody serves them.
    pub served: u32,
    /// They are to be another's.
    pub moving: u32,
    /// Nobody serves them.
    pub unserved: u32,
}

/// The answer of `GET /v1/admin/shards`.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Shards {
    /// Each of them.
    pub shards: Vec<Shard>,
}

/// One shard.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Shard {
    /// Its number.
    pub shard: u16,
    /// Who serves it; empty: nobody.
    pub owner: String,
    /// How often it was claimed, or more.
    pub epoch: u64,
    /// Who should.
    pub target: String,
}

impl Status {
    /// These nodes, no others, serve all shards, as many each as its equals, or one more; a node that is
    /// drained serves none. Nothing is on its way.
    pub fn is_settled(&self, nodes: &[String]) -> bool {
        let mut ids: Vec<_> = self.nodes.iter().map(|node| node.id.clone()).collect();
        let mut wanted = nodes.to_vec();
        ids.sort();
        wanted.sort();
        let ShardCounts { count, served, moving, unserved } = self.shards;
        let is_away = |node: &&NodeStatus| node.draining || node.leaving;
        let at_work = || self.nodes.iter().filter(|node| !is_away(node)).map(|node| node.shards);
        let is_even = at_work().max().unwrap_or(0) - at_work().min().unwrap_or(0) <= 1;
        ids == wanted
            && (count > 0 && served == count && moving == 0 && unserved == 0)
            && self.nodes.iter().all(|node| node.shards == node.targets)
            && self.nodes.iter().filter(is_away).all(|node| node.shards == 0)
            && is_even
    }
}
