//! Who waits, who goes first, and for what.

use std::time::Duration;

use proptest::{collection::vec, prelude::*};

use super::*;

const A: ShardId = ShardId(1);
const B: ShardId = ShardId(2);

fn at(now: Instant, number: u64, seconds: u64) -> Parked<()> {
    Parked { number, deadline: now + Duration::from_secs(seconds), bytes: 10, item: () }
}

fn lot() -> Lot<()> {
    Lot::new(100, 10_000)
}

fn numbers(parked: &[Parked<()>]) -> Vec<u64> {
    parked.iter().map(|parked| parked.number).collect()
}

fn parked(numbers: &[u64]) -> Lot<()> {
    let (mut lot, now) = (lot(), Instant::now());
    for number in numbers {
        assert!(lot.park(A, at(now, *number, 60), Epoch(0)).is_none());
    }
    lot
}

#[test]
fn calls_go_in_the_order_of_their_numbers_and_new_ones_behind() {
    let mut lot = parked(&[5, 3, 4]);
    assert!(lot.is_busy(A) && !lot.is_busy(B));
    let batch = lot.begin(A, Epoch(1));
    assert_eq!(numbers(&batch), [3, 4, 5]);
    assert!(lot.is_busy(A), "until they are handed on");
    assert!(lot.park(A, at(Instant::now(), 6, 60), Epoch(0)).is_none());
    assert_eq!(lot.begin(A, Epoch(1)).len(), 0, "somebody hands on");
    let left = batch.into_iter().skip(1).collect();
    assert!(lot.end(A, left).is_empty());
    assert_eq!(numbers(&lot.begin(A, Epoch(1))), [4, 5, 6]);
    lot.end(A, Vec::new());
    assert!(!lot.is_busy(A));
    assert_eq!((lot.length(), lot.bytes()), (0, 0));
}

#[test]
fn an_owner_that_has_refused_is_not_asked_again() {
    let mut lot = parked(&[]);
    assert!(lot.park(A, at(Instant::now(), 1, 60), Epoch(6)).is_none());
    assert_eq!(lot.begin(A, Epoch(5)).len(), 0);
    assert_eq!(lot.begin(A, Epoch(6)).len(), 1);
}

#[test]
fn nobody_passes_a_fence_before_it_is_answered_or_takes_too_long() {
    let (mut lot, now) = (parked(&[2]), Instant::now());
    lot.fence(A, 9, now + Duration::from_secs(1));
    lot.fence(A, 10, now + Duration::from_secs(5));
    lot.fence(B, 9, now + Duration::from_secs(1));
    assert!(lot.is_busy(B), "also one without calls");
    assert_eq!(lot.begin(A, Epoch(1)).len(), 0);
    assert!(lot.unfence(10).is_empty(), "the first one counts");
    let mut opened = lot.unfence(9);
    opened.sort_unstable();
    assert_eq!(opened, [A, B]);
    assert!(!lot.is_busy(B));
    assert_eq!(lot.begin(A, Epoch(1)).len(), 1);
    lot.end(A, Vec::new());
    lot.fence(A, 11, now + Duration::from_secs(1));
    assert!(lot.lapse(now).is_empty());
    assert_eq!(lot.lapse(now + Duration::from_secs(1)), [A]);
    assert!(!lot.is_busy(A));
}

#[test]
fn beyond_the_bounds_nothing_is_parked_and_room_comes_back() {
    let now = Instant::now();
    for mut lot in [Lot::new(2, 10_000), Lot::new(100, 20)] {
        assert!(lot.park(A, at(now, 1, 60), Epoch(0)).is_none());
        assert!(lot.park(B, at(now, 2, 60), Epoch(0)).is_none());
        assert_eq!(lot.park(A, at(now, 3, 60), Epoch(0)).unwrap().1, NoRoom::Full);
        assert!(lot.take(B, 2).is_some());
        assert!(lot.park(A, at(now, 3, 60), Epoch(0)).is_none());
    }
}

#[test]
fn what_is_late_is_taken_out_and_a_closed_lot_takes_nothing() {
    let (mut lot, now) = (lot(), Instant::now());
    lot.park(A, at(now, 1, 1), Epoch(0));
    lot.park(A, at(now, 2, 60), Epoch(0));
    lot.park(B, at(now, 3, 1), Epoch(0));
    let mut late = lot.expire(now + Duration::from_secs(1));
    late.sort_by_key(|(_, parked)| parked.number);
    assert_eq!(
        late.iter().map(|(shard, it)| (*shard, it.number)).collect::<Vec<_>>(),
        [(A, 1), (B, 3)]
    );
    assert!(!lot.is_busy(B));
    assert_eq!(lot.close().len(), 1);
    assert_eq!(lot.park(A, at(now, 4, 60), Epoch(0)).unwrap().1, NoRoom::Closed);
    assert_eq!(lot.end(A, vec![at(now, 5, 60)]).len(), 1);
}

