//! Calls over gRPC.

use std::time::Duration;

use futures_util::StreamExt as _;
use serde_json::{Value, json};
use tonic::{Code, Request, Status, codec::CompressionEncoding};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
use tonic_reflection::pb::v1::{
    ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
    server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
};
use wasmverse_core::ErrorKind;
use wasmverse_proto::{
    convert::{grpc_code, status_to_error},
    gate::{
        CallObjectRequest, CreateObjectRequest, DeleteObjectRequest, ListObjectsRequest, ObjectRef,
    },
};

use crate::{
    node::failure,
    scene::{Scene, within},
};

fn object(id: &str) -> Option<ObjectRef> {
    Some(ObjectRef { r#type: "Json".into(), id: id.into() })
}

fn call(method: &str, payload: impl Into<bytes::Bytes>) -> CallObjectRequest {
    CallObjectRequest {
        object: object("a/b"),
        method: method.into(),
        payload: payload.into(),
        idempotency_key: String::new(),
    }
}

async fn refused(scene: &Scene, request: Request<CallObjectRequest>) -> Status {
    scene.grpc().await.call_object(request).await.unwrap_err()
}

#[tokio::test]
async fn a_call_carries_what_its_client_said() {
    let scene = Scene::start().await;
    let mut grpc = scene.grpc().await;
    let mut request =
        Request::new(CallObjectRequest { idempotency_key: "k".into(), ..call("who", "7") });
    request.set_timeout(Duration::from_secs(5));
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    request.metadata_mut().insert("traceparent", trace.parse().unwrap());
    let answer = grpc.call_object(request).await.unwrap().into_inner().payload;
    let seen: Value = serde_json::from_slice(&answer).unwrap();
    assert_eq!(
        (&seen["id"], &seen["key"], &seen["bytes"]),
        (&json!("a/b"), &json!("k"), &json!(1))
    );
    assert_eq!((&seen["client"], &seen["traceparent"]), (&json!(true), &json!(trace)));
    let left = seen["seconds_left"].as_f64().unwrap();
    assert!((3.0..=5.0).contains(&left), "{left}");

    let nothing = grpc.call_object(call("nothing", "")).await.unwrap().into_inner();
    assert!(nothing.payload.is_empty());
    let mut compressed = scene.grpc().await.send_compressed(CompressionEncoding::Gzip);
    let echoed = compressed.call_object(call("echo", vec![b'1'; 100_000])).await.unwrap();
    assert_eq!(echoed.into_inner().payload.len(), 100_000);
}

#[tokio::test]
async fn every_error_of_the_closed_set_keeps_its_details() {
    let scene = Scene::start().await;
    let about = "Json/a/b".parse().unwrap();
    for kind in ErrorKind::ALL {
        let status = refused(&scene, Request::new(call(kind.as_str(), ""))).await;
        assert_eq!(status.code(), grpc_code(kind), "{kind}");
        assert_eq!(status_to_error(&status), failure(kind, &about), "{kind}");
    }
    for (id, method) in [("x", "nope"), ("", "echo")] {
        let request = CallObjectRequest { object: object(id), ..call(method, "") };
        let expected = if id.is_empty() { Code::InvalidArgument } else { Code::NotFound };
        assert_eq!(refused(&scene, Request::new(request)).await.code(), expected);
    }
    let nobody = CallObjectRequest { object: None, ..call("echo", "") };
    assert_eq!(refused(&scene, Request::new(nobody)).await.code(), Code::InvalidArgument);
}

#[tokio::test]
async fn metadata_that_makes_no_sense_is_refused() {
    let scene = Scene::start().await;
    for (name, value, expected) in [
        ("wasmverse-session", "x", Code::Unauthenticated),
        ("wasmverse-session", "", Code::Unauthenticated),
        ("grpc-timeout", "soon", Code::InvalidArgument),
    ] {
        let mut request = Request::new(call("who", ""));
        request.metadata_mut().insert(name, value.parse().unwrap());
        let status = refused(&scene, request).await;
        assert_eq!(status.code(), expected, "{name}: {value}: {status}");
    }
}

#[tokio::test]
async fn a_deadline_that_passes_is_a_timeout() {
    // Not of the client's making: it would keep the time itself and not hear of ours.
    let scene = Scene::with(|config| config.gate.default_timeout = Duration::from_millis(50)).await;
    let status = refused(&scene, Request::new(call("wait", ""))).await;
    assert_eq!(status.code(), Code::DeadlineExceeded);
    assert_eq!(status_to_error(&status).kind(), ErrorKind::Timeout);
}

#[tokio::test]
async fn what_is_too_large_is_an_invalid_argument() {
    let scene = Scene::start().await;
    for bytes in [(4 << 20) + (65 << 10), 12_000_000] {
        let status = refused(&scene, Request::new(call("echo", vec![b'1'; bytes]))).await;
        assert_eq!(status.code(), Code::InvalidArgument, "{bytes}: {status}");
        assert_eq!(status_to_error(&status).kind(), ErrorKind::InvalidArgument);
    }
    let mut grpc = scene.grpc().await.max_decoding_message_size(8 << 20);
    let largest = grpc.call_object(call("echo", vec![b'1'; 4 << 20])).await.unwrap();
    assert_eq!(largest.into_inner().payload.len(), 4 << 20);
}

#[tokio::test]
async fn a_message_that_does_not_come_is_not_waited_for_for_ever() {
    let scene = Scene::with(|config| config.gate.default_timeout = Duration::from_millis(50)).await;
    let address = scene.gate.addresses().grpc;
    let stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let io = hyper_util::rt::TokioIo::new(stream);
    let executor = hyper_util::rt::TokioExecutor::new();
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(executor, io).await.unwrap();
    let head = futures_util::stream::iter([Ok::<_, std::io::Error>(bytes::Bytes::from_static(&[
        0, 0, 0, 0, 9,
    ]))]);
    let body = axum::body::Body::from_stream(head.chain(futures_util::stream::pending()));
    let request =
        http::Request::post(format!("http://{address}/wasmverse.gate.v1.GateService/CallObject"))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(body)
            .unwrap();
    let answer = async {
        tokio::select! {
            answer = sender.send_request(request) => answer.unwrap(),
            end = connection => panic!("the connection ended: {end:?}"),
        }
    };
    let status = Status::from_header_map(within(answer).await.headers()).unwrap();
    assert_ne!(status.code(), Code::Ok);
}

#[tokio::test]
async fn objects_are_created_deleted_and_listed() {
    let scene = Scene::start().await;
    let mut grpc = scene.grpc().await;
    grpc.create_object(CreateObjectRequest { object: object("x") }).await.unwrap();
    let taken = grpc.create_object(CreateObjectRequest { object: object("taken") }).await;
    assert_eq!(taken.unwrap_err().code(), Code::AlreadyExists);
    grpc.delete_object(DeleteObjectRequest { object: object("x") }).await.unwrap();
    let page = grpc.list_objects(ListObjectsRequest::default()).await.unwrap().into_inner();
    assert_eq!((page.objects.len(), &*page.next_page), (1, "2"));
    let greedy = ListObjectsRequest { limit: 1001, ..ListObjectsRequest::default() };
    assert_eq!(grpc.list_objects(greedy).await.unwrap_err().code(), Code::InvalidArgument);
}

#[tokio::test]
async fn reflection_and_health_are_there() {
    let scene = Scene::start().await;
    let asked = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let mut reflection = ServerReflectionClient::new(scene.channel().await);
    let asked = futures_util::stream::iter([asked]);
    let mut answers = reflection.server_reflection_info(asked).await.unwrap().into_inner();
    let answer = within(answers.message()).await.unwrap().unwrap();
    let Some(MessageResponse::ListServicesResponse(services)) = answer.message_response else {
        panic!("no list of services: {answer:?}");
    };
    let names: Vec<_> = services.service.iter().map(|service| service.name.as_str()).collect();
    for name in ["wasmverse.gate.v1.GateService", "wasmverse.admin.v1.AdminService"] {
        assert!(names.contains(&name), "{names:?}");
    }
    assert!(!names.contains(&"wasmverse.node.v1.NodeService"), "{names:?}");

    let mut health = HealthClient::new(scene.channel().await);
    for service in ["", "wasmverse.gate.v1.GateService"] {
        let mut request = health.watch(HealthCheckRequest { service: service.into() }).await;
        let states = request.as_mut().unwrap().get_mut();
        while within(states.message()).await.unwrap().unwrap().status != 1 {}
    }
}
