//! A gate in a cluster: what operators see and change, and what is made of several nodes' answers.

mod fleet;

use http::Request;
use serde_json::{Value, json};
use tonic::Code;
use wasmverse_core::{Placement, ShardCount};
use wasmverse_proto::admin::{
    ClusterStatusRequest, DrainNodeRequest, ListShardsRequest, MoveShardRequest, PinShardRequest,
    TailLogsRequest, UndrainNodeRequest, UnpinShardRequest,
    admin_service_client::AdminServiceClient,
};

use crate::scene::{Answer, Scene, answer, request, within};
use fleet::Fleet;

impl Fleet {
    async fn ask(&self, method: &str, path: &str, body: &str) -> Answer {
        let stream = tokio::net::TcpStream::connect(self.gate.addresses().http).await.unwrap();
        let stream = hyper_util::rt::TokioIo::new(stream);
        let (mut sender, connection) = hyper::client::conn::http1::handshake(stream).await.unwrap();
        self.tasks().spawn(connection);
        let request: Request<_> = request(method, path, body.to_owned());
        answer(within(sender.send_request(request)).await.unwrap()).await
    }

    async fn get(&self, path: &str) -> Value {
        self.ask("GET", path, "").await.json()
    }

    /// Waits until the gate is linked to all nodes.
    async fn linked(&self) {
        let all = |status: &Value| {
            status["nodes"].as_array().unwrap().iter().all(|node| node["linked"] == true)
        };
        self.until("/v1/admin/cluster", all).await;
    }

