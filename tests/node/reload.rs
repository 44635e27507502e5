//! Hot reload: a deploy changes objects over between two turns, and nobody who calls notices.

use std::time::Duration;

use serde_json::{Value, json};
use wasmverse_core::{ErrorKind, RevisionNumber, TypeName};
use wasmverse_node::ObjectState::{Asleep, Live};
use wasmverse_tests::guests::chameleon;

use crate::world::{World, eventually};

fn revision(label: &str, more: Value) -> bytes::Bytes {
    let mut settings = json!({
        "describe": { "type": "Chameleon", "durability": "volatile", "revision": label },
    });
    for (key, value) in more.as_object().unwrap() {
        settings[key] = value.clone();
    }
    chameleon(&settings)
}

fn plain(label: &str) -> bytes::Bytes {
    revision(label, json!({}))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn state_is_carried_and_calls_neither_fail_nor_change_places() {
    let world = World::new().await;
    world.deploy(plain("1")).await;
    let objects: Vec<_> = (0..8).map(|n| format!("Chameleon/{n}")).collect();
    let deploys = async {
        for label in ["2", "3", "4"] {
            tokio::time::sleep(Duration::from_millis(50)).await;
            world.deploy(plain(label)).await;
            let progress = world.rolled_out("Chameleon").await;
            assert_eq!(progress.refused, []);
        }
    };
    let mut deployed = std::pin::pin!(futures_util::FutureExt::fuse(deploys));
    let mut counts = vec![0; objects.len()];
    loop {
        let begun: Vec<_> = (0..64)
            .map(|n| world.begin(&objects[n % objects.len()], "tick", Value::Null))
            .collect();
        let done = futures_util::poll!(&mut deployed).is_ready();
        for (n, answer) in begun.into_iter().enumerate() {
            counts[n % objects.len()] += 1;
            assert_eq!(answer.await.unwrap()["count"], counts[n % objects.len()]);
        }
        if done || futures_util::future::FusedFuture::is_terminated(&*deployed) {
            break;
        }
    }
    for object in &objects {
        assert_eq!(world.call(object, "label", Value::Null).await.unwrap(), json!("4"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_object_changes_over_before_the_calls_that_wait_for_it() {
    let world = World::new().await;
    world.deploy(plain("1")).await;
    let stored = world.node.upload(plain("2"), "tests", false).await.unwrap();
    world.call("Chameleon/a", "value", Value::Null).await.unwrap();
    let slow = world.begin("Chameleon/a", "wait", json!(2000));
    let label = world.begin("Chameleon/a", "label", Value::Null);
    world.node.deploy(&stored.type_name, stored.number).await.unwrap();
    slow.await.unwrap();
    assert_eq!(label.await.unwrap(), json!("2"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_whom_the_new_revision_refuses_stays_on_the_old_one_and_is_reported() {
    for how in ["refuse", "trap"] {
        let world = World::new().await;
        world.deploy(plain("1")).await;
        for id in ["victim", "other"] {
            world.call(&format!("Chameleon/{id}"), "add", json!(1)).await.unwrap();
        }
        world.deploy(revision("2", json!({ "activate": how, "victims": "victim" }))).await;
        let progress = world.rolled_out("Chameleon").await;
        assert_eq!((progress.revision, progress.live, progress.moved), (RevisionNumber(2), 2, 1));
        assert_eq!(progress.refused.len(), 1, "{progress:?}");
        assert_eq!(progress.refused[0].0.to_string(), "Chameleon/victim");
        assert!(!progress.refused[0].1.is_empty());
        for (id, label) in [("victim", "1"), ("other", "2")] {
            let object = format!("Chameleon/{id}");
            assert_eq!(world.call(&object, "add", json!(1)).await.unwrap(), json!(2));
            assert_eq!(world.call(&object, "label", Value::Null).await.unwrap(), json!(label));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_does_not_give_its_state_stays_on_its_revision() {
    let world = World::new().await;
    world.deploy(revision("1", json!({ "snapshot": "refuse", "victims": "victim" }))).await;
    world.call("Chameleon/victim", "add", json!(1)).await.unwrap();
    world.deploy(plain("2")).await;
    assert_eq!(world.rolled_out("Chameleon").await.refused.len(), 1);
    assert_eq!(world.call("Chameleon/victim", "add", json!(1)).await.unwrap(), json!(2));
    assert_eq!(world.call("Chameleon/victim", "label", Value::Null).await.unwrap(), json!("1"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sleepers_are_not_woken_and_wake_on_the_active_revision() {
    let world = World::with(|config| config.node.idle = Duration::from_millis(40)).await;
    world.deploy(plain("1")).await;
    world.call("Chameleon/a", "add", json!(1)).await.unwrap();
    world.until("Chameleon/a", Some(Asleep)).await;
    world.deploy(plain("2")).await;
    let progress = world.rolled_out("Chameleon").await;
    assert_eq!((progress.live, progress.done), (0, true));
    assert_eq!(world.state("Chameleon/a").await, Some(Asleep));
    assert_eq!(world.call("Chameleon/a", "label", Value::Null).await.unwrap(), json!("2"));
    assert_eq!(world.call("Chameleon/a", "value", Value::Null).await.unwrap(), json!(1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sleeper_that_the_active_revision_refuses_wakes_on_its_own() {
    let world = World::with(|config| config.node.idle = Duration::from_millis(40)).await;
    world.deploy(plain("1")).await;
    world.call("Chameleon/a", "add", json!(1)).await.unwrap();
    world.until("Chameleon/a", Some(Asleep)).await;
    world.deploy(revision("2", json!({ "activate": "refuse", "victims": "a" }))).await;
    assert_eq!(world.call("Chameleon/a", "add", json!(1)).await.unwrap(), json!(2));
    assert_eq!(world.call("Chameleon/a", "label", Value::Null).await.unwrap(), json!("1"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_deploys_in_a_row_the_latest_wins() {
    let world = World::new().await;
    world.deploy(plain("0")).await;
    world.call("Chameleon/a", "value", Value::Null).await.unwrap();
    for round in 0..5 {
        let (first, second) = (format!("first {round}"), format!("second {round}"));
        let (first, second) = futures_util::join!(
            world.node.upload(plain(&first), "tests", true),
            world.node.upload(plain(&second), "tests", true),
        );
        first.unwrap();
        assert!(second.unwrap().active);
        assert!(world.rolled_out("Chameleon").await.done);
        let label = world.call("Chameleon/a", "label", Value::Null).await.unwrap();
        assert_eq!(label, json!(format!("second {round}")));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bytes_that_are_stored_already_become_active_again() {
    let world = World::new().await;
    let first = world.deploy(plain("1")).await;
    let second = world.deploy(plain("2")).await;
    world.call("Chameleon/a", "add", json!(1)).await.unwrap();
    let again = world.deploy(plain("1")).await;
    assert_eq!((again.number, again.digest, again.active), (first.number, first.digest, true));
    assert_eq!(world.rolled_out("Chameleon").await.moved, 1);
    assert_eq!(world.call("Chameleon/a", "label", Value::Null).await.unwrap(), json!("1"));
    // By number, too.
    let name = TypeName::new("Chameleon").unwrap();
    let record = world.node.deploy(&name, second.number).await.unwrap();
    assert!(record.active);
    assert_eq!(world.rolled_out("Chameleon").await.moved, 1);
    assert_eq!(world.call("Chameleon/a", "label", Value::Null).await.unwrap(), json!("2"));
    let missing = world.node.deploy(&name, RevisionNumber(9)).await.unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::NotFound);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_that_is_only_stored_changes_nothing() {
    let world = World::new().await;
    world.deploy(plain("1")).await;
    let stored = world.node.upload(plain("2"), "tests", false).await.unwrap();
    assert!(!stored.active);
    assert_eq!(world.call("Chameleon/a", "label", Value::Null).await.unwrap(), json!("1"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_upload_says_why_and_what_to_do() {
    let world = World::new().await;
    let eternal = chameleon(&json!({ "describe": { "type": "C", "durability": "eternal" } }));
    for bytes in [bytes::Bytes::from_static(b"\0asm junk"), eternal] {
        let error = world.node.upload(bytes, "tests", true).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}");
        let names: Vec<_> = error.attributes().iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["cause", "fix"]);
    }
    assert!(world.node.types().borrow().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_method_that_the_old_revision_alone_has_is_served_by_those_that_stay_on_it() {
    let world = World::new().await;
    world.deploy(plain("1")).await;
    world.call("Chameleon/victim", "add", json!(1)).await.unwrap();
    let new = json!({
        "describe": {
            "type": "Chameleon", "durability": "volatile",
            "methods": [{ "name": "value", "mode": "read-only" }],
        },
        "activate": "refuse",
        "victims": "victim",
    });
    world.deploy(chameleon(&new)).await;
    assert_eq!(world.rolled_out("Chameleon").await.refused.len(), 1);
    assert_eq!(world.call("Chameleon/victim", "add", json!(1)).await.unwrap(), json!(2));
    world.fails(ErrorKind::NotFound, "Chameleon/other", "add", json!(1)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_type_may_change_its_durability() {
    let world = World::with(|config| config.node.save_interval = Duration::from_millis(30)).await;
    world.deploy(plain("1")).await;
    world.call("Chameleon/a", "add", json!(1)).await.unwrap();
    let periodic =
        json!({ "describe": { "type": "Chameleon", "durability": "periodic", "revision": "2" } });
    world.deploy(chameleon(&periodic)).await;
    let object = "Chameleon/a".parse().unwrap();
    eventually("it is saved", || async {
        world.node.get(&object).await.unwrap().unwrap().updated_at_micros > 0
    })
    .await;
    assert_eq!(world.state("Chameleon/a").await, Some(Live));
    assert_eq!(world.call("Chameleon/a", "value", Value::Null).await.unwrap(), json!(1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_periodic_and_became_volatile_sleeps_and_wakes_with_its_state() {
    let configure = |config: &mut wasmverse_node::Config| {
        config.node.save_interval = Duration::from_millis(20);
        config.node.live_max = Some(1);
    };
    let world = World::with(configure).await;
    let periodic =
        json!({ "describe": { "type": "Chameleon", "durability": "periodic", "revision": "1" } });
    world.deploy(chameleon(&periodic)).await;
    world.call("Chameleon/a", "add", json!(1)).await.unwrap();
    let object = "Chameleon/a".parse().unwrap();
    eventually("it is saved", || async {
        world.node.get(&object).await.unwrap().unwrap().updated_at_micros > 0
    })
    .await;
    world.deploy(plain("2")).await;
    assert_eq!(world.rolled_out("Chameleon").await.moved, 1);
    assert_eq!(world.call("Chameleon/a", "add", json!(1)).await.unwrap(), json!(2));
    // It goes to sleep for another.
    world.call("Chameleon/b", "add", json!(1)).await.unwrap();
    assert_eq!(world.state("Chameleon/a").await, Some(Asleep));
    assert!(world.exists("Chameleon/a").await);
    assert_eq!(world.call("Chameleon/a", "value", Value::Null).await.unwrap(), json!(2));
    // Its row goes with it.
    world.delete("Chameleon/a").await.unwrap();
    world.deploy(chameleon(&periodic)).await;
    assert_eq!(world.call("Chameleon/a", "value", Value::Null).await.unwrap(), json!(0));
}
