//! Sends that were committed and have yet to arrive: in order per sender and target, so that a target
//! that is gone or broken holds up only what is sent to it.
//!
//! What memory has no room for is left in the store, and read again once there is: until all of it
//! was, new sends are left there, too, and nothing overtakes.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;

use crate::{ObjectId, SendNumber, ShardId};

/// What a send takes in memory beside its payload.
const SEND_BYTES: usize = 256;

/// So many sends are under way to one target: enough to keep it at work, and few enough that one that
/// is stuck leaves room for the others.
const UNDER_WAY_AT_ONE_MAX: usize = 8;

/// Between two tries: at first, and at most.
const PAUSE_MIN: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// Bounds of an outbox.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// What it holds in memory.
    pub bytes_max: usize,
    /// Sends under way at once.
    pub under_way_max: usize,
    /// A send that was surely not executed is tried so often.
    pub tries_max: u32,
}

/// A send that waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pending {
    /// Who sends.
    pub from: ObjectId,
    /// The sender's shard.
    pub shard: ShardId,
    /// Which one of the sender's.
    pub number: SendNumber,
    /// To whom.
    pub to: ObjectId,
    /// Which method.
    pub method: Arc<str>,
    /// Its argument.
    pub payload: Bytes,
}

impl Pending {
    fn bytes(&self) -> usize {
        SEND_BYTES + self.payload.len()
    }

    /// Where it stands in the order of a store.
    fn place(&self) -> Place {
        (self.shard, self.from.clone(), self.number)
    }
}

/// Where a send stands in the order of a store.
pub type Place = (ShardId, ObjectId, SendNumber);

/// How a try ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tried {
    /// It has left the outbox of the store: it has arrived, or is a dead letter.
    Gone,
    /// It was surely not executed.
    NotExecuted,
    /// Nobody knows, or it could not be given up: it is asked again.
    Unsure,
}

/// The sends of the objects of a node that have yet to arrive.
#[derive(Debug)]
pub struct Outbox {
    bounds: Bounds,
    lanes: BTreeMap<LaneName, Lane>,
    /// Lanes whose first send may leave now.
    ready: BTreeSet<(u64, LaneName)>,
    /// Lanes that wait for another try.
    waiting: BTreeSet<(Instant, LaneName)>,
    /// Lanes take turns.
    turn: u64,
    under_way: usize,
    targets: BTreeMap<ObjectId, AtTarget>,
    sends: usize,
    bytes: usize,
    behind: Option<Scan>,
}

/// A sender and a target.
type LaneName = (ObjectId, ObjectId);

#[derive(Debug, Default)]
struct Lane {
    /// Its first one is the one that is tried.
    sends: BTreeMap<SendNumber, Pending>,
    /// So often it was surely not executed.
    tries: u32,
    /// So often in a row it did not arrive.
    failures: u32,
}

/// What goes on at one target.
#[derive(Debug, Default)]
struct AtTarget {
    under_way: usize,
    /// Lanes that could go on but for those that are under way.
    parked: VecDeque<LaneName>,
}

/// On the way through the store, after what was left there.
#[derive(Debug, Default)]
struct Scan {
    after: Option<Place>,
    /// A page is being read.
    is_reading: bool,
    /// Something was left in the store since the scan began: it may be behind it.
    is_overtaken: bool,
}

