//! Keys, sends and reminders between two accounts, a store and clients that are modelled here:
//! whatever is lost, refused, cut off or killed, every effect happens once. The pure parts are the
//! real ones; the driver around them does what a node does. The checker proves itself on drivers with
//! planted bugs.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::tests_outside_test_module, reason = "this is a test")]
#![expect(clippy::disallowed_methods, reason = "an arbitrary instant to begin with")]

mod check;
mod store;
mod world;

use proptest::prelude::*;
use store::Luck;
use world::{Bug, Request, World};

const LUCKS: [Luck; 6] = [
    Luck::Stores,
    Luck::Refuses,
    Luck::StoresUnheard,
    Luck::RefusesUnheard,
    Luck::DiesBefore,
    Luck::DiesAfter,
];

const REQUESTS: [Request; 6] = [
    Request::Deposit,
    Request::Withdraw,
    Request::Transfer,
    Request::Chain,
    Request::Overflow,
    Request::Tick,
];

/// Makes the requests one after the other, with this luck of the commits in their order; whatever
/// comes after them is lucky.
fn run(bug: Bug, requests: &[Request], lucks: &[Luck]) -> Result<(), String> {
    let mut world = World::new(bug, lucks);
    for (number, request) in requests.iter().enumerate() {
        world.make(*request, number)?;
    }
    world.come_to_rest()?;
    world.check()
}

/// Calls `check` with all sequences of `length` of these.
fn all<T: Copy>(of: &[T], length: usize, check: &mut dyn FnMut(&[T])) {
    fn deeper<T: Copy>(of: &[T], length: usize, begun: &mut Vec<T>, check: &mut dyn FnMut(&[T])) {
        if begun.len() == length {
            return check(begun);
        }
        for next in of {
            begun.push(*next);
            deeper(of, length, begun, check);
            begun.pop();
        }
    }
    deeper(of, length, &mut Vec::new(), check);
}

#[test]
fn every_effect_happens_once_in_any_two_requests_with_any_luck_of_four_commits() {
    let mut runs = 0;
    all(&REQUESTS, 2, &mut |requests| {
        all(&LUCKS, 4, &mut |lucks| {
            runs += 1;
            assert_eq!(run(Bug::None, requests, lucks), Ok(()), "{requests:?} {lucks:?}");
        });
    });
    assert_eq!(runs, REQUESTS.len().pow(2) * LUCKS.len().pow(4));
}

#[test]
fn each_planted_bug_is_found() {
    for bug in Bug::PLANTED {
        let mut found = 0;
        all(&REQUESTS, 3, &mut |requests| {
            all(&LUCKS, 2, &mut |lucks| found += usize::from(run(bug, requests, lucks).is_err()));
        });
        assert!(found > 0, "{bug:?} is not found");
    }
}

proptest! {
    #[test]
    fn every_effect_happens_once(
        requests in prop::collection::vec(prop::sample::select(&REQUESTS[..]), 1..12),
        lucks in prop::collection::vec(prop::sample::select(&LUCKS[..]), 0..40),
    ) {
        prop_assert_eq!(run(Bug::None, &requests, &lucks), Ok(()));
    }
}
