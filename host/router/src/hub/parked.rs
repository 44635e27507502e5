//! Calls that wait in the router, and how they go on.

use std::{
    sync::{Arc, atomic::Ordering::Release},
    time::{Duration, Instant},
};

use futures_util::{FutureExt as _, future::BoxFuture};
use tokio::sync::oneshot;
use wasmverse_core::{Call, CallError, Elsewhere, Epoch, ObjectId, ShardId};
use wasmverse_proto::FRAME_BYTES_MAX;

use crate::{
    WayBack,
    letter::{
        Answer, Back, Letter, NotQueued, Place, Settled, TakenBack, Ticket, Waiter, Word,
        held_bytes, size, unserved,
    },
    outbox::{closed, overloaded},
    parking::{Lot, NoRoom, Parked},
    peer::Peer,
    routes::{Routes, Way},
};

use super::{Goal, Hub, Local, too_large};

/// How often calls that wait are looked at, beside when a view comes.
pub(super) const LOOK_EVERY: Duration = Duration::from_millis(50);

/// A call that found no room, and is to be told so, outside the lock.
pub(super) type Rejected = (Parked<Waiter>, NoRoom);

/// Why calls that were taken out stay.
enum Stays {
    /// They are routed anew.
    Moved(Parked<Waiter>),
    /// Where they belong, there is no room now.
    Full(Parked<Waiter>),
}

