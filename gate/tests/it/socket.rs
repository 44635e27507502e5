//! Sessions over WebSocket.

use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tokio_tungstenite::{WebSocketStream, client_async, tungstenite::Message};

use crate::scene::{PATIENCE, Scene, request, with_headers, within};

/// A client that shows every frame.
pub(crate) struct Socket(WebSocketStream<TcpStream>);

impl Socket {
    /// One that has said nothing yet.
    pub(crate) async fn connect(scene: &Scene) -> Self {
        Self::connect_to(scene, "/v1/ws").await
    }

    async fn connect_to(scene: &Scene, path: &str) -> Self {
        let address = scene.gate.addresses().http;
        let stream = TcpStream::connect(address).await.unwrap();
        let url = format!("ws://{address}{path}");
        Self(within(client_async(url, stream)).await.unwrap().0)
    }

    /// One with a new session.
    pub(crate) async fn open(scene: &Scene) -> (Self, Value) {
        Self::beginning(scene, &json!({"op": "open"})).await
    }

    pub(crate) async fn resume(scene: &Scene, token: &Value, seq: u64) -> (Self, Value) {
        Self::beginning(scene, &json!({"op": "resume", "session": token, "seq": seq})).await
    }

    async fn beginning(scene: &Scene, first: &Value) -> (Self, Value) {
        let mut socket = Self::connect(scene).await;
        socket.say(&first.to_string()).await;
        let session = socket.hear().await;
        assert_eq!(session["op"], "session", "{session}");
        (socket, session)
    }

    pub(crate) async fn say(&mut self, text: &str) {
        self.send(Message::Text(text.into())).await;
    }

    pub(crate) async fn send(&mut self, message: Message) {
        within(self.0.send(message)).await.unwrap();
    }

    /// The next frame that is no heartbeat.
    pub(crate) async fn hear(&mut self) -> Value {
        loop {
            let frame = self.any().await;
            if frame["op"] != "heartbeat" {
                return frame;
            }
        }
    }

    async fn any(&mut self) -> Value {
        loop {
            match within(self.0.next()).await.expect("it goes on").unwrap() {
                Message::Text(text) => return serde_json::from_str(&text).unwrap(),
                Message::Ping(_) | Message::Pong(_) => {}
                other => panic!("no frame: {other:?}"),
            }
        }
    }

    /// The code that it is closed with.
    pub(crate) async fn closed(&mut self) -> u16 {
        loop {
            match within(self.0.next()).await {
                Some(Ok(Message::Close(frame))) => return frame.unwrap().code.into(),
                Some(Ok(_)) => {}
                other => panic!("not closed in words: {other:?}"),
            }
        }
    }
}

pub(crate) fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

#[tokio::test]
async fn a_session_hears_what_is_pushed_to_it_in_order() {
    let advertise = |config: &mut wasmverse_gate::Config| {
        config.gate.advertise = Some("gate-7.example:49000".into());
    };
    let scene = Scene::with(advertise).await;
    let (mut one, session) = Socket::open(&scene).await;
    let (mut other, others) = Socket::open(&scene).await;
    let id = text(&session["client_id"]);
    assert!(id.starts_with("gate-7.example:49000/"), "{session}");
    assert_ne!(session["session"], others["session"]);
    for n in 1..=20 {
        scene.node.push(&[id], "tick", &format!("{{\"n\": {n}}}")).await;
    }
    scene.node.push(&[], "all", "").await;
    for n in 1..=20 {
        let expected = json!({"op": "push", "seq": n, "event": "tick", "payload": {"n": n}});
        assert_eq!(one.hear().await, expected);
    }
    assert_eq!(one.hear().await, json!({"op": "push", "seq": 21, "event": "all", "payload": null}));
    assert_eq!(other.hear().await["event"], "all");
    scene.node.push_from("Bytes", &[id], "raw", "abc").await;
    assert_eq!(one.hear().await["payload"], "YWJj");
}

