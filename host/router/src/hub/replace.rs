//! A newer view: its peers come and go, and what has moved is routed anew.

use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use tokio::{
    sync::watch,
    time::{MissedTickBehavior, interval},
};
use wasmverse_core::{CallError, ErrorKind, NodeId, cluster::View};

use crate::{
    peer::{Linked, Peer, Role},
    pushes::Taken,
    routes::{Peers, Routes},
};

use super::{Hub, parked::LOOK_EVERY};

/// A former owner has so long to refuse what was on its way to it.
const FENCE: Duration = Duration::from_secs(2);
/// Nodes whose last pushes are remembered, although they are gone.
const REMEMBERED_MAX: usize = 256;

/// Follows the view until shutdown.
pub(crate) async fn follow(hub: Arc<Hub>) {
    let mut view = hub.view.clone();
    let mut changes = !hub.terms.is_static;
    if changes {
        view.mark_changed();
    }
    let mut look = interval(LOOK_EVERY);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let is_busy = hub.busy.load(Relaxed) > 0;
        tokio::select! {
            biased;
            () = hub.shutdown.cancelled() => break,
            _ = look.tick(), if is_busy => hub.look_after_parked(Instant::now()),
            changed = view.changed(), if changes => match changed {
                Ok(()) => {
                    let view = Arc::clone(&view.borrow_and_update());
                    hub.replace(view, Instant::now());
                }
                // Nobody tells of a newer one any more.
                Err(_) => changes = false,
            },
            () = hub.stirred.notified(), if !is_busy => {}
        }
    }
    hub.close();
}

impl Hub {
    /// Routes by a newer view from now on.
    pub(crate) fn replace(self: &Arc<Self>, view: Arc<View>, now: Instant) {
        let old = self.routes.load_full();
        if old.number > 0 && Arc::ptr_eq(&old.view, &view) {
            return;
        }
        let peers = self.peers(&old, &view);
        let gone: Vec<_> = old
            .peers
            .values()
            .filter(|peer| !view.is_registered(&peer.member.id, &peer.member.incarnation))
            .collect();
        let number = old.number + 1;
        let (moved, here) = (old.moved(&view), old.here.clone());
        let routes = Arc::new(Routes { number, view, peers, here });
        let mut rejected = Vec::new();
        {
            let mut lot = self.lot.lock();
            let until = now + FENCE;
            let mut letters = Vec::new();
            for (peer, shards) in moved {
                let fence = self.next_number();
                let (unwritten, written) = peer.outbox.withdraw(&shards, number, fence);
                letters.extend(unwritten);
                written.into_iter().for_each(|shard| lot.fence(shard, fence, until));
            }
            for peer in &gone {
                let retired = peer.outbox.retire(&registration_gone(&peer.member.id));
                peer.is_draining.store(retired.drains, Relaxed);
                letters.extend(retired.letters);
                for fence in retired.fences {
                    lot.unfence(fence);
                }
            }
            for letter in letters {
                self.put_back(&mut lot, letter, None, &mut rejected);
            }
            // First it is known what is busy, and then where it goes.
            self.note(&lot);
            self.routes.store(Arc::clone(&routes));
        }
        rejected.into_iter().for_each(|it| self.reject(it));
        gone.into_iter().for_each(|peer| self.part(peer));
        self.forget(&routes.peers);
        #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
        self.metrics().peers.set(routes.peers.len() as f64);
        if self.terms.role == Role::Gate {
            routes.peers.values().for_each(|peer| self.keep_linked(peer));
        }
        self.release_all();
    }

    /// One for each registration: those that were there, and new ones.
    fn peers(&self, old: &Routes, view: &View) -> Peers {
        let others = view.nodes.values().filter(|member| old.here.as_ref() != Some(&member.id));
        let peers = others.map(|member| {
            let known = old.peers.get(&member.id);
            let known = known.filter(|peer| peer.member.incarnation == member.incarnation);
            let peer = known.map(Arc::clone).unwrap_or_else(|| {
                let (member, terms) = (Arc::clone(member), Arc::clone(&self.terms));
                let taken = self.taken_from(&member.id);
                Arc::new(Peer::new(member, terms, taken))
            });
            peer.is_leaving.fetch_or(member.is_leaving, Relaxed);
            (member.id.clone(), peer)
        });
        peers.collect()
    }

    fn taken_from(&self, node: &NodeId) -> Arc<Mutex<Taken>> {
        Arc::clone(self.taken.lock().entry(node.clone()).or_default())
    }

    fn forget(&self, peers: &Peers) {
        let mut taken = self.taken.lock();
        if taken.len() > peers.len() + REMEMBERED_MAX {
            taken.retain(|node, _| peers.contains_key(node));
        }
    }

    /// A registration is gone. A peer that still answers its last calls is let go in peace.
    fn part(&self, peer: &Arc<Peer>) {
        let drains = peer.is_draining.load(Relaxed);
        tracing::info!(node = %peer.member.id, drains, "a node is gone from the cluster");
        peer.gone.cancel();
        if !drains {
            self.unlinked(peer);
            peer.parted();
        }
    }

    /// A link is up.
    pub(crate) fn linked(self: &Arc<Self>, peer: &Peer, linked: &Arc<Linked>) {
        *peer.away_since.lock() = None;
        peer.latest.store(Some(Arc::clone(linked)));
        peer.linked.send_replace(Some(Arc::clone(linked)));
        self.links.send_modify(|links| links.push(Arc::clone(linked)));
    }

    /// A link is lost, or takes no more calls.
    pub(crate) fn unlinked(&self, peer: &Peer) {
        peer.away_since.lock().get_or_insert_with(Instant::now);
        if let Some(linked) = peer.linked.send_replace(None) {
            self.links.send_modify(|links| links.retain(|other| !Arc::ptr_eq(other, &linked)));
        }
    }

    /// The links that are up, as they change.
    pub(crate) fn watch_links(&self) -> watch::Receiver<Vec<Arc<Linked>>> {
        self.links.subscribe()
    }
}

fn registration_gone(node: &NodeId) -> CallError {
    CallError::new(ErrorKind::Unavailable, format!("the node {node} is gone from the cluster"))
}
