//! One node: what it knows, and the real state machine of each shard with what the node does for it.

use wasmverse_core::cluster::owner::{Action, Bid, Done, State};

use crate::etcd::{Registration, SHARDS};

/// What a shard lets in on a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Gate {
    Shut,
    Open,
    /// Chains that began before this revision.
    Draining(u64),
}

/// The action that is under way for a shard.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum UnderWay {
    /// It is still to be carried out.
    Asked(Action),
    /// A raise: the store has this epoch, which is not the bid's.
    Found(Bid, u64),
    /// And the bid was still good after that.
    Confirmed(Bid, u64),
    /// It is carried out, and the node has not heard of it yet.
    Done(Done),
}

/// A shard on a node.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Place {
    pub(crate) state: State,
    pub(crate) under_way: Option<UnderWay>,
    pub(crate) gate: Gate,
    /// The newest beginning of a chain that was let in.
    pub(crate) newest: u64,
    /// The epoch of a turn that runs.
    pub(crate) turn: Option<u64>,
    /// The epoch that the last claim was above.
    pub(crate) above: u64,
    /// The epoch that the parcel ends which is kept here for a claim.
    pub(crate) parcel: Option<u64>,
}

impl Place {
    fn new() -> Self {
        Self {
            state: State::default(),
            under_way: None,
            gate: Gate::Shut,
            newest: 0,
            turn: None,
            above: 0,
            parcel: None,
        }
    }

    pub(crate) fn lets_in(&self, began: u64, parks_all: bool) -> bool {
        match self.gate {
            Gate::Shut => false,
            Gate::Open => true,
            Gate::Draining(since) => began < since && !parks_all,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Node {
    pub(crate) is_up: bool,
    /// Its registration as far as it knows, and the revision that wrote it.
    pub(crate) registration: Option<(Registration, u64)>,
    /// Registrations that it has had, before crashes too.
    pub(crate) registrations: Registration,
    pub(crate) holds_lease: bool,
    /// Up to here it has read.
    pub(crate) seen: u64,
    /// What it wrote as the leader last: it plans again when it has read that.
    pub(crate) planned: u64,
    pub(crate) places: [Place; SHARDS],
}

impl Node {
    /// A process that has just begun, and has read all.
    pub(crate) fn new(registrations: Registration, seen: u64) -> Self {
        Self {
            is_up: true,
            registration: None,
            registrations,
            holds_lease: false,
            seen,
            planned: 0,
            places: std::array::from_fn(|_| Place::new()),
        }
    }
}
