//! The shards of a node: the real machine of each, its door, and what the driver does about both.

use std::collections::{BTreeMap, VecDeque};

use wasmverse_core::{
    Epoch,
    cluster::owner::{Action, Change, Done, Held, State},
};

use super::{
    asks::{Claim, EtcdOp},
    calls::Letter,
    parcels::{Packing, Parcel},
    sending::Relay,
    store::StoreOp,
    turns::{Entry, Turn},
    world::{Bug, Event, MS, Time, Who, World, shard_id},
};

/// As the node's driver has it.
const STALL: Time = 200 * MS;

/// How a shard meets calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Door {
    Shut,
    Open,
    Draining,
    Sealed,
}

/// A shard on a node.
pub(super) struct Place {
    pub(super) state: State,
    pub(super) tag: u64,
    /// The epoch that the claim ends.
    pub(super) follows: u64,
    pub(super) door: Door,
    pub(super) passes: usize,
    pub(super) epoch: u64,
    pub(super) drained_since: u64,
    /// It waits until nobody is in it.
    pub(super) drains: bool,
    pub(super) parked: VecDeque<Letter>,
    pub(super) outgoing: Option<Parcel>,
    pub(super) keepsake: Option<Parcel>,
}

/// How far a node is with going away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Leaving {
    Stays,
    /// Its shards move away.
    Moves,
    /// It takes no more calls.
    Ends,
    Gone,
}

pub(super) struct Node {
    pub(super) places: Vec<Place>,
    pub(super) entries: Vec<Entry>,
    pub(super) turns: BTreeMap<u64, Turn>,
    /// Of the view that doors follow.
    pub(super) revision: u64,
    /// Calls that went along, whose answers come back this way.
    pub(super) relays: BTreeMap<(u64, usize), Relay>,
    /// Handing over a parcel is under way, as which attempt.
    pub(super) attempts: BTreeMap<usize, u64>,
    pub(super) leaving: Leaving,
    /// How long it stays away then.
    pub(super) away_for: Time,
}

/// Actions that begin together.
#[derive(Default)]
pub(super) struct Batch {
    raise: Vec<Claim>,
    claim: Vec<Claim>,
    release: Vec<(usize, u64, Held, Option<u64>)>,
}

impl Node {
    pub(super) fn new(shards: usize, objects: usize) -> Self {
        let place = || Place {
            state: State::default(),
            tag: 0,
            follows: 0,
            door: Door::Shut,
            passes: 0,
            epoch: 0,
            drained_since: 0,
            drains: false,
            parked: VecDeque::new(),
            outgoing: None,
            keepsake: None,
        };
        Self {
            places: std::iter::repeat_with(place).take(shards).collect(),
            entries: std::iter::repeat_with(Entry::default).take(objects).collect(),
            turns: BTreeMap::new(),
            revision: 0,
            relays: BTreeMap::new(),
            attempts: BTreeMap::new(),
            leaving: Leaving::Stays,
            away_for: 0,
        }
    }

    /// Whether anything is ours, or about to be.
    pub(super) fn holds_any(&self) -> bool {
        self.places.iter().any(|place| {
            let claims = matches!(place.state, State::Raising(_) | State::Claiming(..));
            claims || place.state.held().is_some() || place.keepsake.is_some()
        })
    }
}

impl World {
    pub(super) fn place(&mut self, process: usize, shard: usize) -> &mut Place {
        &mut self.processes[process].node.places[shard]
    }

    /// The driver looks at all its shards.
    pub(super) fn look_at_all(&mut self, process: usize) {
        if self.processes[process].is_gate {
            return;
        }
        self.drop_useless_parcels(process);
        let mut batch = Batch::default();
        for shard in 0..self.shards {
            self.look(process, shard, &mut batch);
        }
        let process_ = &mut self.processes[process];
        process_.node.revision = process_.view.revision;
        self.carry_out(process, batch);
    }

    fn look(&mut self, process: usize, shard: usize, batch: &mut Batch) {
        loop {
            let it = &self.processes[process];
            let me = it.me(self.now, self.bug);
            let state = &it.node.places[shard].state;
            let Some(change) = state.look(shard_id(shard), me, &it.view) else { return };
            self.change(process, shard, change, batch);
        }
    }

    fn follow(&mut self, process: usize, shard: usize, done: Done, batch: &mut Batch) {
        let it = &self.processes[process];
        let me = it.me(self.now, self.bug);
        let change = it.node.places[shard].state.after(done, shard_id(shard), me, &it.view);
        if let Some(change) = change {
            self.change(process, shard, change, batch);
        }
    }

    /// What has become of actions.
    pub(super) fn answered(&mut self, process: usize, done: Vec<(usize, u64, Done)>) {
        let mut batch = Batch::default();
        for (shard, tag, done) in done {
            if self.place(process, shard).tag == tag {
                self.follow(process, shard, done, &mut batch);
                self.look(process, shard, &mut batch);
            }
        }
        self.carry_out(process, batch);
        self.go_on_leaving(process);
    }

