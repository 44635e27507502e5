//! Calls over HTTP.

use serde_json::json;
use wasmverse_core::ErrorKind;
use wasmverse_proto::convert::http_status;

use crate::scene::{Scene, request, with_headers, within};

#[tokio::test]
async fn every_legal_id_arrives_as_it_was_meant() {
    let scene = Scene::start().await;
    let long = "z".repeat(255);
    for (piece, id) in [
        ("visits", "visits"),
        ("a%2Fb", "a/b"),
        ("a%252Fb", "a%2Fb"),
        ("x%20y", "x y"),
        ("%C3%B6%E2%82%AC%E6%BC%A2", "ö€漢"),
        ("%3Cscript%3E", "<script>"),
        ("%7Btag%7Drest", "{tag}rest"),
        ("shard%237%2Fabc", "shard#7/abc"),
        ("q%3Fx%3D1%26y", "q?x=1&y"),
        ("'", "'"),
        ("...", "..."),
        ("..", ".."),
        (".", "."),
        ("%2E%2E", ".."),
        ("*", "*"),
        (&long, &long),
    ] {
        let answer = scene.post(&format!("/v1/objects/Json/{piece}/who"), "").await;
        assert_eq!(answer.status, 200, "{piece}: {answer:?}");
        let seen = answer.json();
        assert_eq!((&seen["id"], &seen["method"]), (&json!(id), &json!("who")), "{piece}");
    }
}

#[tokio::test]
async fn what_is_no_id_is_refused_in_our_shape() {
    let scene = Scene::start().await;
    let long = "z".repeat(256);
    for piece in ["%FF", "a%0Ab", "%00", &long, "shard%239999%2Fx"] {
        let answer = scene.post(&format!("/v1/objects/Json/{piece}/who"), "").await;
        assert_eq!((answer.status.as_u16(), &*answer.code()), (400, "invalid-argument"), "{piece}");
    }
    for path in ["/v1/objects/Json//who", "/v1/objects//x/who"] {
        let answer = scene.post(path, "").await;
        assert_eq!((answer.status.as_u16(), &*answer.code()), (400, "invalid-argument"), "{path}");
    }
    for path in ["/v1/nope", "/", "/v1/objects/", "/v1/objects/Json/x/who/", "//", "/v1//types"] {
        let answer = scene.post(path, "").await;
        assert_eq!((answer.status.as_u16(), &*answer.code()), (404, "not-found"), "{path}");
    }
    let bad_type = scene.post("/v1/objects/9/x/who", "").await;
    assert_eq!((bad_type.status.as_u16(), &*bad_type.code()), (400, "invalid-argument"));
}

#[tokio::test]
async fn a_route_without_that_method_says_so_in_our_shape() {
    let scene = Scene::start().await;
    for (method, path) in [
        ("GET", "/v1/objects/Json/x/who"),
        ("POST", "/v1/objects/Json/x"),
        ("DELETE", "/v1/types"),
        ("GET", "/v1/admin/types"),
    ] {
        let answer = scene.ask(request(method, path, "")).await;
        assert_eq!((answer.status.as_u16(), &*answer.code()), (405, "invalid-argument"), "{path}");
        assert!(answer.header("allow").is_some(), "{path}");
    }
}

#[tokio::test]
async fn payloads_pass_through_untouched() {
    let scene = Scene::start().await;
    for (name, media) in [
        ("Json", "application/json"),
        ("Bytes", "application/octet-stream"),
        ("Protobuf", "application/x-protobuf"),
    ] {
        // Not even valid: that is the object's affair.
        let answer = scene.post(&format!("/v1/objects/{name}/x/echo"), "{\u{0}\u{ff} ").await;
        assert_eq!((answer.status.as_u16(), &*answer.body), (200, "{\u{0}\u{ff} ".as_bytes()));
        assert_eq!(answer.header("content-type"), Some(media));
    }
    let nothing = scene.post("/v1/objects/Json/x/nothing", "5").await;
    assert_eq!((nothing.status.as_u16(), &*nothing.body), (204, b"" as &[u8]));
    let http2 = scene.ask_http2(request("POST", "/v1/objects/Json/x/echo", "5")).await;
    assert_eq!((http2.status.as_u16(), &*http2.body), (200, b"5" as &[u8]));
    // Large ones take another way to the node.
    let large = vec![b'1'; 4 << 20];
    let answer = scene.post("/v1/objects/Json/x/echo", large.clone()).await;
    assert_eq!((answer.status.as_u16(), answer.body.len()), (200, large.len()));
}

