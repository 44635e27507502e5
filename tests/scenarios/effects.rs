//! What a turn lets out, it lets out at its end, and only if it ends well; a read-only turn lets
//! nothing out.

use serde_json::{Value, json};
use wasmverse_tests::{cluster::Cluster, guests::COUNTER, patience::eventually};

async fn thing() -> Cluster {
    let cluster = Cluster::start().await;
    cluster.deploy_chameleon(json!({ "type": "Thing" })).await;
    cluster.deploy(COUNTER.bytes()).await;
    cluster
}

fn errand(type_name: &str, id: &str, method: &str, argument: impl Into<Value>) -> Value {
    let argument = argument.into();
    json!({ "type": type_name, "id": id, "method": method, "argument": argument })
}

#[tokio::test]
async fn what_was_sent_arrives_in_order() {
    let cluster = thing().await;
    for number in 0..30 {
        let errand = errand("Thing", "heard", "append", json!(number.to_string()));
        cluster.http.ok("Thing/a", "send", errand).await;
    }
    let expected: Vec<_> = (0..30).map(|number| number.to_string()).collect();
    eventually("all of it arrives", async || {
        let entries = cluster.http.ok("Thing/heard", "entries", ()).await;
        (entries.as_array().unwrap().len() == 30).then(|| assert_eq!(entries, json!(expected)))
    })
    .await;
}

#[tokio::test]
async fn a_send_leaves_only_with_a_turn_that_ends_well() {
    let cluster = thing().await;
    let failed = cluster.http.call("Thing/a", "send_and_fail", errand("Counter", "c", "add", 1));
    assert_eq!(failed.await.code(), "application");
    // Sends of one object leave in order: had the first left, it would be there by now.
    cluster.http.ok("Thing/a", "send", errand("Counter", "c", "add", 10)).await;
    eventually("the second arrives", async || {
        let value = cluster.http.ok("Counter/c", "value", ()).await;
        (value != json!(0)).then(|| assert_eq!(value, json!(10)))
    })
    .await;
}

#[tokio::test]
async fn an_object_may_send_to_itself() {
    let cluster = thing().await;
    cluster.http.ok("Thing/a", "send", errand("Thing", "a", "append", json!("later"))).await;
    eventually("it arrives", async || {
        (cluster.http.ok("Thing/a", "entries", ()).await == json!(["later"])).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_call_acts_at_once_and_stays_whatever_becomes_of_the_caller() {
    let cluster = thing().await;
    let deep = errand("Thing", "b", "relay", errand("Counter", "c", "add", 5));
    assert_eq!(cluster.http.ok("Thing/a", "relay", deep).await, json!(5));
    let outer = errand("Thing", "b", "fail", json!("no"));
    assert_eq!(cluster.http.call("Thing/a", "relay", outer).await.code(), "application");
    assert_eq!(cluster.http.ok("Counter/c", "value", ()).await, json!(5));
}

#[tokio::test]
async fn a_failure_keeps_the_memory_of_an_object_that_is_not_durable() {
    let cluster = thing().await;
    cluster.http.ok("Thing/a", "add", 1).await;
    assert_eq!(cluster.http.call("Thing/a", "add_and_fail", 10).await.code(), "application");
    assert_eq!(cluster.http.ok("Thing/a", "value", ()).await, json!(11));
}

#[tokio::test]
async fn a_read_only_turn_may_read_and_nothing_else() {
    let cluster = thing().await;
    let add = errand("Counter", "c", "add", 1);
    let words = cluster.http.ok("Thing/a", "overstep", add).await;
    for (act, word) in words.as_object().unwrap() {
        assert_eq!(word, "denied", "{act}");
    }
    assert_eq!(words.as_object().unwrap().len(), 7);
    assert_eq!(cluster.http.ok("Counter/c", "value", ()).await, json!(0));
    let read = errand("Counter", "c", "value", Value::Null);
    assert_eq!(cluster.http.ok("Thing/a", "ask", read).await, json!(0));
    // Also through another that only reads.
    let through = errand("Thing", "b", "ask", errand("Counter", "c", "add", 1));
    assert_eq!(cluster.http.call("Thing/a", "ask", through).await.code(), "denied");
    assert_eq!(cluster.http.call("Thing/a", "peek", "x").await.code(), "denied");
}

#[tokio::test]
async fn pushes_are_accepted_and_counted() {
    let cluster = thing().await;
    assert_eq!(cluster.http.ok("Thing/a", "push", "127.0.0.1:1/abc").await, Value::Null);
    assert_eq!(cluster.http.ok("Thing/a", "broadcast", "x").await, Value::Null);
}

#[tokio::test]
async fn callers_are_let_in_as_the_type_says() {
    let cluster = Cluster::start().await;
    let methods = json!([
        { "name": "add", "callers": "objects" },
        { "name": "value", "mode": "read-only", "callers": "clients" },
        { "name": "relay" },
    ]);
    cluster.deploy_chameleon(json!({ "type": "Shy", "methods": methods })).await;
    let answer = cluster.http.call("Shy/a", "add", 1).await;
    assert_eq!((answer.status.as_u16(), &answer.code()[..]), (403, "denied"), "{answer}");
    let through = errand("Shy", "a", "add", 4);
    assert_eq!(cluster.http.ok("Shy/b", "relay", through).await, json!(4));
    assert_eq!(cluster.http.ok("Shy/a", "value", ()).await, json!(4));
    let through = errand("Shy", "a", "value", Value::Null);
    assert_eq!(cluster.http.call("Shy/b", "relay", through).await.code(), "denied");
    let hidden = cluster.http.call("Shy/a", "append", "x").await;
    assert_eq!(hidden.code(), "not-found", "a method that is not described: {hidden}");
}
