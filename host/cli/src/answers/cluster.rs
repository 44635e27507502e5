//! Who is in the cluster and who owns what, as the HTTP side says it.

use serde::{Deserialize, Serialize};

/// Who is there, what they own, and why shards moved last.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct ClusterStatus {
    /// Empty: a cluster of one, without etcd.
    pub(crate) cluster: String,
    pub(crate) revision: u64,
    /// Empty: nobody leads.
    pub(crate) leader: String,
    pub(crate) nodes: Vec<NodeStatus>,
    pub(crate) gates: Vec<GateStatus>,
    pub(crate) shards: ShardCounts,
    pub(crate) pins: Vec<ShardPin>,
    /// The latest first.
    pub(crate) moves: Vec<ShardMove>,
}

impl ClusterStatus {
    pub(crate) fn node(&self, id: &str) -> Option<&NodeStatus> {
        self.nodes.iter().find(|node| node.id == id)
    }
}

/// A node that is registered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct NodeStatus {
    pub(crate) id: String,
    pub(crate) address: String,
    pub(crate) incarnation: String,
    pub(crate) version: String,
    pub(crate) weight: u32,
    pub(crate) shards: u32,
    pub(crate) targets: u32,
    pub(crate) leaving: bool,
    pub(crate) draining: bool,
    pub(crate) linked: bool,
}

/// A gate that is registered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct GateStatus {
    pub(crate) id: String,
    pub(crate) address: String,
    pub(crate) version: String,
}

/// How many shards are served.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct ShardCounts {
    pub(crate) count: u32,
    pub(crate) served: u32,
    pub(crate) moving: u32,
    pub(crate) unserved: u32,
}

/// A shard that should stay where it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct ShardPin {
    pub(crate) shard: u32,
    pub(crate) node: String,
}

/// A shard that changed hands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct ShardMove {
    pub(crate) shard: u32,
    /// Empty: nobody had it.
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) why: String,
    pub(crate) epoch: u64,
    pub(crate) at_micros: i64,
}

/// All shards.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Shards {
    pub(crate) shards: Vec<ShardInfo>,
}

/// One shard.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct ShardInfo {
    pub(crate) shard: u32,
    /// Empty: nobody serves it.
    pub(crate) owner: String,
    pub(crate) epoch: u64,
    pub(crate) target: String,
    pub(crate) why: String,
    pub(crate) pinned: String,
}

/// Where a shard has been moved.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Moved {
    pub(crate) shard: u32,
    pub(crate) node: String,
    pub(crate) epoch: u64,
}
