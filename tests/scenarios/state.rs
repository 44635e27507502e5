//! What is kept, where, and what is lost: as the type says.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use wasmverse_tests::{
    cluster::{Cluster, Settings},
    guests::{COUNTER, chameleon},
    http::path_of,
    patience::eventually,
};

fn restless(settings: &mut Settings) {
    settings.node.node.idle = Duration::from_millis(30);
    settings.node.node.save_interval = Duration::from_millis(50);
}

async fn state_of(cluster: &Cluster, object: &str) -> String {
    let known = cluster.http.get(&path_of(object)).await;
    let body: Value = serde_json::from_slice(&known.body).unwrap();
    body["state"].as_str().unwrap_or_default().to_owned()
}

async fn until_asleep(cluster: &Cluster, object: &str) {
    eventually("it sleeps", async || (state_of(cluster, object).await != "live").then_some(()))
        .await;
}

#[tokio::test]
async fn an_orderly_stop_loses_nothing_of_periodic_objects_and_everything_of_volatile_ones() {
    let cluster = Cluster::start_with(|settings| {
        // Only the stop itself can have saved.
        settings.node.node.save_interval = Duration::from_secs(3600);
    })
    .await;
    cluster.deploy_chameleon(json!({ "type": "Periodic", "durability": "periodic" })).await;
    cluster.deploy_chameleon(json!({ "type": "Volatile" })).await;
    for number in 0..50 {
        cluster.http.ok(&format!("Periodic/{number}"), "add", number).await;
        cluster.http.ok(&format!("Volatile/{number}"), "add", number).await;
    }
    let cluster = cluster.restart().await;
    for number in 0..50 {
        let periodic = cluster.http.ok(&format!("Periodic/{number}"), "value", ()).await;
        assert_eq!(periodic, json!(number));
        let volatile = cluster.http.ok(&format!("Volatile/{number}"), "value", ()).await;
        assert_eq!(volatile, json!(0));
    }
}

#[tokio::test]
async fn types_and_their_revisions_survive_a_restart() {
    let cluster = Cluster::start().await;
    let first = cluster.deploy_chameleon(json!({ "type": "Kept", "revision": "one" })).await;
    let second = cluster.deploy_chameleon(json!({ "type": "Kept", "revision": "two" })).await;
    assert_eq!((first, second), (1, 2));
    let before = cluster.http.get("/v1/types").await.json();
    let cluster = cluster.restart().await;
    assert_eq!(cluster.http.get("/v1/types").await.json(), before);
    assert_eq!(cluster.http.ok("Kept/a", "label", ()).await, json!("two"));
    let third = cluster.deploy_chameleon(json!({ "type": "Kept", "revision": "one" })).await;
    assert_eq!(third, 1, "bytes that are stored become active again under their number");
    assert_eq!(cluster.http.ok("Kept/a", "label", ()).await, json!("one"));
}

#[tokio::test]
async fn sleep_carries_the_state_of_volatile_and_of_periodic_objects() {
    let cluster = Cluster::start_with(restless).await;
    cluster.deploy_chameleon(json!({ "type": "Volatile" })).await;
    cluster.deploy_chameleon(json!({ "type": "Periodic", "durability": "periodic" })).await;
    for type_name in ["Volatile", "Periodic"] {
        let object = format!("{type_name}/a");
        cluster.http.ok(&object, "add", 5).await;
        for round in 1..4 {
            let born = cluster.http.ok(&object, "born", ()).await;
            until_asleep(&cluster, &object).await;
            assert_eq!(cluster.http.ok(&object, "add", 1).await, json!(5 + round));
            let reborn = cluster.http.ok(&object, "born", ()).await;
            assert_ne!(born, reborn, "{type_name}: it was another instance");
        }
    }
}

#[tokio::test]
async fn an_object_that_is_called_stays_awake() {
    let cluster = Cluster::start_with(|settings| {
        settings.node.node.idle = Duration::from_millis(400);
    })
    .await;
    cluster.deploy_chameleon(json!({ "type": "Thing" })).await;
    let born = cluster.http.ok("Thing/a", "born", ()).await;
    // A turn that takes longer than idle is no idleness.
    cluster.http.ok("Thing/a", "wait", 1_000).await;
    assert_eq!(cluster.http.ok("Thing/a", "born", ()).await, born);
}

