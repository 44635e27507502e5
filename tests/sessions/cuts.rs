//! A connection that is cut at every point of a push: nothing is lost, nothing comes twice.

use serde_json::Value;
use wasmverse_tests::{
    cluster::Cluster,
    sessions::{Connection, Surface, Told, Wire},
};

use super::room::{chat, join, say};

/// More than an answer's head, two pushes and what surrounds them.
const BYTES: u64 = 900;

/// Takes in what comes until the connection ends, or until that message.
async fn collect(connection: &mut Connection, texts: &mut Vec<u64>, last: Option<u64>) {
    while texts.last().copied() != last || last.is_none() {
        match connection.next().await {
            Some(Told::Push(event, data)) if event == "message" => texts.push(number(&data)),
            Some(Told::Push(..) | Told::Opened(_)) => {}
            Some(Told::Gap(missed)) => {
                panic!("nothing is missing, but a gap of {missed:?} is told")
            }
            None => return,
        }
    }
}

fn number(message: &Value) -> u64 {
    message["text"].as_str().unwrap().parse().unwrap()
}

async fn cut_everywhere(surface: Surface) {
    let cluster: Cluster = chat(|_| {}).await;
    let at = surface.of(cluster.addresses());
    let (client, connection) = join(&cluster, surface, "alice").await;
    let mut mark = connection.mark.clone();
    drop(connection);
    let (mut texts, mut said) = (Vec::new(), 0);
    for bytes in (0..BYTES).step_by(3) {
        let wire = Wire::cut_after(at, bytes).await;
        let opening = Connection::try_open(surface, wire.address, &mark);
        let talking = async {
            for _ in 0..2 {
                said += 1;
                say(&cluster, "alice", &said.to_string()).await;
            }
        };
        let (connection, ()) = tokio::join!(opening, talking);
        if let Some(mut connection) = connection {
            collect(&mut connection, &mut texts, Some(said)).await;
            mark = connection.mark.clone();
        }
        let (again, mut connection) = Connection::open(surface, at, &mark).await;
        assert_eq!(again, client, "it is the same session after {bytes} bytes");
        collect(&mut connection, &mut texts, Some(said)).await;
        mark = connection.mark.clone();
        assert_eq!(texts.len() as u64, said, "after {bytes} bytes");
    }
    assert_eq!(texts, (1..=said).collect::<Vec<_>>());
}

#[tokio::test]
async fn server_sent_events_survive_every_cut() {
    cut_everywhere(Surface::Sse).await;
}

#[tokio::test]
async fn a_websocket_survives_every_cut() {
    cut_everywhere(Surface::Ws).await;
}

#[tokio::test]
async fn a_grpc_stream_survives_every_cut() {
    cut_everywhere(Surface::Grpc).await;
}

#[tokio::test]
async fn beyond_the_window_a_new_session_begins_with_a_gap() {
    for surface in Surface::ALL {
        let cluster = chat(|settings| {
            settings.gate.gate.session_window = wasmverse_tests::sessions::WINDOW;
        })
        .await;
        let (client, connection) = join(&cluster, surface, "alice").await;
        let mark = connection.mark.clone();
        drop(connection);
        wasmverse_tests::patience::eventually("the room hears of it", async || {
            let members = cluster.http.ok(super::room::ROOM, "members", ()).await;
            (members == serde_json::json!([])).then_some(())
        })
        .await;
        let at = surface.of(cluster.addresses());
        let (again, mut connection) = Connection::open(surface, at, &mark).await;
        assert_ne!(again, client);
        assert_eq!(connection.next().await, Some(Told::Gap(None)));
    }
}

#[tokio::test]
async fn beyond_the_buffer_a_gap_says_how_many_are_missing() {
    for surface in Surface::ALL {
        let cluster = chat(|settings| settings.gate.gate.session_buffer_length = 3).await;
        let (client, connection) = join(&cluster, surface, "alice").await;
        let mark = connection.mark.clone();
        drop(connection);
        for number in 1..=10 {
            say(&cluster, "alice", &number.to_string()).await;
        }
        let at = surface.of(cluster.addresses());
        let (again, mut connection) = Connection::open(surface, at, &mark).await;
        assert_eq!(again, client);
        let mut told = Vec::new();
        let mut missed = 0;
        while told.len() as u64 + missed < 10 {
            match connection.next().await.unwrap() {
                Told::Push(_, data) => told.push(number(&data)),
                Told::Gap(gap) => missed += gap.unwrap(),
                Told::Opened(_) => panic!("that was said"),
            }
        }
        assert!(told.is_sorted() && missed > 0, "{told:?}, {missed}");
    }
}
