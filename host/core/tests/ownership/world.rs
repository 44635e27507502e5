//! The world: etcd, the store, three nodes and chains of calls; every step that may come next, what
//! it does, and what must hold after it.

use wasmverse_core::cluster::{TargetKey, Why, plan::Assignment};

use crate::{
    chain::{Chain, Stage},
    etcd::{Etcd, NODES, Registered, SHARDS, id, incarnation},
    node::{Node, Place},
};

/// What is done wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Bug {
    None,
    /// Owner keys go with the lease of whoever wrote them.
    OwnerKeysAreLeased,
    CommitsCheckNoEpoch,
    DrainsParkEveryCall,
    /// What a drain parks is decided by when the target was written alone.
    DrainsGoByTheTarget,
    /// By that, and by whether the chain runs in the shard already.
    DrainsKnowTheirOwnChains,
    ParcelsFitEveryEpoch,
    ClaimsIgnoreTheFormerOwner,
    /// The store raises an epoch whoever asks, however little they have read.
    RaisesAreBlind,
}

/// How much of what is not the protocol's own may happen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Budget {
    /// A process dies; it may be started again under its id.
    pub(crate) crashes: u8,
    /// A node's lease lapses: it is paused, or cut off from etcd, or all are.
    pub(crate) lapses: u8,
    /// An operator gives a shard another target, whatever is under way.
    pub(crate) moves: u8,
    /// A node is to be left alone.
    pub(crate) leaves: u8,
    /// Turns besides those of chains.
    pub(crate) turns: u8,
}

/// What may happen next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Step {
    Crash(usize),
    Restart(usize),
    /// By the node's own clock.
    Lapse(usize),
    /// A keep-alive is answered after all.
    Confirm(usize),
    /// The lapsed node looks at its clock.
    LookAtClock(usize),
    /// It gives its registration up.
    GiveUp(usize),
    /// etcd drops a registration.
    Expire(usize),
    Register(usize),
    Leave(usize),
    Elect(usize),
    Plan(usize),
    /// An operator's move of a shard to a node.
    Move(usize, usize),
    /// The next revision comes by the watch.
    Read(usize),
    /// An action is carried out, for a shard of a node.
    CarryOut(usize, usize),
    /// The node hears of it.
    Hear(usize, usize),
    StartTurn(usize, usize),
    EndTurn(usize, usize),
    /// A chain begins at a router that has read all, or as little as anybody.
    Begin(usize, bool),
    /// Its next call is let in by a node.
    Enter(usize, usize),
    /// Its innermost turn ends.
    End(usize),
}

/// What is wrong.
pub(crate) type Violation = String;

#[derive(Clone, Debug, Hash)]
pub(crate) struct World {
    pub(crate) bug: Bug,
    pub(crate) budget: Budget,
    /// Which nodes read late.
    pub(crate) lags: [bool; NODES],
    /// Nothing but plans has happened so far: nothing may fail.
    pub(crate) is_planned: bool,
    pub(crate) etcd: Etcd,
    /// The store's epochs.
    pub(crate) epochs: [u64; SHARDS],
    pub(crate) nodes: [Node; NODES],
    pub(crate) chains: Vec<Chain>,
    /// The highest epoch that owner keys ever had.
    pub(crate) claimed: [u64; SHARDS],
    /// The one that was claimed before it.
    pub(crate) before: [u64; SHARDS],
    /// Who committed in which epoch last.
    pub(crate) committed: [Option<(u64, usize)>; SHARDS],
    /// The epoch whose parcel was used last.
    pub(crate) used: [Option<u64>; SHARDS],
}

impl World {
    pub(crate) fn new(bug: Bug, nodes: usize) -> Self {
        let node = |place| Node { is_up: place < nodes, ..Node::new(0, 1) };
        Self {
            bug,
            budget: Budget::default(),
            lags: [true; NODES],
            is_planned: true,
            etcd: Etcd::new(),
            epochs: [0; SHARDS],
            nodes: std::array::from_fn(node),
            chains: Vec::new(),
            claimed: [0; SHARDS],
            before: [0; SHARDS],
            committed: [None; SHARDS],
            used: [None; SHARDS],
        }
    }

    /// Does a step that may come next.
    pub(crate) fn take(&mut self, step: Step) -> Result<(), Violation> {
        match step {
            Step::Crash(_) | Step::Restart(_) | Step::Lapse(_) | Step::Confirm(_) => {
                self.fail_or_recover(step)?;
            }
            Step::Leave(_) | Step::Elect(_) | Step::Plan(_) | Step::Move(..) | Step::Expire(_) => {
                self.write(step);
            }
            Step::GiveUp(node) => {
                self.nodes[node].registration = None;
                self.look(node)?;
            }
            Step::LookAtClock(node) => self.look(node)?,
            Step::Register(node) => {
                self.register(node);
                self.look(node)?;
            }
            Step::Read(node) => {
                self.nodes[node].seen += 1;
                self.look(node)?;
            }
            Step::CarryOut(node, slot) => self.carry_out(node, slot)?,
            Step::Hear(node, slot) => self.hear(node, slot)?,
            Step::StartTurn(node, slot) => {
                self.budget.turns -= 1;
                let place = &mut self.nodes[node].places[slot];
                place.turn = place.state.held().map(|held| held.epoch.0);
            }
            Step::EndTurn(node, slot) => {
                let epoch = self.nodes[node].places[slot].turn.take().unwrap();
                self.commit(node, slot, epoch)?;
            }
            Step::Begin(..) | Step::Enter(..) | Step::End(_) => self.go_on_with_chain(step)?,
        }
        self.read_at_once()?;
        let oldest = self.oldest();
        self.etcd.forget_before(oldest);
        self.check()
    }

