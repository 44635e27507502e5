//! What is done at once when a shard changes hands: doors move, and those that wait go on.

use std::{sync::Arc, time::Instant};

use wasmverse_core::{Action, Call, CallError, Elsewhere, Epoch, ErrorKind, ShardId};

use super::{Met, Parcel, Parking, Pass, Piece, Waiting};
use crate::{
    host::Host,
    letter::{Letter, ReplyTo},
};

impl Host {
    /// A shard is ours: what was left for this epoch comes first, then all who wait, then the door
    /// opens.
    pub(super) fn serve(self: &Arc<Self>, shard: ShardId, epoch: Epoch, follows: Epoch) {
        self.owned.shards.set_epoch(shard, epoch);
        if let Some(parcel) = self.owned.shards.take_kept(shard) {
            let Parcel { epoch: ended, pieces, calls, callers, .. } = parcel;
            for (object, clients) in callers {
                for client in clients {
                    self.gates.callers.note(&client, &object, Some(shard));
                }
            }
            // Another has had the shard since: what they left is not the truth any more.
            if ended == follows {
                pieces.into_iter().for_each(|piece| self.put_down(shard, piece));
                calls.into_iter().for_each(|waiting| self.go_on(shard, waiting));
            } else {
                self.metrics.snapshots_dropped.increment(pieces.len() as u64);
                self.send_on(shard, calls);
            }
        }
        loop {
            let waiting = self.owned.shards.open_after(shard, epoch);
            if waiting.is_empty() {
                return;
            }
            waiting.into_iter().for_each(|waiting| self.go_on(shard, waiting));
        }
    }

    /// An object that was in another's memory sleeps in ours.
    fn put_down(&self, shard: ShardId, Piece { object, state }: Piece) {
        let Ok(entry) = self.directory.find(&object, |_| Ok::<_, CallError>(shard)) else { return };
        {
            let mut inner = entry.lock();
            if inner.phase.is_live() || inner.nap.is_some() {
                return;
            }
            (inner.exists, inner.looked) = (true, true);
        }
        self.nap(&entry, state);
    }

    /// Puts a call that waited into its object's mailbox.
    fn go_on(self: &Arc<Self>, shard: ShardId, waiting: Waiting) {
        let pass = self.owned.shards.let_in(shard);
        let Waiting { call, reply, charge } = waiting;
        self.owned.shards.count(shard, &call);
        drop(charge);
        let object = call.object.clone();
        if let Err((reply, error)) = self.put_in(call, reply, Some(pass)) {
            reply.answer(&self.metrics, &object, Err(error));
        }
    }

    /// Lets in the calls that wait at a shard which drains, and for which a turn waits somewhere.
    pub(super) fn let_in_chains(self: &Arc<Self>, shard: ShardId) {
        let waiting = self.owned.shards.take_parked(shard);
        let (chains, others): (Vec<_>, Vec<_>) =
            waiting.into_iter().partition(|waiting| !waiting.call.chain.is_empty());
        self.owned.shards.park_first(shard, others);
        chains.into_iter().for_each(|waiting| self.go_on(shard, waiting));
    }

    /// A shard is another's, or nobody's: who waits is sent on.
    pub(super) fn turn_away(&self, shard: ShardId) {
        self.owned.shards.shut(shard);
        let waiting = self.owned.shards.take_parked(shard);
        self.send_on(shard, waiting);
    }

    /// Has calls that were not executed go where their objects are.
    pub(crate) fn send_on(&self, shard: ShardId, waiting: Vec<Waiting>) {
        for Waiting { call, reply, .. } in waiting {
            match reply {
                // Nobody else would.
                ReplyTo::Nobody => {
                    let epoch = self.owned.shards.epoch(shard);
                    self.send_elsewhere(call, Elsewhere { shard, epoch });
                }
                ReplyTo::Caller(_) => {
                    let error = CallError::elsewhere(shard, self.owned.shards.epoch(shard));
                    reply.answer(&self.metrics, &call.object, Err(error));
                }
            }
        }
    }

    /// A one-way call whose object is not here.
    pub(crate) fn send_elsewhere(&self, call: Call, refusal: Elsewhere) {
        match self.joined() {
            Some(joined) => joined.router.send_elsewhere(call, refusal),
            None => {
                let error = CallError::new(ErrorKind::Unavailable, "its shard is nobody's");
                ReplyTo::Nobody.answer(&self.metrics, &call.object, Err(error));
            }
        }
    }

    /// Lets a call in to its object's shard, or has it wait there.
    pub(crate) fn meet(
        self: &Arc<Self>,
        shard: ShardId,
        mut call: Call,
        mut reply: ReplyTo,
    ) -> Result<(), (ReplyTo, CallError)> {
        let shards = &self.owned.shards;
        loop {
            let revision = shards.revision();
            match shards.meet(shard, &call.chain) {
                Met::In(pass) => {
                    shards.count(shard, &call);
                    // From now on its chain is one that is under way here, whatever others know.
                    if revision > 0 && (call.chain.began() == 0 || call.chain.began() > revision) {
                        call.chain = call.chain.since(revision);
                    }
                    return self.put_in(call, reply, Some(pass));
                }
                Met::Away(error) => return Err((reply, error)),
                Met::Waits => {}
            }
            let charge = match self.charge(payload_bytes(&call)) {
                Ok(charge) => Some(charge),
                Err(error) => return Err((reply, error)),
            };
            match shards.park(shard, Waiting { call, reply, charge }) {
                Parking::Parked => return Ok(()),
                Parking::Moved(waiting) => (call, reply) = (waiting.call, waiting.reply),
                Parking::Full(waiting, error) => return Err((waiting.reply, error)),
            }
        }
    }

    /// Puts a call into its object's mailbox.
    pub(crate) fn put_in(
        self: &Arc<Self>,
        call: Call,
        reply: ReplyTo,
        pass: Option<Pass>,
    ) -> Result<(), (ReplyTo, CallError)> {
        let (object, mut letter) = Letter::new(call, Instant::now(), reply);
        letter.pass = pass;
        self.deliver(&object, letter)
    }
}

pub(super) fn payload_bytes(call: &Call) -> usize {
    match &call.action {
        Action::Invoke(invocation) | Action::Deliver(invocation, _) => invocation.payload.len(),
        Action::Create | Action::Delete | Action::Exists | Action::ClientsGone(_) => 0,
    }
}
