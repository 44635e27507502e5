//! Which keyed calls an object has answered already, in short: most are new, and for those nobody
//! has to ask the store.

use std::{collections::BTreeSet, hash::Hasher};

use fnv::FnvHasher;

/// So many keys are remembered, in about 16 bytes each. Beyond them the store is asked of each.
pub const KEYS_MAX: usize = 4096;

/// The keys of one object's results, as far as they are remembered. A key that is said to be known
/// may be new all the same: two may look alike.
#[derive(Debug, Default)]
pub struct Ledger {
    keys: BTreeSet<u64>,
    is_whole: bool,
}

/// What a ledger says of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// No result is kept under it.
    New,
    /// The store has to be asked.
    Perhaps,
}

impl Ledger {
    /// The keys (origin and key) that are kept; `is_whole`: there are no others.
    pub fn new<'a>(keys: impl IntoIterator<Item = (&'a str, &'a str)>, is_whole: bool) -> Self {
        let mut ledger = Self { keys: BTreeSet::new(), is_whole };
        for (origin, key) in keys {
            ledger.keep(origin, key);
        }
        ledger
    }

    /// What is known of a key.
    pub fn look(&self, origin: &str, key: &str) -> Known {
        match self.is_whole && !self.keys.contains(&digest(origin, key)) {
            true => Known::New,
            false => Known::Perhaps,
        }
    }

    /// A result was kept under a key.
    pub fn keep(&mut self, origin: &str, key: &str) {
        if !self.is_whole {
            return;
        }
        self.keys.insert(digest(origin, key));
        if self.keys.len() > KEYS_MAX {
            *self = Self::default();
        }
    }
}

fn digest(origin: &str, key: &str) -> u64 {
    let mut hasher = FnvHasher::default();
    hasher.write(origin.as_bytes());
    // In no origin.
    hasher.write_u8(0);
    hasher.write(key.as_bytes());
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_of_its_origin() {
        let mut ledger = Ledger::new([("A/a", "1")], true);
        assert_eq!(ledger.look("A/a", "1"), Known::Perhaps);
        assert_eq!(ledger.look("", "1"), Known::New);
        assert_eq!(ledger.look("A/", "a1"), Known::New);
        ledger.keep("", "1");
        assert_eq!(ledger.look("", "1"), Known::Perhaps);
    }

    #[test]
    fn one_that_is_not_whole_knows_nothing_new() {
        assert_eq!(Ledger::new([], false).look("", "1"), Known::Perhaps);
        let mut ledger = Ledger::new([], true);
        for key in 0..=KEYS_MAX {
            assert_eq!(ledger.look("", &key.to_string()), Known::New);
            ledger.keep("", &key.to_string());
        }
        assert_eq!(ledger.look("", "new"), Known::Perhaps);
        assert!(ledger.keys.is_empty(), "it forgets what is of no use");
    }
}
