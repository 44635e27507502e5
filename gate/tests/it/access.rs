//! Who may operate, tried over both surfaces.

use tonic::{Code, Request};
use wasmverse_daemon::config::Secret;
use wasmverse_proto::admin::ListTypesRequest;

use crate::scene::{Scene, request, with_headers};

async fn asked(scene: &Scene, headers: &[(&'static str, &str)]) -> (u16, String) {
    let mut upload = request("POST", "/v1/admin/types?deploy=false", "component");
    for (name, value) in headers {
        upload.headers_mut().insert(*name, value.parse().unwrap());
    }
    let answer = scene.ask(upload).await;
    (answer.status.as_u16(), answer.json()["error"]["code"].as_str().unwrap_or("").to_owned())
}

async fn asked_grpc(scene: &Scene, authorization: Option<&str>) -> Result<(), Code> {
    let mut request = Request::new(ListTypesRequest {});
    if let Some(authorization) = authorization {
        request.metadata_mut().insert("authorization", authorization.parse().unwrap());
    }
    let listed = scene.grpc_admin().await.list_types(request).await;
    listed.map(drop).map_err(|status| status.code())
}

#[tokio::test]
async fn on_loopback_programs_may_operate_and_pages_may_not() {
    let scene = Scene::start().await;
    assert_eq!(asked(&scene, &[]).await, (201, String::new()));
    assert_eq!(asked_grpc(&scene, None).await, Ok(()));
    let denied = (403, "denied".to_owned());
    for headers in [
        [("origin", "https://evil.example")],
        [("origin", "null")],
        [("host", "evil.example:8080")],
    ] {
        assert_eq!(asked(&scene, &headers).await, denied, "{headers:?}");
    }
    // What is denied is denied everywhere, and before anything is read.
    for (method, path) in [
        ("POST", "/v1/admin/types"),
        ("POST", "/v1/admin/types/Json/deploy"),
        ("GET", "/v1/admin/types/Json/rollout"),
        ("GET", "/v1/admin/logs"),
        ("GET", "/v1/admin/logs/Json/x"),
        ("GET", "/v1/admin/dead-letters"),
        ("GET", "/v1/admin/dead-letters/3"),
        ("POST", "/v1/admin/dead-letters/3/retry"),
        ("DELETE", "/v1/admin/dead-letters/3"),
        ("GET", "/v1/admin/objects/Json/a%2Fb/reminders"),
        ("GET", "/v1/admin/cluster"),
        ("GET", "/v1/admin/shards"),
        ("POST", "/v1/admin/shards/0/move"),
        ("POST", "/v1/admin/shards/0/pin"),
        ("DELETE", "/v1/admin/shards/0/pin"),
        ("POST", "/v1/admin/nodes/node-1/drain"),
    ] {
        let page = with_headers(request(method, path, ""), &[("origin", "https://evil.example")]);
        assert_eq!(scene.ask(page).await.status, 403, "{method} {path}");
    }
    assert_eq!(scene.node.uploads.borrow().len(), 1);
    assert_eq!(scene.node.dead_letters.numbers().0.len(), 3);
}

#[tokio::test]
async fn a_token_opens_and_nothing_else_does() {
    let scene = Scene::with(|config| {
        config.admin.token = Some(Secret::find("hunter2").unwrap());
    })
    .await;
    let refused = (401, "unauthenticated".to_owned());
    assert_eq!(asked(&scene, &[]).await, refused);
    assert_eq!(asked(&scene, &[("authorization", "Bearer hunter3")]).await, refused);
    assert_eq!(asked(&scene, &[("authorization", "Bearer hunter2")]).await, (201, String::new()));
    assert_eq!(asked_grpc(&scene, None).await, Err(Code::Unauthenticated));
    assert_eq!(asked_grpc(&scene, Some("Bearer no")).await, Err(Code::Unauthenticated));
    assert_eq!(asked_grpc(&scene, Some("Bearer hunter2")).await, Ok(()));
    // Clients need none.
    assert_eq!(scene.post("/v1/objects/Json/x/echo", "5").await.status, 200);
}

#[tokio::test]
async fn beyond_loopback_nobody_operates_without_a_token() {
    let scene = Scene::with(|config| config.gate.ops_listen = "0.0.0.0:0".into()).await;
    let denied = (403, "denied".to_owned());
    assert_eq!(asked(&scene, &[]).await, denied);
    assert_eq!(asked(&scene, &[("authorization", "Bearer x")]).await, denied);
    assert_eq!(asked_grpc(&scene, None).await, Err(Code::PermissionDenied));
    assert_eq!(scene.post("/v1/objects/Json/x/echo", "5").await.status, 200);
}
