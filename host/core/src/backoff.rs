//! How long an object that keeps trapping is left alone.
//!
//! Some traps in a row are free, so that a mistake is answered at once and tried again at once.
//! After that each one doubles a pause, until the object ends a turn without trapping.

use std::time::{Duration, Instant};

/// The traps of one object, in a row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backoff {
    in_a_row: u32,
    last: Option<Instant>,
}

impl Backoff {
    /// So many traps in a row have no consequence.
    pub const FREE: u32 = 5;
    /// The first pause.
    pub const FIRST: Duration = Duration::from_millis(100);
    /// The longest pause.
    pub const LONGEST: Duration = Duration::from_secs(10);
    /// After so long without a trap all is forgotten.
    pub const FORGOTTEN: Duration = Duration::from_secs(60);

    /// Another trap.
    pub fn trapped(&mut self, now: Instant) {
        if self.is_forgotten(now) {
            *self = Self::default();
        }
        self.in_a_row = self.in_a_row.saturating_add(1);
        self.last = Some(now);
    }

    /// A turn that ended otherwise: all is forgotten.
    pub fn served(&mut self) {
        *self = Self::default();
    }

    /// How long to wait from now on; zero: not at all.
    pub fn left(&self, now: Instant) -> Duration {
        let Some(last) = self.last else { return Duration::ZERO };
        self.pause().saturating_sub(now.saturating_duration_since(last))
    }

    /// Whether there is nothing to remember.
    pub fn is_forgotten(&self, now: Instant) -> bool {
        self.last.is_none_or(|last| now.saturating_duration_since(last) >= Self::FORGOTTEN)
    }

    fn pause(&self) -> Duration {
        match self.in_a_row.checked_sub(Self::FREE + 1) {
            None => Duration::ZERO,
            Some(doublings) => {
                Self::FIRST.saturating_mul(1_u32.checked_shl(doublings).unwrap_or(u32::MAX))
            }
        }
        .min(Self::LONGEST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    // The rules take no clock; tests may.
    #[expect(clippy::disallowed_methods, reason = "an arbitrary instant to begin with")]
    fn start() -> Instant {
        Instant::now()
    }

    fn after(traps: u32, at: Instant) -> Backoff {
        let mut backoff = Backoff::default();
        (0..traps).for_each(|_| backoff.trapped(at));
        backoff
    }

    #[test]
    fn the_first_traps_are_free_and_then_pauses_double() {
        let now = start();
        assert_eq!(after(Backoff::FREE, now).left(now), Duration::ZERO);
        assert_eq!(after(Backoff::FREE + 1, now).left(now), Backoff::FIRST);
        assert_eq!(after(Backoff::FREE + 3, now).left(now), Backoff::FIRST * 4);
        let later = now + Duration::from_millis(30);
        assert_eq!(after(Backoff::FREE + 1, now).left(later), Duration::from_millis(70));
    }

    #[test]
    fn a_turn_that_ends_otherwise_forgets_them() {
        let now = start();
        let mut backoff = after(40, now);
        assert_eq!(backoff.left(now), Backoff::LONGEST);
        backoff.served();
        assert_eq!(backoff, Backoff::default());
    }

    #[test]
    fn old_traps_do_not_count() {
        let now = start();
        let mut backoff = after(40, now);
        let later = now + Backoff::FORGOTTEN;
        assert!(backoff.is_forgotten(later));
        backoff.trapped(later);
        assert_eq!(backoff.left(later), Duration::ZERO);
    }

    proptest! {
        #[test]
        fn pauses_never_shrink_with_traps_nor_pass_the_longest(traps in 0_u32..10_000) {
            let now = start();
            let (fewer, more) = (after(traps, now).left(now), after(traps + 1, now).left(now));
            prop_assert!(fewer <= more && more <= Backoff::LONGEST);
        }
    }
}
