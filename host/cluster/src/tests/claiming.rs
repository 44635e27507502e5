//! Owner keys: one owner each, and definite answers whatever happens on the way.

use std::time::Duration;

use wasmverse_core::{
    Epoch, NodeId, ShardId,
    cluster::owner::{Held, Unreleased},
};

use super::{Process, node, target};
use crate::{Coordination, KeyRelease, Memory};

/// The owner's epoch and revision, by the service itself.
async fn owner(service: &dyn Coordination, shard: u16) -> (String, u64) {
    let (_, row) = service.get(&format!("owners/{shard}")).await.unwrap();
    let row = row.unwrap();
    (String::from_utf8_lossy(&row.value).into_owned(), row.revision)
}

fn release(process: &Process, shard: u16, epoch: u64, since: u64) -> KeyRelease {
    let registration = process.cluster.registration();
    let incarnation = registration.borrow().as_ref().unwrap().incarnation.clone();
    let held = Held { incarnation, epoch: Epoch(epoch), since };
    KeyRelease { shard: ShardId(shard), held, target: None }
}

#[tokio::test(start_paused = true)]
async fn of_two_who_claim_a_shard_by_old_views_one_wins() {
    let memory = Memory::new();
    let slow = memory.faulty();
    let a = Process::start(&slow, node("a")).await;
    let b = Process::start(&memory, node("b")).await;
    target(&memory, 0..2, "a").await;
    let has_targets = |view: &std::sync::Arc<wasmverse_core::cluster::View>| {
        view.slot(ShardId(1)).target.is_some() && view.nodes.len() == 2
    };
    a.sees(has_targets).await;
    slow.delay_watches(Duration::from_secs(1));
    target(&memory, 0..2, "b").await;
    b.sees(|view| view.slot(ShardId(1)).target.as_ref().unwrap().node == NodeId::new("b")).await;
    // Shard 0: the old target claims first. Shard 1: the new one does.
    assert_eq!(a.cluster.claim(vec![a.bid(0, 1)]).await, [None]);
    let won = b.cluster.claim(vec![b.bid(0, 2), b.bid(1, 2)]).await;
    assert!(won.iter().all(Option::is_some), "{won:?}");
    assert_eq!(a.cluster.claim(vec![a.bid(0, 3), a.bid(1, 3)]).await, [None, None]);
    assert!(owner(&memory, 0).await.0.contains(&b.incarnation()));
    let view = a.sees(|view| view.owner(ShardId(1)).is_some()).await;
    assert_eq!(view.owner(ShardId(1)).unwrap().1, Epoch(2));
}

#[tokio::test(start_paused = true)]
async fn a_living_owner_is_never_replaced_and_a_dead_one_is() {
    let memory = Memory::new();
    let way = memory.faulty();
    let a = Process::start(&way, node("a")).await;
    let b = Process::start(&memory, node("b")).await;
    target(&memory, 0..1, "a").await;
    a.sees(|view| view.slot(ShardId(0)).target.is_some()).await;
    assert!(a.cluster.claim(vec![a.bid(0, 1)]).await[0].is_some());
    target(&memory, 0..1, "b").await;
    b.sees(|view| {
        let slot = view.slot(ShardId(0));
        slot.owner.is_some() && slot.target.as_ref().is_some_and(|it| it.node.as_str() == "b")
    })
    .await;
    assert_eq!(b.cluster.claim(vec![b.bid(0, 2)]).await, [None], "its owner lives");
    way.cut(true);
    b.sees(|view| view.owner(ShardId(0)).is_none()).await;
    assert!(b.cluster.claim(vec![b.bid(0, 2)]).await[0].is_some());
}

#[tokio::test(start_paused = true)]
async fn many_are_claimed_at_once_and_a_stale_one_among_them_spoils_nothing() {
    let memory = Memory::new();
    let a = Process::start(&memory, node("a")).await;
    target(&memory, 0..300, "a").await;
    a.sees(|view| view.slot(ShardId(299)).target.is_some()).await;
    let claims: Vec<_> = (0..300).map(|shard| a.bid(shard, 1)).collect();
    target(&memory, [7, 150, 151].into_iter(), "b").await;
    let answers = a.cluster.claim(claims).await;
    for (shard, answer) in answers.iter().enumerate() {
        assert_eq!(answer.is_none(), [7, 150, 151].contains(&shard), "{shard}: {answer:?}");
    }
    let revision = owner(&memory, 299).await.1;
    assert_eq!(answers[299], Some(revision));
}

#[tokio::test(start_paused = true)]
async fn answers_are_definite_though_commits_are_not_answered() {
    let memory = Memory::new();
    let way = memory.faulty();
    let a = Process::start(&way, node("a")).await;
    target(&memory, 0..60, "a").await;
    a.sees(|view| view.slot(ShardId(59)).target.is_some()).await;
    let mut claims: Vec<_> = (0..60).map(|shard| a.bid(shard, 1)).collect();
    claims[3].bid.target_revision -= 1;
    way.lose_answers(5);
    let claimed = a.cluster.claim(claims).await;
    for (shard, answer) in (0..).zip(&claimed) {
        match answer {
            None => assert_eq!(shard, 3),
            Some(revision) => assert_eq!(owner(&memory, shard).await.1, *revision),
        }
    }
    let mut releases: Vec<_> = (0..10)
        .filter(|shard| *shard != 3)
        .map(|shard| release(&a, shard, 1, claimed[usize::from(shard)].unwrap()))
        .collect();
    releases[0].held.since -= 1;
    let view = a.cluster.view().borrow().clone();
    let target = view.slot(ShardId(1)).target.as_ref().unwrap().revision;
    releases[1].target = Some(target - 1);
    releases[2].target = Some(target);
    way.lose_answers(3);
    let released = a.cluster.release(releases).await;
    assert_eq!(released[0], Err(Unreleased::NotOurs));
    assert_eq!(released[1], Err(Unreleased::TargetChanged));
    for (answer, shard) in released[2..].iter().zip([2, 4, 5, 6, 7, 8, 9]) {
        let (value, revision) = owner(&memory, shard).await;
        assert_eq!(*answer, Ok(revision));
        assert_eq!(value, r#"{"node":"","incarnation":"","epoch":1}"#);
    }
}

#[tokio::test(start_paused = true)]
async fn a_claim_waits_while_the_service_is_away() {
    let memory = Memory::new();
    let way = memory.faulty();
    let a = Process::start(&way, node("a")).await;
    target(&memory, 0..1, "a").await;
    a.sees(|view| view.slot(ShardId(0)).target.is_some()).await;
    let claim = a.bid(0, 1);
    way.cut(true);
    let heals = async {
        tokio::time::sleep(Duration::from_secs(60)).await;
        way.cut(false);
    };
    let (answer, ()) = tokio::join!(a.cluster.claim(vec![claim]), heals);
    assert_eq!(answer, [None], "the registration that it rested on is lost by then");
}
