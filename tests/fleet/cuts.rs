//! A node that runs is cut off from a part of the others.

use std::time::Duration;

use wasmverse_tests::fleet::{DATABASE, Fleet, Setup, links::Way};

use super::{
    deaths::follower,
    trial::{Claim, fleet, rounds, setup, trial},
};

/// What those on both sides may take to find each other again.
const FIND: Duration = Duration::from_secs(2);

/// By turns nobody is told that the way is cut, and all are.
fn cut(round: usize) -> Way {
    if round.is_multiple_of(2) { Way::Silent } else { Way::Shut }
}

/// Cuts the ways between a node and these others, for two lease times.
async fn cut_off(fleet: &Fleet, id: &str, from: &[String], way: Way) {
    for other in from {
        fleet.links.set(id, other, way);
        fleet.links.set(other, id, way);
    }
    tokio::time::sleep(2 * fleet.setup.lease_ttl).await;
    fleet.links.heal();
}

fn etcd(fleet: &Fleet) -> Vec<String> {
    fleet.etcd.clients().map(|(name, _)| name.to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_cut_off_fails_no_call_with_a_key() {
    let mut fleet = fleet(Setup { cuttable: true, ..setup(3, 2) }).await;
    let lease_ttl = fleet.setup.lease_ttl;
    for round in 0..rounds() {
        // It stops by itself, and others take over.
        let replaced = Claim::Crash { away: Duration::ZERO };
        // Nobody takes over: it is there, but cannot do all that it is asked for.
        let hindered = Claim::Crash { away: 2 * lease_ttl + FIND };
        trial(&mut fleet, "an owner cut off from etcd", replaced, async |fleet| {
            let id = fleet.nodes[follower(fleet).await].id.clone();
            cut_off(fleet, &id, &etcd(fleet), cut(round)).await;
        })
        .await;
        trial(&mut fleet, "the leader cut off from etcd", replaced, async |fleet| {
            let id = fleet.nodes[fleet.leader().await].id.clone();
            cut_off(fleet, &id, &etcd(fleet), cut(round + 1)).await;
        })
        .await;
        trial(&mut fleet, "a node cut off from its peers", hindered, async |fleet| {
            let id = fleet.nodes[follower(fleet).await].id.clone();
            let others = fleet.nodes.iter().map(|node| node.id.clone()).filter(|it| *it != id);
            let others: Vec<_> = others.collect();
            cut_off(fleet, &id, &others, cut(round)).await;
        })
        .await;
        trial(&mut fleet, "a node cut off from the database", hindered, async |fleet| {
            let id = fleet.nodes[follower(fleet).await].id.clone();
            cut_off(fleet, &id, &[DATABASE.to_owned()], cut(round)).await;
        })
        .await;
    }
}
