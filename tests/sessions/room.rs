//! A chat room to push from.

use serde_json::{Value, json};
use wasmverse_tests::{
    cluster::{Cluster, Settings},
    guests::{CHAT_LOBBY, CHAT_ROOM},
    http::Answer,
    sessions::{Connection, Mark, Surface},
};

pub(crate) const ROOM: &str = "ChatRoom/general";

pub(crate) async fn chat(change: impl FnOnce(&mut Settings)) -> Cluster {
    let cluster = Cluster::start_with(change).await;
    cluster.deploy(CHAT_ROOM.bytes()).await;
    cluster.deploy(CHAT_LOBBY.bytes()).await;
    cluster
}

/// Calls the room as the client of a session.
pub(crate) async fn call_as(
    cluster: &Cluster,
    token: &str,
    method: &str,
    argument: Value,
) -> Answer {
    let path = format!("/v1/objects/ChatRoom/general/{method}");
    let headers = [("wasmverse-session", token)];
    cluster.http.request(reqwest::Method::POST, &path, argument.to_string(), &headers).await
}

/// A session that has joined that room.
pub(crate) async fn join_room(cluster: &Cluster, room: &str) -> (String, Connection) {
    let at = cluster.addresses().http;
    let (client, connection) = Connection::open(Surface::Sse, at, &Mark::default()).await;
    let path = format!("/v1/objects/ChatRoom/{room}/join");
    let headers = [("wasmverse-session", connection.mark.token.as_str())];
    let user = json!({"user": "aside"}).to_string();
    let joined = cluster.http.request(reqwest::Method::POST, &path, user, &headers).await;
    assert_eq!(joined.status, 200, "{}", joined.message());
    (client, connection)
}

/// A session that is in the room.
pub(crate) async fn join(cluster: &Cluster, surface: Surface, user: &str) -> (String, Connection) {
    let at = surface.of(cluster.addresses());
    let (client, mut connection) = Connection::open(surface, at, &Mark::default()).await;
    let joined = call_as(cluster, &connection.mark.token, "join", json!({"user": user})).await;
    assert_eq!(joined.status, 200, "{}", joined.message());
    assert_eq!(connection.event("joined").await["user"], user);
    (client, connection)
}

pub(crate) async fn say(cluster: &Cluster, user: &str, text: &str) -> Value {
    cluster.http.ok(ROOM, "send_message", json!({"user": user, "text": text})).await
}
