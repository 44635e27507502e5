//! The middle of a router: a call is routed, once it is known where to, or parked until it is.
//!
//! The order of calls to a shard is kept by three rules. Whoever routes a call looks at the routes
//! first and then whether the shard is busy; the routes change only after the shards that moved are
//! made busy. A queue takes no call that was routed before its shards moved away. What comes back is
//! parked by its number, and a fence at the former owner holds up later calls until all has come back.

mod parked;
mod replace;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering::Acquire, Ordering::Relaxed},
    },
    time::Instant,
};

use arc_swap::ArcSwap;
use fnv::FnvHashMap;
use futures_util::{FutureExt as _, future::BoxFuture};
use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot, watch};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use wasmverse_core::{
    Call, CallError, Epoch, ErrorKind, NodeId, ObjectId, Placement, ShardId, cluster::View,
};
use wasmverse_proto::{FRAME_BYTES_MAX, convert::call_to_frame, node::CallFrame};

use crate::{
    Callee, WayBack,
    letter::{Answer, Back, Letter, NotQueued, Place, Ticket, Waiter, size},
    link,
    metrics::Metrics,
    parking::Lot,
    peer::{Linked, Peer, Terms},
    pushes::Taken,
    routes::{Routes, Way},
};

pub(crate) use replace::follow;

/// What a router consists of.
pub(crate) struct Hub {
    pub(crate) terms: Arc<Terms>,
    /// What of the cluster is in this process.
    pub(crate) here: Option<Local>,
    pub(crate) view: watch::Receiver<Arc<View>>,
    pub(crate) routes: ArcSwap<Routes>,
    /// Of the latest call, or fence.
    numbers: AtomicU64,
    lot: Mutex<Lot<Waiter>>,
    /// So many shards are busy.
    busy: AtomicUsize,
    /// Some shard has become busy.
    stirred: Notify,
    /// The last pushes that were taken, also from nodes that may come back.
    taken: Mutex<FnvHashMap<NodeId, Arc<Mutex<Taken>>>>,
    /// The peers whose links are up.
    pub(crate) links: watch::Sender<Vec<Arc<Linked>>>,
    /// Counts who was asked.
    pub(crate) asked: AtomicUsize,
    tracker: TaskTracker,
    shutdown: CancellationToken,
}

/// The node in this process.
#[derive(Clone)]
pub struct Local {
    /// Its name in the cluster.
    pub id: NodeId,
    /// What serves its objects.
    pub callee: Arc<dyn Callee>,
}

impl std::fmt::Debug for Local {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Local").field("id", &self.id).finish_non_exhaustive()
    }
}

/// What a call to a peer is routed by.
#[derive(Clone, Copy)]
pub(crate) enum Goal {
    /// Its shard, that the peer is taken to own in this epoch.
    Shard(ShardId, Epoch),
    /// It is for this very node, which says itself whether it is the one.
    Node,
}

impl Goal {
    /// The call as a frame, but for its id.
    pub(crate) fn frame(self, call: Call) -> CallFrame {
        let (shard, epoch) = match self {
            Self::Shard(shard, epoch) => (shard.0, epoch),
            Self::Node => (0, Epoch(0)),
        };
        let mut frame = call_to_frame(0, shard.into(), call, Instant::now());
        frame.epoch = epoch.0;
        frame
    }
}

impl Hub {
    pub(crate) fn new(
        terms: Terms,
        here: Option<Local>,
        view: watch::Receiver<Arc<View>>,
        tracker: TaskTracker,
        shutdown: CancellationToken,
    ) -> Arc<Self> {
        let bounds = &terms.config.bounds;
        let lot = Lot::new(bounds.parked_length_max, bounds.parked_bytes_max);
        let routes = Routes {
            number: 0,
            view: Arc::new(View::empty(terms.config.shards)),
            peers: FnvHashMap::default(),
            here: here.as_ref().map(|here| here.id.clone()),
        };
        let first = Arc::clone(&view.borrow());
        let hub = Arc::new(Self {
            terms: Arc::new(terms),
            here,
            view,
            routes: ArcSwap::from_pointee(routes),
            numbers: AtomicU64::new(0),
            lot: Mutex::new(lot),
            busy: AtomicUsize::new(0),
            stirred: Notify::new(),
            taken: Mutex::default(),
            links: watch::Sender::new(Vec::new()),
            asked: AtomicUsize::new(0),
            tracker,
            shutdown,
        });
        hub.replace(first, Instant::now());
        hub
    }

    pub(crate) fn metrics(&self) -> &Arc<Metrics> {
        &self.terms.metrics
    }

