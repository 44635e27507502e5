//! What a cluster stands on dies: its etcd, a member of its etcd, its database. And all ways are slow.

use std::time::Duration;

use wasmverse_tests::fleet::{Setup, links::Way};

use super::trial::{Claim, fleet, rounds, setup, trial};

/// What a server may take to be there again.
const START: Duration = Duration::from_secs(3);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_etcd_and_a_database_that_die_fail_no_call_with_a_key() {
    let mut fleet = fleet(setup(3, 2)).await;
    let lease_ttl = fleet.setup.lease_ttl;
    for _ in 0..rounds() {
        let soon = Claim::Crash { away: START };
        trial(&mut fleet, "kill -9 of etcd, restarted", soon, async |fleet| {
            fleet.etcd.kill(0);
            fleet.etcd.start_again(0).await;
        })
        .await;
        let late = Claim::Crash { away: 2 * lease_ttl + START };
        trial(&mut fleet, "kill -9 of etcd, away for two lease times", late, async |fleet| {
            fleet.etcd.kill(0);
            tokio::time::sleep(2 * lease_ttl).await;
            fleet.etcd.start_again(0).await;
        })
        .await;
        trial(&mut fleet, "kill -9 of PostgreSQL, restarted", soon, async |fleet| {
            fleet.postgres.kill();
            tokio::time::sleep(Duration::from_secs(1)).await;
            fleet.postgres.start_again();
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_of_etcd_that_dies_and_slow_ways_are_hardly_felt() {
    let mut fleet = fleet(Setup { etcd: 3, cuttable: true, ..setup(2, 1) }).await;
    for _ in 0..rounds() {
        let crash = Claim::Crash { away: Duration::ZERO };
        trial(&mut fleet, "kill -9 of the first member of etcd", crash, async |fleet| {
            let leader = fleet.etcd.leader().await;
            fleet.etcd.kill(leader);
            tokio::time::sleep(2 * fleet.setup.lease_ttl).await;
            fleet.etcd.start_again(leader).await;
        })
        .await;
        trial(&mut fleet, "slow ways and a restart", Claim::Planned, async |fleet| {
            fleet.links.set_all(Way::Slow(Duration::from_millis(10)));
            fleet.nodes[1].stop();
            fleet.begin_node(1);
            fleet.nodes[1].ready().await;
            fleet.settled().await;
            fleet.links.heal();
        })
        .await;
    }
}
