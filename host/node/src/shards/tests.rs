//! Doors, passes, and what becomes of a shard between them.

use super::*;

fn shards() -> Arc<Shards> {
    Shards::new(ShardCount::new(4).unwrap())
}

fn since(began: u64) -> Chain {
    Chain::default().since(began)
}

const SHARD: ShardId = ShardId(2);

#[test]
fn a_shard_that_is_not_ours_sends_calls_away_and_says_in_which_epoch() {
    let shards = shards();
    shards.set_epoch(SHARD, Epoch(7));
    let Met::Away(error) = shards.meet(SHARD, &since(1)) else { panic!("it is not ours") };
    assert_eq!(error.as_elsewhere().unwrap().epoch, Epoch(7));
}

#[test]
fn while_it_drains_chains_under_way_are_let_in_and_later_ones_wait() {
    let shards = shards();
    shards.open(SHARD, Epoch(1));
    let Met::In(inside) = shards.meet(SHARD, &since(9)) else { panic!("it is open") };
    shards.drain(SHARD, 9);
    assert!(matches!(shards.meet(SHARD, &since(9)), Met::Waits));
    assert!(matches!(shards.meet(SHARD, &since(8)), Met::In(_)));
    assert!(shards.enter(SHARD).is_err(), "nothing of our own begins");
    assert!(!shards.seal_if_quiet(SHARD), "somebody is inside");
    drop(inside);
    assert!(shards.take_quiet().contains(&SHARD));
    assert!(shards.seal_if_quiet(SHARD));
    assert!(matches!(shards.meet(SHARD, &since(8)), Met::Waits));
}

#[test]
fn once_sealed_quietly_nobody_ever_was_inside() {
    let shards = shards();
    shards.open(SHARD, Epoch(1));
    shards.drain(SHARD, 5);
    let seals = Arc::clone(&shards);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            let shards = Arc::clone(&shards);
            scope.spawn(move || {
                for _ in 0..10_000 {
                    let Met::In(pass) = shards.meet(SHARD, &since(1)) else { return };
                    assert_ne!(
                        Door::of(shards.slot(SHARD).word.load(SeqCst)),
                        Door::Sealed,
                        "sealed while somebody is inside"
                    );
                    drop(pass);
                }
            });
        }
        scope.spawn(move || while !seals.seal_if_quiet(SHARD) {});
    });
    assert_eq!(shards.passes(SHARD), 0);
}
