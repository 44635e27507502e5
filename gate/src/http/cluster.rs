//! Operations over HTTP: who is in the cluster and who owns what, and moving it.

use std::{future::Future, sync::Arc};

use axum::{
    Json,
    extract::{Request, State},
    http::{HeaderMap, StatusCode, Uri},
    response::{IntoResponse as _, Response},
};
use serde::Deserialize;
use serde_json::{Value, json};
use wasmverse_core::{CallError, ErrorKind};
use wasmverse_proto::admin::{
    ClusterStatusResponse, GateStatus, NodeStatus, ShardInfo, ShardMove, ShardPin,
};

use super::{
    body::{Bounds, collect},
    error::Refusal,
    names,
    terms::terms,
};
use crate::{
    call::Desk,
    metrics::{Operation, Surface},
};

const SHARDS: &str = "/v1/admin/shards/";
const NODES: &str = "/v1/admin/nodes/";
/// A move and a pin name a node and nothing else.
const NODE_BYTES_MAX: usize = 4096;

type Answer = Result<Response, Refusal>;

/// `GET /v1/admin/cluster`
pub(crate) async fn status(State(desk): State<Arc<Desk>>) -> Answer {
    let status = measured(&desk, async { Ok(desk.operations.status()) }).await?;
    Ok(Json(status_shape(&status)).into_response())
}

/// `GET /v1/admin/shards`
pub(crate) async fn shards(State(desk): State<Arc<Desk>>) -> Answer {
    let shards = measured(&desk, async { Ok(desk.operations.shards().shards) }).await?;
    let shards: Vec<_> = shards.iter().map(shard_shape).collect();
    Ok(Json(json!({"shards": shards})).into_response())
}

/// `POST /v1/admin/shards/{n}/move`
pub(crate) async fn move_shard(State(desk): State<Arc<Desk>>, request: Request) -> Answer {
    let moved = measured(&desk, async {
        let (shard, node, deadline) = shard_and_node(&desk, request).await?;
        let epoch = desk.operations.move_shard(shard, &node, deadline.into()).await?;
        Ok(json!({"shard": shard, "node": node, "epoch": epoch.0}))
    });
    Ok(Json(moved.await?).into_response())
}

