//! Sessions over gRPC, and what a token is good for.

use std::time::Duration;

use serde_json::json;
use tonic::{Code, Request, Streaming};
use wasmverse_proto::gate::{
    CallObjectRequest, ObjectRef, OpenSessionRequest, SessionEvent, SessionGap, SessionOpened,
    session_event::Event,
};

use crate::scene::{PATIENCE, Scene, request, with_headers, within};

pub(crate) fn new() -> OpenSessionRequest {
    OpenSessionRequest::default()
}

fn resume(session: &SessionOpened, last_seq: u64) -> OpenSessionRequest {
    OpenSessionRequest { session_token: session.session_token.clone(), last_seq }
}

async fn open(
    scene: &Scene,
    request: OpenSessionRequest,
) -> (Streaming<SessionEvent>, SessionOpened) {
    let mut events = scene.grpc().await.open_session(request).await.unwrap().into_inner();
    match next(&mut events).await.event {
        Some(Event::Opened(opened)) => (events, opened),
        other => panic!("not opened: {other:?}"),
    }
}

async fn next(events: &mut Streaming<SessionEvent>) -> SessionEvent {
    within(events.message()).await.unwrap().expect("it goes on")
}

#[tokio::test]
async fn a_session_hears_pushes_and_resumes_where_it_was() {
    let scene = Scene::start().await;
    let (mut events, session) = open(&scene, new()).await;
    for n in 1..=10 {
        scene.node.push(&[&session.client_id], "tick", &n.to_string()).await;
    }
    let mut expect = 1;
    for last in [3, 7, 10] {
        while expect <= last {
            let event = next(&mut events).await;
            let Some(Event::Push(push)) = event.event else { panic!("no push") };
            let seen = (event.seq, &*push.event, &*push.payload);
            assert_eq!(seen, (expect, "tick", expect.to_string().as_bytes()));
            expect += 1;
        }
        drop(events);
        let again;
        (events, again) = open(&scene, resume(&session, last)).await;
        assert_eq!(again, session);
    }
    let mut acknowledged = scene.node.acknowledged.subscribe();
    drop(within(acknowledged.wait_for(|id| *id == 10)).await.unwrap());
}

#[tokio::test]
async fn a_token_that_is_none_opens_a_session_that_begins_with_a_gap() {
    let scene = Scene::start().await;
    let (_events, session) = open(&scene, new()).await;
    for token in ["forged", &session.client_id] {
        let request = OpenSessionRequest { session_token: token.into(), last_seq: 5 };
        let (mut events, other) = open(&scene, request).await;
        assert_ne!(other.client_id, session.client_id);
        let gap = next(&mut events).await;
        assert_eq!(gap.event, Some(Event::Gap(SessionGap { missed: None })));
    }
}

#[tokio::test]
async fn heartbeats_keep_a_quiet_session_and_streams_end_with_a_reason() {
    let scene = Scene::with(|config| {
        config.gate.session_heartbeat = Duration::from_millis(20);
        config.gate.idle_timeout = Duration::from_millis(100);
        config.gate.write_timeout = Duration::from_millis(100);
        config.gate.default_timeout = Duration::from_millis(50);
    })
    .await;
    let (mut first, session) = open(&scene, new()).await;
    for _ in 0..20 {
        assert!(matches!(next(&mut first).await.event, Some(Event::Heartbeat(_))));
    }
    let (mut second, _) = open(&scene, resume(&session, 0)).await;
    assert_eq!(last(&mut first).await, Code::Aborted);
    scene.shutdown.request();
    assert_eq!(last(&mut second).await, Code::Unavailable);
    assert!(scene.shutdown.drain(PATIENCE).await);
}

async fn last(events: &mut Streaming<SessionEvent>) -> Code {
    loop {
        if let Err(status) = within(events.message()).await {
            return status.code();
        }
    }
}

#[tokio::test]
async fn only_a_token_makes_a_call_its_clients_own() {
    let scene = Scene::start().await;
    let (_events, session) = open(&scene, new()).await;
    let path = "/v1/objects/Json/x/caller";
    let over_http = async |token: &str| {
        let shown = [("wasmverse-session", token)];
        scene.ask(with_headers(request("POST", path, ""), &shown)).await
    };
    let over_grpc = async |token: &str| {
        let object = Some(ObjectRef { r#type: "Json".into(), id: "x".into() });
        let method = "caller".into();
        let call = CallObjectRequest { object, method, ..CallObjectRequest::default() };
        let mut call = Request::new(call);
        call.metadata_mut().insert("wasmverse-session", token.parse().unwrap());
        let answer = scene.grpc().await.call_object(call).await;
        answer.map(|answer| answer.into_inner().payload)
    };
    assert_eq!(scene.post(path, "").await.json(), json!(null));
    assert_eq!(over_http(&session.session_token).await.json(), json!(session.client_id));
    let seen = over_grpc(&session.session_token).await.unwrap();
    assert_eq!(&*seen, json!(session.client_id).to_string().as_bytes());
    let cut = &session.session_token[1..];
    for bad in ["", "forged", &session.client_id, cut] {
        let refused = over_http(bad).await;
        assert_eq!((refused.status.as_u16(), &*refused.code()), (401, "unauthenticated"), "{bad}");
        assert!(bad.is_empty() || !String::from_utf8_lossy(&refused.body).contains(bad));
        assert_eq!(over_grpc(bad).await.unwrap_err().code(), Code::Unauthenticated, "{bad}");
    }
    let mut garbage = request("POST", path, "");
    let bytes = http::HeaderValue::from_bytes(b"\xff\xfe").unwrap();
    garbage.headers_mut().insert("wasmverse-session", bytes);
    assert_eq!(scene.ask(garbage).await.status, 401);
}
