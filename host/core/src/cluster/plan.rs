//! Where shards should be: what the leader writes.
//!
//! A plan is made from one view and changes as little as it can. What has no living owner, or one
//! that is leaving, is placed at once; the rest moves only while membership is stable: pinned shards
//! to their nodes, then as many others as it takes for every node to have its share
//! (`quota.rs`), or, if asked for, its share of the load (`load.rs`). Plans follow each other
//! while moves end: each looks at what is on its way, and adds no more than may be.

mod load;
mod quota;
#[cfg(test)]
mod tests;

use std::{cmp::Reverse, collections::BinaryHeap};

use fnv::FnvHashMap;

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
    /// Where among them each is: it is asked twice for every shard.
    places: FnvHashMap<&'a NodeId, usize>,
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
        let places = nodes.iter().map(|node| node.id).zip(0..).collect();
        let mut draft = Self { view, nodes, places, shards: Vec::new() };
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
        self.places.get(node).copied()
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

    /// What nodes have less than they should.
    fn vacancies(&self) -> Vacancies {
        let lacks = self.nodes.iter().map(|node| match node.is_eligible {
            true => node.quota.saturating_sub(node.count),
            false => 0,
        });
        Vacancies(lacks.collect())
    }

    /// What nobody owns waits for nothing, but to be claimed if somebody may.
    fn place_orphans(&mut self) {
        let is_orphan = |place: &usize| {
            let shard = &self.shards[*place];
            shard.owner.is_none() && !shard.is_handed_over && !self.is_eligible(shard.target)
        };
        let orphans = (0..self.shards.len()).filter(is_orphan).collect();
        self.settle(orphans, Why::Orphan);
    }

    /// Who is to own nothing gives up what it has.
    fn drain(&mut self, moves_max: usize) {
        let mut left = self.moves_left(moves_max);
        let mut drained = Vec::new();
        for (place, shard) in self.shards.iter().enumerate() {
            if shard.owner.is_none() || self.is_eligible(shard.target) {
                continue;
            }
            // One that was on its way to somebody else is so still.
            let is_new = !shard.is_moving();
            if !is_new || left > 0 {
                left -= usize::from(is_new);
                drained.push(place);
            }
        }
        self.settle(drained, Why::Drain);
    }

    /// Gives shards that must go somewhere their pins, or to the nodes that lack most.
    fn settle(&mut self, places: Vec<usize>, why: Why) {
        let mut free = Vec::with_capacity(places.len());
        for place in places {
            match self.shards[place].pin {
                Some(pin) if why == Why::Orphan => self.assign(place, pin, Why::Pin),
                Some(pin) => self.assign(place, pin, why),
                None => free.push(place),
            }
        }
        let nodes = self.vacancies().take(free.len());
        assert_eq!(nodes.len(), free.len(), "quotas add up to all shards");
        for (place, node) in free.into_iter().zip(nodes) {
            self.transfer(place, node, why);
        }
    }

    /// Gives a shard to another node, which has one more then.
    fn transfer(&mut self, place: usize, node: usize, why: Why) {
        if let Some(before) = self.shards[place].target {
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
        let vacancies = self.vacancies();
        let left = self.moves_left(moves_max).min(vacancies.0.iter().sum());
        let excess = |node: &Node<'_>| match node.is_eligible {
            true => node.count.saturating_sub(node.quota),
            false => 0,
        };
        let mut excesses: Vec<_> = self.nodes.iter().map(excess).collect();
        let mut leaving = Vec::new();
        for moves_operators in [false, true] {
            for (place, shard) in self.shards.iter().enumerate() {
                let Some(from) = shard.target.filter(|_| shard.is_free()) else { continue };
                if shard.is_operators == moves_operators
                    && excesses[from] > 0
                    && leaving.len() < left
                {
                    excesses[from] -= 1;
                    leaving.push(place);
                }
            }
        }
        let nodes = vacancies.take(leaving.len());
        for (place, node) in leaving.into_iter().zip(nodes) {
            self.transfer(place, node, Why::Balance);
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

/// What nodes lack, by their places.
struct Vacancies(Vec<usize>);

impl Vacancies {
    /// Nodes for so many shards, as far as there are any: to who lacks most goes most. Each has its
    /// shards one after the other, so that what a node owns is told in a few ranges.
    fn take(&self, shards: usize) -> Vec<usize> {
        // The first of equals is the greatest.
        let lacking = self.0.iter().enumerate().filter(|(_, lack)| **lack > 0);
        let mut heap: BinaryHeap<_> =
            lacking.map(|(place, lack)| (*lack, Reverse(place))).collect();
        let mut nodes = Vec::with_capacity(shards);
        while nodes.len() < shards {
            let Some((lack, place)) = heap.pop() else { break };
            nodes.push(place.0);
            if lack > 1 {
                heap.push((lack - 1, place));
            }
        }
        nodes.sort_unstable();
        nodes
    }
}
