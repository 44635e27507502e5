//! Objects that sleep in memory: those whose state is nowhere else. Bounded in bytes.

use std::{collections::BTreeMap, sync::Arc};

use parking_lot::Mutex;

use crate::{directory::Directory, entry::Entry, metrics::Metrics};

/// What an object that sleeps costs beside its state.
const OVERHEAD_BYTES: usize = 1024;

/// The sleeping, in the order in which they fell asleep.
pub(crate) struct Asleep {
    sleepers: Mutex<Sleepers>,
    bytes_max: usize,
}

#[derive(Default)]
struct Sleepers {
    bytes: usize,
    next: u64,
    order: BTreeMap<u64, (Arc<Entry>, usize)>,
}

impl Asleep {
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self { sleepers: Mutex::default(), bytes_max }
    }

    /// A place for a state of so many bytes; none: there is no room.
    pub(crate) fn place(&self, entry: &Arc<Entry>, state_bytes: usize) -> Option<u64> {
        let bytes = state_bytes + OVERHEAD_BYTES;
        let mut sleepers = self.sleepers.lock();
        if sleepers.bytes + bytes > self.bytes_max {
            return None;
        }
        Some(sleepers.enter(entry, bytes))
    }

    /// Whether there would be room for a state of so many bytes if nobody else slept.
    pub(crate) fn fits(&self, state_bytes: usize) -> bool {
        state_bytes.saturating_add(OVERHEAD_BYTES) <= self.bytes_max
    }

    /// Forgets who has slept longest; `false`: nobody sleeps.
    pub(crate) fn make_room(&self, directory: &Directory, metrics: &Metrics) -> bool {
        let Some((place, (victim, _))) = self.sleepers.lock().first() else { return false };
        if forget(place, &victim, directory) {
            metrics.snapshots_dropped.increment(1);
            tracing::warn!(object = %victim.object, "dropped a sleeping volatile object: no room");
        }
        true
    }

    /// A new place, behind all others, for one that gave up or lost an old one. There may be too
    /// little room then.
    pub(crate) fn place_again(&self, old: u64, entry: &Arc<Entry>, state_bytes: usize) -> u64 {
        let mut sleepers = self.sleepers.lock();
        sleepers.leave(old);
        sleepers.enter(entry, state_bytes + OVERHEAD_BYTES)
    }

    /// Whether more sleep than there is room for.
    pub(crate) fn is_overfull(&self) -> bool {
        self.sleepers.lock().bytes > self.bytes_max
    }

    /// It is awake, or gone.
    pub(crate) fn leave(&self, place: u64) {
        self.sleepers.lock().leave(place);
    }

    /// How many sleep, and how many bytes they take.
    pub(crate) fn size(&self) -> (usize, usize) {
        let sleepers = self.sleepers.lock();
        (sleepers.order.len(), sleepers.bytes)
    }
}

impl Sleepers {
    fn enter(&mut self, entry: &Arc<Entry>, bytes: usize) -> u64 {
        let place = self.next;
        self.next += 1;
        self.bytes += bytes;
        self.order.insert(place, (entry.clone(), bytes));
        place
    }

    fn leave(&mut self, place: u64) {
        if let Some((_, bytes)) = self.order.remove(&place) {
            self.bytes -= bytes;
        }
    }

    /// Takes out the one that has slept longest.
    fn first(&mut self) -> Option<(u64, (Arc<Entry>, usize))> {
        let first = self.order.pop_first()?;
        self.bytes -= first.1.1;
        Some(first)
    }
}

/// Forgets a sleeper, unless it has woken since: then `false`.
fn forget(place: u64, entry: &Arc<Entry>, directory: &Directory) -> bool {
    let dropped = {
        let mut inner = entry.lock();
        let here = inner.nap.as_ref().is_some_and(|nap| nap.place == place);
        // While it wakes its state is in other hands; if that fails, it takes a place anew.
        if here && !inner.phase.is_live() {
            inner.exists = false;
            inner.looked = false;
            inner.nap.take()
        } else {
            None
        }
    };
    if dropped.is_some() {
        directory.forget(entry);
    }
    dropped.is_some()
}

#[cfg(test)]
mod tests {
    use wasmverse_core::{ObjectId, ShardId};

    use super::*;

    fn entry(id: &str) -> Arc<Entry> {
        Arc::new(Entry::new(ObjectId::parse("T", id).unwrap(), ShardId(0)))
    }

    #[test]
    fn beyond_the_bound_there_is_no_room_until_someone_leaves() {
        let asleep = Asleep::new(2 * OVERHEAD_BYTES + 10);
        let first = asleep.place(&entry("a"), 5).unwrap();
        assert!(asleep.place(&entry("b"), 5).is_some());
        assert!(asleep.place(&entry("c"), 0).is_none());
        asleep.leave(first);
        asleep.leave(first);
        assert!(asleep.place(&entry("c"), 0).is_some());
        assert_eq!(asleep.size(), (2, 2 * OVERHEAD_BYTES + 5));
    }

    #[test]
    fn by_force_the_longest_asleep_make_room() {
        let asleep = Asleep::new(2 * OVERHEAD_BYTES);
        let (directory, metrics) = (Directory::new(), Metrics::new());
        let first = asleep.place(&entry("a"), 0).unwrap();
        let second = asleep.place(&entry("b"), 0).unwrap();
        assert!(asleep.place(&entry("c"), 0).is_none());
        assert!(asleep.make_room(&directory, &metrics));
        let third = asleep.place(&entry("c"), 0).unwrap();
        assert_eq!(
            asleep.sleepers.lock().order.keys().copied().collect::<Vec<_>>(),
            [second, third]
        );
        assert!(first < second);
        assert!(asleep.fits(OVERHEAD_BYTES) && !asleep.fits(OVERHEAD_BYTES + 1));
    }

    #[test]
    fn one_that_lost_its_place_while_it_tried_to_wake_is_counted_again() {
        let asleep = Asleep::new(2 * OVERHEAD_BYTES);
        let (directory, metrics) = (Directory::new(), Metrics::new());
        let waking = entry("a");
        let place = asleep.place(&waking, 0).unwrap();
        {
            let mut inner = waking.lock();
            inner.nap = Some(crate::entry::Nap { state: None, place });
            inner.phase = wasmverse_core::life::Phase::Waking;
        }
        assert!(asleep.make_room(&directory, &metrics));
        assert!(waking.lock().nap.is_some());
        assert_eq!(asleep.size(), (0, 0));
        let again = asleep.place_again(place, &waking, 5);
        assert_eq!(asleep.size(), (1, OVERHEAD_BYTES + 5));
        // One that kept its place is not counted twice.
        asleep.place_again(again, &waking, 5);
        assert_eq!(asleep.size(), (1, OVERHEAD_BYTES + 5));
        asleep.place_again(u64::MAX, &entry("b"), OVERHEAD_BYTES);
        assert!(asleep.is_overfull());
    }
}
