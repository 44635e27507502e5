//! A deploy under load: no call fails, each object keeps its order and its state, clients stay
//! connected.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use wasmverse_tests::{cluster::Cluster, grpc::Grpc, guests::chameleon, patience::eventually};

const CONNECTIONS: usize = 64;
const OBJECTS: usize = 16;

fn revision(label: &str) -> Bytes {
    let describe = json!({ "type": "Thing", "revision": label, "durability": "periodic" });
    chameleon(&json!({ "describe": describe }))
}

/// What one connection saw of one object: counts and the labels of the revisions that counted.
async fn ticks(grpc: Grpc, object: String, stop: Arc<AtomicBool>) -> (String, Vec<(u64, String)>) {
    let mut seen = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let answer = grpc.call(&object, "tick", "", None).await.unwrap_or_else(|failed| {
            panic!("a call of {object} failed: {}", failed.error);
        });
        let answer: Value = serde_json::from_slice(&answer).unwrap();
        let label = answer["label"].as_str().unwrap().to_owned();
        seen.push((answer["count"].as_u64().unwrap(), label));
    }
    (object, seen)
}

async fn until_done(cluster: &Cluster, revision: u64) -> Value {
    eventually("the rollout is over", async || {
        let rollout = cluster.http.rollout("Thing").await;
        (rollout["done"] == true && rollout["revision"] == revision).then_some(rollout)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn under_64_connections_no_call_fails_order_is_kept_and_state_carried() {
    let cluster = Cluster::start().await;
    let labels: Vec<String> = (1..=4).map(|number| format!("label-{number}")).collect();
    cluster.deploy(revision(&labels[0])).await;
    let stop = Arc::new(AtomicBool::new(false));
    let mut load = JoinSet::new();
    for connection in 0..CONNECTIONS {
        let grpc = cluster.grpc().await;
        let object = format!("Thing/{}", connection % OBJECTS);
        load.spawn(ticks(grpc, object, stop.clone()));
    }
    eventually("every object counts", async || {
        for object in 0..OBJECTS {
            let value = cluster.http.ok(&format!("Thing/{object}"), "value", ()).await;
            value.as_u64().filter(|count| *count > 10)?;
        }
        Some(())
    })
    .await;
    for label in &labels[1..] {
        let number = cluster.deploy(revision(label)).await;
        let rollout = until_done(&cluster, number).await;
        assert_eq!(rollout["refused"], json!([]), "{rollout}");
        assert_eq!(rollout["live"], OBJECTS, "{rollout}");
        assert_eq!(cluster.http.ok("Thing/0", "label", ()).await, json!(label));
    }
    stop.store(true, Ordering::Relaxed);
    let mut by_object = std::collections::HashMap::<_, Vec<_>>::new();
    for (object, seen) in load.join_all().await {
        // Of one connection, each answer follows the one before.
        assert!(seen.is_sorted_by(|a, b| a.0 < b.0), "{object}");
        by_object.entry(object).or_default().extend(seen);
    }
    assert_eq!(by_object.len(), OBJECTS);
    for (object, mut seen) in by_object {
        seen.sort();
        let counts: Vec<_> = seen.iter().map(|(count, _)| *count).collect();
        let expected: Vec<_> = (1..=counts.len() as u64).collect();
        assert_eq!(counts, expected, "{object}: none lost, none twice");
        let order: Vec<_> = seen.iter().map(|(_, label)| label.clone()).collect();
        assert!(order.is_sorted(), "{object}: a revision came back: {order:?}");
        let value = cluster.http.ok(&object, "value", ()).await;
        assert_eq!(value, json!(counts.len()), "{object}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_deploys_in_a_row_the_latest_wins() {
    let cluster = Cluster::start().await;
    cluster.deploy(revision("first")).await;
    for object in 0..50 {
        cluster.http.ok(&format!("Thing/{object}"), "add", object).await;
    }
    let deploys = ["second", "third", "fourth"].map(|label| cluster.deploy(revision(label)));
    futures_util::future::join_all(deploys).await;
    let last = cluster.deploy(revision("last")).await;
    until_done(&cluster, last).await;
    for object in 0..50 {
        let name = format!("Thing/{object}");
        assert_eq!(cluster.http.ok(&name, "label", ()).await, json!("last"));
        assert_eq!(cluster.http.ok(&name, "value", ()).await, json!(object));
    }
    let known = cluster.http.get("/v1/types/Thing").await.json();
    assert_eq!(known["revision"], last);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_earlier_revision_can_be_made_active_again() {
    let cluster = Cluster::start().await;
    let first = cluster.deploy(revision("first")).await;
    cluster.http.ok("Thing/a", "add", 5).await;
    cluster.deploy(revision("second")).await;
    assert_eq!(cluster.http.ok("Thing/a", "label", ()).await, json!("second"));
    let body = json!({ "revision": first }).to_string();
    let path = "/v1/admin/types/Thing/deploy";
    let json = [("content-type", "application/json")];
    let answer = cluster.http.request(reqwest::Method::POST, path, body, &json).await;
    assert!(answer.status.is_success(), "{answer}");
    until_done(&cluster, first).await;
    assert_eq!(cluster.http.ok("Thing/a", "label", ()).await, json!("first"));
    assert_eq!(cluster.http.ok("Thing/a", "value", ()).await, json!(5));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revision_that_is_only_stored_changes_nothing_until_it_is_deployed() {
    let cluster = Cluster::start().await;
    cluster.deploy(revision("first")).await;
    cluster.http.ok("Thing/a", "add", 5).await;
    let path = "/v1/admin/types?deploy=false";
    let request = cluster.http.request(reqwest::Method::POST, path, revision("second"), &[]);
    let stored = request.await.json();
    assert_eq!((&stored["type"], &stored["active"]), (&json!("Thing"), &json!(false)));
    assert_eq!(cluster.http.ok("Thing/a", "label", ()).await, json!("first"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_object_is_not_woken_by_a_deploy_and_wakes_on_the_new_revision() {
    let cluster = Cluster::start_with(|settings| {
        settings.node.node.idle = std::time::Duration::from_millis(30);
    })
    .await;
    cluster.deploy(revision("first")).await;
    cluster.http.ok("Thing/a", "add", 5).await;
    let path = wasmverse_tests::http::path_of("Thing/a");
    let asleep = async || (cluster.http.get(&path).await.json()["state"] != "live").then_some(());
    eventually("it sleeps", asleep).await;
    let second = cluster.deploy(revision("second")).await;
    until_done(&cluster, second).await;
    assert!(asleep().await.is_some(), "it was woken");
    assert_eq!(cluster.http.ok("Thing/a", "value", ()).await, json!(5));
    assert_eq!(cluster.http.ok("Thing/a", "label", ()).await, json!("second"));
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_that_wait_during_a_deploy_keep_their_order() {
    let cluster = Cluster::start().await;
    cluster.deploy(revision("first")).await;
    let busy = cluster.enqueue("Thing/a", "wait", "700");
    let numbers = 0..20;
    let calls: Vec<_> = numbers
        .map(|number| cluster.enqueue("Thing/a", "append", format!("\"{number}\"")))
        .collect();
    cluster.deploy(revision("second")).await;
    busy.await.unwrap();
    for call in calls {
        call.await.unwrap();
    }
    let expected: Vec<_> = (0..20).map(|number| number.to_string()).collect();
    assert_eq!(cluster.http.ok("Thing/a", "entries", ()).await, json!(expected));
    assert_eq!(cluster.http.ok("Thing/a", "label", ()).await, json!("second"));
}
