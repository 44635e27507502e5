//! An object exists once it was created or completed a write turn, until it is deleted.

use reqwest::Method;
use serde_json::{Value, json};
use wasmverse_core::ErrorKind;
use wasmverse_tests::{cluster::Cluster, guests::COUNTER, http::path_of};

async fn exists(cluster: &Cluster, id: &str) -> bool {
    let asked = json!({ "type": "Thing", "id": id });
    cluster.http.ok("Thing/asker", "exists", asked).await == json!(true)
}

#[tokio::test]
async fn creating_looking_and_deleting_answer_as_http_has_it() {
    let cluster = Cluster::start().await;
    cluster.deploy(COUNTER.bytes()).await;
    let path = path_of("Counter/made");
    let request = async |method| cluster.http.request(method, &path, "", &[]).await;
    assert_eq!(request(Method::GET).await.status, 404);
    assert_eq!(request(Method::PUT).await.status, 201);
    let again = request(Method::PUT).await;
    assert_eq!((again.status.as_u16(), &again.code()[..]), (409, "already-exists"));
    let known = request(Method::GET).await.json();
    assert_eq!((&known["type"], &known["id"]), (&json!("Counter"), &json!("made")));
    assert!(["live", "asleep", "stored"].contains(&known["state"].as_str().unwrap()), "{known}");
    cluster.http.ok("Counter/made", "add", 41).await;
    for _ in 0..2 {
        let deleted = request(Method::DELETE).await;
        assert_eq!((deleted.status.as_u16(), deleted.body.len()), (204, 0));
    }
    assert_eq!(request(Method::GET).await.status, 404);
    assert_eq!(cluster.http.ok("Counter/made", "value", ()).await, json!(0));
}

#[tokio::test]
async fn creating_and_deleting_answer_as_grpc_has_it() {
    let cluster = Cluster::start().await;
    cluster.deploy(COUNTER.bytes()).await;
    let grpc = cluster.grpc().await;
    grpc.create("Counter/made").await.unwrap();
    let again = grpc.create("Counter/made").await.unwrap_err();
    assert_eq!(again.error.kind(), ErrorKind::AlreadyExists);
    grpc.delete("Counter/made").await.unwrap();
    grpc.delete("Counter/made").await.unwrap();
    let failed = grpc.create("Nobody/x").await.unwrap_err();
    assert_eq!(failed.error.kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn a_read_makes_nothing_exist_and_a_write_does() {
    let cluster = Cluster::start().await;
    cluster.deploy_chameleon(json!({ "type": "Thing" })).await;
    assert!(!exists(&cluster, "a").await);
    cluster.http.ok("Thing/a", "value", ()).await;
    assert!(!exists(&cluster, "a").await);
    let failed = cluster.http.call("Thing/a", "fail", "no").await;
    assert_eq!(failed.code(), "application");
    assert!(!exists(&cluster, "a").await, "a failed write completed nothing");
    cluster.http.ok("Thing/a", "add", 1).await;
    assert!(exists(&cluster, "a").await);
    let created = cluster.http.request(Method::PUT, &path_of("Thing/a"), "", &[]).await;
    assert_eq!(created.code(), "already-exists");
    cluster.http.request(Method::DELETE, &path_of("Thing/a"), "", &[]).await;
    assert!(!exists(&cluster, "a").await);
}

#[tokio::test]
async fn objects_of_an_explicit_type_are_not_found_until_they_are_created() {
    let cluster = Cluster::start().await;
    cluster.deploy_chameleon(json!({ "type": "Thing", "activation": "explicit" })).await;
    for method in ["value", "add"] {
        let answer = cluster.http.call("Thing/a", method, 1).await;
        assert_eq!((answer.status.as_u16(), &answer.code()[..]), (404, "not-found"));
    }
    cluster.http.request(Method::PUT, &path_of("Thing/a"), "", &[]).await;
    assert_eq!(cluster.http.ok("Thing/a", "add", 5).await, json!(5));
    let made = json!({ "type": "Thing", "id": "b" });
    assert_eq!(cluster.http.ok("Thing/a", "create", made.clone()).await, Value::Null);
    assert_eq!(cluster.http.call("Thing/a", "create", made.clone()).await.code(), "already-exists");
    assert_eq!(cluster.http.ok("Thing/b", "value", ()).await, json!(0));
    cluster.http.ok("Thing/a", "delete", made).await;
    assert_eq!(cluster.http.call("Thing/b", "value", ()).await.code(), "not-found");
}

#[tokio::test]
async fn an_object_that_deletes_itself_is_gone_when_its_turn_ends() {
    let cluster = Cluster::start().await;
    cluster.deploy_chameleon(json!({ "type": "Thing", "activation": "explicit" })).await;
    cluster.http.request(Method::PUT, &path_of("Thing/a"), "", &[]).await;
    cluster.http.ok("Thing/a", "leave", ()).await;
    assert_eq!(cluster.http.call("Thing/a", "value", ()).await.code(), "not-found");
}

#[tokio::test]
async fn a_deleted_object_starts_anew_also_after_a_restart() {
    let cluster = Cluster::start().await;
    cluster.deploy(COUNTER.bytes()).await;
    cluster.http.ok("Counter/gone", "add", 7).await;
    cluster.http.ok("Counter/stays", "add", 8).await;
    let cluster = cluster.restart().await;
    cluster.http.request(Method::DELETE, &path_of("Counter/gone"), "", &[]).await;
    let cluster = cluster.restart().await;
    assert_eq!(cluster.http.ok("Counter/gone", "value", ()).await, json!(0));
    assert_eq!(cluster.http.ok("Counter/stays", "value", ()).await, json!(8));
}
