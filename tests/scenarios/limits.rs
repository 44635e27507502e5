//! Limits bite, over the wire too, and neighbours do not notice.

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};
use wasmverse_core::ErrorKind;
use wasmverse_tests::{
    cluster::Cluster,
    guests::{COUNTER, ECHO, MISCHIEF},
    http::path_of,
};

#[tokio::test(flavor = "multi_thread")]
async fn every_mischief_ends_as_it_should_and_the_neighbour_serves_on() {
    let cluster = Cluster::start().await;
    cluster.deploy(MISCHIEF.bytes()).await;
    cluster.deploy(COUNTER.bytes()).await;
    let table: [(&str, Value, &str); 14] = [
        ("spin", Value::Null, "trapped"),
        ("allocate", 1_000_000_000_u64.into(), "trapped"),
        ("allocate", 1_000_000.into(), ""),
        ("recurse", Value::Null, "trapped"),
        ("trap", Value::Null, "trapped"),
        ("huge_reply", 100_000_000.into(), "trapped"),
        ("log_flood", 20_000.into(), ""),
        ("log_flood", 9_000.into(), ""),
        ("call_storm", 100_000.into(), "trapped"),
        ("push_storm", 100_000.into(), "trapped"),
        ("call_myself", Value::Null, "cycle"),
        ("call_chain", 100.into(), "cycle"),
        ("wait", 10.into(), ""),
        ("write_in_read_only", Value::Null, "denied"),
    ];
    for (number, (method, argument, code)) in table.into_iter().enumerate() {
        let object = format!("Mischief/{number}");
        let answer = cluster.http.call(&object, method, argument.clone()).await;
        assert_eq!(answer.code(), code, "{method}({argument}): {answer}");
        let count = cluster.http.ok("Counter/neighbour", "add", 1).await;
        assert_eq!(count, json!(number + 1));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn neighbours_answer_while_objects_spin() {
    let cluster = Cluster::start().await;
    cluster.deploy(MISCHIEF.bytes()).await;
    cluster.deploy(ECHO.bytes()).await;
    cluster.http.ok("Echo/quiet", "echo", 1).await;
    let hogs = (0..4).map(|n| {
        let (http, object) = (cluster.http.clone(), format!("Mischief/hog-{n}"));
        async move { http.call(&object, "spin", ()).await.code() }
    });
    let hogs = futures_util::future::join_all(hogs);
    tokio::pin!(hogs);
    let mut turns = 0;
    loop {
        tokio::select! {
            codes = &mut hogs => {
                assert!(codes.iter().all(|code| code == "trapped"), "{codes:?}");
                break;
            }
            answer = cluster.http.ok("Echo/quiet", "echo", turns) => {
                assert_eq!(answer, json!(turns));
                turns += 1;
            }
        }
    }
    println!("{turns} turns beside four hogs");
    assert!(turns > 30, "only {turns} turns in the time of four hogs");
}

#[tokio::test(flavor = "multi_thread")]
async fn payloads_are_taken_up_to_the_limit_and_refused_beyond() {
    let cluster = Cluster::start().await;
    cluster.deploy(ECHO.bytes()).await;
    let grpc = cluster.grpc().await;
    let text = |bytes: usize| json!("x".repeat(bytes - 2));
    for bytes in [1 << 10, 64 << 10, 1 << 20, 4 << 20] {
        let answer = cluster.http.call("Echo/a", "echo", text(bytes)).await;
        assert_eq!((answer.status.as_u16(), answer.body.len()), (200, bytes));
        let answer = grpc.call("Echo/a", "echo", text(bytes).to_string(), None);
        assert_eq!(answer.await.unwrap().len(), bytes);
    }
    for bytes in [(4 << 20) + 1, 5 << 20, 12 << 20] {
        let answer = cluster.http.call("Echo/a", "echo", text(bytes)).await;
        assert_eq!(
            (answer.status.as_u16(), &answer.code()[..]),
            (400, "invalid-argument"),
            "{bytes}"
        );
        let answer = grpc.call("Echo/a", "echo", text(bytes).to_string(), None);
        let failed = answer.await.unwrap_err();
        assert_eq!(failed.error.kind(), ErrorKind::InvalidArgument, "{failed:?}");
    }
    assert_eq!(cluster.http.ok("Echo/a", "echo", 5).await, json!(5));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_type_sets_limits_of_its_own() {
    let cluster = Cluster::start().await;
    let limits = json!({ "cpu_ms": 50, "time_ms": 300, "memory_bytes": 4_000_000,
        "payload_bytes": 1_000, "host_calls": 20, "log_bytes": 100 });
    cluster.deploy_chameleon(json!({ "type": "Tight", "limits": limits })).await;
    let began = Instant::now();
    let answer = cluster.http.call("Tight/a", "spin", ()).await;
    assert_eq!(answer.code(), "trapped");
    assert!(answer.message().contains("50ms"), "{answer}");
    assert!(began.elapsed() < Duration::from_secs(10));
    let answer = cluster.http.call("Tight/b", "wait", 10_000).await;
    assert_eq!(answer.code(), "trapped");
    assert!(answer.message().contains("limits.time_ms"), "{answer}");
    let answer = cluster.http.call("Tight/c", "append", "x".repeat(1_000)).await;
    assert_eq!(answer.code(), "invalid-argument");
    assert!(
        answer.message().contains("payload_bytes") || answer.message().contains("1000"),
        "{answer}"
    );
    for _ in 0..3 {
        cluster.http.ok("Tight/d", "append", "x".repeat(400)).await;
    }
    let answer = cluster.http.call("Tight/d", "entries", ()).await;
    assert_eq!(answer.code(), "trapped", "a result over the limit: {answer}");
}

#[tokio::test]
async fn a_body_that_is_no_json_of_the_argument_is_an_invalid_argument() {
    let cluster = Cluster::start().await;
    cluster.deploy(COUNTER.bytes()).await;
    let path = format!("{}/add", path_of("Counter/a"));
    let deep = "[".repeat(100_000);
    for body in ["{", "nan", "1 2", "\"5\"", "[5]", "{}", "", "5.5", "9223372036854775808", &deep] {
        let answer = cluster.http.request(Method::POST, &path, body.to_owned(), &[]).await;
        let shown = &body[..body.len().min(20)];
        assert_eq!(
            (answer.status.as_u16(), &answer.code()[..]),
            (400, "invalid-argument"),
            "{shown}: {answer}"
        );
    }
    let answer = cluster.http.request(Method::POST, &path, vec![0xff, 0xfe], &[]).await;
    assert_eq!(answer.code(), "invalid-argument");
    assert_eq!(cluster.http.ok("Counter/a", "value", ()).await, json!(0));
}

#[tokio::test]
async fn timeouts_are_read_as_people_write_them() {
    let cluster = Cluster::start().await;
    cluster.deploy(ECHO.bytes()).await;
    let path = format!("{}/echo", path_of("Echo/a"));
    for good in ["5s", "500ms", "1m", "1h"] {
        let headers = [("Wasmverse-Timeout", good)];
        let answer = cluster.http.request(Method::POST, &path, "1", &headers).await;
        assert_eq!(answer.status, 200, "{good}: {answer}");
    }
    for bad in ["soon", "-1s", "", "5 parsecs"] {
        let headers = [("Wasmverse-Timeout", bad)];
        let answer = cluster.http.request(Method::POST, &path, "1", &headers).await;
        assert_eq!(answer.code(), "invalid-argument", "{bad}: {answer}");
    }
}
