//! Leaders: one at a time, and what they write.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;
use wasmverse_core::{
    NodeId, RevisionNumber, ShardId, TypeName,
    cluster::{View, Why},
};

use super::{Process, node, planning};
use crate::{Coordination as _, Error, Guard, Memory, Op};

fn targets(view: &View, node: &str) -> usize {
    let is_its =
        |shard| view.slot(shard).target.as_ref().is_some_and(|it| it.node.as_str() == node);
    view.shards().filter(|shard| is_its(*shard)).count()
}

#[tokio::test(start_paused = true)]
async fn there_is_one_leader_and_another_when_it_dies() {
    let memory = Memory::new();
    let (way_a, way_b) = (memory.faulty(), memory.faulty());
    let a = Process::start(&way_a, node("a")).await;
    let b = Process::start(&way_b, node("b")).await;
    let c = Process::start(&memory, node("c")).await;
    let view = c.sees(|view| view.nodes.len() == 3 && view.leader.is_some()).await;
    let first = view.leader.clone().unwrap();
    assert_eq!(first.as_str(), "a", "who comes first leads");
    way_a.cut(true);
    let cut = Instant::now();
    let next = c.sees(|view| view.leader.as_ref().is_some_and(|it| *it != first)).await;
    assert!(cut.elapsed() <= Duration::from_millis(2500), "{:?}", cut.elapsed());
    // Whoever leads now leaves; the other one follows at once.
    let leaving = if next.leader.as_ref().unwrap().as_str() == "b" { &b } else { &c };
    let staying = if leaving.cluster.lease().is_held() { [&b, &c] } else { [&c, &b] };
    let left = Instant::now();
    leaving.cluster.leave().await;
    let other = staying.iter().find(|it| it.cluster.lease().is_held()).unwrap();
    other.sees(|view| view.leader.is_some() && view.leader != next.leader).await;
    assert!(left.elapsed() < Duration::from_millis(100), "{:?}", left.elapsed());
    drop(a);
}

#[tokio::test(start_paused = true)]
async fn a_deposed_leader_writes_nothing() {
    let memory = Memory::new();
    let way = memory.faulty();
    let a = Process::start(&way, node("a")).await;
    a.sees(|view| view.leader.is_some()).await;
    let (_, leader) = memory.get("leader").await.unwrap();
    let since = leader.unwrap().revision;
    // It is deposed, and does not see that for a while.
    way.delay_watches(Duration::from_secs(3));
    memory.commit(vec![], vec![Op::Delete("leader".to_owned())]).await.unwrap();
    let guard = Guard::Revision("leader".to_owned(), since);
    let put = Op::Put { key: "targets/0".to_owned(), value: "".into(), lease: None };
    assert_eq!(memory.commit(vec![guard], vec![put]).await, Ok(None));
    // Then it stands again.
    a.sees(|view| view.leader.is_none()).await;
    a.sees(|view| view.leader.is_some()).await;
}

#[tokio::test(start_paused = true)]
async fn targets_are_written_as_soon_as_enough_nodes_are_there() {
    let memory = Memory::new();
    let a = Process::start(&memory, planning("a", 2)).await;
    a.sees(|view| view.leader.is_some()).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(targets(&a.cluster.view().borrow(), "a"), 0);
    let before = Instant::now();
    let _b = Process::start(&memory, planning("b", 2)).await;
    let view = a.sees(|view| view.shards().all(|shard| view.slot(shard).target.is_some())).await;
    assert!(before.elapsed() < Duration::from_millis(500), "{:?}", before.elapsed());
    assert_eq!((targets(&view, "a"), targets(&view, "b")), (150, 150));
}

#[tokio::test(start_paused = true)]
async fn shards_of_the_living_move_once_membership_was_stable() {
    let memory = Memory::new();
    let a = Process::start(&memory, planning("a", 1)).await;
    a.sees(|view| targets(view, "a") == 300).await;
    let claims = (0..300).map(|shard| a.bid(shard, 1)).collect();
    assert!(a.cluster.claim(claims).await.iter().all(Option::is_some));
    a.sees(|view| view.shards().all(|shard| view.owner(shard).is_some())).await;
    let before = Instant::now();
    let _b = Process::start(&memory, planning("b", 1)).await;
    let view = a.sees(|view| targets(view, "b") > 0).await;
    let took = before.elapsed();
    assert!((990..1200).contains(&took.as_millis()), "{took:?}");
    assert!(targets(&view, "b") <= 64, "in batches");
    let moved = view.shards().find_map(|shard| {
        view.slot(shard).target.clone().filter(|target| target.node.as_str() == "b")
    });
    assert_eq!(moved.unwrap().why, Why::Balance);
}

