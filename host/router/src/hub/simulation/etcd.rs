//! etcd: every revision as the view of who has read up to there; guarded commits, and leases.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use wasmverse_core::{
    NodeId, ShardCount, ShardId,
    cluster::{
        GateMember, Incarnation, Member, OwnerKey, TargetKey, View,
        owner::{Bid, Held, Unreleased},
        plan::Assignment,
    },
};

use super::{
    asks::Claim,
    world::{Time, shard_id},
};

/// The keys at one revision.
#[derive(Clone)]
pub(super) struct Revision {
    pub(super) view: Arc<View>,
    /// Which registration leads, and since which revision.
    pub(super) leader: Option<(Incarnation, u64)>,
    /// Revisions of the wishes.
    pub(super) wishes: BTreeMap<ShardId, u64>,
}

/// A lease, and the registration that goes with it.
struct Lease {
    until: Time,
    node: Option<NodeId>,
    gate: Option<NodeId>,
    incarnation: Incarnation,
}

pub(super) struct Etcd {
    revisions: Vec<Revision>,
    leases: BTreeMap<u64, Lease>,
    numbers: u64,
}

impl Etcd {
    pub(super) fn new(shards: ShardCount) -> Self {
        let mut view = View::empty(shards);
        view.revision = 1;
        let first = Revision { view: Arc::new(view), leader: None, wishes: BTreeMap::new() };
        Self { revisions: vec![first], leases: BTreeMap::new(), numbers: 0 }
    }

    pub(super) fn now(&self) -> &Revision {
        self.revisions.last().unwrap()
    }

    pub(super) fn revision(&self) -> u64 {
        self.now().view.revision
    }

    /// What who has read up to a revision knows.
    pub(super) fn seen(&self, revision: u64) -> &Revision {
        &self.revisions[usize::try_from(revision - 1).unwrap()]
    }

    pub(super) fn commit(&mut self, change: impl FnOnce(&mut View, u64, &mut Revision)) -> u64 {
        let mut next = self.now().clone();
        let mut view = View::clone(&next.view);
        view.revision += 1;
        let revision = view.revision;
        change(&mut view, revision, &mut next);
        next.view = Arc::new(view);
        self.revisions.push(next);
        revision
    }

    /// A registration under a new lease, in the place of an older one: the lease, the incarnation, the
    /// revision.
    pub(super) fn register(
        &mut self,
        (id, process): (&NodeId, &str),
        is_gate: bool,
        until: Time,
    ) -> (u64, Incarnation, u64) {
        self.numbers += 1;
        let (lease, incarnation) =
            (self.numbers, Incarnation::new(&format!("{id}{}", self.numbers)));
        let revision = self.commit(|view, revision, _| {
            if is_gate {
                let gate = GateMember {
                    id: id.clone(),
                    incarnation: incarnation.clone(),
                    address: id.as_str().into(),
                    version: "".into(),
                };
                view.gates.insert(id.clone(), Arc::new(gate));
                return;
            }
            let member = Member {
                id: id.clone(),
                incarnation: incarnation.clone(),
                process: process.into(),
                addresses: [].into(),
                weight: 1,
                is_leaving: false,
                version: "".into(),
                revision,
            };
            view.nodes.insert(id.clone(), Arc::new(member));
        });
        let (node, gate) =
            if is_gate { (None, Some(id.clone())) } else { (Some(id.clone()), None) };
        // The former one is ended.
        let former = self.leases.iter().filter(|(_, it)| it.node == node && it.gate == gate);
        let former: Vec<_> = former.map(|(lease, _)| *lease).collect();
        self.leases.insert(lease, Lease { until, node, gate, incarnation: incarnation.clone() });
        former.into_iter().for_each(|lease| self.end(lease));
        (lease, incarnation, revision)
    }

    /// Whether it is there, and until when it now lasts.
    pub(super) fn keep_alive(&mut self, lease: u64, until: Time) -> bool {
        self.leases.get_mut(&lease).is_some_and(|lease| {
            lease.until = lease.until.max(until);
            true
        })
    }

    /// When a lease lapses; none: it is gone.
    pub(super) fn lapses(&self, lease: u64) -> Option<Time> {
        self.leases.get(&lease).map(|lease| lease.until)
    }

    pub(super) fn end(&mut self, lease: u64) {
        let Some(lease) = self.leases.remove(&lease) else { return };
        let now = self.now();
        let leads = now.leader.as_ref().is_some_and(|(leader, _)| *leader == lease.incarnation);
        let is_there = |view: &View| match (&lease.node, &lease.gate) {
            (Some(node), _) => view.is_registered(node, &lease.incarnation),
            (_, Some(gate)) => {
                view.gates.get(gate).is_some_and(|it| it.incarnation == lease.incarnation)
            }
            _ => false,
        };
        if !leads && !is_there(&now.view) {
            return;
        }
        self.commit(|view, _, keys| {
            if leads {
                (keys.leader, view.leader) = (None, None);
            }
            if is_there(view) {
                lease.node.iter().for_each(|node| drop(view.nodes.remove(node)));
                lease.gate.iter().for_each(|gate| drop(view.gates.remove(gate)));
            }
        });
    }

