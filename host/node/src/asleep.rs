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
        let place = sleepers.next;
        sleepers.next += 1;
        sleepers.bytes += bytes;
        sleepers.order.insert(place, (entry.clone(), bytes));
        Some(place)
    }

    /// The same, for an object that must sleep: those that have slept longest are forgotten.
    /// None: not even an empty memory has room for it.
    pub(crate) fn place_by_force(
        &self,
        entry: &Arc<Entry>,
        state_bytes: usize,
        directory: &Directory,
        metrics: &Metrics,
    ) -> Option<u64> {
        loop {
            if let Some(place) = self.place(entry, state_bytes) {
                return Some(place);
            }
            let (place, (victim, _)) = self.sleepers.lock().first()?;
            forget(place, &victim, directory);
            metrics.snapshots_dropped.increment(1);
            tracing::warn!(object = %victim.object, "dropped a sleeping volatile object: no room");
        }
    }

    /// It is awake, or gone.
    pub(crate) fn leave(&self, place: u64) {
        let mut sleepers = self.sleepers.lock();
        if let Some((_, bytes)) = sleepers.order.remove(&place) {
            sleepers.bytes -= bytes;
        }
    }

    /// How many sleep, and how many bytes they take.
    pub(crate) fn size(&self) -> (usize, usize) {
        let sleepers = self.sleepers.lock();
        (sleepers.order.len(), sleepers.bytes)
    }
}

impl Sleepers {
    /// Takes out the one that has slept longest.
    fn first(&mut self) -> Option<(u64, (Arc<Entry>, usize))> {
        let first = self.order.pop_first()?;
        self.bytes -= first.1.1;
        Some(first)
    }
}

/// Forgets a sleeper, unless it has woken since.
fn forget(place: u64, entry: &Arc<Entry>, directory: &Directory) {
    let dropped = {
        let mut inner = entry.lock();
        let here = inner.nap.as_ref().is_some_and(|nap| nap.place == place);
        // While it wakes its state is in other hands already.
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
        let third = asleep.place_by_force(&entry("c"), 0, &directory, &metrics).unwrap();
        assert_eq!(
            asleep.sleepers.lock().order.keys().copied().collect::<Vec<_>>(),
            [second, third]
        );
        assert!(first < second);
        let huge = 2 * OVERHEAD_BYTES + 1;
        assert_eq!(asleep.place_by_force(&entry("d"), huge, &directory, &metrics), None);
    }
}