impl Outbox {
    /// An empty one, that has the store yet to read.
    pub fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            lanes: BTreeMap::new(),
            ready: BTreeSet::new(),
            waiting: BTreeSet::new(),
            turn: 0,
            under_way: 0,
            targets: BTreeMap::new(),
            sends: 0,
            bytes: 0,
            behind: Some(Scan::default()),
        }
    }

    /// Sends were committed.
    pub fn committed(&mut self, sends: impl IntoIterator<Item = Pending>) {
        for send in sends {
            if self.behind.is_none() && !self.has_room(&send) {
                self.behind = Some(Scan::default());
            }
            match &mut self.behind {
                Some(scan) => scan.is_overtaken = true,
                None => self.put(send),
            }
        }
    }

    /// The store holds sends that this does not know of.
    pub fn read_again(&mut self) {
        match &mut self.behind {
            Some(scan) => scan.is_overtaken = true,
            None => self.behind = Some(Scan::default()),
        }
    }

    /// Where the store is to be read on, if it is to be read now. Asked again only after
    /// [`Outbox::page`] or [`Outbox::no_page`].
    pub fn next_page(&mut self) -> Option<Option<Place>> {
        let has_room = self.bytes <= self.bounds.bytes_max / 2;
        let scan = self.behind.as_mut().filter(|scan| has_room && !scan.is_reading)?;
        scan.is_reading = true;
        Some(scan.after.clone())
    }

    /// The page could not be read: it is asked for again.
    pub fn no_page(&mut self) {
        if let Some(scan) = &mut self.behind {
            scan.is_reading = false;
        }
    }

    /// A page that was read from the store, in its order; an empty one is its end. Only what objects
    /// of these shards send is for this node.
    pub fn page(&mut self, sends: Vec<Pending>, is_ours: impl Fn(ShardId) -> bool) {
        let Some(mut scan) = self.behind.take() else { return };
        scan.is_reading = false;
        if sends.is_empty() {
            // What was left there meanwhile may stand before the end.
            self.behind = scan.is_overtaken.then(Scan::default);
            return;
        }
        for send in sends {
            if !is_ours(send.shard) {
                scan.after = Some(send.place());
                continue;
            }
            if !self.has_room(&send) {
                // It comes first when there is room again.
                break;
            }
            scan.after = Some(send.place());
            self.put(send);
        }
        self.behind = Some(scan);
    }

    fn has_room(&self, send: &Pending) -> bool {
        // One alone always has.
        self.bytes == 0 || self.bytes + send.bytes() <= self.bounds.bytes_max
    }

    /// One that is here already is here once.
    fn put(&mut self, send: Pending) {
        let name = (send.from.clone(), send.to.clone());
        let bytes = send.bytes();
        let lane = self.lanes.entry(name.clone()).or_default();
        let is_first = lane.sends.is_empty();
        if lane.sends.insert(send.number, send).is_none() {
            self.bytes += bytes;
            self.sends += 1;
        }
        if is_first {
            self.make_ready(name);
        }
    }

    fn make_ready(&mut self, name: LaneName) {
        self.turn += 1;
        self.ready.insert((self.turn, name));
    }

    /// A send that is to be tried now, if there is one and not too many are under way.
    pub fn start(&mut self, now: Instant) -> Option<Pending> {
        while let Some((until, _)) = self.waiting.first()
            && *until <= now
            && let Some((_, name)) = self.waiting.pop_first()
        {
            self.make_ready(name);
        }
        while self.under_way < self.bounds.under_way_max {
            let (_, name) = self.ready.pop_first()?;
            if !self.lanes.contains_key(&name) {
                // Its sender is another node's by now.
                continue;
            }
            let target = self.targets.entry(name.1.clone()).or_default();
            if target.under_way >= UNDER_WAY_AT_ONE_MAX {
                target.parked.push_back(name);
                continue;
            }
            target.under_way += 1;
            self.under_way += 1;
            let lane = self.lanes.get(&name).expect("a lane that is ready has a send");
            return lane.sends.first_key_value().map(|(_, send)| send.clone());
        }
        None
    }

    /// Whether a send that is under way is given up, rather than tried again, if it was not executed:
    /// it is made a dead letter then, and is gone.
    pub fn is_last_try(&self, send: &Pending) -> bool {
        let lane = self.lanes.get(&(send.from.clone(), send.to.clone()));
        lane.is_some_and(|lane| lane.tries + 1 >= self.bounds.tries_max)
    }

    /// A try has ended.
    pub fn ended(&mut self, send: &Pending, tried: Tried, now: Instant) {
        let name = (send.from.clone(), send.to.clone());
        let Some(lane) = self.lanes.get_mut(&name) else { return self.left(&send.to) };
        if tried == Tried::Gone {
            if let Some(gone) = lane.sends.remove(&send.number) {
                self.bytes -= gone.bytes();
                self.sends -= 1;
            }
            (lane.tries, lane.failures) = (0, 0);
            if lane.sends.is_empty() {
                self.lanes.remove(&name);
            } else {
                self.make_ready(name);
            }
        } else {
            lane.tries += u32::from(tried == Tried::NotExecuted);
            let pause = PAUSE_MIN.saturating_mul(1 << lane.failures.min(16)).min(PAUSE_MAX);
            lane.failures = lane.failures.saturating_add(1);
            self.waiting.insert((now + pause, name));
        }
        self.left(&send.to);
    }

    /// One less is under way to a target: another lane may go on.
    fn left(&mut self, target: &ObjectId) {
        self.under_way -= 1;
        let Some(at) = self.targets.get_mut(target) else { return };
        at.under_way -= 1;
        // Of those that are left: the senders of some may be another node's by now.
        let lanes = &self.lanes;
        let next = std::iter::from_fn(|| at.parked.pop_front()).find(|it| lanes.contains_key(it));
        if at.under_way == 0 && at.parked.is_empty() {
            self.targets.remove(target);
        }
        if let Some(next) = next {
            self.make_ready(next);
        }
    }

    /// Forgets what objects of other shards send: another node sees to it. Tries that are under way
    /// end as they do.
    pub fn keep_only(&mut self, is_ours: impl Fn(ShardId) -> bool) {
        let (sends, bytes) = (&mut self.sends, &mut self.bytes);
        self.lanes.retain(|_, lane| {
            let first = lane.sends.first_key_value();
            let keeps = first.is_none_or(|(_, send)| is_ours(send.shard));
            if !keeps {
                *sends -= lane.sends.len();
                *bytes -= lane.sends.values().map(Pending::bytes).sum::<usize>();
            }
            keeps
        });
        let lanes = &self.lanes;
        self.ready.retain(|(_, name)| lanes.contains_key(name));
        self.waiting.retain(|(_, name)| lanes.contains_key(name));
    }

    /// When a send is to be tried again, if nothing else happens.
    pub fn next_try(&self) -> Option<Instant> {
        self.waiting.first().map(|(until, _)| *until)
    }

    /// How many sends are in memory, and whether there may be others in the store.
    pub fn size(&self) -> (usize, bool) {
        (self.sends, self.behind.is_some())
    }

    /// Whether nothing waits that could leave at once, and nothing is under way.
    pub fn is_quiet(&self) -> bool {
        self.under_way == 0 && self.ready.is_empty()
    }
}

#[cfg(test)]
mod tests;
