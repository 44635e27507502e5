//! One object runs one turn at a time, in the order of arrival; every call has a deadline, and a
//! chain of callers.

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use wasmverse_tests::{
    cluster::Cluster,
    guests::{BANK_ACCOUNT, COUNTER, MISCHIEF},
    http::path_of,
    patience::eventually,
};

async fn thing() -> Cluster {
    let cluster = Cluster::start().await;
    cluster.deploy_chameleon(json!({ "type": "Thing" })).await;
    cluster
}

#[tokio::test(flavor = "multi_thread")]
async fn turns_of_one_object_never_overlap_and_none_is_lost() {
    let cluster = thing().await;
    let mut callers = JoinSet::new();
    for _ in 0..16 {
        let http = cluster.http.clone();
        callers.spawn(async move {
            let mut seen = Vec::new();
            for _ in 0..50 {
                seen.push(http.ok("Thing/race", "add", 1).await.as_i64().unwrap());
            }
            seen
        });
    }
    let mut seen: Vec<_> = callers.join_all().await.into_iter().flatten().collect();
    seen.sort_unstable();
    assert_eq!(seen, (1..=800).collect::<Vec<_>>(), "each value was answered once");
}

#[tokio::test]
async fn calls_that_one_client_pipelines_run_in_their_order() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let cluster = thing().await;
    let mut socket = tokio::net::TcpStream::connect(cluster.addresses().http).await.unwrap();
    let mut requests = String::new();
    for number in 0..40 {
        let body = format!("\"{number}\"");
        requests += &format!(
            "POST /v1/objects/Thing/a/append HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
    }
    requests += "GET /v1/types HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    socket.write_all(requests.as_bytes()).await.unwrap();
    let mut answers = Vec::new();
    socket.read_to_end(&mut answers).await.unwrap();
    let expected: Vec<_> = (0..40).map(|number| number.to_string()).collect();
    assert_eq!(cluster.http.ok("Thing/a", "entries", ()).await, json!(expected));
}

#[tokio::test(flavor = "multi_thread")]
async fn queued_calls_run_in_the_order_of_their_arrival() {
    let cluster = thing().await;
    let busy = cluster.enqueue("Thing/a", "wait", "300");
    let numbers = 0..50;
    let calls: Vec<_> = numbers
        .map(|number| cluster.enqueue("Thing/a", "append", format!("\"{number}\"")))
        .collect();
    // However they are waited for.
    for call in calls.into_iter().rev() {
        call.await.unwrap();
    }
    busy.await.unwrap();
    let expected: Vec<_> = (0..50).map(|number| number.to_string()).collect();
    assert_eq!(cluster.http.ok("Thing/a", "entries", ()).await, json!(expected));
}

#[tokio::test]
async fn objects_run_beside_each_other() {
    let cluster = thing().await;
    let began = Instant::now();
    let waits = (0..8).map(|n| {
        let object = format!("Thing/{n}");
        let http = cluster.http.clone();
        async move { http.ok(&object, "wait", 600).await }
    });
    futures_util::future::join_all(waits).await;
    assert!(began.elapsed() < Duration::from_millis(8 * 600), "{:?}", began.elapsed());
}

