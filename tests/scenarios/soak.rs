//! Ten thousand objects: all live, all answer, all are saved, all are found again.

use futures_util::{StreamExt, stream};
use serde_json::json;
use wasmverse_tests::{cluster::Cluster, guests::COUNTER};

const OBJECTS: u64 = 10_000;

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_objects_live_answer_and_come_back_after_a_restart() {
    let cluster = Cluster::start().await;
    cluster.deploy(COUNTER.bytes()).await;
    let all = async |cluster: &Cluster, method: &'static str, argument: u64| {
        let grpc = cluster.grpc().await;
        let calls = stream::iter(0..OBJECTS).map(|number| {
            let grpc = grpc.clone();
            async move {
                let payload =
                    if method == "add" { (number + argument).to_string() } else { String::new() };
                let answer = grpc.call(&format!("Counter/{number}"), method, payload, None).await;
                let answer = answer.unwrap_or_else(|it| panic!("{number}: {}", it.error));
                (number, String::from_utf8(answer.into()).unwrap().parse::<u64>().unwrap())
            }
        });
        calls.buffer_unordered(64).collect::<Vec<_>>().await
    };
    for (number, value) in all(&cluster, "add", 1).await {
        assert_eq!(value, number + 1);
    }
    for (number, value) in all(&cluster, "value", 0).await {
        assert_eq!(value, number + 1);
    }
    let cluster = cluster.restart().await;
    for (number, value) in all(&cluster, "value", 0).await {
        assert_eq!(value, number + 1, "after the restart");
    }
    let mut listed = std::collections::HashSet::new();
    let mut page = String::new();
    loop {
        let path = format!("/v1/objects?type=Counter&limit=1000&page={page}");
        let answer = cluster.http.get(&path).await.json();
        for object in answer["objects"].as_array().unwrap() {
            assert!(listed.insert(object["id"].as_str().unwrap().to_owned()), "{object} twice");
        }
        match answer["next_page"].as_str() {
            Some(next) if !next.is_empty() => {
                page = next.replace('%', "%25").replace('/', "%2F").replace('+', "%2B");
            }
            _ => break,
        }
    }
    assert_eq!(listed.len() as u64, OBJECTS);
    assert_eq!(cluster.http.ok("Counter/77", "add", 0).await, json!(78));
}
