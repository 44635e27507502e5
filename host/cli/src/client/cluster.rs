//! The cluster's state, and what may be changed about it, over either side.

use std::time::Duration;

use reqwest::{Method, RequestBuilder};
use serde_json::json;
use wasmverse_proto::admin::{
    self, ClusterStatusRequest, DrainNodeRequest, ListShardsRequest, MoveShardRequest,
    PinShardRequest, UndrainNodeRequest, UnpinShardRequest,
};

use super::{Client, Patience, grpc::answered, http::escaped};
use crate::{
    answers::{
        ClusterStatus, GateStatus, Moved, NodeStatus, ShardCounts, ShardInfo, ShardMove, ShardPin,
        Shards,
    },
    failure::Result,
};

const SHARDS: &str = "/v1/admin/shards";

impl Client {
    /// Who is there, what they own, and why shards moved last.
    pub(crate) async fn cluster_status(&mut self) -> Result<ClusterStatus> {
        match self {
            Self::Http(http) => {
                http.json(http.request(Method::GET, "/v1/admin/cluster"), Patience::READ).await
            }
            Self::Grpc(grpc) => {
                let message = grpc.signed(ClusterStatusRequest {});
                let asking = grpc.admin.cluster_status(message);
                answered(&grpc.endpoint, Patience::READ, asking).await.map(status)
            }
        }
    }

    /// All shards, by number.
    pub(crate) async fn shards(&mut self) -> Result<Shards> {
        match self {
            Self::Http(http) => http.json(http.request(Method::GET, SHARDS), Patience::READ).await,
            Self::Grpc(grpc) => {
                let message = grpc.signed(ListShardsRequest {});
                let asking = grpc.admin.list_shards(message);
                let answer = answered(&grpc.endpoint, Patience::READ, asking).await?;
                Ok(Shards { shards: answer.shards.into_iter().map(shard).collect() })
            }
        }
    }

    /// Moves a shard; answers once it is served there.
    pub(crate) async fn move_shard(
        &mut self,
        shard: u32,
        node: &str,
        timeout: Option<Duration>,
    ) -> Result<Moved> {
        let patience = Patience::of_call(timeout);
        match self {
            Self::Http(http) => {
                let asking = http.request(Method::POST, &format!("{SHARDS}/{shard}/move"));
                let mut asking = whither(asking, node);
                if let Some(timeout) = timeout {
                    let millis = timeout.as_millis().max(1);
                    asking = asking.header("wasmverse-timeout", format!("{millis}ms"));
                }
                http.json(asking, patience).await
            }
            Self::Grpc(grpc) => {
                let node = node.to_owned();
                let mut message = grpc.signed(MoveShardRequest { shard, node: node.clone() });
                if let Some(timeout) = timeout {
                    message.set_timeout(timeout);
                }
                let asking = grpc.admin.move_shard(message);
                let answer = answered(&grpc.endpoint, patience, asking).await?;
                Ok(Moved { shard, node, epoch: answer.epoch })
            }
        }
    }

    /// Keeps a shard on a node for as long as that lives.
    pub(crate) async fn pin_shard(&mut self, shard: u32, node: &str) -> Result<()> {
        match self {
            Self::Http(http) => {
                let asking = http.request(Method::POST, &format!("{SHARDS}/{shard}/pin"));
                http.send(whither(asking, node), Patience::WRITE).await.map(drop)
            }
            Self::Grpc(grpc) => {
                let message = grpc.signed(PinShardRequest { shard, node: node.to_owned() });
                let asking = grpc.admin.pin_shard(message);
                answered(&grpc.endpoint, Patience::WRITE, asking).await.map(drop)
            }
        }
    }

    /// Places a shard as any other again.
    pub(crate) async fn unpin_shard(&mut self, shard: u32) -> Result<()> {
        match self {
            Self::Http(http) => {
                let asking = http.request(Method::DELETE, &format!("{SHARDS}/{shard}/pin"));
                http.send(asking, Patience::WRITE).await.map(drop)
            }
            Self::Grpc(grpc) => {
                let message = grpc.signed(UnpinShardRequest { shard });
                let asking = grpc.admin.unpin_shard(message);
                answered(&grpc.endpoint, Patience::WRITE, asking).await.map(drop)
            }
        }
    }

