//! What one client is to be told: pure, without IO or clock.
//!
//! Every push takes the next ordinal, `seq`, whether it is kept or dropped. What was told is kept
//! for a while, for a client that comes back; a hole in the ordinals is told as a gap that says
//! exactly how many are missing.

use std::{collections::VecDeque, sync::Arc, time::Instant};

use super::Event;

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
}

#[derive(Debug)]
struct Entry {
    seq: u64,
    /// None: something was lost, nobody knows how much.
    event: Option<Arc<Event>>,
    /// When it was told; none: it waits.
    told_at: Option<Instant>,
}

impl Buffer {
    /// The last ordinal that the client was told of.
    pub(crate) fn told(&self) -> u64 {
        self.told
    }

    /// Takes in a push; `false`: it was dropped, since so many wait already.
    pub(crate) fn push(&mut self, event: Option<Arc<Event>>, length_max: usize) -> bool {
        self.last += 1;
        while self.entries.len() >= length_max {
            if self.entries.front().is_none_or(|oldest| oldest.seq > self.told) {
                return false;
            }
            self.entries.pop_front();
        }
        self.entries.push_back(Entry { seq: self.last, event, told_at: None });
        true
    }

    /// A push that there is no room for.
    pub(crate) fn skip(&mut self) {
        self.last += 1;
    }

    /// The next thing to tell.
    pub(crate) fn next(&mut self, now: Instant) -> Option<Told> {
        let told = self.told;
        let next = self.entries.partition_point(|entry| entry.seq <= told);
        let seq = match self.entries.get_mut(next) {
            Some(entry) if entry.seq == told + 1 => {
                entry.told_at = Some(now);
                self.told = entry.seq;
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
            self.last += 1;
            self.entries.push_back(Entry { seq: self.last, event: None, told_at: None });
            return;
        }
        self.told = seq;
    }

    /// Forgets what was told before `since`.
    pub(crate) fn forget(&mut self, since: Instant) {
        let told = self.told;
        let is_old = |entry: &Entry| {
            entry.seq <= told && entry.told_at.is_some_and(|told_at| told_at <= since)
        };
        while self.entries.front().is_some_and(is_old) {
            self.entries.pop_front();
        }
        if self.entries.is_empty() {
            self.entries = VecDeque::new();
        }
    }
}

#[cfg(test)]
mod tests;
