//! Planned moves: what objects are goes along, and no call fails.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
};

use futures_util::future::join_all;
use serde_json::{Value, json};
use tokio_util::task::TaskTracker;

use wasmverse_core::NodeId;
use wasmverse_router::Callee as _;

use crate::world::{World, asked, call, errand, shard_of};

const A: &str = "Chameleon/a";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_share_the_shards_and_call_each_other() {
    let world = World::of(3).await;
    world.describe("volatile").await;
    for number in 0..50 {
        let (from, to) = (format!("Chameleon/{number}"), format!("Chameleon/to-{number}"));
        let answer = world.ok(&from, "relay", errand(&to, "add", json!(number))).await;
        assert_eq!(answer, json!(number));
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_object_has_in_memory_goes_along() {
    let world = World::of(2).await;
    for durability in ["volatile", "periodic", "durable"] {
        world.describe(durability).await;
        world.ok(A, "add", json!(1)).await;
        let before = world.ok(A, "value", Value::Null).await;
        for _ in 0..4 {
            world.move_to(A, &world.other_than_owner(A)).await;
            assert_eq!(world.ok(A, "value", Value::Null).await, before, "{durability}");
        }
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_call_fails_while_shards_move_and_each_is_executed_once() {
    for durability in ["volatile", "durable"] {
        let world = World::of(2).await;
        world.describe(durability).await;
        let (stop, calls) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let callers = (0..8).map(|caller| {
            let (router, stop, calls) = (world.router.clone(), stop.clone(), calls.clone());
            TaskTracker::new().spawn(async move {
                let mut made = 0;
                while !stop.load(Relaxed) {
                    // Half of them by way of another object.
                    let object = format!("Chameleon/{}", made % 5);
                    let answer = if caller % 2 == 0 {
                        call(&router, &object, "add", &json!(1), None).await
                    } else {
                        let argument = errand(&object, "add", json!(1));
                        let other = format!("Chameleon/by-{}", made % 7);
                        call(&router, &other, "relay", &argument, None).await
                    };
                    answer.unwrap_or_else(|error| panic!("{durability}: {error}"));
                    made += 1;
                    calls.fetch_add(1, Relaxed);
                }
            })
        });
        let callers: Vec<_> = callers.collect();
        for step in 0..40 {
            let object = format!("Chameleon/{}", step % 5);
            world.move_to(&object, &world.other_than_owner(&object)).await;
        }
        stop.store(true, Relaxed);
        for caller in join_all(callers).await {
            caller.expect("no call failed");
        }
        let mut sum = 0;
        for number in 0..5 {
            let value = world.ok(&format!("Chameleon/{number}"), "value", Value::Null).await;
            sum += value.as_u64().expect("a number");
        }
        assert_eq!(sum, calls.load(Relaxed), "{durability}");
        assert!(sum > 100, "{sum} calls in 40 moves are too few to say much");
        world.end().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_comes_or_goes_costs_no_call() {
    let mut world = World::of(1).await;
    world.describe("volatile").await;
    let stop = Arc::new(AtomicBool::new(false));
    let callers = (0..4).map(|caller| {
        let (router, stop) = (world.router.clone(), stop.clone());
        TaskTracker::new().spawn(async move {
            let mut made = 0_i64;
            while !stop.load(Relaxed) {
                let object = format!("Chameleon/{caller}-{}", made % 40);
                call(&router, &object, "add", &json!(1), None).await.expect("it is answered");
                made += 1;
            }
            (caller, made)
        })
    });
    let callers: Vec<_> = callers.collect();
    world.start("n1", |_| {}).await;
    world.until_balanced().await;
    world.start("n2", |_| {}).await;
    world.until_balanced().await;
    world.stop("n0").await;
    world.until_balanced().await;
    world.stop("n1").await;
    world.until_balanced().await;
    stop.store(true, Relaxed);
    for caller in join_all(callers).await {
        let (caller, made) = caller.expect("no call failed");
        let mut sum = 0;
        for number in 0..40 {
            let object = format!("Chameleon/{caller}-{number}");
            sum += world.ok(&object, "value", Value::Null).await.as_i64().expect("a number");
        }
        assert_eq!(sum, made, "volatile objects came along");
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_to_one_object_keep_their_order_while_it_moves() {
    let world = World::of(2).await;
    world.describe("volatile").await;
    let mut answers = Vec::new();
    for step in 0..10 {
        let moving = world.other_than_owner(A);
        let target = NodeId::new(&moving);
        let wished = world.cluster.wish(shard_of(A), &target);
        answers.extend((0..50).map(|n| world.call(A, "append", json!(format!("{step}.{n}")))));
        wished.await.expect("it is wished");
        answers.extend((50..100).map(|n| world.call(A, "append", json!(format!("{step}.{n}")))));
        world.move_to(A, &moving).await;
    }
    for answer in join_all(answers).await {
        answer.expect("it is executed");
    }
    let entries = world.ok(A, "entries", Value::Null).await;
    let all = (0..10).flat_map(|step| (0..100).map(move |n| json!(format!("{step}.{n}"))));
    assert_eq!(entries, all.collect::<Value>());
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_way_calls_are_neither_lost_nor_doubled_while_their_shard_moves() {
    let world = World::of(2).await;
    world.describe("volatile").await;
    let send = |entry: String| world.router.send(asked(A, "append", &json!(entry), None));
    for step in 0..10 {
        let moving = world.other_than_owner(A);
        let target = NodeId::new(&moving);
        let wished = world.cluster.wish(shard_of(A), &target);
        (0..50).for_each(|n| send(format!("{step}.{n:02}")));
        wished.await.expect("it is wished");
        (50..100).for_each(|n| send(format!("{step}.{n}")));
        world.move_to(A, &moving).await;
    }
    let all: Vec<_> = (0..10).flat_map(|s| (0..100).map(move |n| format!("{s}.{n:02}"))).collect();
    let since = std::time::Instant::now();
    loop {
        let entries = world.ok(A, "entries", Value::Null).await;
        let mut entries: Vec<String> = serde_json::from_value(entries).expect("texts");
        entries.sort_unstable();
        if entries == all {
            break;
        }
        assert!(since.elapsed() < crate::world::AGES, "{} of {}", entries.len(), all.len());
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deploy_is_answered_when_all_nodes_run_it_and_who_comes_later_does_too() {
    let mut world = World::of(2).await;
    let described = |label: &str| json!({ "type": "Chameleon", "revision": label });
    world.deploy(described("one")).await;
    for (number, label) in ["two", "three"].into_iter().enumerate() {
        world.deploy(described(label)).await;
        for object in 0..20 {
            let answer = world.ok(&format!("Chameleon/{object}"), "label", Value::Null).await;
            assert_eq!(answer, json!(label));
        }
        world.start(&format!("late-{number}"), |_| {}).await;
        world.until_balanced().await;
        for object in 0..20 {
            let answer = world.ok(&format!("Chameleon/{object}"), "label", Value::Null).await;
            assert_eq!(answer, json!(label), "also on the node that came later");
        }
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn objects_are_loaded_where_they_belong_one_for_each_shard_or_node() {
    let world = World::with(2, |config| {
        let names = ["Chameleon/one", "Chameleon/shard#*/each", "Chameleon/node#*/here"];
        config.node.auto_load = names.map(str::to_owned).to_vec();
    })
    .await;
    world.describe("volatile").await;
    let live = async || {
        let mut live = Vec::new();
        for member in &world.members {
            let (objects, _) = member.node.list(None, "", None, 1000).await.expect("a list");
            live.extend(objects.iter().map(|it| it.object.to_string()));
        }
        live
    };
    let since = std::time::Instant::now();
    loop {
        let names = live().await;
        let each = names.iter().filter(|name| name.ends_with("/each")).count();
        let here = names.iter().filter(|name| name.ends_with("/here")).count();
        let one = names.iter().filter(|name| *name == "Chameleon/one").count();
        if (one, each, here) == (1, 64, 2) {
            break;
        }
        assert!(since.elapsed() < crate::world::AGES, "{one} {each} {here}");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    world.end().await;
}