#[tokio::test]
async fn the_least_recently_used_objects_make_room_and_lose_nothing() {
    let cluster = Cluster::start_with(|settings| settings.node.node.live_max = Some(20)).await;
    cluster.deploy_chameleon(json!({ "type": "Thing" })).await;
    for round in 1..=3 {
        for number in 0..60 {
            let value = cluster.http.ok(&format!("Thing/{number}"), "add", 1).await;
            assert_eq!(value, json!(round));
        }
    }
    let listed = cluster.http.get("/v1/objects?type=Thing&limit=1000").await.json();
    let objects = listed["objects"].as_array().unwrap();
    assert_eq!(objects.len(), 60);
    let live = objects.iter().filter(|object| object["state"] == "live").count();
    assert!(live <= 20, "{live} are live");
}

#[tokio::test]
async fn a_sleeping_object_can_be_deleted_and_starts_anew() {
    let cluster = Cluster::start_with(restless).await;
    cluster.deploy_chameleon(json!({ "type": "Volatile" })).await;
    cluster.deploy(COUNTER.bytes()).await;
    for object in ["Volatile/a", "Counter/a"] {
        cluster.http.ok(object, "add", 5).await;
        until_asleep(&cluster, object).await;
        let deleted = cluster.http.request(Method::DELETE, &path_of(object), "", &[]).await;
        assert_eq!(deleted.status, 204);
        assert_eq!(cluster.http.ok(object, "value", ()).await, json!(0));
    }
}

#[tokio::test]
async fn a_periodic_object_falls_back_to_its_last_save_after_a_trap_and_a_volatile_one_starts_anew()
{
    let cluster = Cluster::start_with(|settings| {
        settings.node.node.save_interval = Duration::from_millis(50);
    })
    .await;
    cluster.deploy_chameleon(json!({ "type": "Periodic", "durability": "periodic" })).await;
    cluster.deploy_chameleon(json!({ "type": "Volatile" })).await;
    cluster.http.ok("Periodic/a", "add", 5).await;
    cluster.http.ok("Volatile/a", "add", 5).await;
    eventually("it is saved", async || {
        let known = cluster.http.get(&path_of("Periodic/a")).await.json();
        (!known["updated_at"].is_null()).then_some(())
    })
    .await;
    for object in ["Periodic/a", "Volatile/a"] {
        assert_eq!(cluster.http.call(object, "add_and_trap", 100).await.code(), "trapped");
    }
    assert_eq!(cluster.http.ok("Periodic/a", "value", ()).await, json!(5));
    assert_eq!(cluster.http.ok("Volatile/a", "value", ()).await, json!(0));
}

#[tokio::test]
async fn an_object_whose_snapshot_fails_serves_on_awake() {
    let cluster = Cluster::start_with(restless).await;
    let unwilling = json!({ "describe": { "type": "Thing" }, "snapshot": "refuse" });
    cluster.deploy(chameleon(&unwilling)).await;
    cluster.http.ok("Thing/a", "add", 5).await;
    for _ in 0..10 {
        assert_eq!(cluster.http.ok("Thing/a", "value", ()).await, json!(5));
        // Long enough for the first to fall asleep, could it.
        cluster.http.ok("Thing/clock", "wait", 50).await;
    }
}

#[tokio::test]
async fn objects_of_auto_load_wake_by_themselves() {
    let cluster = Cluster::start().await;
    cluster.deploy_chameleon(json!({ "type": "Thing" })).await;
    let (mut settings, data) = cluster.stop().await;
    settings.node.node.auto_load = vec!["Thing/early".into(), "Thing/bird".into()];
    let cluster = Cluster::on(settings, data).await;
    for object in ["Thing/early", "Thing/bird"] {
        eventually("it wakes", async || {
            let known = cluster.http.get(&path_of(object)).await;
            (known.status.is_success() && known.json()["state"] == "live").then_some(())
        })
        .await;
    }
}
