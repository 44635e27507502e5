//! Objects that breed without end: their node bounds what they hold, and can be freed of them.

use std::time::{Duration, Instant};

use serde_json::json;
use wasmverse_tests::{cluster::Cluster, guests::ECHO, patience::eventually};

/// How long the storm is looked at.
const STORM: Duration = Duration::from_secs(6);
/// What a call takes at most when nobody storms, on a slow machine.
const PEACE: Duration = Duration::from_millis(300);
/// What a storm may cost the node: instances that live, states that sleep, and queues.
const GROWTH_BYTES_MAX: usize = 600 << 20;

fn resident_bytes() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: usize = statm.split_whitespace().nth(1).unwrap().parse().unwrap();
    pages * 4096
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_storm_of_sends_memory_is_bounded_others_get_through_and_an_operator_can_end_it() {
    let cluster = Cluster::start_with(|settings| {
        settings.node.node.live_max = Some(2_000);
        settings.node.node.asleep_bytes_max = 16 << 20;
    })
    .await;
    cluster.deploy(ECHO.bytes()).await;
    cluster.deploy_chameleon(json!({ "type": "Rabbit" })).await;
    cluster.http.ok("Echo/quiet", "echo", 0).await;
    let before = resident_bytes();
    cluster.http.ok("Rabbit/0", "breed", ()).await;
    let (began, mut turns, mut most) = (Instant::now(), 0, 0);
    while began.elapsed() < STORM {
        let answer = cluster.http.call("Echo/quiet", "echo", 1).await;
        assert!(["", "overloaded"].contains(&answer.code().as_str()), "{answer}");
        turns += u32::from(answer.status.is_success());
        most = most.max(resident_bytes());
    }
    let grown = most.saturating_sub(before);
    println!("{turns} turns of a neighbour; the node grew by {} MiB", grown >> 20);
    assert!(grown < GROWTH_BYTES_MAX, "the node grew by {} MiB", grown >> 20);
    assert!(turns > 0, "a neighbour was never served");
    // Who operates it can end it: without the method nobody breeds.
    let tame = json!({ "type": "Rabbit", "methods": [{ "name": "value", "mode": "read-only" }] });
    cluster.deploy_chameleon(tame).await;
    eventually("there is peace", async || {
        for _ in 0..20 {
            let asked = Instant::now();
            let answer = cluster.http.call("Echo/quiet", "echo", 1).await;
            (answer.status.is_success() && asked.elapsed() < PEACE).then_some(())?;
        }
        Some(())
    })
    .await;
}
