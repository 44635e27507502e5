//! Nodes that are cut off: they stop by themselves, others take over, and nothing acknowledged is
//! lost.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use wasmverse_router::Callee as _;

use crate::world::{World, asked};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_shards_of_a_node_that_is_cut_off_are_taken_over_and_it_comes_back() {
    let world = World::of(2).await;
    world.describe("durable").await;
    for number in 0..40 {
        world.ok(&format!("Chameleon/{number}"), "add", json!(number)).await;
    }
    world.member("n1").way.cut(true);
    let began = Instant::now();
    world
        .until("n0 serves all", |view| {
            view.shards()
                .all(|shard| view.owner(shard).is_some_and(|(at, _)| at.id.as_str() == "n0"))
        })
        .await;
    let took = began.elapsed();
    assert!(took < Duration::from_secs(8), "{took:?}");
    for number in 0..40 {
        let value = world.ok(&format!("Chameleon/{number}"), "add", json!(1)).await;
        assert_eq!(value, json!(number + 1));
    }
    world.member("n1").way.cut(false);
    world.until_balanced().await;
    for number in 0..40 {
        let value = world.ok(&format!("Chameleon/{number}"), "value", Value::Null).await;
        assert_eq!(value, json!(number + 1));
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_the_coordination_is_away_for_long_everything_waits_and_goes_on_as_it_was() {
    // Neither is given what the other had before both are back.
    let world = World::with(2, |config| config.cluster.min_nodes = 2).await;
    world.describe("volatile").await;
    for number in 0..40 {
        world.ok(&format!("Chameleon/{number}"), "add", json!(number)).await;
    }
    let answers: Vec<_> = {
        world.members.iter().for_each(|member| member.way.cut(true));
        // Beyond the time for which a node serves without a word.
        tokio::time::sleep(Duration::from_secs(3)).await;
        let calls =
            (0..40).map(|number| world.call(&format!("Chameleon/{number}"), "add", json!(1)));
        let calls: Vec<_> = calls.collect();
        tokio::time::sleep(Duration::from_millis(200)).await;
        world.members.iter().for_each(|member| member.way.cut(false));
        futures_util::future::join_all(calls).await
    };
    // Each claims what it had: what its objects had in memory is the very next epoch's.
    for (number, answer) in answers.into_iter().enumerate() {
        assert_eq!(answer.expect("it waited"), json!(number + 1), "of {number}");
    }
    world.until_balanced().await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_way_calls_to_shards_that_nobody_may_serve_wait_for_who_may() {
    let world = World::of(2).await;
    world.describe("durable").await;
    let objects = (0..40).map(|number| format!("Chameleon/{number}"));
    let owned = objects.map(|object| (world.owner_of(&object).expect("it is owned"), object));
    let owned: Vec<_> = owned.collect();
    world.members.iter().for_each(|member| member.way.cut(true));
    tokio::time::sleep(Duration::from_secs(3)).await;
    for (owner, object) in owned {
        // It is the owner for all it knows, and holds no lease.
        world.member(&owner).node.send(asked(&object, "add", &json!(1), None));
    }
    world.members.iter().for_each(|member| member.way.cut(false));
    for number in 0..40 {
        world.until_it_answers(&format!("Chameleon/{number}"), "value", json!(1)).await;
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_coordination_that_has_lost_all_is_told_again_and_everything_is_served() {
    let mut world = World::of(1).await;
    let described =
        |label: &str| json!({ "type": "Chameleon", "durability": "durable", "revision": label });
    for label in ["one", "two", "three"] {
        world.deploy(described(label)).await;
    }
    world.start("n1", |_| {}).await;
    // The first one has released shards, at revisions that the new one takes long to come to.
    world.until_balanced().await;
    for number in 0..40 {
        world.ok(&format!("Chameleon/{number}"), "add", json!(number)).await;
    }
    for _ in 0..30 {
        world.move_to("Chameleon/0", &world.other_than_owner("Chameleon/0")).await;
    }
    let before = world.cluster.view().borrow().revision;
    world.coordination.lose_all();
    world.until("it counts anew", |view| view.revision < before).await;
    world.until_balanced().await;
    for number in 0..40 {
        let value = world.ok(&format!("Chameleon/{number}"), "add", json!(1)).await;
        assert_eq!(value, json!(number + 1));
    }
    world.deploy(described("four")).await;
    for number in 0..40 {
        let label = world.ok(&format!("Chameleon/{number}"), "label", Value::Null).await;
        assert_eq!(label, json!("four"), "a deploy is answered when all nodes run it");
    }
    world.start("n2", |_| {}).await;
    world.until_balanced().await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn below_quorum_nothing_is_served_if_that_is_wanted() {
    let world = World::with(2, |config| {
        (config.cluster.min_nodes, config.cluster.serve_below_quorum) = (2, false);
    })
    .await;
    world.describe("durable").await;
    let object = (0..40).map(|number| format!("Chameleon/{number}"));
    let object = object.into_iter().find(|it| world.owner_of(it).as_deref() == Some("n0"));
    let object = object.expect("n0 has its share");
    world.ok(&object, "add", json!(1)).await;
    world.member("n1").way.cut(true);
    world.until("n1 is gone", |view| view.nodes.len() == 1).await;
    let error = world.call(&object, "add", json!(1)).await.expect_err("nothing is served");
    assert!(error.message().contains("cluster.min_nodes"), "{error}");
    assert!(!error.may_have_executed(), "{error}");
    world.member("n1").way.cut(false);
    world.until("n1 is back", |view| view.nodes.len() == 2).await;
    world.until_it_answers(&object, "value", json!(1)).await;
    world.end().await;
}
