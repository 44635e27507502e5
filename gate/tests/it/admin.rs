//! Operations over HTTP and gRPC.

use std::convert::Infallible;

use axum::body::Body;
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpStream,
};
use tonic::Code;
use wasmverse_proto::admin::{
    DeployRequest, ListTypesRequest, RolloutRequest, TailLogsRequest, UploadHeader,
    UploadTypeRequest, upload_type_request::Part,
};

use crate::{
    node::Upload,
    scene::{Scene, request, within},
};

fn pieces(count: usize, length: usize) -> Body {
    let pieces = (0..count).map(move |_| Ok::<_, Infallible>(Bytes::from(vec![b'1'; length])));
    Body::from_stream(stream::iter(pieces))
}

#[tokio::test]
async fn an_upload_goes_to_the_node_and_shows_at_once() {
    let scene = Scene::start().await;
    let stored = scene.post("/v1/admin/types?deploy=false", pieces(3, 1000)).await;
    let expected = json!({"type": "Fresh", "revision": 1, "digest": "d1", "active": false});
    assert_eq!((stored.status.as_u16(), stored.json()), (201, expected));
    assert_eq!(scene.get("/v1/types/Fresh").await.status, 404);

    let active = scene.post("/v1/admin/types", pieces(20, 1_000_000)).await;
    assert_eq!((active.status.as_u16(), &active.json()["active"]), (201, &json!(true)));
    assert_eq!(scene.get("/v1/types/Fresh").await.status, 200);
    let seen = scene.node.uploads.borrow().clone();
    assert_eq!(seen, [Upload::Complete(3000), Upload::Complete(20_000_000)]);
}

#[tokio::test]
async fn a_refused_upload_says_why() {
    let scene = Scene::start().await;
    let refused = scene.post("/v1/admin/types", "bad").await;
    assert_eq!((refused.status.as_u16(), &*refused.code()), (400, "invalid-argument"));
    assert!(refused.json()["error"]["message"].as_str().unwrap().contains("wasmverse build"));
    for query in ["deploy=no", "deplo=false"] {
        let answer = scene.post(&format!("/v1/admin/types?{query}"), "x").await;
        assert_eq!((answer.status.as_u16(), &*answer.code()), (400, "invalid-argument"), "{query}");
    }
}

#[tokio::test]
async fn an_upload_that_is_too_large_never_looks_complete() {
    let scene = Scene::with(|config| config.gate.upload_bytes_max = 1 << 20).await;
    let refused = scene.post("/v1/admin/types", pieces(40, 100_000)).await;
    assert_eq!((refused.status.as_u16(), &*refused.code()), (400, "invalid-argument"));
    let mut uploads = scene.node.uploads.subscribe();
    let seen = within(uploads.wait_for(|seen| !seen.is_empty())).await.unwrap().clone();
    assert_eq!(seen, [Upload::BrokenOff]);

    let header = Part::Header(UploadHeader::default());
    let chunk = || Part::Chunk(Bytes::from(vec![b'1'; 100_000]));
    let parts = std::iter::once(header).chain((0..40).map(move |_| chunk()));
    let parts = parts.map(|part| UploadTypeRequest { part: Some(part) });
    let refused = scene.grpc_admin().await.upload_type(stream::iter(parts)).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument, "{refused}");
    let seen = within(uploads.wait_for(|seen| seen.len() == 2)).await.unwrap().clone();
    assert_eq!(seen[1], Upload::BrokenOff);
}

#[tokio::test]
async fn an_upload_whose_client_leaves_never_looks_complete() {
    let scene = Scene::start().await;
    let mut stream = TcpStream::connect(scene.gate.addresses().http).await.unwrap();
    let head =
        "POST /v1/admin/types HTTP/1.1\r\nhost: localhost\r\ncontent-length: 9000\r\n\r\nabc";
    stream.write_all(head.as_bytes()).await.unwrap();
    drop(stream);
    // Whether it got as far as the node or not: nothing complete did.
    let complete = scene.post("/v1/admin/types?deploy=false", "whole").await;
    assert_eq!(complete.status, 201);
    let mut uploads = scene.node.uploads.subscribe();
    let seen = within(uploads.wait_for(|seen| seen.contains(&Upload::Complete(5)))).await.unwrap();
    assert!(seen.iter().all(|upload| [Upload::Complete(5), Upload::BrokenOff].contains(upload)));
}

