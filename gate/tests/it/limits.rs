//! What is too large, too slow or too many, and that the gate serves on.

use std::{convert::Infallible, time::Duration};

use axum::body::Body;
use bytes::Bytes;
use futures_util::stream;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use wasmverse_core::ErrorKind;
use wasmverse_proto::{
    convert::status_to_error,
    gate::{CallObjectRequest, ObjectRef},
};

use crate::scene::{Scene, request, with_headers, within};

const PATH: &str = "/v1/objects/Json/x/echo";

#[tokio::test]
async fn a_body_that_is_too_large_is_refused_and_the_answer_read() {
    let scene = Scene::start().await;
    // A client that sends all of it before it reads anything.
    let mut stream = TcpStream::connect(scene.gate.addresses().http).await.unwrap();
    let head =
        format!("POST {PATH} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 12000000\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    within(stream.write_all(&vec![b'1'; 12_000_000])).await.unwrap();
    let mut answer = [0; 12];
    within(stream.read_exact(&mut answer)).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 400");

    // One that does not say how much it will be.
    let pieces = (0..12).map(|_| Ok::<_, Infallible>(Bytes::from(vec![b'1'; 1_000_000])));
    let unknown = scene.post(PATH, Body::from_stream(stream::iter(pieces))).await;
    assert_eq!((unknown.status.as_u16(), &*unknown.code()), (400, "invalid-argument"));
    let http2 = scene.ask_http2(request("POST", PATH, vec![b'1'; 12_000_000])).await;
    assert_eq!((http2.status.as_u16(), &*http2.code()), (400, "invalid-argument"));

    assert_eq!(scene.post(PATH, "5").await.status, 200);
}

#[tokio::test]
async fn a_name_that_no_method_has_is_refused_here() {
    let scene = Scene::start().await;
    for length in [256, 30_000] {
        let path = format!("/v1/objects/Json/x/{}", "m".repeat(length));
        let answer = scene.post(&path, "5").await;
        assert_eq!((answer.status.as_u16(), &*answer.code()), (400, "invalid-argument"));
    }
}

#[tokio::test]
async fn a_client_that_asks_first_need_not_send_what_is_too_large() {
    let scene = Scene::start().await;
    let mut stream = TcpStream::connect(scene.gate.addresses().http).await.unwrap();
    let head = format!(
        "POST {PATH} HTTP/1.1\r\nhost: localhost\r\nexpect: 100-continue\r\n\
         content-length: 12000000\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = [0; 12];
    within(stream.read_exact(&mut answer)).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 400");
}

#[tokio::test]
async fn a_body_that_trickles_runs_into_its_deadline() {
    let scene = Scene::start().await;
    let call =
        request("POST", PATH, Body::from_stream(stream::pending::<Result<Bytes, Infallible>>()));
    let answer = scene.ask(with_headers(call, &[("wasmverse-timeout", "50ms")])).await;
    assert_eq!((answer.status.as_u16(), &*answer.code()), (504, "timeout"));
}

#[tokio::test]
async fn connections_that_ask_nothing_are_closed() {
    let scene = Scene::with(|config| config.gate.idle_timeout = Duration::from_millis(100)).await;
    for (address, said) in [
        (scene.gate.addresses().http, b"" as &[u8]),
        (scene.gate.addresses().http, b"PRI * HT"),
        (scene.gate.addresses().http, b"POST /v1/objects HTTP/1.1\r\nhost: lo"),
        (scene.gate.addresses().grpc, b""),
        (scene.gate.addresses().grpc, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    ] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(said).await.unwrap();
        let mut rest = Vec::new();
        // Whatever is said last, the end comes.
        let _ = within(stream.read_to_end(&mut rest)).await;
    }
}

#[tokio::test]
async fn more_connections_than_allowed_wait_for_their_turn() {
    let scene = Scene::with(|config| config.gate.connections_max = 1).await;
    let first = TcpStream::connect(scene.gate.addresses().http).await.unwrap();
    let mut asking = Box::pin(scene.post(PATH, "5"));
    tokio::select! {
        biased;
        answer = &mut asking => panic!("there was no room for it: {answer:?}"),
        () = tokio::task::yield_now() => {}
    }
    drop(first);
    assert_eq!(asking.await.status, 200);
}

#[tokio::test]
async fn bodies_and_answers_without_room_are_overload() {
    let scene = Scene::with(|config| config.gate.held_bytes_max = 50_000).await;
    let body = vec![b'1'; 60_000];
    for answer in [
        scene.post(PATH, body.clone()).await,
        scene.ask_http2(request("POST", PATH, body.clone())).await,
    ] {
        assert_eq!((answer.status.as_u16(), &*answer.code()), (429, "overloaded"));
        assert!(answer.header("retry-after").is_some());
        assert_eq!(answer.json()["error"]["maybe_executed"], false);
    }
    let answer = scene.post("/v1/objects/Json/x/large", "").await;
    assert_eq!((answer.status.as_u16(), &*answer.code()), (429, "overloaded"));
    assert_eq!(answer.json()["error"]["maybe_executed"], true);
    let object = Some(ObjectRef { r#type: "Json".into(), id: "x".into() });
    let call = |method: &str, payload: Vec<u8>| CallObjectRequest {
        object: object.clone(),
        method: method.into(),
        payload: payload.into(),
        ..CallObjectRequest::default()
    };
    let mut grpc = scene.grpc().await;
    for call in [call("echo", body), call("large", Vec::new())] {
        let status = grpc.call_object(call).await.unwrap_err();
        assert_eq!(status_to_error(&status).kind(), ErrorKind::Overloaded, "{status:?}");
    }
    // What was held is given back.
    for _ in 0..10 {
        assert_eq!(scene.post(PATH, vec![b'1'; 20_000]).await.status, 200);
        assert!(grpc.call_object(call("echo", vec![b'1'; 20_000])).await.is_ok());
    }
}

#[tokio::test]
async fn headers_that_are_too_large_are_refused() {
    let scene = Scene::start().await;
    let mut stream = TcpStream::connect(scene.gate.addresses().http).await.unwrap();
    let head =
        format!("POST {PATH} HTTP/1.1\r\nhost: localhost\r\nx-long: {}", "k".repeat(200_000));
    // It need not be read to the end, nor answered in words; but it ends.
    let _ = within(stream.write_all(head.as_bytes())).await;
    let mut answer = Vec::new();
    let _ = within(stream.read_to_end(&mut answer)).await;
    assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 431"), "{answer:?}");
    assert_eq!(scene.post(PATH, "5").await.status, 200);
}
