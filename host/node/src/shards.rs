//! The doors of the shards: who is let in to the objects of each, who waits, who is sent away.
//!
//! A call holds a [`Pass`] of its object's shard from before it is in the mailbox until its turn has
//! ended with all that follows from it. A door that is sealed when no pass is out stays without
//! one: that is what makes a shard ready to be handed over. Doors are moved by the driver alone
//! (`shards/driver.rs`); without a cluster all of them are open for ever.

mod acts;
mod carry_out;
mod driver;
mod hand_over;
mod load;
mod pack;
mod parcel;
mod parked;
mod runs;

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{
            AtomicBool, AtomicU64,
            Ordering::{Relaxed, SeqCst},
        },
    },
    time::Duration,
};

use parking_lot::Mutex;
use tokio::sync::Notify;
use wasmverse_core::{CallError, Chain, Epoch, ErrorKind, ShardCount, ShardId};

pub(crate) use driver::run;
pub(crate) use load::tell as tell_load;
pub(crate) use parcel::{Parcel, Piece};
use parked::Parked;
pub(crate) use parked::{Parking, Waiting};

/// Calls that wait for one shard to move.
const PARKED_MAX: usize = 16_384;
/// When a caller that found no room may try again.
const FULL_RETRY_AFTER: Duration = Duration::from_millis(200);

/// When to try again while too few nodes are there.
const QUORUM_RETRY_AFTER: Duration = Duration::from_secs(1);

/// How a shard meets calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
enum Door {
    /// It is not ours: calls are sent away.
    Shut = 0,
    /// It is ours: all are let in.
    Open = 1,
    /// It is to be another's: chains that are under way are let in, others wait.
    Draining = 2,
    /// Nobody is let in: all wait.
    Sealed = 3,
}

impl Door {
    fn of(word: u64) -> Self {
        match word >> DOOR_SHIFT {
            0 => Self::Shut,
            1 => Self::Open,
            2 => Self::Draining,
            _ => Self::Sealed,
        }
    }
}

/// The door stands above the count of passes that are out.
const DOOR_SHIFT: u32 = 56;
const COUNT: u64 = (1 << DOOR_SHIFT) - 1;

/// What is known of all shards.
pub(crate) struct Shards {
    slots: Box<[Slot]>,
    /// The revision of the view that doors follow.
    revision: AtomicU64,
    /// Shards of which something is kept for the next epoch.
    kept: Mutex<BTreeSet<ShardId>>,
    /// Shards whose last pass came back while they were not open.
    quiet: Mutex<Vec<ShardId>>,
    /// Shards of which the store has another epoch than this one, in which we serve.
    outrun: Mutex<Vec<(ShardId, Epoch)>>,
    /// One of these two has become longer.
    stirred: Notify,
    /// Too few nodes are there: calls are refused.
    is_below_quorum: AtomicBool,
    /// Calls are counted, because shards are placed by them.
    counts_load: AtomicBool,
}

/// What is known of one.
#[derive(Default)]
struct Slot {
    word: AtomicU64,
    epoch: AtomicU64,
    /// While it drains: chains that began at this revision or later wait.
    drained_since: AtomicU64,
    /// Calls that were let in since that was told last, and what they carried.
    calls: AtomicU64,
    bytes: AtomicU64,
    rest: Mutex<Rest>,
}

/// What is seldom looked at.
#[derive(Default)]
struct Rest {
    parked: Parked,
    /// What was packed of it, until it is another's.
    outgoing: Option<Parcel>,
    /// What another node, or an earlier registration of this one, has left for the next epoch.
    keepsake: Option<Parcel>,
}

/// Leave to be at work in a shard.
pub(crate) struct Pass {
    shards: Arc<Shards>,
    shard: ShardId,
}

/// How a call is met.
pub(crate) enum Met {
    In(Pass),
    /// It is to be parked.
    Waits,
    Away(CallError),
}

impl Shards {
    pub(crate) fn new(count: ShardCount) -> Arc<Self> {
        Arc::new(Self {
            slots: (0..count.get()).map(|_| Slot::default()).collect(),
            revision: AtomicU64::new(0),
            kept: Mutex::default(),
            quiet: Mutex::default(),
            outrun: Mutex::default(),
            stirred: Notify::new(),
            is_below_quorum: AtomicBool::new(false),
            counts_load: AtomicBool::new(false),
        })
    }

    fn slot(&self, shard: ShardId) -> &Slot {
        &self.slots[usize::from(shard.0)]
    }

    /// The epoch in which this node owns a shard, or last did.
    pub(crate) fn epoch(&self, shard: ShardId) -> Epoch {
        Epoch(self.slot(shard).epoch.load(SeqCst))
    }

    /// Whether the objects of a shard are at work as ever.
    pub(crate) fn is_open(&self, shard: ShardId) -> bool {
        Door::of(self.slot(shard).word.load(SeqCst)) == Door::Open
    }

    /// Whether the objects of a shard are not ours to run.
    pub(crate) fn is_shut(&self, shard: ShardId) -> bool {
        Door::of(self.slot(shard).word.load(SeqCst)) == Door::Shut
    }

    /// The revision of the view that doors follow: read before a call is met, it is surely from
    /// before any move that the call does not meet.
    pub(crate) fn revision(&self) -> u64 {
        self.revision.load(SeqCst)
    }

