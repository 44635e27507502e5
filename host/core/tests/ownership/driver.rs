//! What a node does about its state machines: asks them, and carries out what they ask for, on etcd,
//! the store and other nodes.

use wasmverse_core::{
    Epoch,
    cluster::{
        OwnerKey, View,
        owner::{Action, Bid, Change, Done, Me, State},
    },
};

use crate::{
    etcd::{self, SHARDS, id, incarnation, shard},
    node::{Gate, UnderWay},
    world::{Bug, Violation, World},
};

impl World {
    /// Asks the state machines of a node, which has read or learnt something, what to do.
    pub(crate) fn look(&mut self, node: usize) -> Result<(), Violation> {
        for slot in 0..SHARDS {
            self.look_at(node, slot)?;
        }
        Ok(())
    }

    pub(crate) fn look_at(&mut self, node: usize, slot: usize) -> Result<(), Violation> {
        while let Some(change) =
            self.ask(node, slot, |state, me, view| state.look(shard(slot), me, view))
        {
            self.follow(node, slot, change)?;
        }
        Ok(())
    }

    /// What a state machine says to the view and the registration of its node.
    pub(crate) fn ask(
        &self,
        node: usize,
        slot: usize,
        question: impl FnOnce(&State, Me<'_>, &View) -> Option<Change>,
    ) -> Option<Change> {
        let known = &self.nodes[node];
        let name = id(node);
        let own = known.registration.map(|(number, at)| (incarnation(node, number), at));
        let registration = own.as_ref().map(|(own, at)| (own, *at));
        let me = Me { id: &name, registration, holds_lease: known.holds_lease };
        let state = &known.places[slot].state;
        let view = &self.etcd.seen(known.seen).view;
        if self.bug == Bug::ClaimsIgnoreTheFormerOwner
            && matches!(state, State::Away(_) | State::Raising(_))
        {
            // It takes everybody else for dead.
            let mut alone = view.clone();
            alone.nodes.retain(|other, _| *other == name);
            return question(state, me, &alone);
        }
        question(state, me, view)
    }

    /// Enters a new state, and does what takes no time.
    pub(crate) fn follow(
        &mut self,
        node: usize,
        slot: usize,
        change: Change,
    ) -> Result<(), Violation> {
        let (state, action) = change;
        let place = &mut self.nodes[node].places[slot];
        place.state = state;
        place.under_way = None;
        let Some(action) = action else { return Ok(()) };
        match &action {
            Action::Serve(_) => {
                place.gate = Gate::Open;
                place.newest = 0;
                let above = place.above;
                let fits = |ends: &u64| *ends == above || self.bug == Bug::ParcelsFitEveryEpoch;
                if let Some(ends) = place.parcel.take().filter(fits) {
                    return self.use_parcel(slot, ends);
                }
            }
            Action::Drain(target) => {
                let newest = match self.bug {
                    Bug::DrainsGoByTheTarget | Bug::DrainsKnowTheirOwnChains => 0,
                    _ => place.newest,
                };
                place.gate = Gate::Draining((*target).max(newest + 1));
                place.under_way = Some(UnderWay::Asked(action));
            }
            Action::Pack => {
                place.gate = Gate::Shut;
                // Only the first shard has anything in memory.
                place.parcel = place.state.held().map(|held| held.epoch.0).filter(|_| slot == 0);
                place.under_way = Some(UnderWay::Done(Done::Packed(slot == 0)));
                return self.hear(node, slot);
            }
            Action::Fence(epoch) => {
                if place.gate != Gate::Shut {
                    place.parcel = Some(epoch.0).filter(|_| slot == 0);
                }
                place.gate = Gate::Shut;
                place.under_way = Some(UnderWay::Done(Done::Fenced));
                self.lose_turns(node, slot);
                return self.hear(node, slot);
            }
            Action::Forget => {
                let target = self.etcd.seen(self.nodes[node].seen).keys.slots[slot].target.clone();
                if target.is_none_or(|target| target.node != id(node)) {
                    self.nodes[node].places[slot].parcel = None;
                }
            }
            Action::Raise(_) | Action::Claim(..) | Action::Send(_) | Action::Release(..) => {
                place.under_way = Some(UnderWay::Asked(action));
            }
        }
        Ok(())
    }

    /// Whether the action that is under way may be carried out.
    pub(crate) fn may_carry_out(&self, node: usize, slot: usize, action: &Action) -> bool {
        let place = &self.nodes[node].places[slot];
        match action {
            // The drain limit is far away: it must not come to that.
            Action::Drain(_) => {
                place.turn.is_none() && !self.chains.iter().any(|it| it.runs_at(node, slot))
            }
            // To a process that is dead: it fails once it is known to be.
            Action::Send(to) => {
                let to = etcd::place(to);
                self.nodes[to].is_up || self.etcd.now().nodes[to].is_none()
            }
            _ => true,
        }
    }

    pub(crate) fn carry_out(&mut self, node: usize, slot: usize) -> Result<(), Violation> {
        let place = &mut self.nodes[node].places[slot];
        let done = match place.under_way.take() {
            Some(UnderWay::Asked(Action::Raise(bid))) => self.raise(node, slot, bid),
            Some(UnderWay::Found(bid, epoch)) => self.confirm_bid(node, slot, bid, epoch),
            Some(UnderWay::Confirmed(_, epoch)) => self.raise_from(slot, epoch),
            Some(UnderWay::Asked(action)) => UnderWay::Done(self.do_at_once(node, slot, action)),
            other => unreachable!("{other:?} is not carried out"),
        };
        let is_slow = match &done {
            UnderWay::Done(done) => {
                matches!(done, Done::Claimed(Some(_)) | Done::Sent(true) | Done::Released(_))
            }
            UnderWay::Asked(_) | UnderWay::Found(..) | UnderWay::Confirmed(..) => true,
        };
        self.nodes[node].places[slot].under_way = Some(done);
        if is_slow { Ok(()) } else { self.hear(node, slot) }
    }

    /// The store raises the epoch that the bid knows of, or says which one it has.
    pub(crate) fn raise(&mut self, node: usize, slot: usize, bid: Bid) -> UnderWay {
        let above = bid.above().0;
        self.nodes[node].places[slot].above = above;
        if self.epochs[slot] == above {
            return self.raise_from(slot, above);
        }
        match self.bug {
            Bug::RaisesAreBlind => self.raise_from(slot, self.epochs[slot]),
            _ => UnderWay::Found(bid, self.epochs[slot]),
        }
    }

    /// Reads etcd as it is now: is the shard still nobody's, and to be ours?
    pub(crate) fn confirm_bid(&self, node: usize, slot: usize, bid: Bid, epoch: u64) -> UnderWay {
        match self.etcd.now().allow_claim(node, slot, &bid, true) {
            true => UnderWay::Confirmed(bid, epoch),
            false => UnderWay::Done(Done::Raised(None)),
        }
    }

    pub(crate) fn raise_from(&mut self, slot: usize, epoch: u64) -> UnderWay {
        let is_same = self.epochs[slot] == epoch;
        self.epochs[slot] += u64::from(is_same);
        UnderWay::Done(Done::Raised(is_same.then_some(Epoch(self.epochs[slot]))))
    }

    pub(crate) fn do_at_once(&mut self, node: usize, slot: usize, action: Action) -> Done {
        match action {
            Action::Drain(_) => Done::Drained,
            Action::Claim(bid, epoch) => {
                let asserts_gone = self.bug != Bug::ClaimsIgnoreTheFormerOwner;
                let is_allowed = self.etcd.now().allow_claim(node, slot, &bid, asserts_gone);
                Done::Claimed(is_allowed.then(|| {
                    let holder = Some((id(node), bid.incarnation.clone()));
                    self.etcd.commit(|keys, revision| {
                        keys.slots[slot].owner = Some(OwnerKey { holder, epoch, revision });
                    })
                }))
            }
            Action::Send(to) => {
                let ends = self.nodes[node].places[slot].parcel;
                let to = &mut self.nodes[etcd::place(&to)];
                if to.is_up {
                    let kept = &mut to.places[slot].parcel;
                    *kept = (*kept).max(ends);
                }
                Done::Sent(to.is_up)
            }
            Action::Release(held, target) => {
                let allowed = self.etcd.now().allow_release(slot, &held, target);
                Done::Released(allowed.map(|()| {
                    self.etcd.commit(|keys, revision| {
                        let (holder, epoch) = (None, held.epoch);
                        keys.slots[slot].owner = Some(OwnerKey { holder, epoch, revision });
                    })
                }))
            }
            Action::Raise(_)
            | Action::Serve(_)
            | Action::Pack
            | Action::Forget
            | Action::Fence(_) => unreachable!("they take more than a step, or no time"),
        }
    }

    pub(crate) fn hear(&mut self, node: usize, slot: usize) -> Result<(), Violation> {
        let Some(UnderWay::Done(done)) = self.nodes[node].places[slot].under_way.take() else {
            return Ok(());
        };
        let change =
            self.ask(node, slot, |state, me, view| state.after(done, shard(slot), me, view));
        if let Some(change) = change {
            self.follow(node, slot, change)?;
        }
        self.look_at(node, slot)
    }
}
