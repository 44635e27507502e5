//! Which steps may come next; and the one that a fair schedule takes once nothing fails any more.

use crate::{
    chain::Stage,
    etcd::{self, NODES, SHARDS, id},
    node::{Gate, UnderWay},
    world::{Bug, Step, World},
};

impl World {
    /// All steps that may come next.
    pub(crate) fn steps(&self) -> Vec<Step> {
        let mut steps = Vec::new();
        for node in 0..NODES {
            self.faults(node, &mut steps);
            self.membership(node, &mut steps);
            if self.nodes[node].is_up {
                (0..SHARDS).for_each(|slot| self.of_shard(node, slot, &mut steps));
            }
        }
        self.of_chains(&mut steps);
        steps
    }

    fn faults(&self, node: usize, steps: &mut Vec<Step>) {
        let known = &self.nodes[node];
        let key = self.etcd.now().nodes[node].as_ref();
        if known.is_up && self.budget.crashes > 0 && known.registrations > 0 {
            steps.push(Step::Crash(node));
        }
        if known.is_up && self.budget.lapses > 0 && known.holds_lease {
            steps.push(Step::Lapse(node));
        }
        if self.budget.leaves > 0 && key.is_some_and(|key| !key.is_leaving) {
            steps.push(Step::Leave(node));
        }
        if self.budget.moves > 0 && self.is_eligible(node) {
            for slot in 0..SHARDS {
                let target = self.etcd.now().slots[slot].target.as_ref();
                if target.is_some_and(|target| target.node != id(node)) {
                    steps.push(Step::Move(slot, node));
                }
            }
        }
    }

    fn is_eligible(&self, node: usize) -> bool {
        self.etcd.now().nodes[node].as_ref().is_some_and(|key| !key.is_leaving)
    }

    fn membership(&self, node: usize, steps: &mut Vec<Step>) {
        let known = &self.nodes[node];
        let now = self.etcd.now();
        let is_current = self.is_registered(node);
        if now.nodes[node].is_some() && !(is_current && known.holds_lease) {
            // Never before the node's own clock says so.
            steps.push(Step::Expire(node));
        }
        if !known.is_up {
            if known.registrations > 0 {
                steps.push(Step::Restart(node));
            }
            return;
        }
        if known.seen < now.revision {
            steps.push(Step::Read(node));
        }
        let Some((own, _)) = known.registration else { return steps.push(Step::Register(node)) };
        if !known.holds_lease {
            steps.push(Step::GiveUp(node));
            let serves = (0..SHARDS).any(|slot| known.places[slot].gate != Gate::Shut);
            if serves {
                steps.push(Step::LookAtClock(node));
            }
            if is_current {
                steps.push(Step::Confirm(node));
            }
        } else if is_current {
            let sees_no_leader = self.etcd.seen(known.seen).keys.leader.is_none();
            if now.leader.is_none() && sees_no_leader {
                steps.push(Step::Elect(node));
            }
            let leads = now.leader == Some((node, own)) && known.seen >= known.planned;
            if leads && !self.planned(node).is_empty() {
                steps.push(Step::Plan(node));
            }
        }
    }

    fn of_shard(&self, node: usize, slot: usize, steps: &mut Vec<Step>) {
        let place = self.place(node, slot);
        match &place.under_way {
            Some(UnderWay::Asked(action)) if self.may_carry_out(node, slot, action) => {
                steps.push(Step::CarryOut(node, slot));
            }
            Some(UnderWay::Found(..) | UnderWay::Confirmed(..)) => {
                steps.push(Step::CarryOut(node, slot));
            }
            Some(UnderWay::Done(_)) => steps.push(Step::Hear(node, slot)),
            Some(UnderWay::Asked(_)) | None => {}
        }
        if place.turn.is_some() {
            steps.push(Step::EndTurn(node, slot));
        } else if self.budget.turns > 0 && place.gate == Gate::Open && self.serves(node, slot) {
            steps.push(Step::StartTurn(node, slot));
        }
    }

    fn of_chains(&self, steps: &mut Vec<Step>) {
        for (place, chain) in self.chains.iter().enumerate() {
            if chain.stage == Stage::NotBegun {
                steps.extend([true, false].map(|is_fast| Step::Begin(place, is_fast)));
            }
            if let Some(slot) = chain.waits_for() {
                let parks_all = self.bug == Bug::DrainsParkEveryCall;
                let lets_in = |node: &usize| {
                    let gate = self.place(*node, slot);
                    let is_known = self.bug == Bug::DrainsKnowTheirOwnChains
                        && gate.gate != Gate::Shut
                        && chain.runs_at(*node, slot);
                    self.serves(*node, slot) && (gate.lets_in(chain.began, parks_all) || is_known)
                };
                steps.extend((0..NODES).filter(lets_in).map(|node| Step::Enter(place, node)));
            }
            if chain.may_end().is_some() {
                steps.push(Step::End(place));
            }
        }
    }

    /// The step that a fair schedule takes when nothing fails any more; none: all has come to rest.
    /// Nobody moves anything or begins anything of their own, and who is dead stays so.
    pub(crate) fn fair_step(&self) -> Option<Step> {
        let is_last = |step: &Step| match step {
            Step::Crash(_) | Step::Lapse(_) | Step::Leave(_) | Step::Move(..) => None,
            Step::Confirm(_) | Step::Begin(..) | Step::StartTurn(..) => None,
            Step::Restart(_) if self.nodes.iter().any(|node| node.is_up) => None,
            // The leader acts when all else has been done.
            Step::Plan(_) => Some(1),
            _ => Some(0),
        };
        let ranked = self.steps().into_iter().filter_map(|step| Some((is_last(&step)?, step)));
        ranked.min_by_key(|(rank, _)| *rank).map(|(_, step)| step)
    }

    /// Whether all is well, now that nothing is left to do.
    pub(crate) fn is_at_rest(&self) -> Result<(), String> {
        if let Some(chain) = self.chains.iter().find(|chain| !chain.is_over()) {
            return Err(format!("a chain is stuck: {chain:?}"));
        }
        for slot in 0..SHARDS {
            let target = self.etcd.now().slots[slot].target.as_ref();
            let target = target.map(|target| etcd::place(&target.node));
            let Some(node) = target.filter(|node| self.serves(*node, slot)) else {
                return Err(format!("shard {slot} is not served by its target, {target:?}"));
            };
            let place = self.place(node, slot);
            let epoch = place.state.held().map(|held| held.epoch.0);
            if place.gate != Gate::Open || epoch != Some(self.epochs[slot]) {
                return Err(format!("shard {slot} is served in vain, in epoch {epoch:?}"));
            }
        }
        Ok(())
    }
}
