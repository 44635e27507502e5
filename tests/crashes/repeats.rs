//! Which answered requests are made again: some of late, and some of long ago.

use rand::{Rng as _, rngs::StdRng};

use super::{
    keyed::Answered,
    verdict::{Found, Verdict, Violation},
};

/// Of those of late, and of the old ones, so many are made again each time.
const RECENT: usize = 3;
const OLD: usize = 2;
/// Old ones that are kept.
const KEPT: usize = 64;

/// Answered requests.
#[derive(Debug, Default)]
pub(crate) struct Repeats {
    /// Since the last time.
    recent: Vec<Answered>,
    /// Some of all before, each with the same odds.
    old: Vec<Answered>,
    /// How many there were.
    seen: usize,
}

impl Repeats {
    /// One was answered.
    pub(crate) fn keep(&mut self, answered: Answered) {
        self.recent.push(answered);
    }

    /// Those that are to be made again now.
    pub(crate) fn some(&mut self, dice: &mut StdRng) -> Vec<Answered> {
        let picked = |from: &[Answered], count: usize, dice: &mut StdRng| {
            let count = count.min(from.len());
            let picked = (0..count).map(|_| from[dice.random_range(0..from.len())].clone());
            picked.collect::<Vec<_>>()
        };
        let mut some = picked(&self.old, OLD, dice);
        some.extend(picked(&self.recent, RECENT, dice));
        for answered in std::mem::take(&mut self.recent) {
            self.seen += 1;
            if self.old.len() < KEPT {
                self.old.push(answered);
            } else if let place @ 0..KEPT = dice.random_range(0..self.seen) {
                self.old[place] = answered;
            }
        }
        some
    }

    /// All that are kept.
    pub(crate) fn all(&self) -> Vec<Answered> {
        [&self.old[..], &self.recent].concat()
    }
}

/// A request that was answered was made again, and heard this.
pub(crate) fn repeated(before: &Answered, now: &Answered) -> Verdict {
    if (before.status, &before.body) == (now.status, &now.body) {
        return Ok(());
    }
    let told = format!("{before}, and then {} {}", now.status, String::from_utf8_lossy(&now.body));
    Err(Found::new(Violation::ForgotItsAnswer, told))
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;

    use super::{
        super::keyed::{Wish, answered},
        *,
    };

    fn done(amount: i64) -> Answered {
        answered(Wish::Chain { amount }, 200, &amount.to_string())
    }

    fn amounts(answered: &[Answered]) -> Vec<i64> {
        let amount = |one: &Answered| match one.request.wish {
            Wish::Chain { amount } => amount,
            _ => unreachable!("only chains were asked for"),
        };
        answered.iter().map(amount).collect()
    }

    #[test]
    fn some_are_recent_some_are_old_and_few_are_kept() {
        let (mut repeats, mut dice) = (Repeats::default(), StdRng::seed_from_u64(7));
        assert!(repeats.some(&mut dice).is_empty());
        for round in 0..200 {
            (0..10).for_each(|n| repeats.keep(done(round * 10 + n)));
            let some = amounts(&repeats.some(&mut dice));
            let recent = some.iter().filter(|amount| **amount / 10 == round).count();
            assert_eq!((recent, some.len() - recent), (RECENT, if round > 0 { OLD } else { 0 }));
        }
        let all = amounts(&repeats.all());
        assert_eq!(all.len(), KEPT);
        let early = all.iter().filter(|amount| **amount < 1000).count();
        assert!((KEPT / 4..KEPT).contains(&early), "{all:?}");
    }

    #[test]
    fn another_answer_is_found() {
        repeated(&done(1), &done(1)).unwrap();
        let failed = answered(Wish::Chain { amount: 1 }, 422, "1");
        for other in [done(2), failed] {
            let found = repeated(&done(1), &other).unwrap_err();
            assert_eq!(found.violation, Violation::ForgotItsAnswer);
        }
    }
}
