//! An object's keyed storage as its running step sees it: what the step wrote itself, what
//! `activate` wrote and no turn has taken along yet, and what was read lately. The rest is asked
//! for.

use std::{collections::BTreeSet, ops::Bound, sync::Arc};

use bytes::Bytes;
use lru::LruCache;
use wasmverse_core::StorageWrites;

/// What was read lately is kept up to this, in bytes.
const RECENT_BYTES_MAX: usize = 256 << 10;
/// What an entry takes beside its texts.
const ENTRY_BYTES: usize = 96;

/// An object's keyed storage, between its guest and the store.
#[derive(Default)]
pub(crate) struct Storage {
    /// Written by `activate`: goes with the first turn that may write and ends well.
    carried: StorageWrites,
    /// Written by the running step.
    written: StorageWrites,
    recent: Recent,
    /// What `carried` and `written` hold, in bytes.
    pending_bytes: usize,
    /// Committed keys: never less than there are; none: not known.
    keys_at_most: Option<u64>,
    /// Keys that are written and may be new.
    new: BTreeSet<Arc<str>>,
}

impl Storage {
    /// What is under a key, if that is known here: a value, or nothing.
    pub(crate) fn known(&mut self, key: &str) -> Option<Option<Bytes>> {
        let own = self.written.get(key).or_else(|| self.carried.get(key));
        own.cloned().or_else(|| self.recent.get(key))
    }

    /// Keeps what the store answered.
    pub(crate) fn learn(&mut self, key: &str, value: Option<Bytes>) {
        self.recent.put(key.into(), value);
    }

    /// The guest writes, or removes.
    pub(crate) fn write(&mut self, key: &str, value: Option<Bytes>) {
        let key: Arc<str> = key.into();
        if value.is_none() {
            self.new.remove(&key);
        } else if !self.recent.holds(&key) {
            self.new.insert(Arc::clone(&key));
        }
        self.pending_bytes += size(&key, value.as_ref());
        if let Some(before) = self.written.insert(Arc::clone(&key), value) {
            self.pending_bytes -= size(&key, before.as_ref());
        }
    }

    /// Whether a key may surely be written without there being more than `limit`.
    pub(crate) fn has_room(&self, key: &str, limit: u64) -> bool {
        self.recent.holds(key)
            || self.new.contains(key)
            || self.keys_at_most.is_some_and(|keys| keys + (self.new.len() as u64) < limit)
    }

    /// So many keys are committed.
    pub(crate) fn count(&mut self, keys: u64) {
        self.keys_at_most = Some(keys);
    }

    /// Keys that are written and may be there already.
    pub(crate) fn unsure(&self) -> Vec<Arc<str>> {
        self.new.iter().filter(|key| !self.recent.knows(key)).cloned().collect()
    }

    /// A key is there already.
    pub(crate) fn is_old(&mut self, key: &str) {
        self.new.remove(key);
    }

    /// `activate` ended well: what it wrote waits for a turn.
    pub(crate) fn carry(&mut self) {
        self.carried.append(&mut self.written);
        self.measure();
    }

    fn measure(&mut self) {
        let pending = self.carried.iter().chain(&self.written);
        self.pending_bytes = pending.map(|(key, value)| size(key, value.as_ref())).sum();
    }

    /// A turn that may write ended well: all that is to be committed with it.
    pub(crate) fn take(&mut self) -> StorageWrites {
        self.carry();
        let writes = std::mem::take(&mut self.carried);
        self.pending_bytes = 0;
        let new = std::mem::take(&mut self.new).len() as u64;
        self.keys_at_most = self.keys_at_most.map(|keys| keys + new);
        for (key, value) in &writes {
            // If it is not committed, this instance goes.
            self.recent.put(Arc::clone(key), value.clone());
        }
        writes
    }

