//! An operator moves shards, pins them and drains a node: nobody who calls is told.

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::json;
use wasmverse_tests::{
    fleet::{Fleet, LONG},
    patience::eventually,
    programs::wasmverse,
};

use super::trial::{Claim, fleet, rounds, setup, trial, trial_on};

/// The shard that is moved.
const SHARD: u16 = 4711;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shards_that_are_moved_and_pinned_and_a_node_that_is_drained_fail_no_call() {
    let mut fleet = fleet(setup(3, 2)).await;
    trial_on(&mut fleet, "1,000 moves of a shard", Claim::Planned, &[SHARD], async |fleet| {
        move_about(fleet, 1000).await;
    })
    .await;
    for _ in 0..rounds() {
        trial_on(&mut fleet, "pin and unpin", Claim::Planned, &[SHARD], async |fleet| {
            pin(fleet).await;
        })
        .await;
        trial(&mut fleet, "drain", Claim::Planned, async |fleet| drain(fleet).await).await;
    }
}

async fn owner(fleet: &Fleet, shard: u16) -> String {
    eventually("the shard has an owner", async || {
        let shards = fleet.shards().await?.shards;
        let owner = shards.into_iter().find(|it| it.shard == shard)?.owner;
        (!owner.is_empty()).then_some(owner)
    })
    .await
}

async fn move_about(fleet: &Fleet, moves: usize) {
    let mut at = fleet.number_of(&owner(fleet, SHARD).await);
    let mut took = Vec::new();
    for _ in 0..moves {
        at = (at + 1) % fleet.nodes.len();
        took.push(fleet.move_shard(SHARD, &fleet.nodes[at].id).await);
    }
    took.sort_unstable();
    let (median, longest) = (took[took.len() / 2], took[took.len() - 1]);
    println!("{moves} moves: median {median:.3?}, longest {longest:.3?}");
}

async fn pin(fleet: &mut Fleet) {
    let path = format!("/v1/admin/shards/{SHARD}/pin");
    for number in 0..fleet.nodes.len() {
        let id = fleet.nodes[number].id.clone();
        let answer = fleet.post(&path, &json!({ "node": id })).await;
        assert_eq!(answer.status, 204, "{answer}");
        until_owned(fleet, &id).await;
    }
    let http = &fleet.doors.open_from(0).http;
    let answer = http.request(Method::DELETE, &path, "", &[]).await;
    assert_eq!(answer.status, 204, "{answer}");
}

async fn until_owned(fleet: &Fleet, by: &str) {
    let began = Instant::now();
    while owner(fleet, SHARD).await != by {
        assert!(began.elapsed() < LONG, "{SHARD} was pinned to {by}, and is not there");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Through the command line; then it is stopped and started, and works again.
async fn drain(fleet: &mut Fleet) {
    let last = fleet.nodes.len() - 1;
    let id = fleet.nodes[last].id.clone();
    fleet.nodes[last].is_drained = true;
    let url = fleet.doors.open_from(0).http.url.clone();
    let asked = id.clone();
    let ran = tokio::task::spawn_blocking(move || wasmverse(&url, &["cluster", "drain", &asked]));
    let ran = ran.await.unwrap();
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let url = &fleet.doors.open_from(0).http.url;
    let ran = wasmverse(url, &["cluster", "status", "--json"]);
    assert!(ran.json()["nodes"].as_array().is_some_and(|nodes| nodes.len() == last + 1), "{ran:?}");
    fleet.settled().await;
    let status = fleet.status().await.unwrap();
    let drained = status.nodes.iter().find(|node| node.id == id).unwrap();
    assert!(drained.draining && drained.shards == 0, "{status:?}");
    fleet.nodes[last].stop();
    fleet.begin_node(last);
}
