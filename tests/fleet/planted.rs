//! The checker of histories is shown what goes wrong where two nodes own a shard, or a write is
//! lost; and, on small histories at random, a search through all orders says the same as it does.

use std::time::Duration;

use rand::{Rng as _, SeedableRng as _, rngs::StdRng};

use super::{
    history::{Step, Violation, What, check},
    trial::seed,
};

fn step(invoked: u64, returned: u64, what: What) -> Step {
    let time = |it| if it == u64::MAX { Duration::MAX } else { Duration::from_millis(it) };
    Step { invoked: time(invoked), returned: time(returned), what }
}

fn write(invoked: u64, returned: u64, place: i64) -> Step {
    step(invoked, returned, What::Write(place))
}

fn read(invoked: u64, returned: u64, seen: i64) -> Step {
    step(invoked, returned, What::Read(seen))
}

fn perhaps(invoked: u64) -> Step {
    step(invoked, u64::MAX, What::Perhaps)
}

#[test]
fn one_after_the_other_or_at_the_same_time_is_a_history() {
    check(&[], 0).unwrap();
    check(&[write(0, 1, 1), read(2, 3, 1), write(4, 5, 2)], 2).unwrap();
    check(&[write(0, 9, 2), write(0, 9, 1), read(0, 9, 0), read(0, 9, 2)], 2).unwrap();
    check(&[perhaps(0), write(1, 2, 1)], 1).unwrap();
    check(&[perhaps(0), write(1, 2, 2)], 2).unwrap();
    check(&[perhaps(0), write(1, 2, 1), read(5, 6, 1)], 2).unwrap();
}

#[test]
fn a_lost_update_is_found() {
    // Two read the same state, and each writes its own.
    assert_eq!(check(&[write(0, 1, 1), write(0, 1, 1)], 1), Err(Violation::Twice(1)));
    // It was acknowledged, and is gone at the end.
    assert_eq!(check(&[write(0, 1, 1), write(2, 3, 2)], 1), Err(Violation::Lost(2)));
    // It was acknowledged, and the next writer does not see it.
    let steps = [write(0, 1, 1), write(2, 3, 2), write(4, 5, 2)];
    assert_eq!(check(&steps, 2), Err(Violation::Twice(2)));
}

#[test]
fn a_write_that_is_made_twice_is_found() {
    assert_eq!(check(&[write(0, 1, 1), write(2, 3, 3)], 3), Err(Violation::Unasked(2)));
    assert_eq!(check(&[write(0, 1, 1)], 2), Err(Violation::Unasked(2)));
    // One of which nobody knows explains one place, not two.
    assert_eq!(check(&[perhaps(0), write(2, 3, 3)], 3), Err(Violation::Unasked(2)));
    // Nor does it explain what was there before it was asked for.
    assert_eq!(check(&[write(0, 1, 2), perhaps(2)], 2), Err(Violation::Unasked(1)));
}

#[test]
fn a_stale_read_is_found() {
    assert_eq!(check(&[write(0, 1, 1), read(2, 3, 0)], 1), Err(Violation::Stale(1, 0)));
    let steps = [write(0, 9, 1), read(1, 2, 1), read(3, 4, 0)];
    assert_eq!(check(&steps, 1), Err(Violation::Stale(1, 0)));
}

#[test]
fn two_owners_are_found() {
    // Each goes on from the state that both began with; the database keeps what the later one wrote.
    let older = [write(0, 1, 1), write(2, 3, 2), write(10, 11, 3), write(12, 13, 4)];
    let newer = [write(10, 11, 3), write(12, 13, 4), write(14, 15, 5)];
    let steps = [&older[..], &newer].concat();
    assert_eq!(check(&steps, 5), Err(Violation::Twice(3)));
    // The older one only reads, out of its memory.
    let steps = [&newer[..], &[write(0, 1, 1), write(2, 3, 2), read(16, 17, 2)]].concat();
    assert_eq!(check(&steps, 5), Err(Violation::Stale(5, 2)));
    // The older one comes back late and overwrites.
    let steps = [write(0, 1, 1), write(2, 3, 2), write(4, 5, 3), write(6, 7, 2)];
    assert_eq!(check(&steps, 2), Err(Violation::Twice(2)));
}

/// A history of so many calls by a few callers, as it may come about.
fn honest(dice: &mut StdRng) -> (Vec<Step>, i64) {
    let (mut steps, mut last, mut now) = (Vec::new(), 0, 0);
    for _ in 0..dice.random_range(1..7) {
        now += dice.random_range(1..4);
        let (before, after) = (dice.random_range(0..4), dice.random_range(0..4));
        let (invoked, returned) = (u64::saturating_sub(now, before), now + after);
        steps.push(match dice.random_range(0..5) {
            0 | 1 => read(invoked, returned, last),
            2 if dice.random() => perhaps(invoked),
            2 => {
                last += 1;
                perhaps(invoked)
            }
            _ => {
                last += 1;
                write(invoked, returned, last)
            }
        });
    }
    (steps, last)
}

fn spoil(steps: &mut [Step], dice: &mut StdRng) {
    let one = dice.random_range(0..steps.len());
    let by = dice.random_range(-2..=2);
    match &mut steps[one].what {
        What::Write(place) => *place = (*place + by).max(1),
        What::Read(seen) => *seen = (*seen + by).max(0),
        What::Perhaps => steps[one].invoked += Duration::from_millis(dice.random_range(0..9)),
    }
}

/// Tries all orders.
fn search(steps: &[Step], left: u32, count: i64, last: i64) -> bool {
    let is_left = |number: &usize| left & 1 << number != 0;
    let is_known = |number: &usize| steps[*number].what != What::Perhaps;
    if count == last && !(0..steps.len()).filter(is_left).any(|number| is_known(&number)) {
        return true;
    }
    let may_be_next = |number: &usize| {
        let before = |other: usize| steps[other].returned < steps[*number].invoked;
        !(0..steps.len()).filter(is_left).any(before)
    };
    (0..steps.len()).filter(is_left).filter(may_be_next).any(|number| {
        let after = match steps[number].what {
            What::Write(place) if place == count + 1 => place,
            What::Read(seen) if seen == count => count,
            What::Perhaps => count + 1,
            What::Write(_) | What::Read(_) => return false,
        };
        search(steps, left & !(1 << number), after, last)
    })
}

#[test]
fn a_search_through_all_orders_says_the_same() {
    let mut dice = StdRng::seed_from_u64(seed());
    let (mut good, mut bad) = (0, 0);
    for _ in 0..20_000 {
        let (mut steps, mut last) = honest(&mut dice);
        check(&steps, last).unwrap_or_else(|found| panic!("{found}: {steps:?}, {last}"));
        for _ in 0..dice.random_range(0..3) {
            spoil(&mut steps, &mut dice);
        }
        if dice.random_range(0..10) == 0 {
            last = (last + dice.random_range(-1..=1)).max(0);
        }
        let (found, is_history) =
            (check(&steps, last), search(&steps, (1 << steps.len()) - 1, 0, last));
        assert_eq!(found.is_ok(), is_history, "{found:?}: {steps:?}, {last}");
        if is_history { good += 1 } else { bad += 1 }
    }
    assert!(good > 2000 && bad > 2000, "{good} and {bad}");
}
