//! The cluster as one process sees it: a copy of the coordination's keys, cheap to clone and to
//! change.

use std::{collections::BTreeMap, sync::Arc};

use crate::{Epoch, NodeId, ShardCount, ShardId, TypeName};

use super::{ActiveType, GateMember, Incarnation, Member};

/// Shards that are copied together when one of them changes.
const CHUNK: usize = 128;

/// Why a shard has its target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Why {
    /// It had no living owner.
    Orphan,
    /// To even out what nodes have.
    Balance,
    /// It is pinned there.
    Pin,
    /// Its owner is leaving, or is drained.
    Drain,
    /// An operator moved it.
    Operator,
    /// To even out what nodes have to do.
    Load,
}

impl Why {
    /// Every reason there is.
    pub const ALL: [Self; 6] =
        [Self::Orphan, Self::Balance, Self::Pin, Self::Drain, Self::Operator, Self::Load];

    /// As it is written and shown: `orphan`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Orphan => "orphan",
            Self::Balance => "balance",
            Self::Pin => "pin",
            Self::Drain => "drain",
            Self::Operator => "operator",
            Self::Load => "load",
        }
    }

    /// The reason of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|why| why.as_str() == name)
    }
}

/// Where a shard should be, as the leader has written it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TargetKey {
    /// On this node.
    pub node: NodeId,
    /// For this reason.
    pub why: Why,
    /// The coordination's revision that wrote it.
    pub revision: u64,
}

/// Who owns a shard, as its owner has written it. It outlives a crash.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct OwnerKey {
    /// Which registration of which node; none: it was released.
    pub holder: Option<(NodeId, Incarnation)>,
    /// How often it has changed hands.
    pub epoch: Epoch,
    /// The coordination's revision that wrote it.
    pub revision: u64,
}

/// What is known of one shard.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Slot {
    /// None: it never had an owner.
    pub owner: Option<OwnerKey>,
    /// None: it never had a target.
    pub target: Option<TargetKey>,
}

/// The way to a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route<'a> {
    /// It is served by this node, in this epoch.
    At(&'a Member, Epoch),
    /// Nobody serves it now: whoever calls waits.
    Nobody,
}

/// The cluster as one process sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    /// The coordination's revision up to which it is read.
    pub revision: u64,
    /// The cluster's id; empty: it has none yet.
    pub cluster: Arc<str>,
    /// The nodes that are registered.
    pub nodes: BTreeMap<NodeId, Arc<Member>>,
    /// The gates that are registered.
    pub gates: BTreeMap<NodeId, Arc<GateMember>>,
    /// Who leads.
    pub leader: Option<NodeId>,
    /// Shards that should stay on a node while it lives.
    pub pins: BTreeMap<ShardId, NodeId>,
    /// Shards that an operator wants to have on a node, and that are not there yet.
    pub wishes: BTreeMap<ShardId, NodeId>,
    /// Registrations that an operator wants to own nothing.
    pub drains: BTreeMap<NodeId, Incarnation>,
    /// The active revision of every type.
    pub types: BTreeMap<TypeName, ActiveType>,
    chunks: Vec<Arc<[Slot]>>,
    shards: ShardCount,
}

impl View {
    /// Nothing is known.
    pub fn empty(shards: ShardCount) -> Self {
        let count = usize::from(shards.get());
        let chunk = |first: usize| vec![Slot::default(); CHUNK.min(count - first)].into();
        Self {
            revision: 0,
            cluster: "".into(),
            nodes: BTreeMap::new(),
            gates: BTreeMap::new(),
            leader: None,
            pins: BTreeMap::new(),
            wishes: BTreeMap::new(),
            drains: BTreeMap::new(),
            types: BTreeMap::new(),
            chunks: (0..count).step_by(CHUNK).map(chunk).collect(),
            shards,
        }
    }

    /// A cluster without coordination: one node serves everything, for ever.
    pub fn of_one(shards: ShardCount, node: Member) -> Self {
        let mut view = Self::empty(shards);
        let holder = Some((node.id.clone(), node.incarnation.clone()));
        for shard in view.shards() {
            let slot = view.slot_mut(shard);
            slot.owner = Some(OwnerKey { holder: holder.clone(), epoch: Epoch(0), revision: 0 });
        }
        view.nodes.insert(node.id.clone(), Arc::new(node));
        view
    }

    /// How many shards there are.
    pub fn shard_count(&self) -> ShardCount {
        self.shards
    }

    /// All shards, in order.
    pub fn shards(&self) -> impl Iterator<Item = ShardId> + use<> {
        (0..self.shards.get()).map(ShardId)
    }

