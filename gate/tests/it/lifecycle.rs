//! How a gate begins and ends.

use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tonic::Code;
use wasmverse_proto::gate::{CallObjectRequest, ObjectRef};

use crate::scene::{PATIENCE, Scene, within};

async fn free_address() -> std::net::SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

#[tokio::test]
async fn until_a_node_tells_the_types_everything_is_unavailable() {
    let address = free_address().await;
    let scene = Scene::without_node(address, |_| {}).await;
    assert!(!scene.gate.readiness().is_ready());
    for path in ["/v1/types", "/v1/types/Json", "/v1/openapi.json"] {
        let answer = scene.get(path).await;
        assert_eq!((answer.status.as_u16(), &*answer.code()), (503, "unavailable"), "{path}");
        assert!(answer.header("retry-after").is_some());
    }
    let call = scene.post("/v1/objects/Json/x/echo", "5").await;
    assert_eq!((call.status.as_u16(), &*call.code()), (503, "unavailable"));
    let page = scene.get("/v1/objects").await;
    assert_eq!((page.status.as_u16(), &*page.code()), (503, "unavailable"));
    let object = Some(ObjectRef { r#type: "Json".into(), id: "x".into() });
    let call = CallObjectRequest { object, method: "echo".into(), ..CallObjectRequest::default() };
    let status = scene.grpc().await.call_object(call).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);

    scene.node.serve(TcpListener::bind(address).await.unwrap());
    within(scene.gate.readiness().ready()).await;
    assert_eq!(scene.post("/v1/objects/Json/x/echo", "5").await.status, 200);
}

#[tokio::test]
async fn a_gate_that_ends_finishes_what_it_has_begun() {
    let scene = Scene::start().await;
    let mut asking = Box::pin(scene.post("/v1/objects/Json/x/wait", ""));
    let mut waiting = scene.node.waiting.subscribe();
    tokio::select! {
        answer = &mut asking => panic!("nobody let it go: {answer:?}"),
        waiting = waiting.wait_for(|waiting| *waiting == 1) => drop(waiting.unwrap()),
    }
    scene.shutdown.request();
    let address = scene.gate.addresses().http;
    let refused = async { while TcpStream::connect(address).await.is_ok() {} };
    tokio::select! {
        answer = &mut asking => panic!("nobody let it go: {answer:?}"),
        () = within(refused) => {}
    }
    scene.node.release.cancel();
    let answer = within(asking).await;
    assert_eq!((answer.status.as_u16(), &*answer.body), (200, b"\"released\"" as &[u8]));
    assert!(scene.shutdown.drain(PATIENCE).await);
}

#[tokio::test]
async fn a_gate_that_ends_does_not_wait_for_ever() {
    let change = |config: &mut wasmverse_gate::Config| {
        config.gate.drain_max = Duration::from_millis(100);
    };
    let scene = Scene::with(change).await;
    let stream = TcpStream::connect(scene.gate.addresses().http).await.unwrap();
    let handshake = hyper::client::conn::http1::handshake(hyper_util::rt::TokioIo::new(stream));
    let (mut sender, connection) = handshake.await.unwrap();
    let request = crate::scene::request("POST", "/v1/objects/Json/x/wait", "");
    let asking = async { tokio::join!(sender.send_request(request), connection).0 };
    let mut asking = Box::pin(asking);
    let mut waiting = scene.node.waiting.subscribe();
    tokio::select! {
        answer = &mut asking => panic!("nobody let it go: {answer:?}"),
        waiting = waiting.wait_for(|waiting| *waiting == 1) => drop(waiting.unwrap()),
    }
    let (drained, answer) = tokio::join!(scene.shutdown.drain(PATIENCE), within(asking));
    assert!(drained);
    assert!(answer.is_err());
}