    /// The step did not end well: it wrote nothing.
    pub(crate) fn drop_written(&mut self) {
        self.written.clear();
        self.measure();
        let carried = &self.carried;
        self.new.retain(|key| carried.contains_key(key));
    }

    /// What a scan sees: a page of the store, and over it what is not committed yet. An empty page
    /// is the end of the store's keys; another one may be followed by more.
    pub(crate) fn lay_over(
        &self,
        prefix: &str,
        after: &str,
        page: Vec<(String, Bytes)>,
    ) -> Vec<(String, Bytes)> {
        let from = if after >= prefix { Bound::Excluded(after) } else { Bound::Included(prefix) };
        let until = page.last().map(|(key, _)| key.clone());
        let within = |key: &str| {
            key.starts_with(prefix) && until.as_ref().is_none_or(|until| key <= until.as_str())
        };
        let mut seen: StorageWrites =
            page.into_iter().map(|(key, value)| (key.into(), Some(value))).collect();
        for layer in [&self.carried, &self.written] {
            let own = layer.range::<str, _>((from, Bound::Unbounded));
            for (key, value) in own.take_while(|(key, _)| within(key)) {
                seen.insert(Arc::clone(key), value.clone());
            }
        }
        let living = seen.into_iter().filter_map(|(key, value)| Some((key.to_string(), value?)));
        living.collect()
    }

    /// What is held here beside the guest's memory, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.recent.bytes + self.pending_bytes
    }
}

/// Keys that were read or committed lately; the least recently used go first.
#[derive(Default)]
struct Recent {
    /// Made when it is first needed: most objects have no storage.
    entries: Option<LruCache<Arc<str>, Option<Bytes>>>,
    bytes: usize,
}

impl Recent {
    fn get(&mut self, key: &str) -> Option<Option<Bytes>> {
        self.entries.as_mut()?.get(key).cloned()
    }

    /// Whether it is known what is there.
    fn knows(&self, key: &str) -> bool {
        self.entries.as_ref().is_some_and(|entries| entries.contains(key))
    }

    /// Whether it is known that something is there.
    fn holds(&self, key: &str) -> bool {
        let value = self.entries.as_ref().and_then(|entries| entries.peek(key));
        value.is_some_and(Option::is_some)
    }

    fn put(&mut self, key: Arc<str>, value: Option<Bytes>) {
        let entries = self.entries.get_or_insert_with(LruCache::unbounded);
        if let Some(before) = entries.pop(&key) {
            self.bytes -= size(&key, before.as_ref());
        }
        let bytes = size(&key, value.as_ref());
        // One that would push out most of the others is asked for each time.
        if bytes > RECENT_BYTES_MAX / 2 {
            return;
        }
        entries.put(key, value);
        self.bytes += bytes;
        while self.bytes > RECENT_BYTES_MAX {
            let Some((key, value)) = entries.pop_lru() else { return };
            self.bytes -= size(&key, value.as_ref());
        }
    }
}

