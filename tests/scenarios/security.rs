//! Who may do what: tokens, secrets, web pages of others, listeners beyond loopback.

use reqwest::Method;
use serde_json::json;
use wasmverse_core::ErrorKind;
use wasmverse_daemon::config::Secret;
use wasmverse_tests::{
    cluster::{Cluster, Settings},
    guests::{COUNTER, ECHO},
    http::{Answer, path_of},
};

const TOKEN: &str = "only for tests";

fn guarded(settings: &mut Settings) {
    settings.gate.admin.token = Some(Secret::find(TOKEN).unwrap());
    settings.gate.cluster.secret = Some(Secret::find("between processes").unwrap());
    settings.node.cluster.secret = settings.gate.cluster.secret.clone();
}

async fn upload(cluster: &Cluster, headers: &[(&str, &str)]) -> Answer {
    cluster.http.request(Method::POST, "/v1/admin/types", ECHO.bytes(), headers).await
}

#[tokio::test]
async fn with_a_token_only_who_shows_it_operates_and_everybody_calls() {
    let cluster = Cluster::start_with(guarded).await;
    for wrong in ["", "Bearer", "Bearer only for test", "Basic only for tests", "only for tests"] {
        let answer = upload(&cluster, &[("authorization", wrong)]).await;
        assert_eq!(
            (answer.status.as_u16(), &answer.code()[..]),
            (401, "unauthenticated"),
            "{wrong}"
        );
        assert!(!answer.to_string().contains(TOKEN), "{answer}");
    }
    assert_eq!(upload(&cluster, &[]).await.status, 401);
    let shown = format!("Bearer {TOKEN}");
    assert_eq!(upload(&cluster, &[("authorization", &shown)]).await.status, 201);
    assert_eq!(cluster.http.ok("Echo/a", "echo", 5).await, json!(5));
    assert_eq!(cluster.http.get("/v1/types").await.status, 200);
    let failed = cluster.grpc().await.upload(COUNTER.bytes()).await.unwrap_err();
    assert_eq!(failed.error.kind(), ErrorKind::Unauthenticated);
    for path in ["/v1/admin/logs", "/v1/admin/types/Echo/rollout"] {
        assert_eq!(cluster.http.get(path).await.code(), "unauthenticated", "{path}");
    }
}

#[tokio::test]
async fn without_a_token_no_web_page_operates() {
    let cluster = Cluster::start().await;
    for headers in [
        &[("origin", "http://evil.example")][..],
        &[("origin", "null")],
        &[("host", "evil.example")],
        &[("host", "evil.example"), ("origin", "http://evil.example")],
    ] {
        let answer = upload(&cluster, headers).await;
        assert_eq!((answer.status.as_u16(), &answer.code()[..]), (403, "denied"), "{headers:?}");
    }
    assert_eq!(upload(&cluster, &[]).await.status, 201);
}

#[tokio::test]
async fn pages_of_other_sites_may_call_only_if_the_operator_lets_them() {
    let preflight = [
        ("origin", "http://ui.example"),
        ("access-control-request-method", "POST"),
        ("access-control-request-headers", "content-type"),
    ];
    let path = format!("{}/echo", path_of("Echo/a"));
    let closed = Cluster::start().await;
    let answer = closed.http.request(Method::OPTIONS, &path, "", &preflight).await;
    assert!(!answer.headers.contains_key("access-control-allow-origin"), "{answer}");
    let open = Cluster::start_with(|settings| {
        settings.gate.gate.cors_origins = vec!["http://ui.example".into()];
    })
    .await;
    open.deploy(ECHO.bytes()).await;
    let answer = open.http.request(Method::OPTIONS, &path, "", &preflight).await;
    assert_eq!(answer.headers["access-control-allow-origin"], "http://ui.example");
    let answer =
        open.http.request(Method::POST, &path, "1", &[("origin", "http://ui.example")]).await;
    assert_eq!(answer.headers["access-control-allow-origin"], "http://ui.example");
    let answer =
        open.http.request(Method::POST, &path, "1", &[("origin", "http://evil.example")]).await;
    assert!(!answer.headers.contains_key("access-control-allow-origin"));
    let admin = open.http.request(Method::OPTIONS, "/v1/admin/types", "", &preflight).await;
    assert!(!admin.headers.contains_key("access-control-allow-origin"), "never the admin side");
}

#[tokio::test]
async fn a_node_with_a_secret_serves_only_who_shows_it() {
    use wasmverse_proto::node::node_service_client::NodeServiceClient;
    let cluster = Cluster::start_with(guarded).await;
    let shown = format!("Bearer {TOKEN}");
    upload(&cluster, &[("authorization", &shown)]).await;
    assert_eq!(cluster.http.ok("Echo/a", "echo", 5).await, json!(5), "the gate shows it");
    let node = format!("http://{}", cluster.node.config().listen);
    let mut stranger = NodeServiceClient::connect(node).await.unwrap();
    let request = wasmverse_proto::admin::ListTypesRequest {};
    let status = stranger.list_types(request).await.unwrap_err();
    assert_eq!(status.code(), tonic::Code::Unauthenticated);
    let mut wrong = tonic::Request::new(request);
    wrong.metadata_mut().insert("authorization", "Bearer guess".parse().unwrap());
    assert_eq!(stranger.list_types(wrong).await.unwrap_err().code(), tonic::Code::Unauthenticated);
    let mut right = tonic::Request::new(request);
    right.metadata_mut().insert("authorization", "Bearer between processes".parse().unwrap());
    assert_eq!(stranger.list_types(right).await.unwrap().into_inner().types.len(), 1);
}

#[tokio::test]
async fn a_session_that_nobody_opened_is_unauthenticated() {
    let cluster = Cluster::start().await;
    cluster.deploy(ECHO.bytes()).await;
    let path = format!("{}/echo", path_of("Echo/a"));
    for token in ["", "made-up"] {
        let headers = [("Wasmverse-Session", token)];
        let answer = cluster.http.request(Method::POST, &path, "1", &headers).await;
        assert_eq!(
            (answer.status.as_u16(), &answer.code()[..]),
            (401, "unauthenticated"),
            "{token:?}"
        );
    }
}

#[tokio::test]
async fn a_key_for_a_type_that_is_not_durable_is_refused_and_on_a_read_only_method_ignored() {
    let cluster = Cluster::start().await;
    cluster.deploy_chameleon(json!({ "type": "Counter", "durability": "periodic" })).await;
    let key = [("Idempotency-Key", "k")];
    let add = format!("{}/add", path_of("Counter/a"));
    let answer = cluster.http.request(Method::POST, &add, "1", &key).await;
    assert_eq!(answer.code(), "invalid-argument", "{answer}");
    let value = format!("{}/value", path_of("Counter/a"));
    let answer = cluster.http.request(Method::POST, &value, "", &key).await;
    assert_eq!(answer.body, "0", "{answer}");
    let grpc = cluster.grpc().await;
    let failed = grpc.call_keyed("Counter/a", "add", "1", "k").await.unwrap_err();
    assert_eq!(failed.error.kind(), ErrorKind::InvalidArgument);
}
