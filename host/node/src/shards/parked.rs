//! Calls that wait while their shard is on its way to another node.

use std::{collections::VecDeque, sync::atomic::Ordering::SeqCst};

use wasmverse_core::{Call, CallError, Epoch, ErrorKind, ShardId};

use super::{Door, FULL_RETRY_AFTER, PARKED_MAX, Shards};
use crate::{budget::Charge, letter::ReplyTo};

/// A call that waits, and where its answer goes.
pub(crate) struct Waiting {
    pub(crate) call: Call,
    pub(crate) reply: ReplyTo,
    /// For what it carries.
    pub(crate) charge: Option<Charge>,
}

/// The calls that wait for one shard, in the order in which they came.
#[derive(Default)]
pub(super) struct Parked(VecDeque<Waiting>);

/// What became of a call that was to wait.
pub(crate) enum Parking {
    Parked,
    /// The door has moved meanwhile: it is to be met again.
    Moved(Box<Waiting>),
    Full(Box<Waiting>, CallError),
}

impl Shards {
    /// Has a call wait until its shard is another's, or ours again.
    pub(crate) fn park(&self, shard: ShardId, waiting: Waiting) -> Parking {
        let slot = self.slot(shard);
        let mut rest = slot.rest.lock();
        // Whoever moves the door takes those that wait afterwards, under the same lock.
        if !matches!(Door::of(slot.word.load(SeqCst)), Door::Draining | Door::Sealed) {
            return Parking::Moved(Box::new(waiting));
        }
        if rest.parked.0.len() >= PARKED_MAX {
            let problem = "too many calls wait for its shard to move";
            let error = CallError::new(ErrorKind::Overloaded, problem);
            let error = error.retry_after(FULL_RETRY_AFTER);
            return Parking::Full(Box::new(waiting), error);
        }
        rest.parked.0.push_back(waiting);
        Parking::Parked
    }

    /// Puts calls before all that wait: they came before.
    pub(super) fn park_first(&self, shard: ShardId, waiting: Vec<Waiting>) {
        let mut rest = self.slot(shard).rest.lock();
        for one in waiting.into_iter().rev() {
            rest.parked.0.push_front(one);
        }
    }

    /// All calls that wait.
    pub(super) fn take_parked(&self, shard: ShardId) -> Vec<Waiting> {
        std::mem::take(&mut self.slot(shard).rest.lock().parked.0).into()
    }

    /// Opens a shard that was claimed if nobody waits; else those that do, who go first.
    pub(super) fn open_after(&self, shard: ShardId, epoch: Epoch) -> Vec<Waiting> {
        let mut rest = self.slot(shard).rest.lock();
        if rest.parked.0.is_empty() {
            self.open(shard, epoch);
        }
        std::mem::take(&mut rest.parked.0).into()
    }
}
