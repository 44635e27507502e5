//! etcd: keys with revisions, changed by guarded commits, one revision after the other; and all
//! revisions that somebody has still to read, as watches come late.

use std::{
    hash::{Hash, Hasher},
    sync::{Arc, OnceLock},
};

use wasmverse_core::{
    NodeId, ShardCount, ShardId,
    cluster::{
        Incarnation, Member, Slot, View,
        owner::{Bid, Held, Unreleased},
        plan::{Assignment, Terms, plan},
    },
};

pub(crate) const NODES: usize = 3;
pub(crate) const SHARDS: usize = 2;

/// Registrations of a node are told apart by their number.
pub(crate) type Registration = u8;

pub(crate) fn id(node: usize) -> NodeId {
    static IDS: OnceLock<Vec<NodeId>> = OnceLock::new();
    IDS.get_or_init(|| ["a", "b", "c"].map(NodeId::new).into())[node].clone()
}

pub(crate) fn incarnation(node: usize, registration: Registration) -> Incarnation {
    static ALL: OnceLock<Vec<Vec<Incarnation>>> = OnceLock::new();
    let all = ALL.get_or_init(|| {
        let of = |node: &str| (0..=20).map(|n| Incarnation::new(&format!("{node}{n}"))).collect();
        ["a", "b", "c"].map(of).into()
    });
    all[node][usize::from(registration)].clone()
}

pub(crate) fn shard(place: usize) -> ShardId {
    ShardId(u16::try_from(place).unwrap())
}

pub(crate) fn place(node: &NodeId) -> usize {
    (0..NODES).find(|place| id(*place) == *node).unwrap()
}

/// The key of a node.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Registered {
    pub(crate) registration: Registration,
    pub(crate) is_leaving: bool,
    pub(crate) revision: u64,
}

/// All keys, as they are at one revision.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Keys {
    pub(crate) revision: u64,
    pub(crate) nodes: [Option<Registered>; NODES],
    pub(crate) leader: Option<(usize, Registration)>,
    pub(crate) slots: [Slot; SHARDS],
}

impl Keys {
    pub(crate) fn is_registered(&self, node: usize, registration: Registration) -> bool {
        self.nodes[node].as_ref().is_some_and(|key| key.registration == registration)
    }

    /// Whether the registration that an owner key names is there.
    pub(crate) fn is_there(&self, node: &NodeId, of: &Incarnation) -> bool {
        let place = place(node);
        self.nodes[place].as_ref().is_some_and(|key| incarnation(place, key.registration) == *of)
    }

    /// Whether all that a claim rests on still holds.
    pub(crate) fn allow_claim(
        &self,
        claimer: usize,
        slot: usize,
        bid: &Bid,
        asserts_gone: bool,
    ) -> bool {
        let slot = &self.slots[slot];
        let former = bid.owner.as_ref().and_then(|owner| owner.holder.as_ref());
        self.is_there(&id(claimer), &bid.incarnation)
            && slot.target.as_ref().is_some_and(|it| it.revision == bid.target_revision)
            && slot.owner == bid.owner
            && !(asserts_gone && former.is_some_and(|(node, of)| self.is_there(node, of)))
    }

    /// Whether an owner key may be emptied.
    pub(crate) fn allow_release(
        &self,
        slot: usize,
        held: &Held,
        target: Option<u64>,
    ) -> Result<(), Unreleased> {
        let slot = &self.slots[slot];
        if slot.owner.as_ref().is_none_or(|owner| owner.revision != held.since) {
            return Err(Unreleased::NotOurs);
        }
        let written = slot.target.as_ref().map(|target| target.revision);
        match target.is_some_and(|target| written != Some(target)) {
            true => Err(Unreleased::TargetChanged),
            false => Ok(()),
        }
    }

    fn view(&self) -> View {
        let mut view = View::empty(ShardCount::new(SHARDS as u16).unwrap());
        view.revision = self.revision;
        view.leader = self.leader.map(|(node, _)| id(node));
        for (node, key) in self.nodes.iter().enumerate() {
            let Some(key) = key else { continue };
            let member = Member {
                id: id(node),
                incarnation: incarnation(node, key.registration),
                process: "".into(),
                addresses: [].into(),
                weight: 1,
                is_leaving: key.is_leaving,
                version: "".into(),
                revision: key.revision,
            };
            view.nodes.insert(id(node), Arc::new(member));
        }
        for (place, slot) in self.slots.iter().enumerate() {
            *view.slot_mut(shard(place)) = slot.clone();
        }
        view
    }
}

/// The keys at one revision, and the view of who has read up to there.
#[derive(Debug)]
pub(crate) struct Revision {
    pub(crate) keys: Keys,
    pub(crate) view: View,
    /// What a leader would write that has read it.
    pub(crate) plan: Vec<Assignment>,
}

/// Everything may move, at any time.
const TERMS: Terms<'static> =
    Terms { min_nodes: 1, is_stable: true, moves_max: SHARDS, load: None };

impl Revision {
    fn new(keys: Keys) -> Arc<Self> {
        let view = keys.view();
        Arc::new(Self { plan: plan(&view, &TERMS), view, keys })
    }
}

impl Hash for Revision {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.keys.hash(state);
    }
}

/// All revisions that somebody has still to read, and the last.
#[derive(Clone, Debug, Hash)]
pub(crate) struct Etcd {
    log: Vec<Arc<Revision>>,
}

impl Etcd {
    pub(crate) fn new() -> Self {
        let keys = Keys { revision: 1, ..Keys::default() };
        Self { log: vec![Revision::new(keys)] }
    }

    /// What is true.
    pub(crate) fn now(&self) -> &Keys {
        &self.log.last().unwrap().keys
    }

    /// One commit that is not refused; its revision.
    pub(crate) fn commit(&mut self, change: impl FnOnce(&mut Keys, u64)) -> u64 {
        let mut keys = self.now().clone();
        keys.revision += 1;
        let revision = keys.revision;
        change(&mut keys, revision);
        self.log.push(Revision::new(keys));
        revision
    }

    /// What who has read up to a revision knows.
    pub(crate) fn seen(&self, revision: u64) -> &Arc<Revision> {
        let first = self.log[0].keys.revision;
        &self.log[usize::try_from(revision - first).unwrap()]
    }

    /// Nobody has to read anymore what is older.
    pub(crate) fn forget_before(&mut self, revision: u64) {
        let first = self.log[0].keys.revision;
        self.log.drain(..usize::try_from(revision - first).unwrap());
    }
}