    /// A call of that chain comes to a shard.
    pub(crate) fn meet(self: &Arc<Self>, shard: ShardId, chain: &Chain) -> Met {
        if self.is_below_quorum.load(Relaxed) {
            return Met::Away(below_quorum());
        }
        let slot = self.slot(shard);
        let mut word = slot.word.load(SeqCst);
        loop {
            match Door::of(word) {
                Door::Open => {}
                Door::Shut => return Met::Away(CallError::elsewhere(shard, self.epoch(shard))),
                // One that began before may be waited for by what is under way here.
                Door::Draining if chain.began() < slot.drained_since.load(SeqCst) => {}
                Door::Draining | Door::Sealed => return Met::Waits,
            }
            match slot.word.compare_exchange_weak(word, word + 1, SeqCst, SeqCst) {
                Ok(_) => return Met::In(Pass { shards: Arc::clone(self), shard }),
                Err(now) => word = now,
            }
        }
    }

    /// Whether so many nodes are there as it takes to serve anything.
    fn set_quorum(&self, is_there: bool) {
        if self.is_below_quorum.swap(!is_there, Relaxed) == is_there {
            match is_there {
                true => tracing::info!("enough nodes are there: serving"),
                false => tracing::warn!("too few nodes are there: serving nothing"),
            }
        }
    }

    /// Leave for what has waited: it comes before all others.
    fn let_in(self: &Arc<Self>, shard: ShardId) -> Pass {
        self.slot(shard).word.fetch_add(1, SeqCst);
        Pass { shards: Arc::clone(self), shard }
    }

    /// Leave for something of the node's own, which is done only while the shard is at work.
    pub(crate) fn enter(self: &Arc<Self>, shard: ShardId) -> Result<Pass, CallError> {
        match self.meet(shard, &Chain::default().since(u64::MAX)) {
            Met::In(pass) => Ok(pass),
            Met::Waits => Err(CallError::elsewhere(shard, self.epoch(shard))),
            Met::Away(error) => Err(error),
        }
    }

    /// Leave to look at a shard's objects, also while it drains. Once it is sealed nobody waits in it,
    /// and its next owner says.
    pub(crate) fn look_in(self: &Arc<Self>, shard: ShardId) -> Result<Pass, CallError> {
        match self.meet(shard, &Chain::default().since(0)) {
            Met::In(pass) => Ok(pass),
            Met::Waits => Err(CallError::elsewhere(shard, self.epoch(shard))),
            Met::Away(error) => Err(error),
        }
    }

    fn set_door(&self, shard: ShardId, door: Door) {
        let set = |word: u64| Some((word & COUNT) | ((door as u64) << DOOR_SHIFT));
        let before = self.slot(shard).word.fetch_update(SeqCst, SeqCst, set);
        if before.is_ok_and(|word| word & COUNT == 0) {
            self.note_quiet(shard);
        }
    }

    /// Opens a shard that is ours in this epoch.
    fn open(&self, shard: ShardId, epoch: Epoch) {
        self.set_epoch(shard, epoch);
        self.set_door(shard, Door::Open);
    }

    fn set_epoch(&self, shard: ShardId, epoch: Epoch) {
        self.slot(shard).epoch.store(epoch.0, SeqCst);
    }

    /// Opens all shards, for ever: this node alone is the cluster.
    pub(crate) fn open_all(&self, epochs: impl IntoIterator<Item = (ShardId, Epoch)>) {
        for (shard, epoch) in epochs {
            self.open(shard, epoch);
        }
    }

    /// From now on only chains that began before this revision are let in.
    fn drain(&self, shard: ShardId, since: u64) {
        self.slot(shard).drained_since.store(since, SeqCst);
        self.set_door(shard, Door::Draining);
    }

    /// Seals a shard that drains, if no pass is out; from then on none is.
    fn seal_if_quiet(&self, shard: ShardId) -> bool {
        let (draining, sealed) =
            ((Door::Draining as u64) << DOOR_SHIFT, (Door::Sealed as u64) << DOOR_SHIFT);
        let word = &self.slot(shard).word;
        word.compare_exchange(draining, sealed, SeqCst, SeqCst).is_ok()
            || word.load(SeqCst) == sealed
    }

    /// Seals a shard, whoever is in it.
    fn seal(&self, shard: ShardId) {
        self.set_door(shard, Door::Sealed);
    }

    fn shut(&self, shard: ShardId) {
        self.set_door(shard, Door::Shut);
    }

    /// How many passes of a shard are out.
    fn passes(&self, shard: ShardId) -> u64 {
        self.slot(shard).word.load(SeqCst) & COUNT
    }

    fn note_quiet(&self, shard: ShardId) {
        self.quiet.lock().push(shard);
        self.stirred.notify_one();
    }

    /// The store has refused to commit something of this epoch.
    pub(crate) fn note_outrun(&self, shard: ShardId, epoch: Epoch) {
        self.outrun.lock().push((shard, epoch));
        self.stirred.notify_one();
    }

    fn take_outrun(&self) -> Vec<(ShardId, Epoch)> {
        std::mem::take(&mut *self.outrun.lock())
    }

    fn take_quiet(&self) -> Vec<ShardId> {
        std::mem::take(&mut *self.quiet.lock())
    }
}

fn below_quorum() -> CallError {
    let problem =
        "fewer nodes are there than cluster.min_nodes, and nothing is served until they are";
    CallError::new(ErrorKind::Unavailable, problem).retry_after(QUORUM_RETRY_AFTER)
}

impl Drop for Pass {
    fn drop(&mut self) {
        let before = self.shards.slot(self.shard).word.fetch_sub(1, SeqCst);
        if before & COUNT == 1 && Door::of(before) != Door::Open {
            self.shards.note_quiet(self.shard);
        }
    }
}

#[cfg(test)]
mod tests;
