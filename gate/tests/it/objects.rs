//! Create, delete, get, list and types over HTTP.

use serde_json::{Value, json};

use crate::scene::{Scene, request};

#[tokio::test]
async fn objects_are_created_and_deleted() {
    let scene = Scene::start().await;
    let created = scene.ask(request("PUT", "/v1/objects/Json/a%2Fb", "")).await;
    assert_eq!((created.status.as_u16(), &*created.body), (201, b"" as &[u8]));
    let taken = scene.ask(request("PUT", "/v1/objects/Json/taken", "")).await;
    assert_eq!((taken.status.as_u16(), &*taken.code()), (409, "already-exists"));
    assert_eq!(taken.json()["error"]["object"], "Json/taken");
    let deleted = scene.ask(request("DELETE", "/v1/objects/Json/a%2Fb", "")).await;
    assert_eq!((deleted.status.as_u16(), &*deleted.body), (204, b"" as &[u8]));
}

#[tokio::test]
async fn what_is_known_of_an_object_has_one_shape() {
    let scene = Scene::start().await;
    let shape = json!({"type": "Json", "id": "a/b", "state": "live", "node": "node-1",
        "revision": 4, "updated_at": "2017-07-14T02:40:00.123456Z"});
    let known = scene.get("/v1/objects/Json/a%2Fb").await;
    assert_eq!((known.status.as_u16(), known.json()), (200, shape.clone()));

    let page = scene.get("/v1/objects?type=Json&prefix=a%2F&limit=7").await;
    assert_eq!(page.json(), json!({"objects": [shape], "next_page": "2"}));
    let asked = scene.node.last_listed();
    assert_eq!((&*asked.r#type, &*asked.prefix, asked.limit), ("Json", "a/", 7));
    let last = scene.get("/v1/objects?page=2").await;
    assert_eq!(last.json()["next_page"], Value::Null);

    let stranger = scene.get("/v1/objects/Json/stranger").await;
    assert_eq!((stranger.status.as_u16(), &*stranger.code()), (404, "not-found"));
    assert_eq!(stranger.json()["error"]["object"], "Json/stranger");
}

#[tokio::test]
async fn a_list_says_what_is_wrong_with_its_parameters() {
    let scene = Scene::start().await;
    for bad in ["limit=0", "limit=x", "limit=-1", "limit=1001", "typ=Json", "type=9"] {
        let answer = scene.get(&format!("/v1/objects?{bad}")).await;
        assert_eq!((answer.status.as_u16(), &*answer.code()), (400, "invalid-argument"), "{bad}");
    }
}

#[tokio::test]
async fn types_are_shown_as_they_describe_themselves() {
    let scene = Scene::start().await;
    let types = scene.get("/v1/types").await.json();
    let names: Vec<_> = types["types"].as_array().unwrap().iter().map(|t| &t["type"]).collect();
    assert_eq!(names, ["Bytes", "Json", "Protobuf"]);
    let one = scene.get("/v1/types/Json").await.json();
    assert_eq!(one, types["types"][1]);
    let expected = json!({"type": "Json", "revision": 1, "digest": "d1", "label": "v1",
    "durability": "volatile", "encoding": "json", "schema": 2, "doc": "For tests.",
    "methods": [
        {"name": "echo", "mode": "read-only", "input": true, "output": true},
        {"name": "nothing"},
        {"name": "on_client_gone"},
    ]});
    assert_eq!(one, expected);
    let missing = scene.get("/v1/types/Nope").await;
    assert_eq!((missing.status.as_u16(), &*missing.code()), (404, "not-found"));
    let openapi = scene.get("/v1/openapi.json").await;
    assert_eq!(openapi.header("content-type"), Some("application/json"));
    assert_eq!(openapi.json()["openapi"], "3.1.0");
    assert!(openapi.json()["paths"]["/v1/objects/Json/{id}/echo"]["post"].is_object());
}