#[tokio::test(start_paused = true)]
async fn a_wish_is_granted_and_gone() {
    let memory = Memory::new();
    let way = memory.faulty();
    let a = Process::start(&way, planning("a", 1)).await;
    let b = Process::start(&memory, planning("b", 1)).await;
    let view = b
        .sees(|view| {
            view.nodes.len() == 2 && view.shards().all(|shard| view.slot(shard).target.is_some())
        })
        .await;
    let of_a = |shard: &ShardId| view.slot(*shard).target.as_ref().unwrap().node.as_str() == "a";
    let shard = view.shards().find(of_a).unwrap();
    way.lose_answers(1);
    a.cluster.wish(shard, &NodeId::new("b")).await.unwrap();
    let has_it = |view: &Arc<View>| {
        let target = view.slot(shard).target.as_ref();
        target.is_some_and(|it| it.node.as_str() == "b" && it.why == Why::Operator)
            && view.wishes.is_empty()
    };
    b.sees(has_it).await;
    let nobody = a.cluster.wish(shard, &NodeId::new("c")).await;
    assert!(matches!(nobody, Err(Error::Refused(told)) if told.contains("`c`")));
    let nothing = a.cluster.wish(ShardId(300), &NodeId::new("b")).await;
    assert!(matches!(nothing, Err(Error::Refused(told)) if told.contains("300")));
}

#[tokio::test(start_paused = true)]
async fn pins_and_drains_are_seen_by_all() {
    let memory = Memory::new();
    let a = Process::start(&memory, node("a")).await;
    let b = Process::start(&memory, node("b")).await;
    a.sees(|view| view.nodes.len() == 2).await;
    let (id, shard) = (NodeId::new("b"), ShardId(7));
    a.cluster.pin(shard, &id).await.unwrap();
    b.sees(|view| view.pins.get(&shard) == Some(&id)).await;
    a.cluster.unpin(shard).await.unwrap();
    b.sees(|view| view.pins.is_empty()).await;
    a.cluster.drain(&id).await.unwrap();
    b.sees(|view| !view.is_eligible(&id)).await;
    a.cluster.undrain(&id).await.unwrap();
    b.sees(|view| view.is_eligible(&id)).await;
    assert!(matches!(a.cluster.drain(&NodeId::new("c")).await, Err(Error::Refused(_))));
}

#[tokio::test(start_paused = true)]
async fn a_node_stays_drained_when_it_is_registered_anew() {
    let memory = Memory::new();
    let way = memory.faulty();
    let a = Process::start(&memory, node("a")).await;
    let b = Process::start(&way, node("b")).await;
    a.sees(|view| view.nodes.len() == 2).await;
    let id = NodeId::new("b");
    a.cluster.drain(&id).await.unwrap();
    b.sees(|view| !view.is_eligible(&id)).await;
    way.cut(true);
    a.sees(|view| view.nodes.len() == 1).await;
    way.cut(false);
    let view = a.sees(|view| view.nodes.len() == 2).await;
    assert!(!view.is_eligible(&id), "it is the same process");
    drop(b);
    a.sees(|view| view.nodes.len() == 1).await;
    let _b = Process::start(&memory, node("b")).await;
    a.sees(|view| view.is_eligible(&id)).await;
}

#[tokio::test(start_paused = true)]
async fn a_shard_that_cannot_be_written_is_in_no_others_way() {
    let memory = Memory::new();
    // It makes no sense, so that nobody knows who owns that shard; and it is there.
    let broken = Op::Put { key: "owners/150".to_owned(), value: "?".into(), lease: None };
    memory.commit(vec![], vec![broken]).await.unwrap();
    let a = Process::start(&memory, planning("a", 1)).await;
    a.sees(|view| targets(view, "a") == 299).await;
    memory.commit(vec![], vec![Op::Delete("owners/150".to_owned())]).await.unwrap();
    a.sees(|view| targets(view, "a") == 300).await;
}

#[tokio::test(start_paused = true)]
async fn the_version_of_a_type_grows_by_one_with_every_deploy() {
    let memory = Memory::new();
    let ways: Vec<_> = (0..4).map(|_| memory.faulty()).collect();
    let name = TypeName::new("Counter").unwrap();
    let mut processes = Vec::new();
    for (index, way) in ways.iter().enumerate() {
        processes.push(Process::start(way, node(&format!("n{index}"))).await);
    }
    let mut versions = Vec::new();
    for turn in 0..5_u8 {
        ways[0].lose_answers(1);
        for (index, process) in (0..).zip(&processes) {
            let digest = [turn * 4 + index; 32];
            let set = process.cluster.set_type(&name, RevisionNumber(turn.into()), digest, 0);
            let active = set.await.unwrap();
            assert_eq!(active.digest, digest);
            versions.push(active.version);
        }
    }
    assert_eq!(versions, (1..=20).collect::<Vec<_>>());
    let view = processes[0].sees(|view| view.types.get(&name).unwrap().version == 20).await;
    assert_eq!(view.types[&name].digest, [19; 32]);
    let cluster = &processes[0].cluster;
    cluster.tell_type(&name, RevisionNumber(1), [0; 32]).await.unwrap();
    let active = cluster.active_type(&name).await.unwrap().unwrap();
    assert_eq!((active.version, active.digest), (20, [19; 32]), "it is known already");
    let above = cluster.set_type(&name, RevisionNumber(9), [9; 32], 40).await.unwrap();
    assert_eq!(above.version, 41);
}
