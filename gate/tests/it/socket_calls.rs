//! Calls over WebSocket, and what is no call.

use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use crate::{
    scene::{Scene, within},
    socket::{Socket, text},
};

fn call(id: &Value, type_name: &str, method: &str, payload: &Value) -> String {
    json!({"op": "call", "id": id, "type": type_name, "object": "x", "method": method,
        "payload": payload})
    .to_string()
}

#[tokio::test]
async fn calls_are_the_clients_own_and_their_ids_come_back_as_they_were() {
    let scene = Scene::start().await;
    let (mut socket, session) = Socket::open(&scene).await;
    for id in [json!(1), json!(-1.5), json!("a\"ü\n"), json!(u64::MAX), json!("")] {
        socket.say(&call(&id, "Json", "caller", &Value::Null)).await;
        let expected = json!({"op": "reply", "id": id, "payload": session["client_id"]});
        assert_eq!(socket.hear().await, expected);
    }
}

#[tokio::test]
async fn payloads_are_json_or_base64_as_the_type_has_it() {
    let scene = Scene::start().await;
    let (mut socket, _) = Socket::open(&scene).await;
    for (type_name, payload) in [
        ("Json", json!({"a": [1, null, "\u{1f600}"]})),
        ("Json", json!("text")),
        ("Json", Value::Null),
        ("Bytes", json!("AP8=")),
        ("Protobuf", json!("CAE=")),
        ("Bytes", Value::Null),
    ] {
        socket.say(&call(&json!(1), type_name, "echo", &payload)).await;
        assert_eq!(socket.hear().await["payload"], payload, "{type_name}");
    }
    socket.say(r#"{"op":"call","id":1,"type":"Json","object":"x","method":"echo"}"#).await;
    assert_eq!(socket.hear().await, json!({"op": "reply", "id": 1, "payload": null}));
    let who = r#"{"op":"call","id":1,"type":"Json","object":"x","method":"who","payload":null,
        "key":"k","timeout":"5s"}"#;
    socket.say(who).await;
    let seen = &socket.hear().await["payload"];
    assert_eq!((&seen["bytes"], &seen["key"]), (&json!(4), &json!("k")));
    assert!(seen["seconds_left"].as_f64().unwrap() <= 5.0);
}

#[tokio::test]
async fn a_failed_call_shows_the_error_as_http_does() {
    let scene = Scene::start().await;
    let (mut socket, _) = Socket::open(&scene).await;
    for method in ["application", "not-found", "denied", "overloaded", "unavailable", "nope"] {
        socket.say(&call(&json!("x"), "Json", method, &Value::Null)).await;
        let seen = socket.hear().await;
        assert_eq!((&seen["op"], &seen["id"]), (&json!("error"), &json!("x")));
        let over_http = scene.post(&format!("/v1/objects/Json/x/{method}"), "").await.json();
        assert_eq!(seen["error"], over_http["error"]);
    }
}

#[tokio::test]
async fn frames_that_make_no_sense_are_answered_and_harm_nothing() {
    let scene = Scene::start().await;
    let (mut socket, _) = Socket::open(&scene).await;
    let long = format!(r#"{{"op":"call","id":"{}"}}"#, "x".repeat(300));
    for (bad, id) in [
        ("", Value::Null),
        ("nope", Value::Null),
        ("[]", Value::Null),
        ("{}", Value::Null),
        (r#"{"op":7,"id":1}"#, json!(1)),
        (r#"{"op":"nope","id":1}"#, json!(1)),
        (r#"{"op":"session"}"#, Value::Null),
        (r#"{"op":"open"}"#, Value::Null),
        (r#"{"op":"resume","session":"x","seq":1}"#, Value::Null),
        (r#"{"op":"call","id":{}}"#, Value::Null),
        (r#"{"op":"call","id":[1]}"#, Value::Null),
        (&long, Value::Null),
        (r#"{"op":"call","id":1}"#, json!(1)),
        (r#"{"op":"call","id":2,"type":"Json","object":"x"}"#, json!(2)),
        (r#"{"op":"call","id":2,"type":5,"object":"x","method":"echo"}"#, json!(2)),
        (r#"{"op":"call","id":2,"type":"9","object":"x","method":"echo"}"#, json!(2)),
        (r#"{"op":"call","id":2,"type":"Json","object":"","method":"echo"}"#, json!(2)),
        (r#"{"op":"call","id":2,"type":"Json","object":"x","method":""}"#, json!(2)),
        (r#"{"op":"call","id":2,"type":"Json","object":"x","method":"echo","key":""}"#, json!(2)),
        (
            r#"{"op":"call","id":2,"type":"Json","object":"x","method":"echo","timeout":"soon"}"#,
            json!(2),
        ),
        (
            r#"{"op":"call","id":2,"type":"Bytes","object":"x","method":"echo","payload":"%"}"#,
            json!(2),
        ),
        (
            r#"{"op":"call","id":2,"type":"Bytes","object":"x","method":"echo","payload":{}}"#,
            json!(2),
        ),
    ] {
        socket.say(bad).await;
        let seen = socket.hear().await;
        assert_eq!((&seen["op"], &seen["id"]), (&json!("error"), &id), "{bad}: {seen}");
        assert_eq!(seen["error"]["code"], "invalid-argument", "{bad}: {seen}");
    }
    socket.send(Message::Binary(vec![1, 2].into())).await;
    assert_eq!(socket.hear().await["error"]["code"], "invalid-argument");
    socket.say(&call(&json!(1), "Json", "echo", &json!(5))).await;
    assert_eq!(socket.hear().await["payload"], 5);
}

#[tokio::test]
async fn a_first_frame_that_makes_no_sense_is_answered_after_the_session() {
    let scene = Scene::start().await;
    for first in [Message::Text("nope".into()), Message::Binary(vec![1].into())] {
        let mut socket = Socket::connect(&scene).await;
        socket.send(first).await;
        assert_eq!(socket.hear().await["op"], "session");
        assert_eq!(socket.hear().await["op"], "error");
    }
    let mut socket = Socket::connect(&scene).await;
    socket.say(&call(&json!(1), "Json", "echo", &json!(5))).await;
    assert_eq!(socket.hear().await["op"], "session");
    assert_eq!(socket.hear().await["payload"], 5);
}

#[tokio::test]
async fn a_frame_that_is_too_large_ends_the_connection() {
    let scene = Scene::with(|config| config.gate.body_bytes_max = 1000).await;
    let (mut socket, _) = Socket::open(&scene).await;
    socket.say(&call(&json!(1), "Json", "echo", &"x".repeat(2000).into())).await;
    assert_eq!(socket.hear().await["error"]["code"], "invalid-argument");
    socket.say(&"x".repeat(100_000)).await;
    assert_eq!(socket.closed().await, 1009);
}

#[tokio::test]
async fn one_connection_has_so_many_calls_under_way() {
    let scene = Scene::start().await;
    let (mut socket, _) = Socket::open(&scene).await;
    for id in 0..1024 {
        socket.say(&call(&json!(id), "Json", "wait", &Value::Null)).await;
    }
    socket.say(&call(&json!("over"), "Json", "echo", &Value::Null)).await;
    let refused = socket.hear().await;
    assert_eq!((&refused["id"], &refused["error"]["code"]), (&json!("over"), &json!("overloaded")));
    let mut waiting = scene.node.waiting.subscribe();
    drop(within(waiting.wait_for(|waiting| *waiting == 1024)).await.unwrap());
    scene.node.release.cancel();
    for _ in 0..1024 {
        assert_eq!(text(&socket.hear().await["payload"]), "released");
    }
}