#[tokio::test]
async fn a_client_that_says_nothing_gets_a_session_all_the_same() {
    let scene = Scene::start().await;
    let mut socket = Socket::connect(&scene).await;
    assert_eq!(socket.hear().await["op"], "session");
    // Now it is too late to resume, and nothing is lost.
    socket.say(r#"{"op":"resume","session":"x","seq":1}"#).await;
    let error = socket.hear().await;
    assert_eq!(
        (&error["op"], &error["error"]["code"]),
        (&json!("error"), &json!("invalid-argument"))
    );
}

#[tokio::test]
async fn a_client_that_announces_its_first_frame_is_waited_for() {
    let scene = Scene::start().await;
    let (first, session) = Socket::open(&scene).await;
    drop(first);
    let mut socket = Socket::connect_to(&scene, "/v1/ws?opening=frame").await;
    // Longer than one that announces nothing would have.
    tokio::time::sleep(Duration::from_millis(600)).await;
    let resume = json!({"op": "resume", "session": session["session"], "seq": 0});
    socket.say(&resume.to_string()).await;
    assert_eq!(socket.hear().await["client_id"], session["client_id"]);
    let refused = scene.get("/v1/ws?opening=later").await;
    assert_eq!(refused.code(), "invalid-argument");
}

#[tokio::test]
async fn a_cut_connection_resumes_without_loss_or_repetition() {
    let scene = Scene::start().await;
    let (mut socket, session) = Socket::open(&scene).await;
    let id = text(&session["client_id"]);
    let mut seen = Vec::new();
    for round in 0..5_u64 {
        for n in 0..10 {
            scene.node.push(&[id], "tick", &(round * 10 + n).to_string()).await;
        }
        for _ in 0..round * 2 {
            seen.push(socket.hear().await);
        }
        drop(socket);
        let last = seen.last().map_or(0, |push| push["seq"].as_u64().unwrap());
        let again;
        (socket, again) = Socket::resume(&scene, &session["session"], last).await;
        assert_eq!(again["client_id"], session["client_id"]);
        assert_eq!(again["session"], session["session"]);
    }
    while seen.len() < 50 {
        seen.push(socket.hear().await);
    }
    let payloads: Vec<_> = seen.iter().map(|push| push["payload"].as_u64().unwrap()).collect();
    assert_eq!(payloads, (0..50).collect::<Vec<_>>());
}

#[tokio::test]
async fn what_cannot_be_resumed_is_a_new_session_that_begins_with_a_gap() {
    let scene = Scene::start().await;
    let (_socket, session) = Socket::open(&scene).await;
    let mut cut = session["session"].clone();
    cut = text(&cut)[1..].into();
    for token in [json!("forged"), json!(""), session["client_id"].clone(), cut] {
        let (mut socket, other) = Socket::resume(&scene, &token, 7).await;
        assert_ne!(other["client_id"], session["client_id"]);
        assert_ne!(other["session"], session["session"]);
        let gap = socket.hear().await;
        assert_eq!((&gap["op"], &gap["missed"]), (&json!("gap"), &Value::Null));
    }
}

#[tokio::test]
async fn the_window_ends_a_session_and_objects_that_it_called_hear_of_it() {
    let scene = Scene::with(|config| {
        config.gate.session_window = Duration::from_millis(50);
    })
    .await;
    let (mut socket, session) = Socket::open(&scene).await;
    socket.say(r#"{"op":"call","id":1,"type":"Json","object":"x","method":"nothing"}"#).await;
    assert_eq!(socket.hear().await["op"], "reply");
    drop(socket);
    let mut gone = scene.node.gone.subscribe();
    let expected = ("Json/x".to_owned(), vec![text(&session["client_id"]).to_owned()]);
    assert_eq!(*within(gone.wait_for(|gone| !gone.is_empty())).await.unwrap(), [expected]);
    let (mut socket, _) = Socket::resume(&scene, &session["session"], 0).await;
    assert_eq!(socket.hear().await["op"], "gap");
}

#[tokio::test]
async fn who_is_replaced_is_told_so() {
    let scene = Scene::start().await;
    let (mut first, session) = Socket::open(&scene).await;
    let (mut second, _) = Socket::resume(&scene, &session["session"], 0).await;
    assert_eq!(first.closed().await, 4001);
    scene.node.push(&[text(&session["client_id"])], "tick", "1").await;
    assert_eq!(second.hear().await["payload"], 1);
}

#[tokio::test]
async fn a_quiet_connection_hears_heartbeats_and_goes_on() {
    let scene = Scene::with(|config| {
        config.gate.session_heartbeat = Duration::from_millis(30);
        config.gate.idle_timeout = Duration::from_millis(100);
        config.gate.write_timeout = Duration::from_millis(100);
    })
    .await;
    let (mut socket, session) = Socket::open(&scene).await;
    for _ in 0..10 {
        assert_eq!(socket.any().await, json!({"op": "heartbeat", "seq": 0}));
    }
    scene.node.push(&[text(&session["client_id"])], "tick", "1").await;
    assert_eq!(socket.hear().await["event"], "tick");
}

#[tokio::test]
async fn a_peer_that_answers_no_ping_is_cut() {
    let scene =
        Scene::with(|config| config.gate.session_heartbeat = Duration::from_millis(30)).await;
    let address = scene.gate.addresses().http;
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = format!(
        "GET /v1/ws HTTP/1.1\r\nhost: {address}\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut read = Vec::new();
    let _ = within(stream.read_to_end(&mut read)).await;
    assert!(read.starts_with(b"HTTP/1.1 101"));
}

#[tokio::test]
async fn a_gate_that_ends_says_so_and_waits_for_its_sockets() {
    let scene = Scene::start().await;
    let (mut socket, _) = Socket::open(&scene).await;
    socket.say(r#"{"op":"call","id":"w","type":"Json","object":"x","method":"wait"}"#).await;
    let mut waiting = scene.node.waiting.subscribe();
    drop(within(waiting.wait_for(|waiting| *waiting == 1)).await.unwrap());
    scene.shutdown.request();
    scene.node.release.cancel();
    assert_eq!(socket.hear().await["payload"], "released");
    assert_eq!(socket.closed().await, 1001);
    drop(socket);
    assert!(scene.shutdown.drain(PATIENCE).await);
}

#[tokio::test]
async fn sockets_count_as_connections() {
    let scene = Scene::with(|config| config.gate.connections_max = 1).await;
    let (mut socket, _) = Socket::open(&scene).await;
    let mut asking = Box::pin(scene.get("/v1/types"));
    let call = r#"{"op":"call","id":1,"type":"Json","object":"x","method":"nothing"}"#;
    for _ in 0..20 {
        tokio::select! {
            answer = &mut asking => panic!("there was no room: {answer:?}"),
            reply = async { socket.say(call).await; socket.hear().await } => {
                assert_eq!(reply["op"], "reply");
            }
        }
    }
    drop(socket);
    assert_eq!(asking.await.status, 200);
}

#[tokio::test]
async fn a_client_that_reads_nothing_misses_pushes_and_slows_nobody() {
    let scene = Scene::with(|config| config.gate.session_buffer_length = 4).await;
    let (mut slow, its) = Socket::open(&scene).await;
    let (mut quick, others) = Socket::open(&scene).await;
    let payload = format!("\"{}\"", "x".repeat(256 << 10));
    for seq in 1..=80 {
        let clients = [text(&its["client_id"]), text(&others["client_id"])];
        scene.node.push(&clients, "big", &payload).await;
        assert_eq!(quick.hear().await["seq"], seq);
    }
    let (mut heard, mut missed) = (0, 0);
    while heard + missed < 80 {
        let frame = slow.hear().await;
        match text(&frame["op"]) {
            "push" => heard += 1,
            _ => missed += frame["missed"].as_u64().unwrap(),
        }
        assert_eq!(frame["seq"], heard + missed);
    }
    assert!(missed > 0);
}

#[tokio::test]
async fn a_client_that_reads_nothing_for_long_is_dropped() {
    let scene = Scene::with(|config| {
        config.gate.write_timeout = Duration::from_millis(100);
        config.gate.connections_max = 1;
    })
    .await;
    let (_slow, session) = Socket::open(&scene).await;
    let payload = format!("\"{}\"", "x".repeat(256 << 10));
    for _ in 0..80 {
        scene.node.push(&[text(&session["client_id"])], "big", &payload).await;
    }
    // There is room again.
    assert_eq!(scene.get("/v1/types").await.status, 200);
}

#[tokio::test]
async fn too_many_sessions_are_refused_on_every_surface() {
    let scene = Scene::with(|config| config.gate.sessions_max = 1).await;
    let (kept, session) = Socket::open(&scene).await;
    let mut socket = Socket::connect(&scene).await;
    socket.say(r#"{"op":"open"}"#).await;
    let error = socket.hear().await;
    assert_eq!((&error["id"], &error["error"]["code"]), (&Value::Null, &json!("overloaded")));
    assert_eq!(socket.closed().await, 1013);
    let events = scene.get("/v1/events").await;
    assert_eq!((events.status.as_u16(), &*events.code()), (429, "overloaded"));
    let status = scene.grpc().await.open_session(crate::session::new()).await.unwrap_err();
    assert_eq!(status.code(), tonic::Code::ResourceExhausted);
    // Who has one may come back.
    drop(kept);
    let (_socket, again) = Socket::resume(&scene, &session["session"], 0).await;
    assert_eq!(again["client_id"], session["client_id"]);
}

#[tokio::test]
async fn pages_of_other_sites_and_plain_requests_get_no_socket() {
    let scene = Scene::start().await;
    let upgrade = [
        ("connection", "upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "AAAAAAAAAAAAAAAAAAAAAA=="),
        ("origin", "http://evil.example"),
    ];
    let foreign = scene.ask(with_headers(request("GET", "/v1/ws", ""), &upgrade)).await;
    assert_eq!((foreign.status.as_u16(), &*foreign.code()), (403, "denied"));
    let plain = scene.get("/v1/ws").await;
    assert_eq!((plain.status.as_u16(), &*plain.code()), (400, "invalid-argument"));
}