impl Hub {
    /// Sends a call on, behind all that wait for its shard: to an owner of an epoch from `least` on.
    pub(crate) fn again(
        self: &Arc<Self>,
        number: u64,
        call: Call,
        shard: ShardId,
        least: Epoch,
    ) -> BoxFuture<'static, Answer> {
        let (object, deadline) = (call.object.clone(), call.deadline);
        let (sender, receiver) = oneshot::channel();
        let place = Place::Shard(Arc::clone(self), shard, None);
        let ticket = Ticket::new(number, place, receiver);
        self.park(shard, number, Waiter { call, answer: Some(sender) }, least);
        ticket.wait(object, deadline, Arc::clone(self.metrics())).boxed()
    }

    /// The same for a one-way call.
    pub(crate) fn send_again(
        self: &Arc<Self>,
        number: u64,
        call: Call,
        shard: ShardId,
        least: Epoch,
    ) {
        self.park(shard, number, Waiter { call, answer: None }, least);
    }

    /// Parks a call, for no longer than it must.
    pub(super) fn park(
        self: &Arc<Self>,
        shard: ShardId,
        number: u64,
        waiter: Waiter,
        least: Epoch,
    ) {
        let parked = parked(number, waiter);
        if let Some(rejected) = self.with_lot(|lot| lot.park(shard, parked, least)) {
            return self.reject(rejected);
        }
        self.release(shard);
    }

    /// What a peer has refused goes on, and what has waited for its fences.
    pub(crate) fn came_back(self: &Arc<Self>, settled: Settled) {
        let Settled { refused, fences } = settled;
        if refused.is_empty() && fences.is_empty() {
            return;
        }
        let mut shards = Vec::with_capacity(refused.len());
        let rejected = self.with_lot(|lot| {
            let mut rejected = Vec::new();
            for (letter, elsewhere) in refused {
                shards.extend(self.put_back(lot, letter, Some(elsewhere), &mut rejected));
            }
            for fence in fences {
                shards.extend(lot.unfence(fence));
            }
            rejected
        });
        self.finish_moving(shards, rejected);
    }

    /// What was not written to a peer goes on.
    pub(crate) fn withdrawn(self: &Arc<Self>, letters: Vec<Letter>) {
        let mut shards = Vec::with_capacity(letters.len());
        let rejected = self.with_lot(|lot| {
            let mut rejected = Vec::new();
            for letter in letters {
                shards.extend(self.put_back(lot, letter, None, &mut rejected));
            }
            rejected
        });
        self.finish_moving(shards, rejected);
    }

    fn finish_moving(self: &Arc<Self>, mut shards: Vec<ShardId>, rejected: Vec<Rejected>) {
        rejected.into_iter().for_each(|it| self.reject(it));
        shards.sort_unstable();
        shards.dedup();
        shards.into_iter().for_each(|shard| self.release(shard));
    }

    /// Puts a call back that was at a peer; its shard.
    pub(super) fn put_back(
        &self,
        lot: &mut Lot<Waiter>,
        letter: Letter,
        refusal: Option<Elsewhere>,
        rejected: &mut Vec<Rejected>,
    ) -> Option<ShardId> {
        let Letter { number, answer, back, .. } = letter;
        let back = back?;
        let least = refusal.map_or(Epoch(0), |refusal| back.after(refusal));
        let Back { call, shard, .. } = back;
        self.metrics().moved.increment(1);
        let parked = parked(number, Waiter { call, answer });
        rejected.extend(lot.park(shard, parked, least));
        Some(shard)
    }

    /// Hands on what waits for a shard, as far as it has an owner that may serve it.
    pub(crate) fn release(self: &Arc<Self>, shard: ShardId) {
        loop {
            let routes = self.routes.load();
            let way = routes.way(shard);
            let epoch = match &way {
                Way::Here(epoch) => *epoch,
                Way::To(peer, epoch) if peer.outbox.takes_calls() => *epoch,
                Way::To(..) | Way::Nobody => return,
            };
            let mut batch = self.with_lot(|lot| lot.begin(shard, epoch)).into_iter();
            if batch.as_slice().is_empty() {
                return;
            }
            let stays = batch.find_map(|parked| self.hand_on(shard, &routes, &way, parked));
            let (first, is_full) = match stays {
                Some(Stays::Full(parked)) => (Some(parked), true),
                Some(Stays::Moved(parked)) => (Some(parked), false),
                None => (None, false),
            };
            let left = first.into_iter().chain(batch).collect();
            let left = self.with_lot(|lot| lot.end(shard, left));
            left.into_iter().for_each(|parked| self.reject((parked, NoRoom::Closed)));
            if is_full {
                // It is looked at again before long.
                return;
            }
        }
    }

    /// Hands a call to whoever serves its shard, unless it stays.
    fn hand_on(
        self: &Arc<Self>,
        shard: ShardId,
        routes: &Routes,
        way: &Way<'_>,
        parked: Parked<Waiter>,
    ) -> Option<Stays> {
        if parked.item.answer.as_ref().is_some_and(oneshot::Sender::is_closed) {
            return None;
        }
        if parked.deadline <= Instant::now() {
            self.tell(parked.item, unserved(shard));
            return None;
        }
        match (way, &self.here) {
            (Way::To(peer, epoch), _) => {
                self.hand_to_peer(peer, routes, parked, Goal::Shard(shard, *epoch))
            }
            (Way::Here(epoch), Some(here)) => {
                self.hand_here(here, parked, *epoch);
                None
            }
            (Way::Here(_), None) | (Way::Nobody, _) => Some(Stays::Moved(parked)),
        }
    }

    fn hand_here(self: &Arc<Self>, here: &Local, parked: Parked<Waiter>, epoch: Epoch) {
        let Parked { number, item: Waiter { call, answer }, .. } = parked;
        let back = WayBack::new(Arc::clone(self), number, epoch);
        match answer {
            // If its caller is just gone, the call is taken back.
            Some(answer) => {
                drop(answer.send(Word::Follow(here.callee.call_within(call, back))));
            }
            None => here.callee.send_within(call, back),
        }
    }

    fn hand_to_peer(
        self: &Arc<Self>,
        peer: &Arc<Peer>,
        routes: &Routes,
        parked: Parked<Waiter>,
        goal: Goal,
    ) -> Option<Stays> {
        let Parked { number, deadline, bytes, item: Waiter { call, answer } } = parked;
        let size = size(&call);
        if size > FRAME_BYTES_MAX {
            self.tell(Waiter { call, answer }, too_large(size));
            return None;
        }
        self.keep_linked(peer);
        let counted = if answer.is_some() { &self.metrics().calls } else { &self.metrics().sends };
        counted.increment(1);
        let answer = match answer {
            Some(answer) if size > self.terms.config.bounds.large_payload_bytes => {
                let calling = self.apart(peer, number, call, goal, size);
                drop(answer.send(Word::Follow(calling)));
                return None;
            }
            answer => answer,
        };
        let back = self.back_to(&call, goal);
        let letter = Letter { number, deadline, answer, back };
        let Err(refused) = peer.outbox.queue(goal.frame(call), letter, routes.number) else {
            return None;
        };
        let (letter, why) = *refused;
        let Letter { answer, back: Some(Back { call, .. }), .. } = letter else { return None };
        let parked = Parked { number, deadline, bytes, item: Waiter { call, answer } };
        match why {
            NotQueued::Elsewhere => Some(Stays::Moved(parked)),
            NotQueued::Error(_) => Some(Stays::Full(parked)),
        }
    }

    /// The caller is gone, or its deadline has passed.
    pub(crate) fn take_back(&self, shard: ShardId, number: u64) -> TakenBack {
        if self.with_lot(|lot| lot.take(shard, number)).is_some() {
            return TakenBack::Parked(shard);
        }
        let routes = self.routes.load();
        match routes.peers.values().find_map(|peer| peer.outbox.abandon(number)) {
            Some(false) => TakenBack::Queued,
            Some(true) | None => TakenBack::Written,
        }
    }

    /// Looks after what waits.
    pub(super) fn look_after_parked(self: &Arc<Self>, now: Instant) {
        let (late, lapsed) = self.with_lot(|lot| (lot.expire(now), lot.lapse(now)));
        if !lapsed.is_empty() {
            tracing::debug!(shards = lapsed.len(), "a former owner has not answered in time");
        }
        for (shard, parked) in late {
            self.tell(parked.item, unserved(shard));
        }
        self.release_all();
    }

    pub(super) fn release_all(self: &Arc<Self>) {
        let busy: Vec<_> = self.lot.lock().busy().collect();
        busy.into_iter().for_each(|shard| self.release(shard));
    }

    /// No call waits any longer.
    pub(super) fn close(&self) {
        for (_, parked) in self.with_lot(Lot::close) {
            self.reject((parked, NoRoom::Closed));
        }
    }

    pub(super) fn reject(&self, (parked, why): Rejected) {
        let error = match why {
            NoRoom::Full => overloaded("too many calls wait for shards that nobody serves now"),
            NoRoom::Closed => closed(),
        };
        self.tell(parked.item, error);
    }

    /// Never under the lock of the lot: what is dropped here may look for its call there.
    fn tell(&self, waiter: Waiter, error: CallError) {
        let object: &ObjectId = &waiter.call.object;
        match waiter.answer {
            Some(answer) => drop(answer.send(Word::Answer(Err(error)))),
            None => self.drop_send(object, &error),
        }
    }

    fn with_lot<T>(&self, change: impl FnOnce(&mut Lot<Waiter>) -> T) -> T {
        let mut lot = self.lot.lock();
        let done = change(&mut lot);
        self.note(&lot);
        done
    }

    /// Tells everybody how many shards are busy, under the lock.
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    pub(super) fn note(&self, lot: &Lot<Waiter>) {
        let busy = lot.busy().len();
        if self.busy.swap(busy, Release) == 0 && busy > 0 {
            self.stirred.notify_one();
        }
        self.metrics().parked.set(lot.length() as f64);
        self.metrics().parked_bytes.set(lot.bytes() as f64);
    }
}

fn parked(number: u64, waiter: Waiter) -> Parked<Waiter> {
    let (deadline, bytes) = (waiter.call.deadline, held_bytes(&waiter.call));
    Parked { number, deadline, bytes, item: waiter }
}
