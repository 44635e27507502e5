//! What is known of a chain of objects: the first two count the requests, the last one adds up what
//! they bring.

use super::{
    sum::Sum,
    verdict::{Found, Verdict, Violation},
};

/// All that is known of a chain.
#[derive(Clone, Debug, Default)]
pub(crate) struct Chain {
    requests: i64,
    total: i64,
    sum: Sum,
}

impl Chain {
    /// A request that brought this amount was answered that sum.
    pub(crate) fn answered(&mut self, amount: i64, sum: i64) -> Verdict {
        self.requests += 1;
        self.total += amount;
        self.sum.acknowledged(amount, sum)
    }

    /// The objects hold these, and no call is under way.
    pub(crate) fn held(&mut self, held: [i64; 3]) -> Verdict {
        let right = [self.requests, self.requests, self.total];
        let told = || format!("its objects hold {held:?}, not {right:?}");
        if held.iter().zip(right).any(|(held, right)| *held > right) {
            return Err(Found::new(Violation::HappenedTwice, told()));
        }
        if held != right {
            return Err(Found::new(Violation::AcknowledgedIsGone, told()));
        }
        self.sum.held(held[2])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chain() -> Chain {
        let mut chain = Chain::default();
        chain.answered(5, 5).unwrap();
        chain.answered(7, 12).unwrap();
        chain
    }

    fn violation(verdict: Verdict) -> Option<Violation> {
        verdict.err().map(|found| found.violation)
    }

    #[test]
    fn each_request_counts_once_in_each_object() {
        let mut chain = chain();
        chain.held([2, 2, 12]).unwrap();
        chain.held([2, 2, 12]).unwrap();
        chain.answered(1, 13).unwrap();
        chain.held([3, 3, 13]).unwrap();
    }

    #[test]
    fn one_that_counts_twice_anywhere_is_found() {
        for held in [[3, 2, 12], [2, 3, 12], [2, 2, 19], [2, 3, 7]] {
            assert_eq!(violation(chain().held(held)), Some(Violation::HappenedTwice), "{held:?}");
        }
    }

    #[test]
    fn one_that_is_gone_anywhere_is_found() {
        for held in [[1, 2, 12], [2, 1, 12], [2, 2, 5]] {
            let verdict = chain().held(held);
            assert_eq!(violation(verdict), Some(Violation::AcknowledgedIsGone), "{held:?}");
        }
        // Two requests that led from the same sum.
        let mut chain = chain();
        assert_eq!(violation(chain.answered(3, 8)), Some(Violation::AcknowledgedIsGone));
    }
}
