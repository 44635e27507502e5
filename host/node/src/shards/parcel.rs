//! What goes along with a shard: what its objects have in memory and nowhere else, and the calls that
//! wait. It ends an epoch, and is good for the very next one alone.

use std::{sync::Arc, time::Instant};

use wasmverse_core::{Epoch, NodeId, ObjectId, ShardId, State};

use super::{Shards, Waiting};
use crate::{callers::Called, known_types::Revision};

/// What an object has in memory alone.
#[derive(Clone)]
pub(crate) struct Piece {
    pub(crate) object: ObjectId,
    /// Its state, and the revision that wrote it; none: it only exists.
    pub(crate) state: Option<(State, Arc<Revision>)>,
}

/// What goes along with a shard.
pub(crate) struct Parcel {
    /// The one that it ends.
    pub(crate) epoch: Epoch,
    pub(crate) pieces: Vec<Piece>,
    /// In order. Those that were handed over are not in it any more.
    pub(crate) calls: Vec<Waiting>,
    /// Since when it is on its way.
    pub(crate) packed: Instant,
    /// It was brought to this node, which has not said whether it took it: its calls may be served
    /// there.
    pub(super) in_doubt: Option<NodeId>,
    /// The clients that have called objects of the shard.
    pub(crate) callers: Vec<Called>,
}

impl Parcel {
    pub(crate) fn new(epoch: Epoch, pieces: Vec<Piece>) -> Self {
        let (calls, callers) = (Vec::new(), Vec::new());
        Self { epoch, pieces, calls, packed: Instant::now(), in_doubt: None, callers }
    }

    /// Whether there is anything in it.
    pub(super) fn is_full(&self) -> bool {
        !self.pieces.is_empty() || !self.calls.is_empty() || !self.callers.is_empty()
    }
}

impl Shards {
    /// Keeps a parcel for the next epoch. One that was kept before comes back.
    pub(crate) fn keep(&self, shard: ShardId, parcel: Parcel) -> Option<Parcel> {
        self.kept.lock().insert(shard);
        self.slot(shard).rest.lock().keepsake.replace(parcel)
    }

    /// Takes what is kept.
    pub(super) fn take_kept(&self, shard: ShardId) -> Option<Parcel> {
        self.kept.lock().remove(&shard);
        self.slot(shard).rest.lock().keepsake.take()
    }

    /// Takes the calls that are kept.
    pub(super) fn take_kept_calls(&self, shard: ShardId) -> Vec<Waiting> {
        let mut rest = self.slot(shard).rest.lock();
        rest.keepsake.as_mut().map(|parcel| std::mem::take(&mut parcel.calls)).unwrap_or_default()
    }

    /// The epoch that ends with what is kept of a shard, for each of which something is.
    pub(super) fn all_kept(&self) -> Vec<(ShardId, Epoch)> {
        let kept: Vec<_> = self.kept.lock().iter().copied().collect();
        let epoch = |shard: &ShardId| {
            let rest = self.slot(*shard).rest.lock();
            rest.keepsake.as_ref().map(|parcel| (*shard, parcel.epoch))
        };
        kept.iter().filter_map(epoch).collect()
    }

    pub(super) fn put_outgoing(&self, shard: ShardId, parcel: Parcel) {
        self.slot(shard).rest.lock().outgoing = Some(parcel);
    }

    pub(super) fn take_outgoing(&self, shard: ShardId) -> Option<Parcel> {
        self.slot(shard).rest.lock().outgoing.take()
    }

    /// Looks at the parcel that is on its way, or changes it.
    pub(super) fn with_outgoing<T>(
        &self,
        shard: ShardId,
        look: impl FnOnce(&mut Parcel) -> T,
    ) -> Option<T> {
        self.slot(shard).rest.lock().outgoing.as_mut().map(look)
    }
}
