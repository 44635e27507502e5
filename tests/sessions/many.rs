//! Many clients, and one that reads nothing.

use std::net::SocketAddr;

use futures_util::{StreamExt as _, stream};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_util::task::TaskTracker;
use wasmverse_proto::gate::{
    OpenSessionRequest, gate_service_client::GateServiceClient, session_event::Event as Kind,
};
use wasmverse_tests::{
    cluster::Cluster,
    guests::CHAT_ROOM,
    patience::{PATIENCE, eventually},
    sessions::{Connection, Mark, Surface, Told},
};

use super::room::{ROOM, call_as, chat, join, say};

#[tokio::test]
async fn a_thousand_sessions_in_a_room_get_each_message_once_in_order() {
    let cluster = chat(|_| {}).await;
    let joining = (0..1000).map(|number| {
        let (cluster, surface) = (&cluster, Surface::ALL[number % 3]);
        async move {
            let at = surface.of(cluster.addresses());
            let (_, connection) =
                wasmverse_tests::sessions::Connection::open(surface, at, &Mark::default()).await;
            let user = json!({"user": format!("user-{number}")});
            let token = connection.mark.token.clone();
            let messages = messages(connection);
            let joined = call_as(cluster, &token, "join", user).await;
            assert_eq!(joined.status, 200, "{}", joined.message());
            messages
        }
    });
    let mut clients: Vec<_> = stream::iter(joining).buffer_unordered(32).collect().await;
    for number in 1..=5 {
        say(&cluster, "user-1", &number.to_string()).await;
    }
    for client in &mut clients {
        for number in 1..=5 {
            assert_eq!(next(client).await["text"], number.to_string());
        }
    }
    // Nothing that was said before comes again before this.
    say(&cluster, "user-1", "last").await;
    for client in &mut clients {
        assert_eq!(next(client).await["text"], "last");
    }
}

/// What is said, as a client gets it that reads all that it is told.
fn messages(mut connection: Connection) -> mpsc::Receiver<Value> {
    let (sender, messages) = mpsc::channel(16);
    TaskTracker::new().spawn(async move {
        while sender.send(connection.event("message").await).await.is_ok() {}
    });
    messages
}

async fn next(messages: &mut mpsc::Receiver<Value>) -> Value {
    let next = tokio::time::timeout(PATIENCE, messages.recv()).await;
    next.expect("it comes in time").expect("it is connected still")
}

/// Sessions over one connection.
async fn sessions_over_one(
    address: SocketAddr,
    count: usize,
) -> Vec<tonic::Streaming<wasmverse_proto::gate::SessionEvent>> {
    let client = GateServiceClient::connect(format!("http://{address}")).await.unwrap();
    let opening = (0..count).map(|_| {
        let mut client = client.clone();
        async move {
            let mut events =
                client.open_session(OpenSessionRequest::default()).await.unwrap().into_inner();
            let first = events.message().await.unwrap().unwrap();
            assert!(matches!(first.event, Some(Kind::Opened(_))));
            events
        }
    });
    stream::iter(opening).buffer_unordered(64).collect().await
}

#[tokio::test]
async fn ten_thousand_sessions_idle_and_hear_heartbeats() {
    let cluster = chat(|settings| {
        settings.gate.gate.session_heartbeat = std::time::Duration::from_secs(1);
    })
    .await;
    let address = cluster.addresses().grpc;
    let mut all = Vec::new();
    for _ in 0..20 {
        all.extend(sessions_over_one(address, 500).await);
    }
    for events in all.iter_mut().step_by(97) {
        let next = events.message().await.unwrap().unwrap();
        assert!(matches!(next.event, Some(Kind::Heartbeat(_))));
    }
}

#[tokio::test]
async fn a_client_that_reads_nothing_slows_nobody() {
    let cluster = chat(|settings| settings.gate.gate.session_buffer_length = 16).await;
    // It asks, joins, and reads no more than who it is.
    let (_, deaf) = join(&cluster, Surface::Ws, "deaf").await;
    let (_, mut alice) = join(&cluster, Surface::Ws, "alice").await;
    let text = "x".repeat(4096);
    for number in 0..2000 {
        let message = say(&cluster, "alice", &text).await;
        let heard = alice.event("message").await;
        assert_eq!(heard["seq"], message["seq"], "{number}");
    }
    let deaf = Connection::open(Surface::Ws, cluster.addresses().http, &deaf.mark).await.1;
    // That alice joined, and all that she said: some of it told, of the rest how much it was.
    let (told, missed) = told_and_missed(deaf, 2001).await;
    assert_eq!(told + missed, 2001);
    assert!(missed > 1000, "{missed}");
}

/// How much of so many pushes a client gets, and how much it hears that it missed.
async fn told_and_missed(mut client: Connection, pushes: u64) -> (u64, u64) {
    let (mut told, mut missed) = (0, 0);
    while told + missed < pushes {
        match client.next().await.unwrap() {
            Told::Gap(gap) => missed += gap.unwrap(),
            Told::Push(..) => told += 1,
            Told::Opened(_) => panic!("that was said"),
        }
    }
    (told, missed)
}

#[tokio::test]
async fn a_reload_of_the_room_under_load_costs_no_client_anything() {
    let cluster: Cluster = chat(|_| {}).await;
    let (_, mut alice) = join(&cluster, Surface::Ws, "alice").await;
    let (_, mut bob) = join(&cluster, Surface::Sse, "bob").await;
    let talking = async {
        for number in 0..300 {
            say(&cluster, "alice", &number.to_string()).await;
        }
    };
    let reloading = async {
        for label in ["one", "two", "three"] {
            let uploaded = cluster.http.upload(CHAT_ROOM.rebuilt(label)).await;
            assert_eq!(uploaded.status, 201, "{}", uploaded.message());
            eventually("the room has changed over", async || {
                let rollout = cluster.http.rollout("ChatRoom").await;
                assert_eq!(rollout["refused"], json!([]), "{rollout}");
                (rollout["moved"] == 1 && rollout["done"] == true).then_some(())
            })
            .await;
        }
    };
    tokio::join!(talking, reloading);
    for client in [&mut alice, &mut bob] {
        for number in 0..300 {
            assert_eq!(client.event("message").await["text"], number.to_string());
        }
    }
    assert_eq!(cluster.http.ok(ROOM, "members", ()).await, json!(["alice", "bob"]));
}
