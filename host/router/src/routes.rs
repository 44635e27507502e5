//! The way to each shard: a view, and the peers that belong to it. Never changed, only replaced.

use std::{ptr, sync::Arc};

use fnv::{FnvHashMap, FnvHashSet};
use wasmverse_core::{
    Epoch, NodeId, ShardId,
    cluster::{Member, Route, View},
};

use crate::peer::Peer;

/// Of one node, each.
pub(crate) type Peers = FnvHashMap<NodeId, Arc<Peer>>;

/// A view, and the peers that belong to it.
pub(crate) struct Routes {
    /// Grows with each of them.
    pub(crate) number: u64,
    pub(crate) view: Arc<View>,
    /// One for each registration, but for our own.
    pub(crate) peers: Peers,
    /// What of the view is in this process.
    pub(crate) here: Option<NodeId>,
}

/// The way to a shard, or to a node.
pub(crate) enum Way<'a> {
    /// It is in this process.
    Here(Epoch),
    /// It is there.
    To(&'a Arc<Peer>, Epoch),
    /// Nobody serves it now.
    Nobody,
}

impl Routes {
    pub(crate) fn way(&self, shard: ShardId) -> Way<'_> {
        match self.view.route(shard) {
            Route::At(member, epoch) => self.way_to(member, epoch),
            Route::Nobody => Way::Nobody,
        }
    }

    /// The way to the node that advertises an address.
    pub(crate) fn way_to_address(&self, address: &str) -> Way<'_> {
        match self.view.at_address(address) {
            Some(member) => self.way_to(member, Epoch(0)),
            None => Way::Nobody,
        }
    }

    fn way_to(&self, member: &Member, epoch: Epoch) -> Way<'_> {
        if self.here.as_ref() == Some(&member.id) {
            return Way::Here(epoch);
        }
        match self.peers.get(&member.id) {
            Some(peer) => Way::To(peer, epoch),
            None => Way::Nobody,
        }
    }

    /// The shards that peers served and no longer serve in the same epoch, as a newer view says,
    /// although they are still there.
    pub(crate) fn moved(&self, view: &View) -> Vec<(&Arc<Peer>, FnvHashSet<ShardId>)> {
        let mut moved: FnvHashMap<&NodeId, FnvHashSet<ShardId>> = FnvHashMap::default();
        for shard in view.shards() {
            if ptr::eq(self.view.slot(shard), view.slot(shard)) {
                continue;
            }
            let Some((was_at, before)) = self.view.owner(shard) else { continue };
            let stays = view.owner(shard).is_some_and(|(member, epoch)| {
                (&member.id, &member.incarnation, epoch)
                    == (&was_at.id, &was_at.incarnation, before)
            });
            if !stays && view.is_registered(&was_at.id, &was_at.incarnation) {
                moved.entry(&was_at.id).or_default().insert(shard);
            }
        }
        moved.into_iter().filter_map(|(id, shards)| Some((self.peers.get(id)?, shards))).collect()
    }
}
