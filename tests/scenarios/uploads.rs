//! Uploads that are refused change nothing and say exactly why.

use reqwest::Method;
use serde_json::json;
use wasmverse_core::ErrorKind;
use wasmverse_tests::{
    cluster::Cluster,
    corpus,
    guests::{COUNTER, ECHO, GOLDEN, chameleon},
};

#[tokio::test(flavor = "multi_thread")]
async fn the_whole_corpus_is_refused_and_types_stay_as_they_were() {
    let cluster = Cluster::start().await;
    cluster.deploy(COUNTER.bytes()).await;
    cluster.http.ok("Counter/a", "add", 3).await;
    let before = cluster.http.get("/v1/types").await.json();
    for ill in corpus::all() {
        let answer = cluster.http.upload(ill.bytes).await;
        assert_eq!(answer.status, 400, "{}: {answer}", ill.name);
        assert_eq!(answer.code(), "invalid-argument", "{}: {answer}", ill.name);
        assert!(answer.message().len() > 20, "{}: {answer}", ill.name);
        assert_eq!(cluster.http.ok("Counter/a", "add", 0).await, json!(3));
    }
    assert_eq!(cluster.http.get("/v1/types").await.json(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn over_grpc_a_refusal_is_the_same() {
    let cluster = Cluster::start().await;
    let grpc = cluster.grpc().await;
    for ill in corpus::no_components() {
        let failed = grpc.upload(ill.bytes.into()).await.unwrap_err();
        assert_eq!(failed.error.kind(), ErrorKind::InvalidArgument, "{}: {failed:?}", ill.name);
    }
    let uploaded = grpc.upload(ECHO.bytes()).await.unwrap();
    assert_eq!((&uploaded.r#type[..], uploaded.revision, uploaded.active), ("Echo", 1, true));
    assert_eq!(grpc.call("Echo/a", "echo", "[1]", None).await.unwrap(), "[1]");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_accepted_upload_says_what_it_became() {
    let cluster = Cluster::start().await;
    let answer = cluster.http.upload(COUNTER.bytes()).await;
    assert_eq!(answer.status, 201, "{answer}");
    let body = answer.json();
    assert_eq!(
        (&body["type"], &body["revision"], &body["active"]),
        (&json!("Counter"), &json!(1), &json!(true))
    );
    assert_eq!(body["digest"].as_str().unwrap().len(), 64, "{body}");
    let known = cluster.http.get("/v1/types/Counter").await.json();
    assert_eq!((&known["digest"], &known["revision"]), (&body["digest"], &json!(1)));
    let methods: Vec<_> = known["methods"].as_array().unwrap().iter().collect();
    let value = methods.iter().find(|method| method["name"] == "value").unwrap();
    assert_eq!(value["mode"], "read-only", "{known}");
    // The same bytes again are the same revision.
    let again = cluster.http.upload(COUNTER.bytes()).await;
    assert_eq!((again.status.as_u16(), &again.json()["revision"]), (201, &json!(1)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_revision_of_a_live_type_leaves_it_running() {
    let cluster = Cluster::start().await;
    cluster.deploy_chameleon(json!({ "type": "Thing", "revision": "good" })).await;
    cluster.http.ok("Thing/a", "add", 5).await;
    let bad = json!({ "describe": { "type": "Thing", "durability": "eternal" } });
    let answer = cluster.http.upload(chameleon(&bad)).await;
    assert_eq!(answer.status, 400, "{answer}");
    assert!(answer.message().contains("eternal"), "{answer}");
    assert_eq!(cluster.http.ok("Thing/a", "label", ()).await, json!("good"));
    assert_eq!(cluster.http.ok("Thing/a", "value", ()).await, json!(5));
}

#[tokio::test(flavor = "multi_thread")]
async fn golden_components_run_behind_the_gate() {
    let cluster = Cluster::start().await;
    for (type_name, guest) in GOLDEN {
        cluster.deploy(guest.bytes()).await;
        let object = format!("{type_name}/a");
        assert_eq!(cluster.http.ok(&object, "add", 7).await, json!(7));
        let answer = cluster.http.call(&object, "fail", "x").await;
        assert_eq!(answer.json()["error"]["application"]["code"], "out-of-stock", "{answer}");
    }
    let path = "/v1/objects/GoldenRust/a/relay";
    let chain = "GoldenC/a relay GoldenJs/a add 4";
    let answer = cluster.http.request(Method::POST, path, chain, &[]).await;
    assert_eq!(answer.body, "11", "{answer}");
}

#[tokio::test]
async fn openapi_describes_the_live_types() {
    let cluster = Cluster::start().await;
    cluster.deploy(COUNTER.bytes()).await;
    let before = cluster.http.get("/v1/openapi.json").await.json();
    assert!(before["openapi"].as_str().unwrap().starts_with("3.1"));
    assert!(before.to_string().contains("/v1/objects/Counter/{id}/add"), "{before}");
    assert!(!before.to_string().contains("Echo"));
    cluster.deploy(ECHO.bytes()).await;
    let after = cluster.http.get("/v1/openapi.json").await.json();
    assert!(after.to_string().contains("/v1/objects/Echo/{id}/echo"));
}