#[tokio::test]
async fn calls_side_by_side_answer_in_order_and_fail_alone() {
    let cluster = thing().await;
    cluster.deploy(COUNTER.bytes()).await;
    let call = |kind: &str, id: &str, method: &str, argument: Value| json!({ "type": kind, "id": id, "method": method, "argument": argument });
    let calls = json!([
        call("Counter", "a", "add", json!(1)),
        call("Counter", "a", "nope", json!(1)),
        call("Nobody", "a", "add", json!(1)),
        call("Thing", "b", "fail", json!("mine")),
        call("Thing", "a", "value", Value::Null),
        call("Counter", "a", "add", json!(1)),
    ]);
    let answers = cluster.http.ok("Thing/a", "relay_many", calls).await;
    let expected = json!([{"ok": 1}, {"err": "not-found"}, {"err": "not-found"},
        {"err": "application"}, {"err": "cycle"}, {"ok": 2}]);
    assert_eq!(answers, expected);
    // Side by side, indeed.
    let began = Instant::now();
    let waits: Vec<_> =
        (0..10).map(|n| call("Thing", &format!("w{n}"), "wait", 500.into())).collect();
    cluster.http.ok("Thing/a", "relay_many", json!(waits)).await;
    assert!(began.elapsed() < Duration::from_millis(10 * 500), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_cycle_fails_at_once_with_the_chain_printed() {
    let cluster = thing().await;
    let call = |id: &str, argument: Value| json!({ "type": "Thing", "id": id, "method": "relay", "argument": argument });
    let began = Instant::now();
    let answer =
        cluster.http.call("Thing/a", "relay", call("b", call("c", call("a", json!(1))))).await;
    assert_eq!((answer.status.as_u16(), &answer.code()[..]), (409, "cycle"), "{answer}");
    let chain = "Thing/a → Thing/b → Thing/c → Thing/a";
    assert!(answer.message().contains(chain), "{answer}");
    assert!(began.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn a_chain_may_be_64_deep_and_no_deeper() {
    let cluster = Cluster::start().await;
    cluster.deploy(MISCHIEF.bytes()).await;
    cluster.http.ok("Mischief/deep", "call_chain", 64).await;
    let answer = cluster.http.call("Mischief/deeper", "call_chain", 65).await;
    assert_eq!(answer.code(), "cycle", "{answer}");
    assert!(answer.message().contains("64"), "{answer}");
}

#[tokio::test]
async fn a_turn_whose_caller_gave_up_goes_on_and_a_call_that_waits_is_dropped() {
    let cluster = thing().await;
    let impatient = [("Wasmverse-Timeout", "200ms")];
    let path = path_of("Thing/a");
    let waits = format!("{path}/wait");
    let wait = cluster.http.request(Method::POST, &waits, "1500", &impatient);
    let add = async {
        eventually("it runs", async || {
            cluster.http.get(&path).await.status.is_success().then_some(())
        })
        .await;
        cluster.http.request(Method::POST, &format!("{path}/add"), "1", &impatient).await
    };
    let (wait, add) = tokio::join!(wait, add);
    assert_eq!((wait.code(), add.code()), ("timeout".into(), "timeout".into()), "{wait} {add}");
    // The next turn begins when the long one has ended well.
    assert_eq!(cluster.http.ok("Thing/a", "add", 10).await, json!(10), "the one that waited ran");
}

#[tokio::test]
async fn the_deadline_goes_on_along_the_chain_and_is_never_extended() {
    let cluster = thing().await;
    let who = json!({ "type": "Thing", "id": "b", "method": "who" });
    let path = format!("{}/relay", path_of("Thing/a"));
    let timeout = [("Wasmverse-Timeout", "9s")];
    let answer = cluster.http.request(Method::POST, &path, who.to_string(), &timeout).await.json();
    let left = answer["left_ms"].as_u64().unwrap();
    assert!((1..=9_000).contains(&left), "{left}");
    assert_eq!(answer["caller"], "Thing/a");
    let longer = json!({ "type": "Thing", "id": "b", "method": "who", "timeout_ms": 60_000 });
    let answer =
        cluster.http.request(Method::POST, &path, longer.to_string(), &timeout).await.json();
    assert!(answer["left_ms"].as_u64().unwrap() <= 9_000, "{answer}");
    let shorter = json!({ "type": "Thing", "id": "b", "method": "wait", "argument": 5_000,
        "timeout_ms": 100 });
    let answer = cluster.http.call("Thing/a", "relay", shorter).await;
    assert_eq!(answer.code(), "timeout", "{answer}");
}

#[tokio::test]
async fn what_an_object_says_of_the_turn_is_true() {
    let cluster = thing().await;
    let path = format!("{}/who", path_of("Thing/a"));
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let answer = cluster.http.request(Method::POST, &path, "", &[("traceparent", parent)]).await;
    let who = answer.json();
    assert_eq!(
        (&who["me"], &who["caller"], &who["client"]),
        (&json!("Thing/a"), &Value::Null, &Value::Null)
    );
    assert_eq!(who["revision"], "1");
    let trace = who["traceparent"].as_str().unwrap();
    assert_eq!(trace.split('-').nth(1), parent.split('-').nth(1), "{trace}");
    assert!(who["left_ms"].as_u64().unwrap() <= 30_000);
    let again = cluster.http.ok("Thing/a", "who", ()).await;
    assert_ne!(who["turn"], again["turn"], "turns have names of their own");
}

#[tokio::test]
async fn money_that_is_sent_arrives_and_none_is_made() {
    let cluster = Cluster::start().await;
    cluster.deploy(BANK_ACCOUNT.bytes()).await;
    cluster.http.ok("BankAccount/a", "deposit", 100).await;
    let transfers = (0..20).map(|_| {
        let transfer = json!({ "to": "b", "amount": 3 });
        let http = cluster.http.clone();
        async move { http.ok("BankAccount/a", "transfer", transfer).await }
    });
    futures_util::future::join_all(transfers).await;
    assert_eq!(cluster.http.ok("BankAccount/a", "balance", ()).await, json!(40));
    eventually("all of it arrives", async || {
        (cluster.http.ok("BankAccount/b", "balance", ()).await == json!(60)).then_some(())
    })
    .await;
    let answer = cluster.http.call("BankAccount/a", "withdraw", 41).await;
    let error = &answer.json()["error"];
    assert_eq!(error["application"]["code"], "insufficient-funds", "{answer}");
    assert_eq!(error["object"], "BankAccount/a", "{answer}");
}
