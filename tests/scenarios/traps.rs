//! A trap ends an activation and nothing else; an object that keeps trapping is left alone for a
//! while.

use serde_json::{Value, json};
use wasmverse_tests::{
    cluster::Cluster,
    guests::{MISCHIEF, chameleon},
    patience::eventually,
};

#[tokio::test]
async fn the_next_call_after_a_trap_finds_a_fresh_object() {
    let cluster = Cluster::start().await;
    cluster.deploy_chameleon(json!({ "type": "Thing" })).await;
    cluster.http.ok("Thing/a", "add", 5).await;
    let born = cluster.http.ok("Thing/a", "born", ()).await;
    let answer = cluster.http.call("Thing/a", "trap", ()).await;
    assert_eq!((answer.status.as_u16(), &answer.code()[..]), (502, "trapped"));
    assert_eq!(answer.json()["error"]["object"], "Thing/a");
    assert_eq!(cluster.http.ok("Thing/a", "value", ()).await, json!(0));
    assert_ne!(cluster.http.ok("Thing/a", "born", ()).await, born);
}

#[tokio::test]
async fn repeated_traps_back_off_and_say_when_to_come_again() {
    let cluster = Cluster::start().await;
    cluster.deploy(MISCHIEF.bytes()).await;
    let refused = eventually("it is left alone", async || {
        let answer = cluster.http.call("Mischief/a", "trap", ()).await;
        (answer.code() != "trapped").then_some(answer)
    })
    .await;
    assert_eq!((refused.status.as_u16(), &refused.code()[..]), (503, "unavailable"), "{refused}");
    let error = refused.json()["error"].clone();
    assert!(error["retry_after_ms"].as_u64().unwrap() > 0, "{error}");
    assert_ne!(error["maybe_executed"], true, "it was not executed");
    assert!(refused.headers.contains_key("retry-after"));
    // Others of its type are not concerned.
    cluster.http.ok("Mischief/b", "wait", 1).await;
    // After the pause it serves again.
    eventually("it serves again", async || {
        cluster.http.call("Mischief/a", "wait", 1).await.status.is_success().then_some(())
    })
    .await;
}

#[tokio::test]
async fn an_object_that_refuses_to_wake_says_why() {
    let cluster = Cluster::start().await;
    let unwilling = json!({ "describe": { "type": "Thing" }, "activate": "refuse" });
    cluster.deploy(chameleon(&unwilling)).await;
    let answer = cluster.http.call("Thing/a", "value", ()).await;
    assert_eq!(answer.code(), "application", "{answer}");
    assert_eq!(answer.json()["error"]["application"]["code"], "unwilling", "{answer}");
}

#[tokio::test]
async fn an_object_that_traps_while_it_wakes_is_trapped_and_a_loop_ends() {
    let cluster = Cluster::start().await;
    for manners in ["trap", "loop"] {
        let describe = json!({ "type": "Thing", "limits": { "cpu_ms": 100 }, "revision": manners });
        cluster.deploy(chameleon(&json!({ "describe": describe, "activate": manners }))).await;
        let answer = cluster.http.call(&format!("Thing/{manners}"), "value", ()).await;
        assert_eq!(answer.code(), "trapped", "{manners}: {answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trap_answers_its_own_caller_only_and_those_who_wait_are_served() {
    let cluster = Cluster::start().await;
    cluster.deploy_chameleon(json!({ "type": "Thing" })).await;
    let calls = (0..30).map(|n| {
        let http = cluster.http.clone();
        async move {
            match n {
                10 => http.call("Thing/a", "trap", ()).await,
                _ => http.call("Thing/a", "add", 1).await,
            }
        }
    });
    let codes: Vec<_> =
        futures_util::future::join_all(calls).await.into_iter().map(|it| it.code()).collect();
    let trapped = codes.iter().filter(|code| *code == "trapped").count();
    let well = codes.iter().filter(|code| code.is_empty()).count();
    assert_eq!((trapped, well), (1, 29), "{codes:?}");
}

#[tokio::test]
async fn what_objects_write_and_why_they_trap_is_in_the_log() {
    let cluster = Cluster::start().await;
    cluster.deploy_chameleon(json!({ "type": "Thing" })).await;
    cluster.http.ok("Thing/a", "note", "it rains").await;
    cluster.http.call("Thing/a", "trap", ()).await;
    let mut request = tonic::Request::new(wasmverse_proto::admin::TailLogsRequest {
        r#type: "Thing".into(),
        id: "a".into(),
        recent: 100,
    });
    request.set_timeout(std::time::Duration::from_secs(20));
    let mut lines = cluster.grpc().await.admin().tail_logs(request).await.unwrap().into_inner();
    let mut seen = Vec::<Value>::new();
    while let Some(line) = lines.message().await.unwrap() {
        seen.push(json!({ "level": line.level, "message": line.message, "turn": line.turn }));
        if line.message.contains("trapped") {
            break;
        }
    }
    let rain = seen.iter().find(|line| line["message"] == "it rains").expect("its own line");
    assert_eq!(rain["level"], "warn");
    assert_ne!(rain["turn"], "");
    let panic = seen
        .iter()
        .any(|line| line["message"].as_str().unwrap().contains("the tests want me to trap"));
    assert!(panic, "the words of the panic: {seen:?}");
}
