//! Calls that wait for somebody to serve their shard: who waits for what, and who goes first.
//!
//! Pure: times are told, nothing is sent. Per shard, calls go in the order of their numbers, and a
//! shard is *busy* (new calls go behind) from the first call that is parked until the last one has
//! been handed on.

use std::{
    collections::{BTreeMap, btree_map},
    time::Instant,
};

use fnv::FnvHashMap;
use wasmverse_core::{Epoch, ShardId};

/// Calls that are handed on at once.
const BATCH: usize = 256;

/// All parked calls.
pub(crate) struct Lot<T> {
    shards: FnvHashMap<ShardId, Queue<T>>,
    length: usize,
    bytes: usize,
    length_max: usize,
    bytes_max: usize,
    closed: bool,
}

/// A call, on its way into the lot or out of it.
#[derive(Debug)]
pub(crate) struct Parked<T> {
    /// Grows with each call: who came first goes first.
    pub(crate) number: u64,
    pub(crate) deadline: Instant,
    /// What it holds.
    pub(crate) bytes: usize,
    pub(crate) item: T,
}

struct Queue<T> {
    waiting: BTreeMap<u64, Parked<T>>,
    /// Owners before this epoch have refused.
    least: Epoch,
    fence: Option<Fence>,
    /// Somebody hands on what was taken out.
    is_sending: bool,
}

/// Until a former owner has refused what was on its way to it, nobody overtakes.
struct Fence {
    number: u64,
    /// Nobody waits for it beyond that.
    until: Instant,
}

/// Why a call was not parked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoRoom {
    Full,
    Closed,
}

impl<T> Queue<T> {
    fn new() -> Self {
        Self { waiting: BTreeMap::new(), least: Epoch(0), fence: None, is_sending: false }
    }

    fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.fence.is_none() && !self.is_sending
    }
}

impl<T> Lot<T> {
    /// Room for so many calls, and so many bytes.
    pub(crate) fn new(length_max: usize, bytes_max: usize) -> Self {
        let shards = FnvHashMap::default();
        Self { shards, length: 0, bytes: 0, length_max, bytes_max, closed: false }
    }

    /// Parks a call of a shard, until it is owned in an epoch from `least` on. It comes back if there
    /// is no room.
    pub(crate) fn park(
        &mut self,
        shard: ShardId,
        parked: Parked<T>,
        least: Epoch,
    ) -> Option<(Parked<T>, NoRoom)> {
        if self.closed {
            return Some((parked, NoRoom::Closed));
        }
        if self.length >= self.length_max || self.bytes + parked.bytes > self.bytes_max {
            return Some((parked, NoRoom::Full));
        }
        self.put(shard, parked);
        let queue = self.shards.entry(shard).or_insert_with(Queue::new);
        queue.least = queue.least.max(least);
        None
    }

    /// Nothing of these shards goes before `unfence` of that number, or before `until`.
    pub(crate) fn fence(&mut self, shard: ShardId, number: u64, until: Instant) {
        let queue = self.shards.entry(shard).or_insert_with(Queue::new);
        // What the first one waits for, the next one waits for, too: nothing has gone meanwhile.
        queue.fence.get_or_insert(Fence { number, until });
    }

    /// The shards whose fence that was.
    pub(crate) fn unfence(&mut self, number: u64) -> Vec<ShardId> {
        self.open(|fence| fence.number == number)
    }

    /// The shards whose fences nobody waits for any longer.
    pub(crate) fn lapse(&mut self, now: Instant) -> Vec<ShardId> {
        self.open(|fence| fence.until <= now)
    }

    fn open(&mut self, is_over: impl Fn(&Fence) -> bool) -> Vec<ShardId> {
        let mut opened = Vec::new();
        self.shards.retain(|shard, queue| {
            if queue.fence.take_if(|fence| is_over(fence)).is_some() {
                opened.push(*shard);
            }
            !queue.is_idle()
        });
        opened
    }

    /// Takes out the calls of a shard that may go to its owner of that epoch, in order. None of the
    /// shard goes before `end` was called, unless this is empty.
    pub(crate) fn begin(&mut self, shard: ShardId, epoch: Epoch) -> Vec<Parked<T>> {
        let Some(queue) = self.shards.get_mut(&shard) else { return Vec::new() };
        if queue.is_sending || queue.fence.is_some() || epoch < queue.least {
            return Vec::new();
        }
        let mut taken = Vec::with_capacity(queue.waiting.len().min(BATCH));
        while taken.len() < BATCH
            && let Some((_, parked)) = queue.waiting.pop_first()
        {
            self.length -= 1;
            self.bytes -= parked.bytes;
            taken.push(parked);
        }
        queue.is_sending = !taken.is_empty();
        taken
    }

    /// What was taken out is handed on, but for these. They come back if the lot is closed.
    pub(crate) fn end(&mut self, shard: ShardId, left: Vec<Parked<T>>) -> Vec<Parked<T>> {
        if self.closed {
            return left;
        }
        for parked in left {
            self.put(shard, parked);
        }
        if let Some(queue) = self.shards.get_mut(&shard) {
            queue.is_sending = false;
        }
        self.tidy(shard);
        Vec::new()
    }

    /// Takes back one whose caller is gone.
    pub(crate) fn take(&mut self, shard: ShardId, number: u64) -> Option<Parked<T>> {
        let parked = self.shards.get_mut(&shard)?.waiting.remove(&number)?;
        self.length -= 1;
        self.bytes -= parked.bytes;
        self.tidy(shard);
        Some(parked)
    }

    /// Takes out all whose deadline has passed.
    pub(crate) fn expire(&mut self, now: Instant) -> Vec<(ShardId, Parked<T>)> {
        let mut late = Vec::new();
        for (shard, queue) in &mut self.shards {
            let expired = queue.waiting.extract_if(.., |_, parked| parked.deadline <= now);
            late.extend(expired.map(|(_, parked)| (*shard, parked)));
        }
        self.shards.retain(|_, queue| !queue.is_idle());
        self.length -= late.len();
        self.bytes -= late.iter().map(|(_, parked)| parked.bytes).sum::<usize>();
        late
    }

    /// No more calls; those that wait.
    pub(crate) fn close(&mut self) -> Vec<(ShardId, Parked<T>)> {
        self.closed = true;
        (self.length, self.bytes) = (0, 0);
        let queues = std::mem::take(&mut self.shards).into_iter();
        queues
            .flat_map(|(shard, queue)| queue.waiting.into_values().map(move |it| (shard, it)))
            .collect()
    }

    /// Whether new calls of the shard go behind others.
    pub(crate) fn is_busy(&self, shard: ShardId) -> bool {
        self.shards.contains_key(&shard)
    }

    /// The shards that are busy.
    pub(crate) fn busy(&self) -> impl ExactSizeIterator<Item = ShardId> {
        self.shards.keys().copied()
    }

    /// How many calls are parked.
    pub(crate) fn length(&self) -> usize {
        self.length
    }

    /// What they hold, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    fn put(&mut self, shard: ShardId, parked: Parked<T>) {
        let queue = self.shards.entry(shard).or_insert_with(Queue::new);
        if let btree_map::Entry::Vacant(place) = queue.waiting.entry(parked.number) {
            self.length += 1;
            self.bytes += parked.bytes;
            place.insert(parked);
        }
    }

    fn tidy(&mut self, shard: ShardId) {
        if self.shards.get(&shard).is_some_and(Queue::is_idle) {
            self.shards.remove(&shard);
        }
    }
}

#[cfg(test)]
mod tests;