#[tokio::test]
async fn headers_say_how_to_call() {
    let scene = Scene::start().await;
    let call = |headers: &[(&'static str, &str)]| {
        with_headers(request("POST", "/v1/objects/Json/x/who", "7"), headers)
    };
    let plain = scene.ask(call(&[])).await.json();
    assert_eq!((&plain["client"], &plain["key"]), (&json!(true), &json!(null)));
    let left = plain["seconds_left"].as_f64().unwrap();
    assert!((25.0..=30.0).contains(&left), "{left}");

    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let said = [("idempotency-key", "k ö"), ("wasmverse-timeout", "5s"), ("traceparent", trace)];
    let seen = scene.ask(call(&said)).await.json();
    assert_eq!((&seen["key"], &seen["traceparent"]), (&json!("k ö"), &json!(trace)));
    let left = seen["seconds_left"].as_f64().unwrap();
    assert!((3.0..=5.0).contains(&left), "{left}");
    let capped = scene.ask(call(&[("wasmverse-timeout", "1000h")])).await.json();
    assert!(capped["seconds_left"].as_f64().unwrap() <= 600.0);
}

#[tokio::test]
async fn headers_that_make_no_sense_are_refused() {
    let scene = Scene::start().await;
    let long = "k".repeat(256);
    for (name, value, status, code) in [
        ("wasmverse-timeout", "soon", 400, "invalid-argument"),
        ("wasmverse-timeout", "", 400, "invalid-argument"),
        ("wasmverse-timeout", "0", 504, "timeout"),
        ("wasmverse-timeout", "1ns", 504, "timeout"),
        ("idempotency-key", "", 400, "invalid-argument"),
        ("idempotency-key", &long, 400, "invalid-argument"),
        ("wasmverse-session", "x", 401, "unauthenticated"),
        ("wasmverse-session", "", 401, "unauthenticated"),
    ] {
        let call = request("POST", "/v1/objects/Json/x/who", "7");
        let answer = scene.ask(with_headers(call, &[(name, value)])).await;
        assert_eq!((answer.status.as_u16(), &*answer.code()), (status, code), "{name}: {value}");
    }
}

#[tokio::test]
async fn a_refusal_is_read_however_much_the_client_sends() {
    let scene = Scene::start().await;
    for (path, status) in
        [("/v1/objects/Json/x/who", 401), ("/v1/objects/9/x/who", 400), ("/v1/admin/types", 403)]
    {
        let headers = [("wasmverse-session", "x"), ("origin", "https://evil.example")];
        let call = with_headers(request("POST", path, vec![b'1'; 4_000_000]), &headers);
        assert_eq!(scene.ask(call).await.status.as_u16(), status, "{path}");
    }
}

#[tokio::test]
async fn every_error_of_the_closed_set_shows_as_itself() {
    let scene = Scene::start().await;
    for kind in ErrorKind::ALL {
        let answer = scene.post(&format!("/v1/objects/Json/x/{kind}"), "").await;
        assert_eq!(answer.status.as_u16(), http_status(kind), "{kind}");
        let error = &answer.json()["error"];
        assert_eq!((&error["code"], &error["object"]), (&json!(kind.as_str()), &json!("Json/x")));
        assert_eq!(error["maybe_executed"], kind == ErrorKind::Unavailable, "{kind}");
        let retry = (kind == ErrorKind::Overloaded).then_some("1");
        assert_eq!(answer.header("retry-after"), retry, "{kind}");
        if kind == ErrorKind::Overloaded {
            assert_eq!(error["retry_after_ms"], 200);
        }
        let application = json!({"code": "out-of-tea", "details": {"left": 0}});
        let expected = if kind == ErrorKind::Application { application } else { json!(null) };
        assert_eq!(error["application"], expected, "{kind}");
    }
    for path in ["/v1/objects/Nope/x/echo", "/v1/objects/Json/x/nope"] {
        let answer = scene.post(path, "").await;
        assert_eq!((answer.status.as_u16(), &*answer.code()), (404, "not-found"), "{path}");
    }
}

#[tokio::test]
async fn a_deadline_that_passes_is_a_timeout() {
    let scene = Scene::start().await;
    let call = request("POST", "/v1/objects/Json/x/wait", "");
    let answer = scene.ask(with_headers(call, &[("wasmverse-timeout", "50ms")])).await;
    assert_eq!((answer.status.as_u16(), &*answer.code()), (504, "timeout"));
    assert_eq!(answer.json()["error"]["object"], "Json/x");
}

#[tokio::test]
async fn a_client_that_leaves_takes_its_call_along() {
    let scene = Scene::start().await;
    let call = request("POST", "/v1/objects/Json/x/wait", "");
    let mut asking = Box::pin(scene.ask(call));
    let mut waiting = scene.node.waiting.subscribe();
    tokio::select! {
        answer = &mut asking => panic!("nobody let it go: {answer:?}"),
        waiting = waiting.wait_for(|waiting| *waiting == 1) => drop(waiting.unwrap()),
    }
    drop(asking);
    let mut cancelled = scene.node.cancelled.subscribe();
    within(cancelled.wait_for(|count| *count == 1)).await.unwrap();
}

#[tokio::test]
async fn large_answers_are_compressed_for_those_who_ask() {
    let scene = Scene::start().await;
    let call = || request("POST", "/v1/objects/Json/x/large", "");
    let plain = scene.ask(call()).await;
    assert_eq!((plain.header("content-encoding"), plain.body.len()), (None, 100_002));
    let gzip = scene.ask(with_headers(call(), &[("accept-encoding", "gzip")])).await;
    assert_eq!(gzip.header("content-encoding"), Some("gzip"));
    assert!(gzip.body.len() < 10_000);
    let small = request("POST", "/v1/objects/Json/x/echo", "5");
    let small = scene.ask(with_headers(small, &[("accept-encoding", "gzip")])).await;
    assert_eq!((small.header("content-encoding"), &*small.body), (None, b"5" as &[u8]));
}

#[tokio::test]
async fn pages_of_configured_origins_may_call_and_no_others() {
    let origin = "https://app.example";
    let scene = Scene::with(|config| config.gate.cors_origins = vec![origin.into()]).await;
    let preflight = |origin: &str, path: &str| {
        let said = [
            ("origin", origin),
            ("access-control-request-method", "POST"),
            ("access-control-request-headers", "content-type,idempotency-key"),
        ];
        with_headers(request("OPTIONS", path, ""), &said)
    };
    let allowed = "access-control-allow-origin";
    let ours = scene.ask(preflight(origin, "/v1/objects/Json/x/echo")).await;
    assert_eq!((ours.status.as_u16(), ours.header(allowed)), (200, Some(origin)));
    let foreign = scene.ask(preflight("https://evil.example", "/v1/objects/Json/x/echo")).await;
    assert_eq!(foreign.header(allowed), None);
    let admin = scene.ask(preflight(origin, "/v1/admin/types")).await;
    assert_eq!(admin.header(allowed), None);

    let call = request("POST", "/v1/objects/Json/x/echo", "5");
    let answer = scene.ask(with_headers(call, &[("origin", origin)])).await;
    assert_eq!((answer.status.as_u16(), answer.header(allowed)), (200, Some(origin)));
    // A browser sends a simple request without asking first.
    for (method, path) in [
        ("POST", "/v1/objects/Json/x/echo"),
        ("PUT", "/v1/objects/Json/x"),
        ("DELETE", "/v1/objects/Json/x"),
    ] {
        for origin in ["https://evil.example", "null"] {
            let call = with_headers(request(method, path, "5"), &[("origin", origin)]);
            let answer = scene.ask(call).await;
            assert_eq!((answer.status.as_u16(), &*answer.code()), (403, "denied"), "{method}");
            assert!(answer.json()["error"]["message"].to_string().contains("gate.cors_origins"));
        }
        let own = with_headers(request(method, path, "5"), &[("origin", "http://localhost")]);
        assert!(scene.ask(own).await.status.is_success(), "{method}");
    }
    let none = Scene::start().await;
    assert_eq!(none.ask(preflight(origin, "/v1/objects/Json/x/echo")).await.header(allowed), None);
}
