//! An object that the new revision cannot take over stays on the old one, serves on, and is
//! reported.

use bytes::Bytes;
use serde_json::{Value, json};
use wasmverse_tests::{cluster::Cluster, guests::chameleon, patience::eventually};

fn revision(label: &str, manners: Value) -> Bytes {
    let describe = json!({ "type": "Thing", "revision": label, "durability": "periodic" });
    let mut settings = json!({ "describe": describe });
    if let (Value::Object(settings), Value::Object(manners)) = (&mut settings, manners) {
        settings.extend(manners);
    }
    chameleon(&settings)
}

async fn until_done(cluster: &Cluster, revision: u64) -> Value {
    eventually("the rollout is over", async || {
        let rollout = cluster.http.rollout("Thing").await;
        (rollout["done"] == true && rollout["revision"] == revision).then_some(rollout)
    })
    .await
}

async fn ask(cluster: &Cluster, id: &str, method: &str) -> Value {
    cluster.http.ok(&format!("Thing/{id}"), method, ()).await
}

/// Deploys a revision that treats objects named `victim…` badly.
async fn victims_stay(manners: Value, in_report: &str) {
    let cluster = Cluster::start().await;
    cluster.deploy(revision("old", json!({}))).await;
    for id in ["victim-1", "victim-2", "other"] {
        cluster.http.ok(&format!("Thing/{id}"), "add", 5).await;
    }
    let new = cluster.deploy(revision("new", manners)).await;
    let rollout = until_done(&cluster, new).await;
    let refused = rollout["refused"].as_array().unwrap();
    let mut ids: Vec<_> = refused.iter().map(|refusal| refusal["id"].as_str().unwrap()).collect();
    ids.sort_unstable();
    assert_eq!(ids, ["victim-1", "victim-2"], "{rollout}");
    for refusal in refused {
        let reason = refusal["reason"].as_str().unwrap();
        assert!(reason.contains(in_report), "no `{in_report}` in: {reason}");
    }
    assert_eq!((&rollout["live"], &rollout["moved"]), (&json!(3), &json!(1)), "{rollout}");
    for (id, label) in [("victim-1", "old"), ("victim-2", "old"), ("other", "new")] {
        assert_eq!(ask(&cluster, id, "label").await, json!(label), "{id}");
        assert_eq!(ask(&cluster, id, "value").await, json!(5), "{id}");
        let count = cluster.http.ok(&format!("Thing/{id}"), "add", 1).await;
        assert_eq!(count, json!(6), "{id} serves on");
    }
    // The next revision may take them over after all.
    let mended = cluster.deploy(revision("mended", json!({}))).await;
    let rollout = until_done(&cluster, mended).await;
    assert_eq!(rollout["refused"], json!([]), "{rollout}");
    for id in ["victim-1", "other"] {
        assert_eq!(ask(&cluster, id, "label").await, json!("mended"));
        assert_eq!(ask(&cluster, id, "value").await, json!(6));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_whose_state_is_refused_stays() {
    victims_stay(json!({ "activate": "refuse", "victims": "victim" }), "want me to refuse").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_whose_new_instance_traps_stays() {
    victims_stay(json!({ "activate": "trap", "victims": "victim" }), "trapped").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_whose_new_instance_never_wakes_stays() {
    victims_stay(json!({ "activate": "loop", "victims": "victim" }), "CPU").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_whose_old_instance_cannot_say_its_state_stays() {
    let cluster = Cluster::start().await;
    cluster.deploy(revision("old", json!({ "snapshot": "refuse", "victims": "mute" }))).await;
    for id in ["mute", "other"] {
        cluster.http.ok(&format!("Thing/{id}"), "add", 5).await;
    }
    let new = cluster.deploy(revision("new", json!({}))).await;
    let rollout = until_done(&cluster, new).await;
    assert_eq!(rollout["refused"][0]["id"], "mute", "{rollout}");
    assert_eq!(ask(&cluster, "mute", "label").await, json!("old"));
    assert_eq!(ask(&cluster, "mute", "value").await, json!(5));
    assert_eq!(ask(&cluster, "other", "label").await, json!("new"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_the_new_revision_refuses_wakes_on_the_one_that_wrote_its_state() {
    let cluster = Cluster::start().await;
    cluster.deploy(revision("old", json!({}))).await;
    cluster.http.ok("Thing/victim", "add", 5).await;
    cluster.http.ok("Thing/other", "add", 5).await;
    let (settings, data) = cluster.stop().await;
    let cluster = Cluster::on(settings, data).await;
    let manners = json!({ "activate": "refuse", "victims": "victim" });
    cluster.deploy(revision("new", manners)).await;
    assert_eq!(ask(&cluster, "victim", "value").await, json!(5));
    assert_eq!(ask(&cluster, "victim", "label").await, json!("old"));
    assert_eq!(ask(&cluster, "other", "label").await, json!("new"));
    let cluster = cluster.restart().await;
    assert_eq!(cluster.http.ok("Thing/victim", "add", 1).await, json!(6));
    assert_eq!(ask(&cluster, "victim", "label").await, json!("old"));
}

#[tokio::test(flavor = "multi_thread")]
async fn state_goes_through_a_change_of_schema_and_back_only_if_it_can_be_read() {
    let cluster = Cluster::start().await;
    let described = |schema: u32| {
        let describe = json!({ "type": "Thing", "revision": format!("schema-{schema}"),
            "schema": schema, "durability": "periodic" });
        chameleon(&json!({ "describe": describe, "schema": schema }))
    };
    let first = cluster.deploy(described(1)).await;
    cluster.http.ok("Thing/a", "add", 5).await;
    let second = cluster.deploy(described(2)).await;
    assert_eq!(until_done(&cluster, second).await["moved"], 1);
    assert_eq!(ask(&cluster, "a", "value").await, json!(5));
    let back = json!({ "revision": first }).to_string();
    let json = [("content-type", "application/json")];
    let path = "/v1/admin/types/Thing/deploy";
    cluster.http.request(reqwest::Method::POST, path, back, &json).await;
    let rollout = until_done(&cluster, first).await;
    assert!(rollout["refused"][0]["reason"].as_str().unwrap().contains("schema"), "{rollout}");
    assert_eq!(ask(&cluster, "a", "label").await, json!("schema-2"));
}
