//! What is known of a number that turns add to: it is told what callers were told, and says whether
//! what the object holds can have come of it.

use super::verdict::{Found, Verdict, Violation};

/// All that is known of one number.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sum {
    /// As it was last held.
    base: i64,
    /// Turns since then that were acknowledged: from which value to which.
    turns: Vec<(i64, i64)>,
    /// What may have been added since then.
    unknown: Vec<i64>,
}

impl Sum {
    /// A turn added this amount, and answered that sum.
    pub(crate) fn acknowledged(&mut self, amount: i64, sum: i64) -> Verdict {
        let (from, to) = (sum - amount, sum);
        if from < self.base {
            let told = format!("{amount} was added to {from}, below the {} of before", self.base);
            return Err(Found::new(Violation::AcknowledgedIsGone, told));
        }
        // Where two turns share a part of the way, one of them knew nothing of the other.
        if let Some(other) = self.turns.iter().find(|other| from < other.1 && other.0 < to) {
            let told = format!("one turn led from {from} to {to}, one from {other:?}");
            return Err(Found::new(Violation::AcknowledgedIsGone, told));
        }
        self.turns.push((from, to));
        Ok(())
    }

    /// Nobody knows whether this amount was added. That it is added later is a violation.
    pub(crate) fn unknown(&mut self, amount: i64) {
        self.unknown.push(amount);
    }

    /// The object holds this, and no call is under way.
    pub(crate) fn held(&mut self, value: i64) -> Verdict {
        let acknowledged: i64 = self.turns.iter().map(|(from, to)| to - from).sum();
        let surplus = value - self.base - acknowledged;
        let latest = self.turns.iter().map(|turn| turn.1).max();
        let told = || {
            let (turns, unknown) = (self.turns.len(), &self.unknown);
            format!(
                "{value} is held after {}, {turns} turns that added {acknowledged} and led to \
                 {latest:?}, and perhaps {unknown:?}",
                self.base
            )
        };
        if surplus < 0 || latest.is_some_and(|latest| value < latest) {
            return Err(Found::new(Violation::AcknowledgedIsGone, told()));
        }
        if !is_sum_of_some(surplus, &self.unknown) {
            return Err(Found::new(Violation::Unasked, told()));
        }
        *self = Self { base: value, ..Self::default() };
        Ok(())
    }
}

/// Whether some of these positive numbers, each at most once, make that sum.
fn is_sum_of_some(sum: i64, numbers: &[i64]) -> bool {
    match numbers {
        _ if sum == 0 => true,
        [first, rest @ ..] if sum > 0 => {
            is_sum_of_some(sum - first, rest) || is_sum_of_some(sum, rest)
        }
        _ => false,
    }
}

/// Whether state and storage, which each turn changes alike, are of the same turn.
pub(crate) fn agree(state: i64, storage: i64) -> Verdict {
    if state == storage {
        return Ok(());
    }
    let told = format!("its state is {state}, its storage {storage}");
    Err(Found::new(Violation::TornApart, told))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(acknowledged: &[(i64, i64)], unknown: &[i64]) -> Sum {
        let mut sum = Sum::default();
        sum.held(0).unwrap();
        for (amount, result) in acknowledged {
            sum.acknowledged(*amount, *result).unwrap();
        }
        for amount in unknown {
            sum.unknown(*amount);
        }
        sum
    }

    fn violation(verdict: Verdict) -> Option<Violation> {
        verdict.err().map(|found| found.violation)
    }

    #[test]
    fn what_was_acknowledged_is_there_and_what_is_unknown_may_be() {
        for held in [10, 13, 18, 21] {
            after(&[(4, 10), (6, 6)], &[3, 8]).held(held).unwrap();
        }
    }

    #[test]
    fn an_acknowledged_effect_that_is_gone_is_found() {
        for held in [0, 6, 9] {
            let verdict = after(&[(6, 6), (4, 10)], &[]).held(held);
            assert_eq!(violation(verdict), Some(Violation::AcknowledgedIsGone), "{held}");
        }
        // As much is there as was acknowledged, but not what was.
        let verdict = after(&[(6, 106)], &[100]).held(100);
        assert_eq!(violation(verdict), Some(Violation::AcknowledgedIsGone));
    }

    #[test]
    fn an_effect_that_happened_twice_or_was_not_asked_for_is_found() {
        for held in [11, 17, 16] {
            let verdict = after(&[(6, 6), (4, 10)], &[3]).held(held);
            assert_eq!(violation(verdict), Some(Violation::Unasked), "{held}");
        }
    }

    #[test]
    fn what_did_not_happen_before_a_restart_does_not_happen_after_it() {
        let mut sum = after(&[(4, 4)], &[3]);
        sum.held(4).unwrap();
        assert_eq!(violation(sum.held(7)), Some(Violation::Unasked));
    }

    #[test]
    fn a_turn_that_began_from_the_past_is_found() {
        let mut sum = after(&[(4, 4)], &[]);
        assert_eq!(violation(sum.acknowledged(5, 5)), Some(Violation::AcknowledgedIsGone));
        sum.held(4).unwrap();
        assert_eq!(violation(sum.acknowledged(5, 5)), Some(Violation::AcknowledgedIsGone));
        sum.acknowledged(5, 9).unwrap();
    }

    #[test]
    fn state_and_storage_of_different_turns_are_found() {
        agree(3, 3).unwrap();
        assert_eq!(violation(agree(3, 2)), Some(Violation::TornApart));
    }
}