    pub(super) fn say_that_one_leaves(
        &mut self,
        id: &NodeId,
        incarnation: &Incarnation,
    ) -> Option<u64> {
        let member = self.now().view.nodes.get(id).filter(|it| it.incarnation == *incarnation)?;
        let member = Member::clone(member);
        Some(self.commit(|view, revision, _| {
            let member = Member { is_leaving: true, revision, ..member };
            view.nodes.insert(member.id.clone(), Arc::new(member));
        }))
    }

    pub(super) fn campaign(&mut self, id: &NodeId, incarnation: &Incarnation) -> Option<u64> {
        let now = self.now();
        let may = now.leader.is_none() && now.view.is_registered(id, incarnation);
        may.then(|| {
            self.commit(|view, revision, keys| {
                view.leader = Some(id.clone());
                keys.leader = Some((incarnation.clone(), revision));
            })
        })
    }

    pub(super) fn write_targets(
        &mut self,
        (leads_since, seen): (u64, u64),
        planned: &[Assignment],
        wishes: &[(ShardId, u64)],
    ) -> Option<u64> {
        let now = self.now();
        let leads = now.leader.as_ref().is_some_and(|(_, since)| *since == leads_since);
        // A shard that has been released meanwhile is claimed where its parcel is.
        let is_old = |shard| self.seen(seen).view.slot(shard).owner != now.view.slot(shard).owner;
        if planned.iter().any(|assignment| is_old(assignment.shard)) {
            return None;
        }
        if !leads || wishes.iter().any(|(shard, at)| now.wishes.get(shard) != Some(at)) {
            return None;
        }
        Some(self.commit(|view, revision, keys| {
            for (shard, _) in wishes {
                keys.wishes.remove(shard);
                view.wishes.remove(shard);
            }
            for assignment in planned {
                set_target(view, assignment.shard, assignment, revision);
            }
        }))
    }

    pub(super) fn allows_claim(&self, id: &NodeId, shard: usize, bid: &Bid) -> bool {
        let view = &self.now().view;
        let slot = view.slot(shard_id(shard));
        let former = bid.owner.as_ref().and_then(|owner| owner.holder.as_ref());
        view.is_registered(id, &bid.incarnation)
            && slot.target.as_ref().is_some_and(|it| it.revision == bid.target_revision)
            && slot.owner == bid.owner
            && !former.is_some_and(|(node, of)| view.is_registered(node, of))
    }

    /// All that are granted are written at once; the answers.
    pub(super) fn claim(
        &mut self,
        id: &NodeId,
        claims: &[Claim],
    ) -> Vec<(usize, u64, Option<u64>)> {
        // One that was not answered may have been done.
        let done = |it: &Claim| {
            let owner = self.now().view.slot(shard_id(it.shard)).owner.as_ref()?;
            let holder = (id.clone(), it.bid.incarnation.clone());
            (owner.holder == Some(holder) && owner.epoch == it.epoch).then_some(owner.revision)
        };
        let mut answers: Vec<_> = claims.iter().map(|it| (it.shard, it.tag, done(it))).collect();
        let granted: BTreeSet<_> = claims
            .iter()
            .filter(|it| self.allows_claim(id, it.shard, &it.bid))
            .map(|it| it.shard)
            .collect();
        if !granted.is_empty() {
            let revision = self.commit(|view, revision, _| {
                for it in claims.iter().filter(|it| granted.contains(&it.shard)) {
                    let holder = Some((id.clone(), it.bid.incarnation.clone()));
                    view.slot_mut(shard_id(it.shard)).owner =
                        Some(OwnerKey { holder, epoch: it.epoch, revision });
                }
            });
            let answers = answers.iter_mut().filter(|(shard, ..)| granted.contains(shard));
            answers.for_each(|(.., at)| *at = Some(revision));
        }
        answers
    }

    pub(super) fn release(
        &mut self,
        shard: usize,
        held: &Held,
        target: Option<u64>,
        was_tried: bool,
    ) -> Result<u64, Unreleased> {
        let slot = self.now().view.slot(shard_id(shard));
        match &slot.owner {
            Some(owner) if owner.revision == held.since => {}
            Some(owner) if was_tried && owner.holder.is_none() && owner.epoch == held.epoch => {
                return Ok(owner.revision);
            }
            _ => return Err(Unreleased::NotOurs),
        }
        let written = slot.target.as_ref().map(|target| target.revision);
        if target.is_some_and(|target| written != Some(target)) {
            return Err(Unreleased::TargetChanged);
        }
        Ok(self.commit(|view, revision, _| {
            let owner = OwnerKey { holder: None, epoch: held.epoch, revision };
            view.slot_mut(shard_id(shard)).owner = Some(owner);
        }))
    }
}

fn set_target(view: &mut View, shard: ShardId, assignment: &Assignment, revision: u64) {
    let Assignment { node, why, .. } = assignment;
    view.slot_mut(shard).target = Some(TargetKey { node: node.clone(), why: *why, revision });
}
