//! Where shards should be: what the leader writes.
//!
//! A plan is made from one view and changes as little as it can. What has no living owner, or one
//! that is leaving, is placed at once; the rest moves only while membership is stable: pinned shards
//! to their nodes, then as many others as it takes for every node to have its share
//! ([`quota::quotas`]), or, if asked for, its share of the load ([`load`]). Plans follow each other
//! while moves end: each looks at what is on its way, and adds no more than may be.

mod load;
mod quota;
#[cfg(test)]
mod tests;

use std::collections::BinaryHeap;

use crate::{NodeId, ShardId};

use super::{Incarnation, View, Why};

pub use load::Loads;

/// A target that the leader is to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assignment {
    /// Of this shard.
    pub shard: ShardId,
    /// This node.
    pub node: NodeId,
    /// For this reason.
    pub why: Why,
}

/// What the leader goes by.
#[derive(Clone, Copy, Debug)]
pub struct Terms<'a> {
    /// It acts when so many nodes are there.
    pub min_nodes: usize,
    /// Membership has not changed for as long as is configured: shards may move for balance.
    pub is_stable: bool,
    /// So many shards with a living owner may be on their way at once.
    pub moves_max: usize,
    /// What shards have to do, if that is to be evened out; none: their count is.
    pub load: Option<&'a Loads>,
}

/// The targets to be written now, in the order of their shards. Empty: all is as it should be, or
/// has to wait.
pub fn plan(view: &View, terms: &Terms<'_>) -> Vec<Assignment> {
    let mut draft = Draft::new(view);
    let can_place = draft.nodes.iter().any(|node| node.is_eligible);
    if !can_place || draft.nodes.len() < terms.min_nodes {
        return Vec::new();
    }
    draft.grant_wishes();
    draft.return_from_lost_targets();
    draft.allot();
    draft.place_orphans();
    draft.drain(terms.moves_max);
    if terms.is_stable {
        draft.honour_pins(terms.moves_max);
        match terms.load {
            None => draft.balance(terms.moves_max),
            Some(loads) => load::even_out(&mut draft, loads, terms.moves_max),
        }
    }
    draft.assignments()
}

/// A node that is registered, by its place among all of them.
struct Node<'a> {
    id: &'a NodeId,
    incarnation: &'a Incarnation,
    is_eligible: bool,
    weight: u32,
    /// Shards that are its, once all that is planned is done; pinned ones count where they are
    /// pinned.
    count: usize,
    /// Shards that are pinned to it.
    pinned: usize,
    /// How many shards it should have.
    quota: usize,
}

/// What is known and planned of one shard. Nodes are meant by their places.
struct Shard {
    /// Its living owner.
    owner: Option<usize>,
    /// It has a target, which may be gone.
    has_target: bool,
    /// Its owner has released it to a target that is there: what objects had in memory is there, too.
    is_handed_over: bool,
    /// An operator chose it.
    is_operators: bool,
    /// The target that is written, if it is registered.
    before: Option<usize>,
    /// Where it is to go by the plan.
    target: Option<usize>,
    /// Its pin, if its node is eligible.
    pin: Option<usize>,
    /// Why the plan changes its target, if it does.
    why: Option<Why>,
}

impl Shard {
    /// It has a living owner, and is to be another's.
    fn is_moving(&self) -> bool {
        self.owner.is_some() && self.has_target && self.owner != self.target
    }

    /// It is where it should be, and nothing holds it there.
    fn is_free(&self) -> bool {
        self.owner.is_some() && self.owner == self.target && self.pin.is_none()
    }
}

/// A plan in the making.
struct Draft<'a> {
    view: &'a View,
    nodes: Vec<Node<'a>>,
    shards: Vec<Shard>,
}