    /// Where an object belongs.
    pub(crate) fn place(&self, object: &ObjectId) -> Result<Placement, CallError> {
        let placed = self.terms.config.shards.place(object);
        placed.map_err(|error| CallError::from(error).about(object))
    }

    /// Brings a call to its object, once. Its place is taken when this returns.
    pub(crate) fn bring(
        self: &Arc<Self>,
        mut call: Call,
        placement: &Placement,
    ) -> BoxFuture<'static, Answer> {
        // Before it is looked whether the shard is busy.
        let routes = self.routes.load();
        date(&mut call, &routes.view);
        let shard = match placement {
            Placement::Shard(shard) => *shard,
            Placement::Node(address) => return self.bring_to_node(&routes, call, address),
        };
        if !self.is_busy(shard) {
            match (routes.way(shard), &self.here) {
                (Way::Here(epoch), Some(here)) => return self.call_here(here, call, epoch),
                (Way::To(peer, epoch), _) => {
                    return self.call_peer(peer, &routes, call, Goal::Shard(shard, epoch));
                }
                (Way::Here(_), None) | (Way::Nobody, _) => {}
            }
        }
        self.again(self.next_number(), call, shard, Epoch(0))
    }

    /// Brings a one-way call to its object, at most once.
    pub(crate) fn send(self: &Arc<Self>, mut call: Call) {
        let placement = match self.place(&call.object) {
            Ok(placement) => placement,
            Err(error) => {
                tracing::debug!(object = %call.object, %error, "dropped a one-way call");
                return;
            }
        };
        let routes = self.routes.load();
        date(&mut call, &routes.view);
        let (way, goal) = match &placement {
            Placement::Node(address) => (self.way_to_node(&routes, address.as_str()), None),
            Placement::Shard(shard) if self.is_busy(*shard) => (Way::Nobody, Some(*shard)),
            Placement::Shard(shard) => (routes.way(*shard), Some(*shard)),
        };
        match (way, goal, &self.here) {
            (Way::Here(epoch), _, Some(here)) => self.send_here(here, call, epoch),
            (Way::To(peer, epoch), Some(shard), _) => {
                self.send_to_peer(peer, &routes, call, Goal::Shard(shard, epoch));
            }
            (Way::To(peer, _), None, _) => self.send_to_peer(peer, &routes, call, Goal::Node),
            (Way::Here(_) | Way::Nobody, Some(shard), _) => {
                self.send_again(self.next_number(), call, shard, Epoch(0));
            }
            (Way::Here(_) | Way::Nobody, None, _) => {
                self.drop_send(&call.object, &away(placement));
            }
        }
    }

    fn bring_to_node(
        self: &Arc<Self>,
        routes: &Routes,
        call: Call,
        address: &NodeId,
    ) -> BoxFuture<'static, Answer> {
        match (self.way_to_node(routes, address.as_str()), &self.here) {
            // Whether it is the one, it says itself.
            (Way::Here(_), Some(here)) => here.callee.call(call),
            (Way::To(peer, _), _) => self.call_peer(peer, routes, call, Goal::Node),
            (Way::Here(_) | Way::Nobody, _) => {
                let error = away(Placement::Node(address.clone()));
                self.refuse(error, &call.object)
            }
        }
    }

    /// Without coordination, the only node says itself whether it is the one.
    pub(crate) fn way_to_node<'a>(&self, routes: &'a Routes, address: &str) -> Way<'a> {
        match self.terms.is_static {
            true => routes.way(ShardId(0)),
            false => routes.way_to_address(address),
        }
    }

    /// Without coordination, nothing ever comes back.
    pub(crate) fn call_here(
        self: &Arc<Self>,
        here: &Local,
        call: Call,
        epoch: Epoch,
    ) -> BoxFuture<'static, Answer> {
        if self.terms.is_static {
            return here.callee.call(call);
        }
        let back = WayBack::new(Arc::clone(self), self.next_number(), epoch);
        here.callee.call_within(call, back)
    }

    pub(crate) fn send_here(self: &Arc<Self>, here: &Local, call: Call, epoch: Epoch) {
        if self.terms.is_static {
            return here.callee.send(call);
        }
        let back = WayBack::new(Arc::clone(self), self.next_number(), epoch);
        here.callee.send_within(call, back);
    }

    fn call_peer(
        self: &Arc<Self>,
        peer: &Arc<Peer>,
        routes: &Routes,
        call: Call,
        goal: Goal,
    ) -> BoxFuture<'static, Answer> {
        self.keep_linked(peer);
        self.metrics().calls.increment(1);
        let size = size(&call);
        if size > FRAME_BYTES_MAX {
            return self.refuse(too_large(size), &call.object);
        }
        let number = self.next_number();
        if size > self.terms.config.bounds.large_payload_bytes {
            return self.apart(peer, number, call, goal, size);
        }
        let (object, deadline) = (call.object.clone(), call.deadline);
        let (sender, receiver) = oneshot::channel();
        let back = self.back_to(&call, goal);
        let letter = Letter { number, deadline, answer: Some(sender), back };
        let first = Arc::clone(&peer.outbox);
        let place = match goal {
            Goal::Shard(shard, _) if letter.back.is_some() => {
                Place::Shard(Arc::clone(self), shard, Some(first))
            }
            Goal::Shard(..) | Goal::Node => Place::Peer(first),
        };
        let ticket = Ticket::new(number, place, receiver);
        let frame = goal.frame(call);
        if let Err(refused) = peer.outbox.queue(frame, letter, routes.number) {
            let (letter, why) = *refused;
            match (why, letter.back) {
                (NotQueued::Elsewhere, Some(Back { call, shard, .. })) => {
                    self.park(shard, number, Waiter { call, answer: letter.answer }, Epoch(0));
                }
                (NotQueued::Error(error), _) => return self.refuse(error, &object),
                (NotQueued::Elsewhere, None) => return self.refuse(peer.unreachable(), &object),
            }
        }
        ticket.wait(object, deadline, Arc::clone(self.metrics())).boxed()
    }

    /// However large, it keeps its place among the others.
    fn send_to_peer(self: &Arc<Self>, peer: &Arc<Peer>, routes: &Routes, call: Call, goal: Goal) {
        self.keep_linked(peer);
        self.metrics().sends.increment(1);
        let (object, size) = (call.object.clone(), size(&call));
        if size > FRAME_BYTES_MAX {
            return self.drop_send(&object, &too_large(size));
        }
        let (number, deadline) = (self.next_number(), call.deadline);
        let back = self.back_to(&call, goal);
        let letter = Letter { number, deadline, answer: None, back };
        let Err(refused) = peer.outbox.queue(goal.frame(call), letter, routes.number) else {
            return;
        };
        let (letter, why) = *refused;
        match (why, letter.back) {
            (NotQueued::Elsewhere, Some(Back { call, shard, .. })) => {
                self.send_again(number, call, shard, Epoch(0));
            }
            (NotQueued::Error(error), _) => self.drop_send(&object, &error),
            (NotQueued::Elsewhere, None) => self.drop_send(&object, &peer.unreachable()),
        }
    }

    /// What it takes to send a call on elsewhere; none: it goes to one node alone.
    pub(crate) fn back_to(&self, call: &Call, goal: Goal) -> Option<Back> {
        match goal {
            Goal::Shard(shard, epoch) if !self.terms.is_static => {
                Some(Back { call: call.clone(), shard, epoch })
            }
            Goal::Shard(..) | Goal::Node => None,
        }
    }

    /// Keeps a link to a peer from now on.
    pub(crate) fn keep_linked(self: &Arc<Self>, peer: &Arc<Peer>) {
        if !peer.is_kept.load(Relaxed) && !peer.is_kept.swap(true, Relaxed) {
            *peer.away_since.lock() = Some(Instant::now());
            let keeping = link::keep(Arc::clone(self), Arc::clone(peer), self.shutdown.clone());
            self.tracker.spawn(keeping);
        }
    }

    pub(crate) fn next_number(&self) -> u64 {
        self.numbers.fetch_add(1, Relaxed) + 1
    }

    fn is_busy(&self, shard: ShardId) -> bool {
        self.busy.load(Acquire) > 0 && self.lot.lock().is_busy(shard)
    }

    fn refuse(&self, error: CallError, object: &ObjectId) -> BoxFuture<'static, Answer> {
        self.metrics().count(&error);
        std::future::ready(Err(error.about(object))).boxed()
    }

    fn drop_send(&self, object: &ObjectId, error: &CallError) {
        self.metrics().sends_lost.increment(1);
        tracing::debug!(%object, %error, "dropped a one-way call");
    }
}

/// A chain begins with the view that its first call is routed by.
fn date(call: &mut Call, view: &View) {
    if view.revision > 0 && call.chain.is_empty() && call.chain.began() == 0 {
        call.chain = std::mem::take(&mut call.chain).since(view.revision);
    }
}

fn away(placement: Placement) -> CallError {
    let problem = match placement {
        Placement::Node(address) => format!("the node at {address} is not there"),
        Placement::Shard(shard) => format!("shard {shard} is served by nobody now"),
    };
    CallError::new(ErrorKind::Unavailable, problem)
}

fn too_large(size: usize) -> CallError {
    let problem =
        format!("the call has {size} bytes: at most {FRAME_BYTES_MAX} pass between processes");
    CallError::new(ErrorKind::InvalidArgument, problem)
}

#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;