    /// Asks for all shards to be moved off a node.
    pub(crate) async fn drain_node(&mut self, node: &str) -> Result<()> {
        match self {
            Self::Http(http) => {
                let path = format!("/v1/admin/nodes/{}/drain", escaped(node));
                http.send(http.request(Method::POST, &path), Patience::WRITE).await.map(drop)
            }
            Self::Grpc(grpc) => {
                let message = grpc.signed(DrainNodeRequest { node: node.to_owned() });
                let asking = grpc.admin.drain_node(message);
                answered(&grpc.endpoint, Patience::WRITE, asking).await.map(drop)
            }
        }
    }

    /// Lets a node have shards again.
    pub(crate) async fn undrain_node(&mut self, node: &str) -> Result<()> {
        match self {
            Self::Http(http) => {
                let path = format!("/v1/admin/nodes/{}/drain", escaped(node));
                http.send(http.request(Method::DELETE, &path), Patience::WRITE).await.map(drop)
            }
            Self::Grpc(grpc) => {
                let message = grpc.signed(UndrainNodeRequest { node: node.to_owned() });
                let asking = grpc.admin.undrain_node(message);
                answered(&grpc.endpoint, Patience::WRITE, asking).await.map(drop)
            }
        }
    }
}

fn whither(asking: RequestBuilder, node: &str) -> RequestBuilder {
    let body = json!({ "node": node }).to_string();
    asking.header("content-type", "application/json").body(body)
}

fn status(answer: admin::ClusterStatusResponse) -> ClusterStatus {
    let shards = answer.shards.unwrap_or_default();
    let gates = answer.gates.into_iter();
    let pins = answer.pins.into_iter();
    ClusterStatus {
        cluster: answer.cluster,
        revision: answer.revision,
        leader: answer.leader,
        nodes: answer.nodes.into_iter().map(node).collect(),
        gates: gates
            .map(|it| GateStatus { id: it.id, address: it.address, version: it.version })
            .collect(),
        shards: ShardCounts {
            count: shards.count,
            served: shards.served,
            moving: shards.moving,
            unserved: shards.unserved,
        },
        pins: pins.map(|pin| ShardPin { shard: pin.shard, node: pin.node }).collect(),
        moves: answer.moves.into_iter().map(change).collect(),
    }
}

fn node(node: admin::NodeStatus) -> NodeStatus {
    NodeStatus {
        id: node.id,
        address: node.address,
        incarnation: node.incarnation,
        version: node.version,
        weight: node.weight,
        shards: node.shards,
        targets: node.targets,
        leaving: node.leaving,
        draining: node.draining,
        linked: node.linked,
    }
}

fn change(change: admin::ShardMove) -> ShardMove {
    ShardMove {
        shard: change.shard,
        from: change.from,
        to: change.to,
        why: change.why,
        epoch: change.epoch,
        at_micros: change.at_micros,
    }
}

fn shard(shard: admin::ShardInfo) -> ShardInfo {
    ShardInfo {
        shard: shard.shard,
        owner: shard.owner,
        epoch: shard.epoch,
        target: shard.target,
        why: shard.why,
        pinned: shard.pinned,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_sides_show_the_same() {
        let answer = admin::ClusterStatusResponse {
            revision: 9,
            leader: "a".into(),
            nodes: vec![admin::NodeStatus { id: "a".into(), shards: 4, ..Default::default() }],
            gates: vec![admin::GateStatus { id: "g".into(), ..Default::default() }],
            shards: Some(admin::ShardCounts { count: 4, served: 4, ..Default::default() }),
            pins: vec![admin::ShardPin { shard: 1, node: "a".into() }],
            moves: vec![admin::ShardMove { shard: 7, to: "a".into(), ..Default::default() }],
            ..Default::default()
        };
        let http = r#"{"cluster":"","revision":9,"leader":"a","nodes":[{"id":"a","address":"","incarnation":"","version":"","weight":0,"shards":4,"targets":0,"leaving":false,"draining":false,"linked":false}],"gates":[{"id":"g","address":"","version":""}],"shards":{"count":4,"served":4,"moving":0,"unserved":0},"pins":[{"shard":1,"node":"a"}],"moves":[{"shard":7,"from":"","to":"a","why":"","epoch":0,"at_micros":0}]}"#;
        let over_grpc = status(answer);
        assert_eq!(serde_json::from_str::<ClusterStatus>(http).unwrap(), over_grpc);
        assert_eq!(serde_json::to_string(&over_grpc).unwrap(), http);
        let answer = admin::ShardInfo { shard: 3, owner: "a".into(), ..Default::default() };
        let http = r#"{"shard":3,"owner":"a","epoch":0,"target":"","why":"","pinned":""}"#;
        assert_eq!(serde_json::to_string(&shard(answer)).unwrap(), http);
    }
}
