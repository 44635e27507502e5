//! What is known of a reminder: each firing says when it was due and when the next one is, and so
//! the next one must be.

use super::verdict::{Found, Verdict, Violation};

/// A firing, as its object keeps it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Firing {
    /// Among those of its object: 1, 2, 3 …
    pub(crate) number: i64,
    pub(crate) due: i64,
    /// When the next one is due.
    pub(crate) next: i64,
}

/// All that is known of the firings of one reminder.
#[derive(Clone, Debug, Default)]
pub(crate) struct Firings {
    last: Option<Firing>,
}

impl Firings {
    /// How many there were.
    pub(crate) fn count(&self) -> i64 {
        self.last.map_or(0, |last| last.number)
    }

    /// Firings after this one are to be read: the last one that is known is read again.
    pub(crate) fn after(&self) -> i64 {
        (self.count() - 1).max(0)
    }

    /// The object has counted so many in its state, and keeps these in its storage.
    pub(crate) fn held(&mut self, count: i64, firings: &[Firing]) -> Verdict {
        let found = |violation, told| Err(Found::new(violation, told));
        let wanted = self.after() + 1..=count;
        if count < self.count() {
            let told = format!("{count} firings are left after {:?}", self.last);
            return found(Violation::AcknowledgedIsGone, told);
        }
        if !firings.iter().map(|firing| firing.number).eq(wanted) {
            let told = format!("its state counts {count} firings, its storage has {firings:?}");
            return found(Violation::TornApart, told);
        }
        if let (Some(last), Some(first)) = (self.last, firings.first())
            && last != *first
        {
            let told = format!("{last:?} has become {first:?}");
            return found(Violation::AcknowledgedIsGone, told);
        }
        for pair in firings.windows(2) {
            let (expected, due) = (pair[0].next, pair[1].due);
            if due != expected || pair[1].next <= due {
                let violation = match due > expected {
                    true => Violation::FiringIsMissing,
                    false => Violation::FiredTwice,
                };
                return found(violation, format!("{:?} came after {:?}", pair[1], pair[0]));
            }
        }
        self.last = firings.last().copied();
        Ok(())
    }

    /// No other comes, however long one waited.
    pub(crate) fn stopped(&self) -> Found {
        let told = format!("nothing has fired since {:?}", self.last);
        Found::new(Violation::FiringIsMissing, told)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbered from there on; each is due ten before the next one.
    fn firings(from: i64, dues: &[i64]) -> Vec<Firing> {
        let firing = |(number, due): (i64, &i64)| Firing { number, due: *due, next: due + 10 };
        (from..).zip(dues).map(firing).collect()
    }

    fn known() -> Firings {
        let mut known = Firings::default();
        known.held(0, &[]).unwrap();
        known.held(2, &firings(1, &[10, 20])).unwrap();
        known
    }

    fn violation(verdict: Verdict) -> Option<Violation> {
        verdict.err().map(|found| found.violation)
    }

    #[test]
    fn each_is_due_when_the_one_before_said() {
        let mut known = known();
        assert_eq!((known.count(), known.after()), (2, 1));
        known.held(2, &firings(2, &[20])).unwrap();
        known.held(4, &firings(2, &[20, 30, 40])).unwrap();
        assert_eq!(known.count(), 4);
    }

    #[test]
    fn one_that_is_missing_is_found() {
        let verdict = known().held(3, &firings(2, &[20, 40]));
        assert_eq!(violation(verdict), Some(Violation::FiringIsMissing));
    }

    #[test]
    fn one_that_came_twice_is_found() {
        for due in [20, 10, 25] {
            let verdict = known().held(3, &firings(2, &[20, due]));
            assert_eq!(violation(verdict), Some(Violation::FiredTwice), "{due}");
        }
        let mut again = firings(2, &[20, 30]);
        again[1].next = 30;
        assert_eq!(violation(known().held(3, &again)), Some(Violation::FiredTwice));
    }

    #[test]
    fn one_that_is_gone_or_another_is_found() {
        let verdict = known().held(1, &[]);
        assert_eq!(violation(verdict), Some(Violation::AcknowledgedIsGone));
        let verdict = known().held(2, &firings(2, &[21]));
        assert_eq!(violation(verdict), Some(Violation::AcknowledgedIsGone));
    }

    #[test]
    fn a_count_without_its_firing_is_found() {
        for kept in [firings(2, &[20]), firings(2, &[20, 30, 40]), firings(1, &[10, 20])] {
            assert_eq!(violation(known().held(3, &kept)), Some(Violation::TornApart), "{kept:?}");
        }
    }
}