fn size(key: &str, value: Option<&Bytes>) -> usize {
    ENTRY_BYTES + key.len() + value.map_or(0, Bytes::len)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn bytes(text: &str) -> Bytes {
        Bytes::copy_from_slice(text.as_bytes())
    }

    #[test]
    fn a_failed_turn_drops_its_own_writes_and_keeps_those_of_activate() {
        let mut storage = Storage::default();
        storage.write("a", Some(bytes("activate")));
        storage.carry();
        storage.write("a", Some(bytes("turn")));
        storage.write("b", Some(bytes("turn")));
        assert_eq!(storage.known("a"), Some(Some(bytes("turn"))));
        let both = storage.bytes();
        storage.drop_written();
        assert!(storage.bytes() > 0 && storage.bytes() < both, "{both}");
        assert_eq!(storage.known("a"), Some(Some(bytes("activate"))));
        assert_eq!(storage.known("b"), None);
        storage.write("b", None);
        let writes = storage.take();
        assert_eq!(
            writes.into_iter().collect::<Vec<_>>(),
            [("a".into(), Some(bytes("activate"))), ("b".into(), None),]
        );
        assert_eq!(storage.take(), StorageWrites::new());
        assert_eq!(storage.known("b"), Some(None), "what was committed is known");
    }

    #[test]
    fn new_keys_are_counted_and_old_ones_are_not() {
        let mut storage = Storage::default();
        assert!(!storage.has_room("a", 2), "nobody knows how many there are");
        storage.count(1);
        assert!(storage.has_room("a", 2));
        storage.write("a", Some(bytes("1")));
        storage.write("a", Some(bytes("2")));
        assert!(storage.has_room("a", 2) && !storage.has_room("b", 2));
        assert_eq!(storage.unsure(), ["a".into()]);
        storage.is_old("a");
        assert!(storage.has_room("b", 2));
        storage.write("b", Some(bytes("1")));
        storage.drop_written();
        assert!(storage.has_room("c", 2), "what was dropped is not counted");
        storage.write("c", Some(bytes("1")));
        storage.take();
        assert!(storage.has_room("c", 2) && !storage.has_room("d", 2));
        storage.write("c", None);
        storage.take();
        storage.count(1);
        assert!(storage.has_room("d", 2));
    }

    #[test]
    fn what_was_read_lately_stays_within_its_bound() {
        let mut storage = Storage::default();
        for number in 0..100 {
            storage.learn(&format!("k{number}"), Some(Bytes::from(vec![0; 10_000])));
            assert!(storage.bytes() <= RECENT_BYTES_MAX);
            storage.known("k0");
        }
        assert!(storage.known("k0").is_some(), "it is used again and again");
        assert!(storage.known("k1").is_none());
        storage.learn("large", Some(Bytes::from(vec![0; RECENT_BYTES_MAX])));
        assert!(storage.known("large").is_none() && storage.known("k0").is_some());
        storage.learn("k0", None);
        storage.learn("k0", None);
        assert_eq!(storage.known("k0"), Some(None));
    }

    proptest! {
        /// Pages of any size, one after another, give what a plain map would.
        #[test]
        fn scans_see_what_a_map_would_hold(
            stored in prop::collection::btree_map("[ab]{1,3}", "[0-9]", 0..12),
            carried in prop::collection::btree_map("[ab]{1,3}", prop::option::of("[0-9]"), 0..6),
            written in prop::collection::btree_map("[ab]{1,3}", prop::option::of("[0-9]"), 0..6),
            prefix in "[ab]{0,2}",
            page_length in 1..4_usize,
        ) {
            let mut storage = Storage::default();
            let mut model: BTreeMap<String, Bytes> =
                stored.iter().map(|(key, value)| (key.clone(), bytes(value))).collect();
            for (layer, carry) in [(carried, true), (written, false)] {
                for (key, value) in layer {
                    let value = value.map(|value| bytes(&value));
                    storage.write(&key, value.clone());
                    match value {
                        Some(value) => drop(model.insert(key, value)),
                        None => drop(model.remove(&key)),
                    }
                }
                if carry {
                    storage.carry();
                }
            }
            let page = |after: &str| -> Vec<(String, Bytes)> {
                let matching = stored.iter().filter(|(key, _)| {
                    key.starts_with(&prefix) && key.as_str() > after
                });
                matching.take(page_length).map(|(k, v)| (k.clone(), bytes(v))).collect()
            };
            let (mut seen, mut after) = (Vec::new(), String::new());
            loop {
                let stored = page(&after);
                let last = stored.last().map(|(key, _)| key.clone());
                seen.extend(storage.lay_over(&prefix, &after, stored));
                let Some(last) = last else { break };
                after = last;
            }
            let wanted = model.into_iter().filter(|(key, _)| key.starts_with(&prefix));
            prop_assert_eq!(seen, wanted.collect::<Vec<_>>());
        }
    }
}