    fn fail_or_recover(&mut self, step: Step) -> Result<(), Violation> {
        match step {
            Step::Crash(node) => self.crash(node),
            Step::Restart(node) => {
                let registrations = self.nodes[node].registrations;
                self.nodes[node] = Node::new(registrations, self.etcd.now().revision);
            }
            Step::Lapse(node) => {
                self.budget.lapses -= 1;
                self.is_planned = false;
                self.nodes[node].holds_lease = false;
            }
            Step::Confirm(node) => {
                self.nodes[node].holds_lease = true;
                self.look(node)?;
            }
            other => unreachable!("{other:?} is no fault"),
        }
        Ok(())
    }

    /// What changes etcd alone.
    fn write(&mut self, step: Step) {
        match step {
            Step::Expire(node) => self.expire(node),
            Step::Plan(node) => self.plan(node),
            Step::Leave(node) => {
                self.budget.leaves -= 1;
                self.etcd.commit(|keys, revision| {
                    if let Some(key) = &mut keys.nodes[node] {
                        (key.is_leaving, key.revision) = (true, revision);
                    }
                });
            }
            Step::Elect(node) => {
                let (registration, _) = self.nodes[node].registration.unwrap();
                self.etcd.commit(|keys, _| keys.leader = Some((node, registration)));
            }
            Step::Move(slot, node) => {
                self.budget.moves -= 1;
                self.etcd.commit(|keys, revision| {
                    let why = Why::Operator;
                    keys.slots[slot].target = Some(TargetKey { node: id(node), why, revision });
                });
            }
            other => unreachable!("{other:?} writes more"),
        }
    }

    fn go_on_with_chain(&mut self, step: Step) -> Result<(), Violation> {
        match step {
            Step::Begin(chain, is_fast) => {
                let began = if is_fast { self.etcd.now().revision } else { self.oldest() };
                let chain = &mut self.chains[chain];
                (chain.began, chain.stage) = (began, Stage::Calls);
                Ok(())
            }
            Step::Enter(chain, node) => {
                let slot = self.chains[chain].waits_for().unwrap();
                let place = &mut self.nodes[node].places[slot];
                place.newest = place.newest.max(self.chains[chain].began);
                self.chains[chain].enter(node);
                Ok(())
            }
            Step::End(chain) => {
                let (node, slot) = self.chains[chain].may_end().unwrap();
                self.chains[chain].end_turn();
                let held = self.nodes[node].places[slot].state.held();
                let epoch = held.ok_or("a turn has outlived its shard")?.epoch.0;
                self.commit(node, slot, epoch)
            }
            other => unreachable!("{other:?} is no chain's"),
        }
    }

    /// Nodes that do not lag have read all there is.
    fn read_at_once(&mut self) -> Result<(), Violation> {
        let now = self.etcd.now().revision;
        for node in 0..NODES {
            while !self.lags[node] && self.nodes[node].is_up && self.nodes[node].seen < now {
                self.nodes[node].seen += 1;
                self.look(node)?;
            }
        }
        Ok(())
    }

    /// What the node that has read least has read.
    fn oldest(&self) -> u64 {
        let up = self.nodes.iter().filter(|node| node.is_up);
        up.map(|node| node.seen).min().unwrap_or(self.etcd.now().revision)
    }

    fn crash(&mut self, node: usize) {
        self.budget.crashes -= 1;
        self.is_planned = false;
        let fresh = Node::new(self.nodes[node].registrations, 0);
        self.nodes[node] = Node { is_up: false, ..fresh };
        for slot in 0..SHARDS {
            self.lose_turns(node, slot);
        }
    }

    /// Chains that have a turn there come to an end.
    pub(crate) fn lose_turns(&mut self, node: usize, slot: usize) {
        for chain in self.chains.iter_mut().filter(|chain| chain.runs_at(node, slot)) {
            chain.stage = Stage::Lost;
        }
    }

    fn register(&mut self, node: usize) {
        let known = &mut self.nodes[node];
        known.registrations += 1;
        let registration = known.registrations;
        let revision = self.etcd.commit(|keys, revision| {
            let is_leaving = false;
            keys.nodes[node] = Some(Registered { registration, is_leaving, revision });
            keys.leader = keys.leader.filter(|(leader, _)| *leader != node);
        });
        known.registration = Some((registration, revision));
        known.holds_lease = true;
    }

    fn expire(&mut self, node: usize) {
        let are_leased = self.bug == Bug::OwnerKeysAreLeased;
        self.etcd.commit(|keys, _| {
            let Some(gone) = keys.nodes[node].take() else { return };
            keys.leader = keys.leader.filter(|(leader, _)| *leader != node);
            let holder = Some((id(node), incarnation(node, gone.registration)));
            for slot in keys.slots.iter_mut().filter(|_| are_leased) {
                slot.owner = slot.owner.take().filter(|owner| owner.holder != holder);
            }
        });
    }

    /// What the leader would write, by what it has read.
    pub(crate) fn planned(&self, node: usize) -> &[Assignment] {
        &self.etcd.seen(self.nodes[node].seen).plan
    }

    fn plan(&mut self, node: usize) {
        let planned = self.planned(node).to_vec();
        self.nodes[node].planned = self.etcd.commit(|keys, revision| {
            for Assignment { shard, node, why } in planned {
                let slot = &mut keys.slots[usize::from(shard.0)];
                slot.target = Some(TargetKey { node, why, revision });
            }
        });
    }

    pub(crate) fn place(&self, node: usize, slot: usize) -> &Place {
        &self.nodes[node].places[slot]
    }
}