/// What may happen to a shard.
#[derive(Clone, Copy, Debug)]
enum Step {
    Call,
    /// The earliest call that was handed on is refused, whoever it was handed to.
    Refuse,
    Own(u64),
    Release,
    Fence,
    Unfence,
    Leave(u64),
    Expire,
}

fn steps() -> impl Strategy<Value = Vec<(bool, Step)>> {
    let step = prop_oneof![
        5 => Just(Step::Call),
        3 => Just(Step::Refuse),
        2 => (0_u64..3).prop_map(Step::Own),
        4 => Just(Step::Release),
        1 => Just(Step::Fence),
        2 => Just(Step::Unfence),
        1 => (0_u64..40).prop_map(Step::Leave),
        1 => Just(Step::Expire),
    ];
    vec((any::<bool>(), step), 0..200)
}

/// One shard, beside the lot.
#[derive(Default)]
struct Model {
    waiting: Vec<u64>,
    /// Handed on, and by whom it may be refused.
    handed: Vec<(u64, u64)>,
    epoch: u64,
    least: u64,
    fence: Option<u64>,
}

proptest! {
    #[test]
    fn per_shard_the_order_is_kept_and_nobody_is_lost_or_doubled(steps in steps()) {
        let now = Instant::now();
        let mut lot = Lot::new(30, 250);
        let mut models = [Model::default(), Model::default()];
        let mut last = 0;
        for (second, step) in steps {
            let model = &mut models[usize::from(second)];
            let shard = if second { B } else { A };
            match step {
                Step::Call | Step::Refuse => {
                    let (number, least, seconds) = match step {
                        Step::Refuse if model.handed.is_empty() => continue,
                        Step::Refuse => {
                            let (number, epoch) = model.handed.remove(0);
                            (number, epoch + 1, 60)
                        }
                        _ => { last += 1; (last, 0, if last % 5 == 0 { 1 } else { 60 }) }
                    };
                    if lot.park(shard, at(now, number, seconds), Epoch(least)).is_none() {
                        model.waiting.push(number);
                        model.waiting.sort_unstable();
                        model.least = model.least.max(least);
                    }
                }
                Step::Own(more) => model.epoch += more,
                Step::Release => {
                    let batch = lot.begin(shard, Epoch(model.epoch));
                    let may = model.fence.is_none() && model.epoch >= model.least;
                    prop_assert_eq!(numbers(&batch), if may { model.waiting.clone() } else { vec![] });
                    if !batch.is_empty() {
                        model.handed.extend(model.waiting.drain(..).map(|n| (n, model.epoch)));
                        prop_assert!(lot.is_busy(shard));
                        lot.end(shard, Vec::new());
                    }
                }
                Step::Fence => {
                    last += 1;
                    model.fence.get_or_insert(last);
                    lot.fence(shard, last, now + Duration::from_secs(60));
                }
                Step::Unfence => {
                    if let Some(fence) = model.fence.take() {
                        prop_assert_eq!(lot.unfence(fence), vec![shard]);
                    }
                }
                Step::Leave(number) => {
                    let is_there = model.waiting.contains(&number);
                    model.waiting.retain(|other| *other != number);
                    prop_assert_eq!(lot.take(shard, number).is_some(), is_there);
                }
                Step::Expire => {
                    for (shard, late) in lot.expire(now + Duration::from_secs(1)) {
                        let model = &mut models[usize::from(shard == B)];
                        prop_assert!(model.waiting.contains(&late.number));
                        model.waiting.retain(|other| *other != late.number);
                    }
                }
            }
            for (model, shard) in models.iter_mut().zip([A, B]) {
                let is_busy = !model.waiting.is_empty() || model.fence.is_some();
                prop_assert_eq!(lot.is_busy(shard), is_busy);
                if !is_busy {
                    model.least = 0;
                }
            }
            let length = models.iter().map(|model| model.waiting.len()).sum::<usize>();
            prop_assert_eq!((lot.length(), lot.bytes()), (length, 10 * length));
            prop_assert!(lot.length() <= 30 && lot.bytes() <= 250);
        }
    }
}

impl<T> Lot<T> {
    /// Whether a call is still here whose deadline has passed.
    pub(crate) fn is_overdue(&self, now: Instant) -> bool {
        self.shards.values().flat_map(|queue| queue.waiting.values()).any(|it| it.deadline <= now)
    }
}
