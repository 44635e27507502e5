//! Whoever installs a new version restarts one process after the other, and deploys new code: nobody
//! who calls is told.

use futures_util::future::join_all;
use serde_json::{Value, json};
use wasmverse_tests::{
    fleet::{Fleet, doors::Ask, doors::Said},
    guests::{COUNTER, chameleon},
};

use super::trial::{Claim, fleet, rounds, setup, trial};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolling_restart_and_a_deploy_fail_no_call() {
    let mut fleet = fleet(setup(3, 2)).await;
    for round in 0..rounds() {
        trial(&mut fleet, "rolling restart", Claim::Planned, async |fleet| {
            for number in 0..fleet.nodes.len() {
                fleet.nodes[number].stop();
                fleet.begin_node(number);
                fleet.nodes[number].ready().await;
                fleet.settled().await;
            }
            for number in 0..fleet.gates.len() {
                fleet.stop_gate(number);
                fleet.start_gate(number).await;
            }
        })
        .await;
        trial(&mut fleet, "deploy", Claim::Planned, async |fleet| {
            deploy(fleet, &format!("of round {round}")).await;
        })
        .await;
    }
}

/// Once it is answered, all nodes run what was deployed.
async fn deploy(fleet: &Fleet, label: &str) {
    fleet.deploy(COUNTER.rebuilt(label)).await;
    let durable = json!({ "type": "Chameleon", "durability": "durable", "revision": label });
    fleet.deploy(chameleon(&json!({ "describe": durable }))).await;
    let labels = (0..60).map(async |number| {
        let object = format!("Chameleon/{label}-{number}");
        let (method, argument, timeout) = ("label", &Value::Null, super::trial::PATIENT);
        let ask = Ask { object: &object, method, argument, key: None, timeout };
        (fleet.doors.open_from(number % 2).ask(ask).await, object)
    });
    for (said, object) in join_all(labels).await {
        assert_eq!(said, Said::Value(json!(label)), "{object} runs what was deployed");
    }
}
