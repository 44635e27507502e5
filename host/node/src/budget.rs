//! Bytes that the whole node may hold of something: each holder has a charge, which goes with it.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

/// So many bytes at most.
#[derive(Debug)]
pub(crate) struct Budget {
    used: AtomicUsize,
    max: usize,
}

/// What one holder takes of a budget, until it is dropped.
#[derive(Debug)]
pub(crate) struct Charge {
    budget: Arc<Budget>,
    bytes: usize,
}

impl Budget {
    pub(crate) fn new(max: usize) -> Arc<Self> {
        Arc::new(Self { used: AtomicUsize::new(0), max })
    }

    pub(crate) fn used(&self) -> usize {
        self.used.load(Relaxed)
    }

    pub(crate) fn max(&self) -> usize {
        self.max
    }

    /// A charge of so many bytes; none: there is no room for them. The first is let in, however
    /// large it is.
    pub(crate) fn charge(self: &Arc<Self>, bytes: usize) -> Option<Charge> {
        let before = self.used.fetch_add(bytes, Relaxed);
        let charge = Charge { budget: self.clone(), bytes };
        (before == 0 || before.saturating_add(bytes) <= self.max).then_some(charge)
    }
}

impl Charge {
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The holder has grown or shrunk. What has grown is held already, so there is no asking.
    pub(crate) fn set(&mut self, bytes: usize) {
        self.budget.used.fetch_add(bytes, Relaxed);
        self.budget.used.fetch_sub(self.bytes, Relaxed);
        self.bytes = bytes;
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.budget.used.fetch_sub(self.bytes, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_never_passes_the_bound_and_goes_with_its_holder() {
        let budget = Budget::new(100);
        let first = budget.charge(60).unwrap();
        assert!(budget.charge(41).is_none());
        let mut second = budget.charge(40).unwrap();
        assert_eq!(budget.used(), 100);
        second.set(70);
        assert_eq!((second.bytes(), budget.used()), (70, 130));
        drop((first, second));
        assert_eq!(budget.used(), 0);
        assert!(budget.charge(101).is_some());
    }
}
