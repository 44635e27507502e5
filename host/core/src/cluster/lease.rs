//! How long a node may take its registration for granted.

use std::time::Duration;

/// The lease of one registration, by the node's own clock, which must also run while the machine
/// sleeps. All times are since some moment of that clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    ttl: Duration,
    /// When the keep-alive was sent that was answered last.
    confirmed: Duration,
}

impl Lease {
    /// What clocks may differ in, and a thread be late: this part of the TTL is not used.
    const MARGIN: u32 = 5;

    /// A lease that was asked for at a time, and given.
    pub fn new(ttl: Duration, asked: Duration) -> Self {
        Self { ttl, confirmed: asked }
    }

    /// A keep-alive that was sent at a time was answered. Answers may come late and in any order.
    pub fn confirm(&mut self, sent: Duration) {
        self.confirmed = self.confirmed.max(sent);
    }

    /// Until when the node may serve, unless it is confirmed again.
    pub fn until(&self) -> Duration {
        self.confirmed + self.ttl - self.ttl / Self::MARGIN
    }

    /// How often to send a keep-alive.
    pub fn interval(&self) -> Duration {
        self.ttl / 5
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn it_counts_from_the_sending_of_what_was_answered_last() {
        let mut lease = Lease::new(5 * SECOND, 10 * SECOND);
        assert_eq!(lease.until(), 14 * SECOND);
        lease.confirm(12 * SECOND);
        assert_eq!(lease.until(), 16 * SECOND);
        lease.confirm(11 * SECOND);
        assert_eq!(lease.until(), 16 * SECOND, "an answer that comes late takes nothing back");
    }

    #[test]
    fn it_ends_before_the_registration_does() {
        let lease = Lease::new(2 * SECOND, Duration::ZERO);
        assert!(lease.until() < 2 * SECOND);
        assert!(lease.interval() * 3 < lease.until(), "a lost answer or two do no harm");
    }
}