impl<'a> Draft<'a> {
    fn new(view: &'a View) -> Self {
        let nodes = view.nodes.values().map(|member| Node {
            id: &member.id,
            incarnation: &member.incarnation,
            is_eligible: view.is_eligible(&member.id),
            weight: member.weight,
            count: 0,
            pinned: 0,
            quota: 0,
        });
        let nodes: Vec<_> = nodes.collect();
        let mut draft = Self { view, nodes, shards: Vec::new() };
        draft.shards = view.shards().map(|shard| draft.shard(shard)).collect();
        for (shard, node) in &view.pins {
            let place = draft.eligible(node);
            if let Some(shard) = draft.shards.get_mut(usize::from(shard.0)) {
                shard.pin = place;
            }
        }
        draft
    }

    fn shard(&self, shard: ShardId) -> Shard {
        let slot = self.view.slot(shard);
        let holder = slot.owner.as_ref().and_then(|owner| owner.holder.as_ref());
        let named = holder.and_then(|(node, _)| self.place(node));
        let owner = named.filter(|place| {
            holder.is_some_and(|(_, incarnation)| self.nodes[*place].incarnation == incarnation)
        });
        let target = slot.target.as_ref().and_then(|target| match holder {
            Some((node, _)) if *node == target.node => named,
            _ => self.place(&target.node),
        });
        let is_operators = slot.target.as_ref().is_some_and(|target| target.why == Why::Operator);
        let has_target = slot.target.is_some();
        let is_handed_over = self.view.is_handed_over(shard);
        let (before, pin, why) = (target, None, None);
        Shard { owner, has_target, is_handed_over, is_operators, before, target, pin, why }
    }

    fn place(&self, node: &NodeId) -> Option<usize> {
        self.nodes.binary_search_by(|other| other.id.cmp(node)).ok()
    }

    fn eligible(&self, node: &NodeId) -> Option<usize> {
        self.place(node).filter(|place| self.nodes[*place].is_eligible)
    }

    fn is_eligible(&self, place: Option<usize>) -> bool {
        place.is_some_and(|place| self.nodes[place].is_eligible)
    }

    /// Gives a shard another target, for a reason.
    fn assign(&mut self, shard: usize, node: usize, why: Why) {
        let shard = &mut self.shards[shard];
        shard.target = Some(node);
        shard.has_target = true;
        shard.why = Some(why);
    }

    /// How many more may be on their way.
    fn moves_left(&self, moves_max: usize) -> usize {
        moves_max.saturating_sub(self.shards.iter().filter(|shard| shard.is_moving()).count())
    }

    /// An operator's moves do not wait.
    fn grant_wishes(&mut self) {
        for (shard, node) in &self.view.wishes {
            let place = usize::from(shard.0);
            let Some(node) = self.eligible(node) else { continue };
            if self.shards.get(place).is_some_and(|shard| shard.is_handed_over) {
                // As soon as it is claimed.
                continue;
            }
            if self.shards.get(place).is_some_and(|shard| shard.target != Some(node)) {
                self.assign(place, node, Why::Operator);
            }
        }
    }

    /// What was on its way to a node that may not have it any more stays with its owner.
    fn return_from_lost_targets(&mut self) {
        for place in 0..self.shards.len() {
            let Shard { owner: Some(owner), target, .. } = self.shards[place] else { continue };
            if !self.is_eligible(target) && self.nodes[owner].is_eligible {
                self.assign(place, owner, Why::Balance);
            }
        }
    }

    /// Counts what nodes have, and decides what they should have.
    fn allot(&mut self) {
        for shard in &self.shards {
            if let Some(pin) = shard.pin {
                self.nodes[pin].pinned += 1;
            }
            if let Some(place) = shard.pin.or(shard.target) {
                self.nodes[place].count += 1;
            }
        }
        quota::allot(&mut self.nodes, self.shards.len());
    }

    /// Nodes that have less than they should, the emptiest first.
    fn vacancies(&self) -> Vacancies {
        let lacks = self.nodes.iter().map(|node| match node.is_eligible {
            true => node.quota.saturating_sub(node.count),
            false => 0,
        });
        // The first of equals is the greatest.
        let heap = lacks.enumerate().map(|(place, lack)| (lack, std::cmp::Reverse(place)));
        Vacancies(heap.filter(|(lack, _)| *lack > 0).collect())
    }

