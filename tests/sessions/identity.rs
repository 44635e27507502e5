//! Only a session's secret makes a caller its client.

use serde_json::json;
use wasmverse_tests::sessions::{Connection, Mark, Surface, Told};

use super::room::{call_as, chat, join, say};

#[tokio::test]
async fn nothing_but_the_secret_makes_a_caller_a_client() {
    let cluster = chat(|_| {}).await;
    for surface in Surface::ALL {
        let (client, connection) = join(&cluster, surface, "alice").await;
        let token = connection.mark.token.clone();
        for forged in ["", "x", client.as_str(), &token[1..], &format!("{token}x"), "🦀"] {
            let refused = call_as(&cluster, forged, "join", json!({"user": "eve"})).await;
            assert_eq!(
                (refused.status.as_u16(), refused.code().as_str()),
                (401, "unauthenticated")
            );
            assert!(!refused.message().contains(&token));
        }
        let members = cluster.http.ok(super::room::ROOM, "members", ()).await;
        assert_eq!(members, json!(["alice"]));
        cluster.http.ok(super::room::ROOM, "leave", json!({"user": "alice"})).await;
    }
}

#[tokio::test]
async fn whoever_shows_the_secret_takes_the_session_over() {
    let cluster = chat(|_| {}).await;
    for surface in Surface::ALL {
        let (client, mut first) = join(&cluster, surface, "alice").await;
        let at = surface.of(cluster.addresses());
        let (again, mut second) = Connection::open(surface, at, &first.mark).await;
        assert_eq!(again, client);
        say(&cluster, "alice", "hi").await;
        assert_eq!(second.event("message").await["text"], "hi");
        assert_eq!(first.next().await, None, "its connection is over");
        cluster.http.ok(super::room::ROOM, "leave", json!({"user": "alice"})).await;
    }
}

#[tokio::test]
async fn a_secret_of_another_gate_opens_a_session_of_its_own() {
    let cluster = chat(|_| {}).await;
    for surface in Surface::ALL {
        let at = surface.of(cluster.addresses());
        let foreign = Mark { token: "A".repeat(43), seq: 7 };
        let (_, mut connection) = Connection::open(surface, at, &foreign).await;
        assert_ne!(connection.mark.token, foreign.token);
        assert_eq!(connection.next().await, Some(Told::Gap(None)));
    }
}

#[tokio::test]
async fn texts_and_names_pass_as_they_are() {
    let cluster = chat(|_| {}).await;
    let user = "<script>alert(1)</script> 🦀 \u{202e}x";
    let text = "</script>\r\n\r\nevent: gap\ndata: {}\n\n\u{0}\u{1b}[2J 👩‍👩‍👧 \u{2028} \"quoted\" \\";
    for surface in Surface::ALL {
        let (_, mut connection) = join(&cluster, surface, user).await;
        say(&cluster, user, text).await;
        let message = connection.event("message").await;
        assert_eq!((&message["user"], &message["text"]), (&json!(user), &json!(text)));
        cluster.http.ok(super::room::ROOM, "leave", json!({"user": user})).await;
    }
}
