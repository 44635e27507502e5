//! What one client is to be told: pure, without IO or clock.
//!
//! Every push takes the next ordinal, `seq`, whether it is kept or dropped. What was told is kept
//! for a while, for a client that comes back; a hole in the ordinals is told as a gap that says
//! exactly how many are missing.

use std::{collections::VecDeque, sync::Arc, time::Instant};

use super::Event;
use crate::budget::Share;

/// What a client is told.
#[derive(Clone, Debug)]
pub(crate) enum Told {
    /// Something was pushed.
    Push {
        /// Its ordinal.
        seq: u64,
        /// What.
        event: Arc<Event>,
    },
    /// Pushes were missed.
    Gap {
        /// The ordinal of the last one that was missed.
        seq: u64,
        /// How many; none: nobody knows.
        missed: Option<u64>,
    },
}

/// The pushes for one client.
#[derive(Debug, Default)]
pub(crate) struct Buffer {
    entries: VecDeque<Entry>,
    /// The last ordinal that was taken.
    last: u64,
    /// The last ordinal that the client was told of.
    told: u64,
    /// The place of the first entry after it.
    untold: usize,
    /// What the payloads in it hold, each as if nobody else held it.
    bytes: usize,
}

/// What one buffer may hold.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// In pushes.
    pub(crate) length: usize,
    /// In bytes of their payloads.
    pub(crate) bytes: usize,
}

#[derive(Debug)]
struct Entry {
    seq: u64,
    /// None: something was lost, nobody knows how much.
    event: Option<Arc<Event>>,
    /// When it was told; none: it waits.
    told_at: Option<Instant>,
    /// Of the room that all buffers have together.
    _share: Option<Share>,
}

impl Entry {
    fn bytes(&self) -> usize {
        self.event.as_ref().map_or(0, |event| event.payload.len())
    }
}

impl Buffer {
    /// The last ordinal that the client was told of.
    pub(crate) fn told(&self) -> u64 {
        self.told
    }

    /// What the payloads in it hold, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes in a push; `false`: it was dropped, since so many wait already.
    pub(crate) fn push(&mut self, event: Arc<Event>, share: Share, bounds: Bounds) -> bool {
        self.last += 1;
        let fits = self.make_room(event.payload.len(), bounds);
        if fits {
            self.add(Some(event), Some(share));
        }
        fits
    }

    /// Something was lost on the way, nobody knows how much. Said twice in a row it says no more.
    pub(crate) fn lose(&mut self, bounds: Bounds) -> bool {
        self.last += 1;
        let is_known = self.entries.back().is_some_and(|entry| {
            entry.event.is_none() && entry.seq > self.told && entry.seq + 1 == self.last
        });
        if is_known {
            self.last -= 1;
            return true;
        }
        let fits = self.make_room(0, bounds);
        if fits {
            self.add(None, None);
        }
        fits
    }

    /// Lets go of the earliest that were told; `false`: that is not enough.
    fn make_room(&mut self, bytes: usize, bounds: Bounds) -> bool {
        while self.entries.len() >= bounds.length
            || !self.entries.is_empty() && self.bytes + bytes > bounds.bytes
        {
            if self.untold == 0 {
                return false;
            }
            self.pop();
        }
        true
    }

    fn add(&mut self, event: Option<Arc<Event>>, share: Option<Share>) {
        let entry = Entry { seq: self.last, event, told_at: None, _share: share };
        self.bytes += entry.bytes();
        self.entries.push_back(entry);
    }

    fn pop(&mut self) {
        if let Some(entry) = self.entries.pop_front() {
            self.bytes -= entry.bytes();
            self.untold = self.untold.saturating_sub(1);
        }
    }

    /// Lets go of all, for others to have room. What was not told becomes a gap; what nobody knew
    /// of a loss stays unknown.
    pub(crate) fn clear(&mut self) {
        let told = self.told;
        let unknown = self.entries.iter().rposition(|e| e.event.is_none() && e.seq > told);
        let kept = unknown.and_then(|place| self.entries.remove(place));
        self.entries = kept.into_iter().collect();
        (self.untold, self.bytes) = (0, 0);
    }

    /// A push that there is no room for.
    pub(crate) fn skip(&mut self) {
        self.last += 1;
    }

    /// The next thing to tell.
    pub(crate) fn next(&mut self, now: Instant) -> Option<Told> {
        let told = self.told;
        let seq = match self.entries.get_mut(self.untold) {
            Some(entry) if entry.seq == told + 1 => {
                entry.told_at = Some(now);
                self.told = entry.seq;
                self.untold += 1;
                let seq = entry.seq;
                return Some(match &entry.event {
                    Some(event) => Told::Push { seq, event: Arc::clone(event) },
                    None => Told::Gap { seq, missed: None },
                });
            }
            Some(entry) => entry.seq - 1,
            None if self.last > told => self.last,
            None => return None,
        };
        self.told = seq;
        Some(Told::Gap { seq, missed: Some(seq - told) })
    }

    /// The client is back, and the last that it has is `seq`: it is told what comes after.
    pub(crate) fn rewind(&mut self, seq: u64) {
        if seq > self.last {
            // It knows of things that never were.
            self.told = self.last;
            self.entries.clear();
            (self.untold, self.bytes) = (0, 0);
            self.last += 1;
            self.add(None, None);
            return;
        }
        self.told = seq;
        self.untold = self.entries.partition_point(|entry| entry.seq <= seq);
    }

    /// Forgets what was told before `since`.
    pub(crate) fn forget(&mut self, since: Instant) {
        let told = self.told;
        let is_old = |entry: &Entry| {
            entry.seq <= told && entry.told_at.is_some_and(|told_at| told_at <= since)
        };
        while self.entries.front().is_some_and(is_old) {
            self.pop();
        }
        if self.entries.is_empty() {
            self.entries = VecDeque::new();
        }
    }
}

#[cfg(test)]
mod tests;