    /// Asks until an answer is as it should be: what is written takes a moment to be seen.
    async fn until(&self, path: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        within(async {
            loop {
                let answer = self.get(path).await;
                if is_so(&answer) {
                    return answer;
                }
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
        })
        .await
    }
}

#[tokio::test]
async fn the_status_shows_who_is_there_and_what_they_own() {
    let fleet = Fleet::start(&["node-a", "node-b"]).await;
    fleet.linked().await;
    let status = fleet.until("/v1/admin/cluster", |it| it["shards"]["served"] == 4).await;
    assert_eq!(status["shards"], json!({"count": 4, "served": 4, "moving": 0, "unserved": 0}));
    let nodes: Vec<_> = status["nodes"].as_array().unwrap().iter().collect();
    let shown = |key: &str| -> Vec<_> { nodes.iter().map(|node| node[key].clone()).collect() };
    assert_eq!(shown("id"), ["node-a", "node-b"]);
    assert_eq!([shown("shards"), shown("targets")], [[2, 2], [2, 2]]);
    assert_eq!(shown("linked"), [true, true]);
    assert_eq!(status["gates"][0]["id"], "gate-1");
    assert!(!status["cluster"].as_str().unwrap().is_empty());
    assert!(["node-a", "node-b"].contains(&status["leader"].as_str().unwrap()));
    let shards = fleet.get("/v1/admin/shards").await;
    let owners: Vec<_> = shards["shards"].as_array().unwrap().iter().collect();
    let owners: Vec<_> = owners.iter().map(|shard| shard["owner"].as_str().unwrap()).collect();
    assert_eq!(owners, fleet.owners());
}

#[tokio::test]
async fn a_move_is_answered_once_the_shard_is_served_there_and_is_told_of_later() {
    let fleet = Fleet::start(&["node-a", "node-b"]).await;
    let other = match fleet.owners()[1].as_str() {
        "node-a" => "node-b",
        _ => "node-a",
    };
    let body = json!({ "node": other }).to_string();
    let moved = fleet.ask("POST", "/v1/admin/shards/1/move", &body).await;
    assert_eq!(moved.status, 200, "{moved:?}");
    assert_eq!((&moved.json()["shard"], &moved.json()["node"]), (&json!(1), &json!(other)));
    assert_eq!(fleet.owners()[1], other);
    // Another one goes the other way for it, before or after.
    let by_operator = |status: &Value| {
        let moves = status["moves"].as_array().unwrap();
        moves.iter().find(|change| change["why"] == "operator").cloned()
    };
    let status = fleet.until("/v1/admin/cluster", |it| by_operator(it).is_some()).await;
    let change = by_operator(&status).unwrap();
    assert_eq!((&change["shard"], &change["to"]), (&json!(1), &json!(other)));
    assert_eq!(change["epoch"], moved.json()["epoch"]);
    // To where it is, it is moved at once.
    let again = fleet.ask("POST", "/v1/admin/shards/1/move", &body).await;
    assert_eq!(again.json()["epoch"], moved.json()["epoch"]);
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_with_what_there_is() {
    let fleet = Fleet::start(&["node-a", "node-b"]).await;
    for (path, body, status, told) in [
        ("shards/1/move", r#"{"node": "node-x"}"#, 404, "node-a, node-b"),
        ("shards/4/move", r#"{"node": "node-a"}"#, 400, "from 0 to 3"),
        ("shards/99999999999/pin", r#"{"node": "node-a"}"#, 400, "from 0 to 3"),
        ("shards/x/move", r#"{"node": "node-a"}"#, 400, "no number"),
        ("shards/1/move", r#"{"nod": "node-a"}"#, 400, "{\"node\": \"ID\"}"),
        ("shards/1/pin", "", 400, "{\"node\": \"ID\"}"),
        ("nodes/node-x/drain", "", 404, "node-a, node-b"),
    ] {
        let answer = fleet.ask("POST", &format!("/v1/admin/{path}"), body).await;
        let message = answer.json()["error"]["message"].as_str().unwrap().to_owned();
        assert_eq!(answer.status.as_u16(), status, "{path}: {message}");
        assert!(message.contains(told), "{path}: {message}");
    }
}

#[tokio::test]
async fn a_pinned_shard_stays_until_it_is_not_pinned_any_more() {
    let fleet = Fleet::start(&["node-a", "node-b"]).await;
    let pin = r#"{"node": "node-a"}"#;
    assert_eq!(fleet.ask("POST", "/v1/admin/shards/0/pin", pin).await.status, 204);
    let pins = json!([{"shard": 0, "node": "node-a"}]);
    fleet.until("/v1/admin/cluster", |it| it["pins"] == pins).await;
    let moved = fleet.ask("POST", "/v1/admin/shards/0/move", r#"{"node": "node-b"}"#).await;
    assert_eq!((moved.status.as_u16(), &*moved.code()), (400, "invalid-argument"));
    assert_eq!(fleet.ask("DELETE", "/v1/admin/shards/0/pin", "").await.status, 204);
    fleet.until("/v1/admin/cluster", |it| it["pins"] == json!([])).await;
}

#[tokio::test]
async fn a_drained_node_gives_all_away_and_takes_nothing() {
    let fleet = Fleet::start(&["node-a", "node-b"]).await;
    let drained = fleet.ask("POST", "/v1/admin/nodes/node-b/drain", "").await;
    assert_eq!((drained.status.as_u16(), drained.json()), (202, json!({"node": "node-b"})));
    let is_empty = |status: &Value| {
        let node = &status["nodes"][1];
        node["draining"] == true && node["shards"] == 0
    };
    let status = fleet.until("/v1/admin/cluster", is_empty).await;
    assert_eq!(status["moves"][0]["why"], "drain");
    let moved = fleet.ask("POST", "/v1/admin/shards/0/move", r#"{"node": "node-b"}"#).await;
    assert_eq!((moved.status.as_u16(), &*moved.code()), (400, "invalid-argument"));
    let again = fleet.ask("POST", "/v1/admin/nodes/node-b/drain", "").await;
    assert_eq!(again.status, 202, "it is drained still");
    let undrained = fleet.ask("DELETE", "/v1/admin/nodes/node-b/drain", "").await;
    assert_eq!(undrained.status, 204);
    let shares = |status: &Value| {
        let node = &status["nodes"][1];
        node["draining"] == false && node["shards"] == 2
    };
    fleet.until("/v1/admin/cluster", shares).await;
}

#[tokio::test]
async fn operators_have_the_same_over_grpc() {
    let fleet = Fleet::start(&["node-a"]).await;
    let endpoint = format!("http://{}", fleet.gate.addresses().grpc);
    let mut admin = AdminServiceClient::connect(endpoint).await.unwrap();
    let status = admin.cluster_status(ClusterStatusRequest {}).await.unwrap().into_inner();
    assert_eq!((status.nodes.len(), &*status.leader), (1, "node-a"));
    let shards = admin.list_shards(ListShardsRequest {}).await.unwrap().into_inner().shards;
    assert_eq!(shards.len(), 4);
    let to = |node: &str| MoveShardRequest { shard: 2, node: node.into() };
    assert!(admin.move_shard(to("node-a")).await.unwrap().into_inner().epoch > 0);
    assert_eq!(admin.move_shard(to("x")).await.unwrap_err().code(), Code::NotFound);
    admin.pin_shard(PinShardRequest { shard: 2, node: "node-a".into() }).await.unwrap();
    admin.unpin_shard(UnpinShardRequest { shard: 2 }).await.unwrap();
    let refused = admin.unpin_shard(UnpinShardRequest { shard: 4 }).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    admin.drain_node(DrainNodeRequest { node: "node-a".into() }).await.unwrap();
    admin.undrain_node(UndrainNodeRequest { node: "node-a".into() }).await.unwrap();
}

#[tokio::test]
async fn a_list_is_made_of_what_all_nodes_have() {
    let fleet = Fleet::start(&["node-a", "node-b"]).await;
    fleet.nodes[0].0.live.lock().unwrap().push("b");
    fleet.nodes[1].0.live.lock().unwrap().extend(["c", "d"]);
    fleet.linked().await;
    let list = fleet.get("/v1/objects?page=2").await;
    let shown: Vec<_> = list["objects"].as_array().unwrap().iter().collect();
    let ids: Vec<_> = shown.iter().map(|it| it["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["a/b", "b", "c", "d"]);
    assert_eq!((&shown[1]["node"], &shown[2]["node"]), (&json!("node-a"), &json!("node-b")));
    let cut = fleet.get("/v1/objects?page=2&limit=3").await;
    assert_eq!(
        (cut["objects"].as_array().unwrap().len(), &cut["next_page"]),
        (3, &json!("Json/c"))
    );
}

#[tokio::test]
async fn the_logs_of_all_nodes_are_one_and_begin_with_the_latest_lines() {
    let fleet = Fleet::start(&["node-a", "node-b"]).await;
    fleet.linked().await;
    let endpoint = format!("http://{}", fleet.gate.addresses().grpc);
    let mut admin = AdminServiceClient::connect(endpoint).await.unwrap();
    let tail = TailLogsRequest { r#type: "Json".into(), id: "x".into(), recent: 3 };
    let mut lines = admin.tail_logs(tail).await.unwrap().into_inner();
    let mut shown = Vec::new();
    while shown.len() < 3 {
        shown.push(within(lines.message()).await.unwrap().unwrap().message);
    }
    assert_eq!(shown, ["line 1", "line 2", "line 2"], "of two nodes with three lines each");
    fleet.shutdown.request();
    assert!(within(lines.message()).await.unwrap().is_none());
}

#[tokio::test]
async fn a_dead_letter_is_settled_by_the_node_that_has_its_sender() {
    let fleet = Fleet::start(&["node-a", "node-b"]).await;
    fleet.linked().await;
    let retried = fleet.ask("POST", "/v1/admin/dead-letters/3/retry", "").await;
    assert_eq!(retried.status, 204);
    let sender = "Json/a/b".parse().unwrap();
    let Ok(Placement::Shard(shard)) = ShardCount::new(4).unwrap().place(&sender) else {
        panic!("it is pinned to no node")
    };
    let owner = &fleet.owners()[usize::from(shard.0)];
    for ((node, _), name) in fleet.nodes.iter().zip(["node-a", "node-b"]) {
        let (_, retried) = node.dead_letters.numbers();
        assert_eq!(retried.len(), usize::from(owner == name), "{name}");
    }
}

#[tokio::test]
async fn a_gate_that_ends_is_not_seen_any_more() {
    let fleet = Fleet::start(&["node-a"]).await;
    let mut view = fleet.nodes[0].1.view();
    drop(within(view.wait_for(|view| view.gates.len() == 1)).await.unwrap());
    fleet.shutdown.request();
    // Long before its lease is over.
    drop(within(view.wait_for(|view| view.gates.is_empty())).await.unwrap());
}

#[tokio::test]
async fn a_cluster_of_one_shows_itself_and_moves_nothing() {
    let scene = Scene::start().await;
    let status = scene.get("/v1/admin/cluster").await.json();
    assert_eq!((&status["cluster"], &status["leader"]), (&json!(""), &json!("")));
    assert_eq!(status["nodes"][0]["id"], "node-1");
    assert_eq!(status["shards"]["served"], status["shards"]["count"]);
    let shards = scene.get("/v1/admin/shards").await.json();
    assert_eq!(
        (&shards["shards"][0]["owner"], shards["shards"].as_array().unwrap().len()),
        (&json!("node-1"), 8192)
    );
    for (method, path) in [
        ("POST", "/v1/admin/shards/0/move"),
        ("POST", "/v1/admin/shards/0/pin"),
        ("DELETE", "/v1/admin/shards/0/pin"),
        ("POST", "/v1/admin/nodes/node-1/drain"),
        ("DELETE", "/v1/admin/nodes/node-1/drain"),
    ] {
        let answer = scene.ask(request(method, path, r#"{"node": "node-1"}"#)).await;
        assert_eq!((answer.status.as_u16(), &*answer.code()), (400, "invalid-argument"), "{path}");
        assert!(answer.json()["error"]["message"].as_str().unwrap().contains("cluster.etcd"));
    }
}
