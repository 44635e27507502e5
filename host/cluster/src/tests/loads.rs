//! Placement by load: what nodes tell moves shards, and then they rest.

use std::{sync::Arc, time::Duration};

use tokio::time::sleep;
use wasmverse_core::{
    ShardId,
    cluster::{View, Why, plan::Loads},
};

use super::{Process, planning};
use crate::{Error, Memory, Settings};

const SHARDS: u16 = 300;
/// How often nodes tell.
const TELL: Duration = Duration::from_secs(10);

fn by_load(id: &str, by_load: bool) -> Settings {
    Settings { by_load, ..planning(id, 2) }
}

fn is_target(view: &View, shard: u16, node: &str) -> bool {
    view.slot(ShardId(shard)).target.as_ref().is_some_and(|it| it.node.as_str() == node)
}

fn is_served(view: &View) -> bool {
    view.shards().all(|shard| {
        let target = view.slot(shard).target.as_ref();
        view.owner(shard).is_some_and(|(owner, _)| target.is_some_and(|it| it.node == owner.id))
    })
}

/// Has each shard owned by whoever should have it.
async fn settle(memory: &Memory, processes: [(&str, &Process); 2]) {
    use crate::{Coordination as _, Op};
    for _ in 0..20 {
        let view = processes[0].1.cluster.view().borrow().clone();
        if is_served(&view) {
            return;
        }
        for (id, process) in processes {
            let incarnation = process.incarnation();
            let put = |shard: u16| Op::Put {
                key: format!("owners/{shard}"),
                value: format!(r#"{{"node":"{id}","incarnation":"{incarnation}","epoch":1}}"#)
                    .into(),
                lease: None,
            };
            let its = (0..SHARDS).filter(|shard| is_target(&view, *shard, id));
            let ops: Vec<_> = its.map(put).collect();
            for some in ops.chunks(crate::TRANSACTION_MAX) {
                memory.commit(vec![], some.to_vec()).await.unwrap().unwrap();
            }
        }
        sleep(Duration::from_millis(100)).await;
    }
    panic!("it never settles");
}

/// Two nodes which have their shards, and what each of them has at first.
async fn two(memory: &Memory, loaded: bool) -> (Process, Process, Arc<View>) {
    let a = Process::start(memory, by_load("a", loaded)).await;
    let b = Process::start(memory, by_load("b", loaded)).await;
    a.sees(|view| view.shards().all(|shard| view.slot(shard).target.is_some())).await;
    settle(memory, [("a", &a), ("b", &b)]).await;
    let view = a.sees(|view| is_served(view)).await;
    assert_eq!((0..SHARDS).filter(|shard| is_target(&view, *shard, "a")).count(), 150);
    (a, b, view)
}

/// A while of work: each node tells of what it owns of the busy shards.
async fn work(memory: &Memory, a: &Process, b: &Process, busy: &[u16]) {
    sleep(TELL).await;
    for (id, process) in [("a", a), ("b", b)] {
        let view = process.cluster.view().borrow().clone();
        let mut since = Loads { calls: vec![0; SHARDS.into()], bytes: Vec::new() };
        for shard in busy {
            let owner = view.owner(ShardId(*shard)).map(|(owner, _)| owner.id.to_string());
            if owner.as_deref() == Some(id) {
                since.calls[usize::from(*shard)] = 5_000;
            }
        }
        process.cluster.tell_load(&since).await.unwrap();
    }
    sleep(Duration::from_millis(500)).await;
    settle(memory, [("a", a), ("b", b)]).await;
}

fn placement(view: &View) -> Vec<String> {
    let node = |shard| view.slot(shard).target.as_ref().map(|target| target.node.to_string());
    view.shards().filter_map(node).collect()
}

#[tokio::test(start_paused = true)]
async fn shards_of_the_busy_node_move_and_then_all_rest() {
    let memory = Memory::new();
    let (a, b, view) = two(&memory, true).await;
    let busy: Vec<u16> = (0..SHARDS).filter(|it| is_target(&view, *it, "a")).take(20).collect();
    for _ in 0..4 {
        work(&memory, &a, &b, &busy).await;
    }
    let view = a.cluster.view().borrow().clone();
    let moved = busy.iter().filter(|shard| is_target(&view, **shard, "b"));
    let moved: Vec<_> =
        moved.map(|it| view.slot(ShardId(*it)).target.as_ref().unwrap().why).collect();
    assert!((8..=12).contains(&moved.len()), "{} of 20 moved", moved.len());
    assert!(moved.iter().all(|why| *why == Why::Load), "{moved:?}");
    for _ in 0..20 {
        work(&memory, &a, &b, &busy).await;
    }
    assert_eq!(placement(&a.cluster.view().borrow()), placement(&view), "they rest");
}

#[tokio::test(start_paused = true)]
async fn by_count_nothing_moves_whatever_is_told() {
    let memory = Memory::new();
    let (a, b, before) = two(&memory, false).await;
    let busy: Vec<u16> = (0..SHARDS).filter(|it| is_target(&before, *it, "a")).take(20).collect();
    for _ in 0..5 {
        work(&memory, &a, &b, &busy).await;
    }
    assert_eq!(placement(&a.cluster.view().borrow()), placement(&before));
}

#[tokio::test(start_paused = true)]
async fn a_little_work_moves_nothing() {
    let memory = Memory::new();
    let (a, b, before) = two(&memory, true).await;
    let busy: Vec<u16> = (0..SHARDS).filter(|it| is_target(&before, *it, "a")).take(20).collect();
    for _ in 0..5 {
        sleep(TELL).await;
        let mut since = Loads { calls: vec![0; SHARDS.into()], bytes: vec![0; SHARDS.into()] };
        since.calls[usize::from(busy[0])] = 3;
        since.bytes[usize::from(busy[0])] = 30;
        a.cluster.tell_load(&since).await.unwrap();
        b.cluster.tell_load(&Loads::default()).await.unwrap();
    }
    sleep(Duration::from_secs(1)).await;
    assert_eq!(placement(&a.cluster.view().borrow()), placement(&before));
}

#[tokio::test(start_paused = true)]
async fn what_a_node_told_is_gone_with_its_registration() {
    use crate::Coordination as _;
    let memory = Memory::new();
    let (a, b, _) = two(&memory, true).await;
    let since = Loads { calls: vec![7], bytes: vec![70] };
    a.cluster.tell_load(&since).await.unwrap();
    let (_, told) = memory.get("loads/a").await.unwrap();
    let told = told.unwrap();
    let written = r#"{"shards":[0],"calls":[7],"bytes":[70],"rest_calls":0,"rest_bytes":0}"#;
    assert_eq!(told.value, written);
    a.cluster.leave().await;
    assert_eq!(memory.get("loads/a").await.unwrap().1, None);
    b.sees(|view| view.nodes.len() == 1).await;
    let gate = Process::start(&memory, super::gate("g")).await;
    let refused = gate.cluster.tell_load(&since).await;
    assert!(matches!(refused, Err(Error::Refused(_))), "{refused:?}");
}