/// `POST /v1/admin/shards/{n}/pin`
pub(crate) async fn pin(State(desk): State<Arc<Desk>>, request: Request) -> Answer {
    let pinned = measured(&desk, async {
        let (shard, node, deadline) = shard_and_node(&desk, request).await?;
        desk.operations.pin(shard, &node, deadline.into()).await
    });
    pinned.await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// `DELETE /v1/admin/shards/{n}/pin`
pub(crate) async fn unpin(State(desk): State<Arc<Desk>>, uri: Uri, headers: HeaderMap) -> Answer {
    let unpinned = measured(&desk, async {
        let shard = shard(&uri)?;
        desk.operations.unpin(shard, terms(&desk, &headers)?.deadline.into()).await
    });
    unpinned.await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// `POST /v1/admin/nodes/{id}/drain`
pub(crate) async fn drain(State(desk): State<Arc<Desk>>, uri: Uri, headers: HeaderMap) -> Answer {
    let drained = measured(&desk, async {
        let node = names::piece(uri.path(), NODES)?;
        desk.operations.drain(&node, terms(&desk, &headers)?.deadline.into()).await?;
        Ok(json!({"node": node}))
    });
    Ok((StatusCode::ACCEPTED, Json(drained.await?)).into_response())
}

/// `DELETE /v1/admin/nodes/{id}/drain`
pub(crate) async fn undrain(State(desk): State<Arc<Desk>>, uri: Uri, headers: HeaderMap) -> Answer {
    let undrained = measured(&desk, async {
        let node = names::piece(uri.path(), NODES)?;
        desk.operations.undrain(&node, terms(&desk, &headers)?.deadline.into()).await
    });
    undrained.await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

async fn measured<T>(
    desk: &Desk,
    work: impl Future<Output = Result<T, CallError>>,
) -> Result<T, Refusal> {
    let measure = desk.meter.begin(Surface::Http, Operation::Admin);
    let result = work.await;
    measure.end(&result);
    Ok(result?)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Whither {
    node: String,
}

async fn shard_and_node(
    desk: &Desk,
    request: Request,
) -> Result<(u32, String, std::time::Instant), CallError> {
    let (parts, body) = request.into_parts();
    let shard = shard(&parts.uri)?;
    let deadline = terms(desk, &parts.headers)?.deadline;
    let bounds = Bounds { bytes_max: NODE_BYTES_MAX, deadline };
    let body = collect(&parts.headers, body, bounds, desk.budget.share()).await?;
    let Whither { node } = serde_json::from_slice(&body).map_err(|error| {
        let message = format!("where to is `{{\"node\": \"ID\"}}`: {error}");
        CallError::new(ErrorKind::InvalidArgument, message)
    })?;
    Ok((shard, node, deadline))
}

/// A number that is too large is no shard, as others may be.
fn shard(uri: &Uri) -> Result<u32, CallError> {
    names::number(uri.path(), SHARDS).map(|number| u32::try_from(number).unwrap_or(u32::MAX))
}

fn status_shape(status: &ClusterStatusResponse) -> Value {
    let shards = status.shards.unwrap_or_default();
    json!({
        "cluster": status.cluster,
        "revision": status.revision,
        "leader": status.leader,
        "nodes": status.nodes.iter().map(node_shape).collect::<Vec<_>>(),
        "gates": status.gates.iter().map(gate_shape).collect::<Vec<_>>(),
        "shards": {
            "count": shards.count,
            "served": shards.served,
            "moving": shards.moving,
            "unserved": shards.unserved,
        },
        "pins": status.pins.iter().map(pin_shape).collect::<Vec<_>>(),
        "moves": status.moves.iter().map(move_shape).collect::<Vec<_>>(),
    })
}

fn node_shape(node: &NodeStatus) -> Value {
    json!({
        "id": node.id,
        "address": node.address,
        "incarnation": node.incarnation,
        "version": node.version,
        "weight": node.weight,
        "shards": node.shards,
        "targets": node.targets,
        "leaving": node.leaving,
        "draining": node.draining,
        "linked": node.linked,
    })
}

fn gate_shape(gate: &GateStatus) -> Value {
    json!({"id": gate.id, "address": gate.address, "version": gate.version})
}

fn pin_shape(pin: &ShardPin) -> Value {
    json!({"shard": pin.shard, "node": pin.node})
}

fn move_shape(change: &ShardMove) -> Value {
    json!({
        "shard": change.shard,
        "from": change.from,
        "to": change.to,
        "why": change.why,
        "epoch": change.epoch,
        "at_micros": change.at_micros,
    })
}

fn shard_shape(shard: &ShardInfo) -> Value {
    json!({
        "shard": shard.shard,
        "owner": shard.owner,
        "epoch": shard.epoch,
        "target": shard.target,
        "why": shard.why,
        "pinned": shard.pinned,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use wasmverse_proto::admin::ShardCounts;

    #[test]
    fn a_status_shows_all_that_is_known_and_nothing_for_the_rest() {
        let node = NodeStatus {
            id: "a".into(),
            address: "a:47000".into(),
            incarnation: "1".into(),
            version: "0.1.0".into(),
            weight: 1,
            shards: 3,
            targets: 4,
            leaving: false,
            draining: false,
            linked: true,
        };
        let (gate, version) = ("g".to_owned(), "0.1.0".to_owned());
        let moved = ShardMove {
            shard: 7,
            to: "a".into(),
            why: "orphan".into(),
            epoch: 2,
            at_micros: 5,
            ..ShardMove::default()
        };
        let status = ClusterStatusResponse {
            revision: 9,
            nodes: vec![node],
            gates: vec![GateStatus { id: gate, address: "g:49000".into(), version }],
            shards: Some(ShardCounts { count: 4, served: 3, moving: 0, unserved: 1 }),
            pins: vec![ShardPin { shard: 1, node: "b".into() }],
            moves: vec![moved],
            ..ClusterStatusResponse::default()
        };
        let expected = json!({
            "cluster": "", "revision": 9, "leader": "",
            "nodes": [{"id": "a", "address": "a:47000", "incarnation": "1", "version": "0.1.0",
                "weight": 1, "shards": 3, "targets": 4, "leaving": false, "draining": false,
                "linked": true}],
            "gates": [{"id": "g", "address": "g:49000", "version": "0.1.0"}],
            "shards": {"count": 4, "served": 3, "moving": 0, "unserved": 1},
            "pins": [{"shard": 1, "node": "b"}],
            "moves": [{"shard": 7, "from": "", "to": "a", "why": "orphan", "epoch": 2,
                "at_micros": 5}],
        });
        assert_eq!(status_shape(&status), expected);
        let shard = ShardInfo { shard: 3, epoch: 1, ..ShardInfo::default() };
        let expected = json!({"shard": 3, "owner": "", "epoch": 1, "target": "", "why": "",
            "pinned": ""});
        assert_eq!(shard_shape(&shard), expected);
    }
}
