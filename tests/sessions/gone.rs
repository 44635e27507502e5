//! What objects hear of clients that are gone, and what clients hear of a gate or a node that was.

use serde_json::json;
use wasmverse_tests::{
    patience::eventually,
    sessions::{Surface, WINDOW},
};

use super::room::{ROOM, call_as, chat, join, join_room};

#[tokio::test]
async fn a_room_hears_when_the_window_of_a_client_has_ended() {
    let cluster = chat(|settings| settings.gate.gate.session_window = WINDOW).await;
    let (_, mut alice) = join(&cluster, Surface::Sse, "alice").await;
    for surface in Surface::ALL {
        let (_, bob) = join(&cluster, surface, "bob").await;
        drop(bob);
        assert_eq!(alice.event("left").await["user"], "bob");
    }
    assert_eq!(cluster.http.ok(ROOM, "members", ()).await, json!(["alice"]));
}

#[tokio::test]
async fn the_last_words_of_a_gate_say_that_its_clients_are_gone() {
    let cluster = chat(|_| {}).await;
    let mut connections = Vec::new();
    for (number, surface) in Surface::ALL.into_iter().cycle().take(30).enumerate() {
        connections.push(join(&cluster, surface, &format!("user-{number}")).await);
    }
    let cluster = cluster.restart().await;
    assert_eq!(cluster.http.ok(ROOM, "members", ()).await, json!([]));
}

#[tokio::test]
async fn nobody_but_the_platform_says_that_a_client_is_gone() {
    let cluster = chat(|_| {}).await;
    let (client, alice) = join(&cluster, Surface::Ws, "alice").await;
    let refused = call_as(&cluster, &alice.mark.token, "on_client_gone", json!(client)).await;
    assert_eq!(refused.code(), "denied");
    assert_eq!(cluster.http.ok(ROOM, "members", ()).await, json!(["alice"]));
}

#[tokio::test]
async fn a_client_that_is_gone_brings_no_object_into_being() {
    let cluster = chat(|settings| settings.gate.gate.session_window = WINDOW).await;
    let (_, alice) = join(&cluster, Surface::Sse, "alice").await;
    assert_eq!(
        cluster
            .http
            .request(reqwest::Method::DELETE, "/v1/objects/ChatRoom/general", "", &[])
            .await
            .status,
        204
    );
    let (client, bob) = join_room(&cluster, "aside").await;
    let token = alice.mark.token.clone();
    drop(alice);
    eventually("her session is over", async || {
        let known = call_as(&cluster, &token, "no_such_method", json!(null)).await;
        (known.code() == "unauthenticated").then_some(())
    })
    .await;
    // When bob's room hears that he is gone, hers has heard of her before.
    drop(bob);
    eventually("the other room hears of it", async || {
        let members = cluster.http.ok("ChatRoom/aside", "members", ()).await;
        (members == json!([])).then_some(())
    })
    .await;
    let path = "/v1/objects/ChatRoom/general";
    let known = cluster.http.request(reqwest::Method::GET, path, "", &[]).await;
    assert_eq!(known.status, 404, "{client} called it into being");
}
