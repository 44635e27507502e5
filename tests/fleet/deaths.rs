//! Processes of the cluster die, or stand still and go on: who has a key is not told, and everybody
//! else is answered soon.

use std::time::Duration;

use reqwest::Method;
use serde_json::json;
use wasmverse_tests::{
    fleet::Fleet,
    http::path_of,
    patience::eventually,
    sessions::{Connection, Mark, Surface},
};

use super::trial::{Claim, fleet, rounds, setup, trial};

const CRASH: Claim = Claim::Crash { away: Duration::ZERO };

/// A node that does not lead.
pub(crate) async fn follower(fleet: &Fleet) -> usize {
    (fleet.leader().await + 1) % fleet.nodes.len()
}

async fn kill_and_start_later(fleet: &mut Fleet, number: usize) {
    fleet.nodes[number].kill();
    fleet.settled().await;
    fleet.begin_node(number);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_dies_fails_no_call_with_a_key() {
    let mut fleet = fleet(setup(3, 2)).await;
    for _ in 0..rounds() {
        trial(&mut fleet, "kill -9 of an owner", CRASH, async |fleet| {
            let number = follower(fleet).await;
            kill_and_start_later(fleet, number).await;
        })
        .await;
        trial(&mut fleet, "kill -9 of the leader", CRASH, async |fleet| {
            let number = fleet.leader().await;
            kill_and_start_later(fleet, number).await;
        })
        .await;
        trial(&mut fleet, "kill -9 and a restart at once", CRASH, async |fleet| {
            let number = follower(fleet).await;
            fleet.nodes[number].kill();
            fleet.begin_node(number);
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_owner_that_stands_still_and_a_gate_that_dies_fail_no_call_with_a_key() {
    let mut fleet = fleet(setup(3, 2)).await;
    for _ in 0..rounds() {
        trial(&mut fleet, "SIGSTOP for three lease times", CRASH, async |fleet| {
            let number = follower(fleet).await;
            fleet.nodes[number].pause();
            tokio::time::sleep(3 * fleet.setup.lease_ttl).await;
            fleet.nodes[number].resume();
        })
        .await;
        trial(&mut fleet, "kill -9 of a gate", CRASH, async |fleet| {
            lose_a_gate(fleet, false).await;
        })
        .await;
        trial(&mut fleet, "kill -9 of a gate, restarted", CRASH, async |fleet| {
            lose_a_gate(fleet, true).await;
        })
        .await;
    }
}

/// The objects hear that its clients are gone, whether it comes back at once or later.
async fn lose_a_gate(fleet: &mut Fleet, comes_back: bool) {
    let number = fleet.gates.len() - 1;
    let room = format!("ChatRoom/lost-{}", fleet.gates[number].starts);
    let door = fleet.doors.door(number);
    let (_, guest) = Connection::open(Surface::Sse, door.at, &Mark::default()).await;
    let join = async |user: &str, headers: &[(&str, &str)]| {
        let (path, body) = (format!("{}/join", path_of(&room)), json!({ "user": user }));
        let answer = door.http.request(Method::POST, &path, body.to_string(), headers).await;
        assert_eq!(answer.status, 200, "{answer}");
    };
    join("who stays", &[]).await;
    join("who is gone", &[("wasmverse-session", &guest.mark.token)]).await;
    fleet.gates[number].kill();
    fleet.doors.set_open(number, false);
    if comes_back {
        fleet.start_gate(number).await;
    }
    let http = &fleet.doors.open_from(0).http;
    let members = format!("{}/members", path_of(&room));
    eventually("the room hears that the gate's clients are gone", async || {
        let answer = http.try_request(Method::POST, &members, "", &[]).await.ok()?;
        (answer.status == 200 && answer.json() == json!(["who stays"])).then_some(())
    })
    .await;
    if !comes_back {
        fleet.start_gate(number).await;
    }
}
