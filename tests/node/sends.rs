//! Sends of durable objects: committed with their turn, they arrive once, in order, or are dead
//! letters.

use std::time::Duration;

use serde_json::{Value, json};
use wasmverse_core::ErrorKind;
use wasmverse_store::{DeadLetter, DeadSource};

use crate::world::{World, durability, errand, eventually};

const A: &str = "Chameleon/a";
const B: &str = "Chameleon/b";

async fn durable() -> World {
    let world = World::with(|config| config.node.delivery_tries_max = 2).await;
    world.describe(durability("durable")).await;
    world
}

fn append(target: &str, word: &str) -> Value {
    errand(target, "append", json!(word))
}

async fn dead(world: &World) -> Vec<DeadLetter> {
    world.node.dead_letters(None, 0, 100).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn they_arrive_once_and_in_order() {
    let world = durable().await;
    for turn in 0..10 {
        let some: Vec<_> = (0..5).map(|n| append(B, &format!("{turn}.{n}"))).collect();
        world.ok(A, "send_many", json!(some)).await;
    }
    let all: Vec<_> = (0..10).flat_map(|turn| (0..5).map(move |n| format!("{turn}.{n}"))).collect();
    world.until_it_answers(B, "entries", json!(all)).await;
    // To oneself, and without a change of one's own.
    world.ok(B, "send", errand(B, "add", json!(7))).await;
    world.until_it_answers(B, "value", json!(7)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_turn_that_fails_sends_nothing() {
    let world = durable().await;
    world.fails(ErrorKind::Application, A, "send_and_fail", append(B, "no")).await;
    world.ok(A, "send", append(B, "yes")).await;
    world.until_it_answers(B, "entries", json!(["yes"])).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failure_of_the_targets_own_makes_a_dead_letter_at_once() {
    let world = durable().await;
    let sends = [append(B, "1"), errand(B, "add_and_fail", json!(5)), append(B, "2")];
    world.ok(A, "send_many", json!(sends)).await;
    world.until_it_answers(B, "entries", json!(["1", "2"])).await;
    let letters = dead(&world).await;
    let [letter] = &letters[..] else { panic!("{letters:?}") };
    assert_eq!((letter.from.to_string(), letter.send.to.to_string()), (A.into(), B.into()));
    assert_eq!(&*letter.send.method, "add_and_fail");
    assert!(letter.reason.contains("changed-my-mind"), "{}", letter.reason);
    assert!(matches!(letter.source, DeadSource::Send(number) if number.place == 1));
    assert_eq!(world.ok(B, "value", Value::Null).await, json!(0), "it was undone");

    // Sent again it fails again, as a new letter.
    world.node.retry_dead_letter(letter.number).await.unwrap();
    let first = letter.number;
    eventually("it is dead again", || async {
        matches!(&dead(&world).await[..], [again] if again.number > first)
    })
    .await;
    let letters = dead(&world).await;
    world.node.drop_dead_letter(letters[0].number).await.unwrap();
    assert!(dead(&world).await.is_empty());
    for gone in [first, letters[0].number, 999] {
        let unknown = world.node.retry_dead_letter(gone).await.unwrap_err();
        assert_eq!(unknown.kind(), ErrorKind::NotFound);
        let unknown = world.node.drop_dead_letter(gone).await.unwrap_err();
        assert_eq!(unknown.kind(), ErrorKind::NotFound);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_that_is_not_there_holds_up_only_what_is_sent_to_it_and_can_be_had_later() {
    let world = durable().await;
    let sends = [append("Later/x", "1"), append("Later/x", "2"), append(B, "1"), append(B, "2")];
    world.ok(A, "send_many", json!(sends)).await;
    world.until_it_answers(B, "entries", json!(["1", "2"])).await;
    eventually("both are given up", || async { dead(&world).await.len() == 2 }).await;
    world.describe(json!({ "type": "Later", "durability": "durable" })).await;
    for letter in dead(&world).await {
        assert!(letter.reason.contains("not-found"), "{}", letter.reason);
        world.node.retry_dead_letter(letter.number).await.unwrap();
    }
    world.until_it_answers("Later/x", "entries", json!(["1", "2"])).await;
    assert!(dead(&world).await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_has_not_arrived_when_a_node_stops_arrives_once_it_is_back() {
    let folder = tempfile::tempdir().unwrap();
    {
        let world = World::at(&folder, |_| {}).await;
        world.describe(durability("durable")).await;
        let some: Vec<_> = (0..300).map(|n| append("Later/x", &n.to_string())).collect();
        world.ok(A, "send_many", json!(some)).await;
        world.node.stop().await;
    }
    let world = World::at(&folder, |_| {}).await;
    world.describe(json!({ "type": "Later", "durability": "durable" })).await;
    let all: Vec<_> = (0..300).map(|n| n.to_string()).collect();
    world.until_it_answers("Later/x", "entries", json!(all)).await;
    // And once.
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(world.ok("Later/x", "entries", Value::Null).await, json!(all));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_that_is_deleted_in_between_gets_the_rest_as_a_new_object() {
    let world = durable().await;
    for n in 0..40 {
        world.ok(A, "send", errand(B, "add", json!(1))).await;
        if n % 10 == 5 {
            world.delete(B).await.unwrap();
        }
    }
    // Whoever comes last comes after all others of its sender.
    world.ok(A, "send", append(B, "last")).await;
    world.until_it_answers(B, "entries", json!(["last"])).await;
    let after_the_last = world.ok(B, "value", Value::Null).await.as_i64().unwrap();
    assert!((4..=40).contains(&after_the_last), "{after_the_last}");
    assert!(dead(&world).await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_sent_outlives_its_sender() {
    let world = durable().await;
    // It never was in the store, and goes in its first turn.
    world.ok("Chameleon/brief", "send_and_leave", append(B, "1")).await;
    world.until_it_answers(B, "entries", json!(["1"])).await;
    assert!(!world.exists("Chameleon/brief").await);
    for word in ["2", "3"] {
        world.ok("Chameleon/brief", "add", json!(1)).await;
        world.ok("Chameleon/brief", "send_and_leave", append(B, word)).await;
    }
    world.until_it_answers(B, "entries", json!(["1", "2", "3"])).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn to_what_is_not_durable_they_arrive_too() {
    for other in ["volatile", "periodic"] {
        let world = durable().await;
        world.describe(json!({ "type": "Other", "durability": other })).await;
        let sends = [
            append("Other/x", "1"),
            errand("Other/x", "fail", json!("no")),
            append("Other/x", "2"),
        ];
        world.ok(A, "send_many", json!(sends)).await;
        world.until_it_answers("Other/x", "entries", json!(["1", "2"])).await;
        eventually("its failure is a dead letter", || async { dead(&world).await.len() == 1 })
            .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_turn_of_a_send_is_keyed() {
    let world = durable().await;
    // It traps each time it is tried; what it called meanwhile was called once.
    let through = errand(B, "relay_and_trap", errand("Chameleon/c", "add", json!(1)));
    world.ok(A, "send", through).await;
    eventually("it is given up", || async { dead(&world).await.len() == 1 }).await;
    assert_eq!(world.ok("Chameleon/c", "value", Value::Null).await, json!(1));
    // A dead letter that is sent again is a new send.
    let number = dead(&world).await[0].number;
    world.node.retry_dead_letter(number).await.unwrap();
    world.until_it_answers("Chameleon/c", "value", json!(2)).await;
}
