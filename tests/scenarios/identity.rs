//! Every legal name is an object of its own; every other is refused.

use reqwest::Method;
use serde_json::json;
use wasmverse_core::ErrorKind;
use wasmverse_tests::{
    cluster::Cluster,
    guests::{COUNTER, ECHO},
};

const LEGAL: &[&str] = &[
    "visits",
    "a/b",
    "/",
    "//a//",
    "x y",
    " ",
    "ö€漢🦀",
    "e\u{301}",
    "\u{e9}",
    "<script>",
    "{tag}rest",
    "{tag}other",
    "{}",
    "{",
    "shard#7/abc",
    "shard#8191/abc",
    "a%2Fb",
    "%",
    "q?x=1&y",
    "#",
    "'",
    "\"",
    "\\",
    "...",
    "add",
    "null",
    "-",
    "Visits",
];

#[tokio::test]
async fn each_legal_id_names_an_object_of_its_own_the_same_over_http_and_grpc() {
    let cluster = Cluster::start().await;
    cluster.deploy(COUNTER.bytes()).await;
    let grpc = cluster.grpc().await;
    let long = ["z".repeat(255), "é".repeat(127)];
    let ids = LEGAL.iter().copied().chain(long.iter().map(String::as_str));
    for (number, id) in ids.enumerate() {
        let (object, number) = (format!("Counter/{id}"), number + 1);
        assert_eq!(cluster.http.ok(&object, "add", number).await, json!(number), "{id:?}");
        let value = grpc.call(&object, "value", "", None).await.unwrap();
        assert_eq!(value, number.to_string(), "{id:?}");
    }
    // No browser lets these through in a path, however they are written.
    for id in [".", ".."] {
        let value = grpc.call(&format!("Counter/{id}"), "add", "5", None).await.unwrap();
        assert_eq!(value, "5", "{id:?}");
    }
}

#[tokio::test]
async fn an_id_that_is_none_is_an_invalid_argument() {
    let cluster = Cluster::start().await;
    cluster.deploy(COUNTER.bytes()).await;
    let grpc = cluster.grpc().await;
    let long = ["z".repeat(256), "é".repeat(128)];
    let control = ["a\nb", "\0", "\u{7f}", "a\tb", "\u{85}"];
    let shards = ["shard#8192/x", "shard#99999999999/x"];
    let ids = control.into_iter().chain(shards).chain(long.iter().map(String::as_str));
    for id in ids {
        let object = format!("Counter/{id}");
        let answer = cluster.http.call(&object, "add", 1).await;
        assert_eq!(
            (answer.status.as_u16(), &answer.code()[..]),
            (400, "invalid-argument"),
            "{id:?}"
        );
        let failed = grpc.call(&object, "add", "1", None).await.unwrap_err();
        assert_eq!(failed.error.kind(), ErrorKind::InvalidArgument, "{id:?}");
    }
    let failed = grpc.call("Counter/", "add", "1", None).await.unwrap_err();
    assert_eq!(failed.error.kind(), ErrorKind::InvalidArgument);
    let answer =
        cluster.http.request(Method::POST, "/v1/objects/Counter/%FF%FE/add", "1", &[]).await;
    assert_eq!(answer.code(), "invalid-argument");
}

#[tokio::test]
async fn a_type_that_is_none_is_an_invalid_argument_and_a_stranger_not_found() {
    let cluster = Cluster::start().await;
    cluster.deploy(COUNTER.bytes()).await;
    for name in ["9lives", "a.b", "a%20b", "%C3%B6"] {
        let path = format!("/v1/objects/{name}/x/add");
        let answer = cluster.http.request(Method::POST, &path, "1", &[]).await;
        assert_eq!(answer.code(), "invalid-argument", "{name}: {answer}");
    }
    for name in ["Nobody", "counter", "COUNTER"] {
        let answer = cluster.http.call(&format!("{name}/x"), "add", 1).await;
        assert_eq!(answer.code(), "not-found", "{name}: {answer}");
    }
}

#[tokio::test]
async fn objects_of_two_types_with_one_id_have_nothing_in_common() {
    let cluster = Cluster::start().await;
    cluster.deploy(COUNTER.bytes()).await;
    cluster.deploy(ECHO.bytes()).await;
    cluster.http.ok("Counter/same", "add", 3).await;
    assert_eq!(cluster.http.ok("Echo/same", "echo", 5).await, json!(5));
    assert_eq!(cluster.http.ok("Counter/same", "value", ()).await, json!(3));
}

#[tokio::test]
async fn an_object_of_a_volatile_type_can_be_pinned_to_a_node() {
    let cluster = Cluster::start().await;
    cluster.deploy(COUNTER.bytes()).await;
    cluster.deploy_chameleon(json!({ "type": "Pinned" })).await;
    let here = cluster.node.config().advertised().to_owned();
    let pinned = format!("Pinned/node#{here}/one");
    assert_eq!(cluster.http.ok(&pinned, "add", 2).await, json!(2));
    assert_eq!(cluster.http.ok(&pinned, "value", ()).await, json!(2));
    assert_eq!(cluster.http.ok("Pinned/one", "value", ()).await, json!(0));
    let answer = cluster.http.call("Pinned/node#127.0.0.1:1/one", "add", 2).await;
    assert_eq!(answer.code(), "unavailable", "{answer}");
    let answer = cluster.http.call(&format!("Counter/node#{here}/one"), "add", 2).await;
    assert_eq!(answer.code(), "invalid-argument", "a type that is saved: {answer}");
}