    /// What nobody owns waits for nothing, but to be claimed if somebody may.
    fn place_orphans(&mut self) {
        let mut vacancies = self.vacancies();
        for place in 0..self.shards.len() {
            let shard = &self.shards[place];
            if shard.owner.is_none() && !shard.is_handed_over && !self.is_eligible(shard.target) {
                self.settle(place, Why::Orphan, &mut vacancies);
            }
        }
    }

    /// Who is to own nothing gives up what it has.
    fn drain(&mut self, moves_max: usize) {
        let mut vacancies = self.vacancies();
        let mut left = self.moves_left(moves_max);
        for place in 0..self.shards.len() {
            let shard = &self.shards[place];
            if shard.owner.is_none() || self.is_eligible(shard.target) {
                continue;
            }
            // One that was on its way to somebody else is so still.
            let is_new = !shard.is_moving();
            if !is_new || left > 0 {
                left -= usize::from(is_new);
                self.settle(place, Why::Drain, &mut vacancies);
            }
        }
    }

    /// Gives a shard that must go somewhere its pin, or the emptiest node.
    fn settle(&mut self, place: usize, why: Why, vacancies: &mut Vacancies) {
        let shard = &self.shards[place];
        if let Some(pin) = shard.pin {
            return self.assign(place, pin, if why == Why::Orphan { Why::Pin } else { why });
        }
        let before = shard.target;
        let node = vacancies.take().expect("quotas add up to all shards");
        if let Some(before) = before {
            self.nodes[before].count -= 1;
        }
        self.nodes[node].count += 1;
        self.assign(place, node, why);
    }

    fn honour_pins(&mut self, moves_max: usize) {
        let mut left = self.moves_left(moves_max);
        for shard in self.view.pins.keys() {
            let place = usize::from(shard.0);
            let Some(shard) = self.shards.get(place) else { continue };
            let Some(pin) = shard.pin.filter(|pin| shard.target != Some(*pin)) else { continue };
            // What is there is good for that node alone: it moves on once it is claimed.
            if shard.is_handed_over {
                continue;
            }
            let is_wished = shard.why == Some(Why::Operator);
            let is_new = shard.owner.is_some() && !shard.is_moving();
            if !is_wished && (!is_new || left > 0) {
                left -= usize::from(is_new);
                self.assign(place, pin, Why::Pin);
            }
        }
    }

    /// Moves from nodes that have too much to those that have too little; what operators placed
    /// only if nothing else will do.
    fn balance(&mut self, moves_max: usize) {
        let mut vacancies = self.vacancies();
        let mut left = self.moves_left(moves_max);
        for moves_operators in [false, true] {
            for place in 0..self.shards.len() {
                let shard = &self.shards[place];
                let Some(from) = shard.target.filter(|_| shard.is_free()) else { continue };
                let Node { count, quota, is_eligible, .. } = self.nodes[from];
                if shard.is_operators != moves_operators || count <= quota || !is_eligible {
                    continue;
                }
                let Some(to) = (left > 0).then(|| vacancies.take()).flatten() else { return };
                left -= 1;
                self.nodes[from].count -= 1;
                self.nodes[to].count += 1;
                self.assign(place, to, Why::Balance);
            }
        }
    }

    fn assignments(&self) -> Vec<Assignment> {
        let changed = self.view.shards().zip(&self.shards).filter_map(|(shard, planned)| {
            let node = planned.target.filter(|_| planned.target != planned.before)?;
            Some(Assignment { shard, node: self.nodes[node].id.clone(), why: planned.why? })
        });
        changed.collect()
    }
}

/// What nodes lack.
struct Vacancies(BinaryHeap<(usize, std::cmp::Reverse<usize>)>);

impl Vacancies {
    /// The node that lacks most; it has one more then.
    fn take(&mut self) -> Option<usize> {
        let (lack, node) = self.0.pop()?;
        if lack > 1 {
            self.0.push((lack - 1, node));
        }
        Some(node.0)
    }
}
