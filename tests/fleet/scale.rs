//! The cluster grows and shrinks, with all its 8192 shards: nobody who calls is told.

use super::trial::{Claim, fleet, rounds, setup, trial};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_node_becomes_two_and_three_and_one_again_and_no_call_fails() {
    let mut fleet = fleet(setup(1, 2)).await;
    for _ in 0..rounds() {
        for number in [1, 2] {
            let name = format!("scale {number} to {}", number + 1);
            trial(&mut fleet, &name, Claim::Planned, async |fleet| {
                match fleet.nodes.len() > number {
                    true => fleet.begin_node(number),
                    false => fleet.add_node().await,
                }
            })
            .await;
        }
        trial(&mut fleet, "scale 3 to 1", Claim::Planned, async |fleet| {
            fleet.nodes[2].stop();
            fleet.settled().await;
            fleet.nodes[1].stop();
        })
        .await;
    }
}