    /// What is known of a shard.
    ///
    /// # Panics
    /// If there is no such shard.
    pub fn slot(&self, shard: ShardId) -> &Slot {
        let place = usize::from(shard.0);
        &self.chunks[place / CHUNK][place % CHUNK]
    }

    /// The same, to be changed.
    ///
    /// # Panics
    /// If there is no such shard.
    pub fn slot_mut(&mut self, shard: ShardId) -> &mut Slot {
        let place = usize::from(shard.0);
        let chunk = &mut self.chunks[place / CHUNK];
        if Arc::get_mut(chunk).is_none() {
            *chunk = chunk.to_vec().into();
        }
        &mut Arc::get_mut(chunk).expect("it was copied if it was shared")[place % CHUNK]
    }

    /// Whether this very registration of a node is there.
    pub fn is_registered(&self, node: &NodeId, incarnation: &Incarnation) -> bool {
        self.nodes.get(node).is_some_and(|member| member.incarnation == *incarnation)
    }

    /// The living owner of a shard: an owner counts only while its registration is there.
    pub fn owner(&self, shard: ShardId) -> Option<(&Arc<Member>, Epoch)> {
        let owner = self.slot(shard).owner.as_ref()?;
        let (node, incarnation) = owner.holder.as_ref()?;
        let member = self.nodes.get(node)?;
        (member.incarnation == *incarnation).then_some((member, owner.epoch))
    }

    /// The way to a shard.
    pub fn route(&self, shard: ShardId) -> Route<'_> {
        match self.owner(shard) {
            Some((member, epoch)) => Route::At(member, epoch),
            None => Route::Nobody,
        }
    }

    /// Whether a shard has been released to a node that is there, and has yet to claim it: what its
    /// objects have in memory is on that very node, and is lost if it goes to another.
    pub fn is_handed_over(&self, shard: ShardId) -> bool {
        let slot = self.slot(shard);
        let is_released = slot.owner.as_ref().is_some_and(|owner| owner.holder.is_none());
        let target = slot.target.as_ref().filter(|_| is_released);
        target.is_some_and(|target| self.nodes.contains_key(&target.node))
    }

    /// The node that advertises an address, for ids that are pinned to it.
    pub fn at_address(&self, address: &str) -> Option<&Arc<Member>> {
        self.nodes.values().find(|member| member.addresses.iter().any(|it| it == address))
    }

    /// Whether a node may be given shards: it is there, and nobody wants it to own nothing.
    pub fn is_eligible(&self, node: &NodeId) -> bool {
        self.nodes.get(node).is_some_and(|member| {
            let is_drained = self.drains.get(node) == Some(&member.incarnation);
            !member.is_leaving && !is_drained && member.weight > 0
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(id: &str, incarnation: &str) -> Member {
        Member {
            id: NodeId::new(id),
            incarnation: Incarnation::new(incarnation),
            process: "".into(),
            addresses: [format!("{id}:47000")].into(),
            weight: 1,
            is_leaving: false,
            version: "".into(),
            revision: 1,
        }
    }

    #[test]
    fn an_owner_counts_only_while_its_registration_is_there() {
        let shards = ShardCount::new(300).unwrap();
        let mut view = View::of_one(shards, member("a", "1"));
        assert!(
            matches!(view.route(ShardId(299)), Route::At(at, Epoch(0)) if at.id.as_str() == "a")
        );
        view.nodes.insert(NodeId::new("a"), Arc::new(member("a", "2")));
        assert_eq!(view.route(ShardId(299)), Route::Nobody);
    }

    #[test]
    fn a_clone_keeps_what_the_original_changes() {
        let mut view = View::empty(ShardCount::new(1000).unwrap());
        let before = view.clone();
        let target = TargetKey { node: NodeId::new("a"), why: Why::Orphan, revision: 7 };
        view.slot_mut(ShardId(500)).target = Some(target);
        assert_eq!(before.slot(ShardId(500)), &Slot::default());
        assert!(view.slot(ShardId(500)).target.is_some());
        assert!(Arc::ptr_eq(&before.chunks[0], &view.chunks[0]), "the rest is shared");
    }

    #[test]
    fn who_leaves_or_is_drained_is_given_nothing() {
        let mut view = View::of_one(ShardCount::new(1).unwrap(), member("a", "1"));
        let a = NodeId::new("a");
        assert!(view.is_eligible(&a));
        view.drains.insert(a.clone(), Incarnation::new("1"));
        assert!(!view.is_eligible(&a));
        view.drains.insert(a.clone(), Incarnation::new("0"));
        assert!(view.is_eligible(&a), "the drain was of an earlier registration");
        let leaving = Member { is_leaving: true, ..member("a", "1") };
        view.nodes.insert(a.clone(), Arc::new(leaving));
        assert!(!view.is_eligible(&a));
    }
}