#[tokio::test]
async fn a_deploy_names_its_revision_and_shows_at_once() {
    let scene = Scene::start().await;
    let deployed = scene.post("/v1/admin/types/Json/deploy", "{\"revision\": 7}").await;
    let expected = json!({"type": "Json", "revision": 7, "digest": "d7"});
    assert_eq!((deployed.status.as_u16(), deployed.json()), (200, expected));
    assert_eq!(scene.get("/v1/types/Json").await.json()["revision"], 7);
    for body in ["", "{}", "7", "{\"revision\": -1}", "{\"revision\": 1, \"canary\": 10}"] {
        let answer = scene.post("/v1/admin/types/Json/deploy", body).await;
        assert_eq!((answer.status.as_u16(), &*answer.code()), (400, "invalid-argument"), "{body}");
    }
    let progress = scene.get("/v1/admin/types/Json/rollout").await.json();
    let expected = json!({"type": "Json", "revision": 2, "live": 3, "moved": 1, "gone": 0,
        "refused": [{"id": "x", "reason": "it will not"}], "refused_total": 1, "done": false});
    assert_eq!(progress, expected);
    for later in ["promote", "rollback"] {
        let answer = scene.post(&format!("/v1/admin/types/Json/{later}"), "").await;
        assert_eq!(answer.status, 404, "{later}");
    }
}

#[tokio::test]
async fn logs_come_line_by_line_as_they_are_written() {
    let scene = Scene::start().await;
    let mut stream = TcpStream::connect(scene.gate.addresses().http).await.unwrap();
    let head = "GET /v1/admin/logs/Json/a%2Fb?recent=2 HTTP/1.1\r\nhost: localhost\r\n\
                accept-encoding: gzip\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut lines = BufReader::new(stream).lines();
    let mut shown: Vec<Value> = Vec::new();
    while shown.len() < 2 {
        let line = within(lines.next_line()).await.unwrap().unwrap();
        shown.extend(line.starts_with('{').then(|| serde_json::from_str(&line).unwrap()));
    }
    let expected = json!({"at": "2017-07-14T02:40:00.000001Z", "type": "Json", "id": "a/b",
        "level": "info", "message": "line 1", "fields": {"n": "1"}});
    assert_eq!(shown[1], expected);
    // The log goes on for as long as somebody reads, but not longer than the gate.
    scene.shutdown.request();
    while within(lines.next_line()).await.unwrap().is_some() {}

    let answer = Scene::start().await.get("/v1/admin/logs?recent=1001").await;
    assert_eq!((answer.status.as_u16(), &*answer.code()), (400, "invalid-argument"));
}

#[tokio::test]
async fn operators_have_the_same_over_grpc() {
    let scene = Scene::start().await;
    let mut admin = scene.grpc_admin().await;
    let parts = [Part::Header(UploadHeader::default()), Part::Chunk("component".into())];
    let parts = parts.map(|part| UploadTypeRequest { part: Some(part) });
    let stored = admin.upload_type(stream::iter(parts.clone())).await.unwrap().into_inner();
    assert_eq!((&*stored.r#type, stored.active), ("Fresh", true));
    let types = admin.list_types(ListTypesRequest {}).await.unwrap().into_inner().types;
    assert!(types.iter().any(|known| known.r#type == "Fresh"));
    let headless = admin.upload_type(stream::iter(parts[1..].to_vec())).await.unwrap_err();
    assert_eq!(headless.code(), Code::InvalidArgument, "{headless}");

    let deploy = DeployRequest { r#type: "Json".into(), revision: 3 };
    assert_eq!(admin.deploy(deploy).await.unwrap().into_inner().digest, "d3");
    let rollout = RolloutRequest { r#type: "Json".into() };
    let steps = admin.rollout(rollout).await.unwrap().into_inner();
    let done: Vec<_> = steps.map(|step| step.unwrap().done).collect().await;
    assert_eq!(done, [false, true]);
    let tail = TailLogsRequest { r#type: "Json".into(), id: "x".into(), recent: 1 };
    let mut lines = admin.tail_logs(tail).await.unwrap().into_inner();
    assert_eq!(within(lines.message()).await.unwrap().unwrap().message, "line 0");
    scene.shutdown.request();
    assert!(within(lines.message()).await.unwrap().is_none());
}

#[tokio::test]
async fn a_type_that_is_none_is_refused_before_it_is_asked_for() {
    let scene = Scene::start().await;
    let answer = scene.ask(request("POST", "/v1/admin/types/9/deploy", "{\"revision\":1}")).await;
    assert_eq!((answer.status.as_u16(), &*answer.code()), (400, "invalid-argument"));
    let deploy = DeployRequest { r#type: "9".into(), revision: 3 };
    let status = scene.grpc_admin().await.deploy(deploy).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
}
