//! Sessions as server-sent events.

use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use futures_util::StreamExt as _;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_util::task::TaskTracker;

use crate::{
    scene::{PATIENCE, Scene, request, with_headers, within},
    socket::text,
};

/// A reader of events, as browsers have it.
struct Events {
    body: BodyDataStream,
    rest: String,
    /// The last id.
    id: String,
    headers: http::HeaderMap,
    _tasks: TaskTracker,
}

#[derive(Debug, Default)]
struct Event {
    name: String,
    data: String,
    comment: bool,
    retry: Option<u64>,
}

impl Events {
    async fn open(scene: &Scene, path: &str, headers: &[(&'static str, &str)]) -> Self {
        let stream = TcpStream::connect(scene.gate.addresses().http).await.unwrap();
        let handshake = hyper::client::conn::http1::handshake::<_, Body>(TokioIo::new(stream));
        let (mut sender, connection) = handshake.await.unwrap();
        let tasks = TaskTracker::new();
        tasks.spawn(connection);
        let asked = with_headers(request("GET", path, ""), headers);
        let answer = within(sender.send_request(asked)).await.unwrap();
        assert_eq!(answer.status(), 200);
        let headers = answer.headers().clone();
        let body = Body::new(answer.into_body()).into_data_stream();
        Self { body, rest: String::new(), id: String::new(), headers, _tasks: tasks }
    }

    async fn begin(scene: &Scene, path: &str, headers: &[(&'static str, &str)]) -> (Self, Value) {
        let mut events = Self::open(scene, path, headers).await;
        let first = events.next().await.unwrap();
        assert_eq!(first.name, "session");
        let session = serde_json::from_str(&first.data).unwrap();
        (events, session)
    }

    /// The next event or comment; none: the stream has ended.
    async fn next(&mut self) -> Option<Event> {
        while !self.rest.contains("\n\n") {
            let bytes = within(self.body.next()).await?.unwrap();
            self.rest.push_str(std::str::from_utf8(&bytes).unwrap());
        }
        let (block, rest) = self.rest.split_once("\n\n").unwrap();
        let (block, rest) = (block.to_owned(), rest.to_owned());
        self.rest = rest;
        let mut event = Event::default();
        let mut data = Vec::new();
        for line in block.lines() {
            match line.split_once(": ").unwrap_or((line, "")) {
                ("event", name) => event.name = name.into(),
                ("data", line) => data.push(line),
                ("id", id) => self.id = id.into(),
                ("retry", millis) => event.retry = millis.parse().ok(),
                _ if line.starts_with(':') => event.comment = true,
                _ => panic!("no line of an event: {line:?}"),
            }
        }
        event.data = data.join("\n");
        Some(event)
    }

    /// The next that is no comment.
    async fn event(&mut self) -> (String, String) {
        loop {
            let event = self.next().await.expect("it goes on");
            if !event.comment {
                return (event.name, event.data);
            }
        }
    }
}

#[tokio::test]
async fn pushes_are_named_events_with_their_payload_as_data() {
    let scene = Scene::start().await;
    let (mut events, session) = Events::begin(&scene, "/v1/events", &[]).await;
    for (name, value) in [
        ("content-type", "text/event-stream"),
        ("cache-control", "no-store"),
        ("x-accel-buffering", "no"),
    ] {
        assert_eq!(events.headers[name], value);
    }
    let to = [text(&session["client_id"])];
    scene.node.push(&to, "named", "{\r\n  \"a\":\n1,\r\"b\": \"\\n\"}").await;
    let (name, data) = events.event().await;
    assert_eq!(name, "named");
    assert_eq!(serde_json::from_str::<Value>(&data).unwrap(), json!({"a": 1, "b": "\n"}));
    scene.node.push(&to, "empty", "").await;
    assert_eq!(events.event().await, ("empty".into(), "null".into()));
    scene.node.push_from("Bytes", &to, "raw", "a\nb").await;
    assert_eq!(events.event().await, ("raw".into(), "\"YQpi\"".into()));
}

#[tokio::test]
async fn an_id_is_enough_to_resume_by_from_any_point() {
    let scene = Scene::start().await;
    let (mut events, session) = Events::begin(&scene, "/v1/events", &[]).await;
    let at_first = events.id.clone();
    for n in 1..=6 {
        scene.node.push(&[text(&session["client_id"])], "tick", &n.to_string()).await;
    }
    for n in 1..=3 {
        assert_eq!(events.event().await.1, n.to_string());
    }
    let id = events.id.clone();
    drop(events);
    // The header wins: the address is as old as its page.
    let path = format!("/v1/events?last_event_id={at_first}");
    let (mut events, again) = Events::begin(&scene, &path, &[("last-event-id", &id)]).await;
    assert_eq!(again, session);
    for n in 4..=6 {
        assert_eq!(events.event().await.1, n.to_string());
    }
    drop(events);
    let (mut events, again) = Events::begin(&scene, &path, &[]).await;
    assert_eq!(again, session);
    for n in 1..=6 {
        assert_eq!(events.event().await.1, n.to_string());
    }
}

#[tokio::test]
async fn an_id_that_cannot_be_resumed_opens_a_session_that_begins_with_a_gap() {
    let scene = Scene::start().await;
    let (_events, session) = Events::begin(&scene, "/v1/events", &[]).await;
    let client = format!("{}.0", text(&session["client_id"]));
    let token = text(&session["session"]);
    let no_number = format!("{token}.x");
    for id in ["forged", "forged.3", ".", &client, token, &no_number] {
        let (mut events, other) =
            Events::begin(&scene, "/v1/events", &[("last-event-id", id)]).await;
        assert_ne!(other["client_id"], session["client_id"], "{id}");
        assert_eq!(events.event().await, ("gap".into(), "{\"missed\":null}".into()), "{id}");
        // From there on it resumes as any other.
        let after = events.id.clone();
        drop(events);
        let (_events, again) =
            Events::begin(&scene, "/v1/events", &[("last-event-id", &after)]).await;
        assert_eq!(again, other);
    }
    let wrong = scene.get("/v1/events?last=1").await;
    assert_eq!((wrong.status.as_u16(), &*wrong.code()), (400, "invalid-argument"));
}

#[tokio::test]
async fn a_quiet_stream_hears_comments_and_ends_with_its_gate() {
    let scene = Scene::with(|config| {
        config.gate.session_heartbeat = Duration::from_millis(20);
        config.gate.idle_timeout = Duration::from_millis(100);
        config.gate.write_timeout = Duration::from_millis(100);
    })
    .await;
    let (mut events, _) = Events::begin(&scene, "/v1/events", &[]).await;
    for _ in 0..20 {
        assert!(events.next().await.unwrap().comment);
    }
    // The one that is replaced must not take the session back at once.
    let (mut second, _) =
        Events::begin(&scene, "/v1/events", &[("last-event-id", &events.id)]).await;
    let mut retry = None;
    while let Some(event) = events.next().await {
        retry = event.retry.or(retry);
    }
    assert!(retry.unwrap() > 60_000);
    scene.shutdown.request();
    while second.next().await.is_some() {}
    assert!(scene.shutdown.drain(PATIENCE).await);
}

#[tokio::test]
async fn pages_of_other_sites_open_no_sessions() {
    let allow = |config: &mut wasmverse_gate::Config| {
        config.gate.cors_origins = vec!["https://app.example".into()];
    };
    let scene = Scene::with(allow).await;
    let origin = ("origin", "https://evil.example");
    for foreign in [&[origin] as &[_], &[("sec-fetch-site", "cross-site")]] {
        let refused = scene.ask(with_headers(request("GET", "/v1/events", ""), foreign)).await;
        assert_eq!((refused.status.as_u16(), &*refused.code()), (403, "denied"));
    }
    let origin = ("origin", "https://app.example");
    let (events, _) = Events::begin(&scene, "/v1/events", &[origin]).await;
    assert_eq!(events.headers["access-control-allow-origin"], "https://app.example");
    let asks = [
        origin,
        ("access-control-request-method", "GET"),
        ("access-control-request-headers", "last-event-id"),
    ];
    let answer = scene.ask(with_headers(request("OPTIONS", "/v1/events", ""), &asks)).await;
    assert!(answer.header("access-control-allow-headers").unwrap().contains("last-event-id"));
}
