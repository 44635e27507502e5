//! Nodes that are cut off: they stop by themselves, others take over, and nothing acknowledged is
//! lost.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::world::World;

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