    fn change(&mut self, process: usize, shard: usize, change: Change, batch: &mut Batch) {
        let (state, action) = change;
        self.note(|| format!("  node {process} shard {shard}: {state:?}, {action:?}"));
        self.place(process, shard).state = state;
        let Some(action) = action else { return };
        let tag = self.number();
        self.place(process, shard).tag = tag;
        self.start(process, shard, tag, action, batch);
    }

    fn start(&mut self, process: usize, shard: usize, tag: u64, action: Action, batch: &mut Batch) {
        let who = self.processes[process].who();
        match action {
            Action::Raise(bid) => {
                let epoch = bid.above();
                batch.raise.push(Claim { shard, tag, bid, epoch });
            }
            Action::Claim(bid, epoch) => {
                let place = self.place(process, shard);
                // Who was on the way to an earlier owner is sent away still, and not overtaken.
                (place.door, place.epoch) = (Door::Sealed, epoch.0);
                place.follows = bid.above().0;
                batch.claim.push(Claim { shard, tag, bid, epoch });
            }
            Action::Serve(epoch) => self.serve(process, shard, epoch),
            Action::Drain(since) => {
                let place = self.place(process, shard);
                (place.drained_since, place.door, place.drains) = (since, Door::Draining, true);
                self.after(self.terms.drain, Event::DrainOver(who, shard, tag));
                self.after(STALL, Event::Stall(who, shard, tag));
                self.drained_if_quiet(process, shard, batch);
            }
            Action::Pack => {
                let until = self.now;
                self.place(process, shard).drains = false;
                let packing = Packing { shard, tag, until, is_fence: false, left: None };
                self.within(0, MS, Event::Pack(who, packing));
            }
            Action::Send(_) => self.within(0, MS, Event::Send(who, shard, tag)),
            Action::Release(held, target) => batch.release.push((shard, tag, held, target)),
            Action::Forget => self.forget(process, shard),
            Action::Fence(_) => {
                self.place(process, shard).drains = false;
                self.turn_away(process, shard);
                let until = self.now + self.terms.drain;
                let left = self.place(process, shard).outgoing.take();
                let left = left.map(|parcel| {
                    self.send_on(process, shard, parcel.calls);
                    parcel.pieces
                });
                let packing = Packing { shard, tag, until, is_fence: true, left };
                self.within(0, MS, Event::Pack(who, packing));
            }
        }
    }

    fn carry_out(&mut self, process: usize, batch: Batch) {
        let Batch { raise, claim, release } = batch;
        if !raise.is_empty() {
            let who = self.processes[process].who();
            let op = StoreOp::Raise(raise, Vec::new(), false);
            self.within(MS / 5, 5 * MS, Event::ToStore(who, op));
        }
        if !claim.is_empty() {
            self.ask_etcd(process, EtcdOp::Claim(claim));
        }
        for (shard, tag, held, target) in release {
            self.ask_etcd(process, EtcdOp::Release(shard, tag, held, target));
        }
    }

    /// Seals a shard that drains, if nobody is in it.
    fn drained_if_quiet(&mut self, process: usize, shard: usize, batch: &mut Batch) {
        let place = self.place(process, shard);
        if place.drains && place.passes == 0 {
            (place.drains, place.door) = (false, Door::Sealed);
            self.follow(process, shard, Done::Drained, batch);
            self.look(process, shard, batch);
        }
    }

    pub(super) fn end_drain(&mut self, process: usize, shard: usize, tag: u64) {
        let place = self.place(process, shard);
        if place.tag == tag && place.drains {
            (place.drains, place.door) = (false, Door::Sealed);
            self.checks.drains_cut += 1;
            self.answered(process, vec![(shard, tag, Done::Drained)]);
        }
    }

    /// A drain takes long: the nested calls that wait for it are let in.
    pub(super) fn stalled(&mut self, who: Who, shard: usize, tag: u64) {
        let lets_nobody_in = matches!(self.bug, Bug::StallsLetNoChainIn | Bug::DrainsParkEveryCall);
        let place = self.place(who.process, shard);
        if place.tag != tag || !place.drains || lets_nobody_in {
            return;
        }
        let waiting = std::mem::take(&mut self.place(who.process, shard).parked);
        let is_nested = |letter: &Letter| self.infos[letter.call].client.is_none();
        let (chains, others): (VecDeque<_>, VecDeque<_>) = waiting.into_iter().partition(is_nested);
        self.place(who.process, shard).parked = others;
        for letter in chains {
            self.let_in(who.process, shard, letter);
        }
        self.after(STALL, Event::Stall(who, shard, tag));
    }

    /// Somebody has left a shard.
    pub(super) fn leave_shard(&mut self, process: usize, shard: usize) {
        let place = self.place(process, shard);
        place.passes -= 1;
        if place.passes == 0 && place.drains {
            let mut batch = Batch::default();
            self.drained_if_quiet(process, shard, &mut batch);
            self.carry_out(process, batch);
        }
    }

    /// The store has another epoch than the one in which we serve.
    pub(super) fn outrun(&mut self, process: usize, shard: usize, epoch: u64) {
        if let Some(change) = self.place(process, shard).state.outrun(Epoch(epoch)) {
            let mut batch = Batch::default();
            self.change(process, shard, change, &mut batch);
            self.look(process, shard, &mut batch);
            self.carry_out(process, batch);
        }
    }
}
