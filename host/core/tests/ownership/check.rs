//! What must hold: of every commit, of every parcel, and in every state.

use wasmverse_core::Epoch;

use crate::{
    etcd::{NODES, SHARDS, id, incarnation},
    node::Gate,
    world::{Bug, Violation, World},
};

impl World {
    pub(crate) fn use_parcel(&mut self, slot: usize, ends: u64) -> Result<(), Violation> {
        let (before, epoch) = (self.before[slot], self.claimed[slot]);
        if ends != before {
            return Err(format!("the parcel of {ends} is used in {epoch}, which follows {before}"));
        }
        match self.used[slot].replace(ends) {
            Some(used) if used >= ends => Err(format!("the parcel of {ends} is used twice")),
            _ => Ok(()),
        }
    }

    /// The end of a turn: the store has the last word.
    pub(crate) fn commit(&mut self, node: usize, slot: usize, epoch: u64) -> Result<(), Violation> {
        if epoch != self.epochs[slot] && self.bug != Bug::CommitsCheckNoEpoch {
            if self.is_planned {
                return Err(format!("a commit of shard {slot} is refused, though all is planned"));
            }
            if let Some(change) = self.nodes[node].places[slot].state.outrun(Epoch(epoch)) {
                self.follow(node, slot, change)?;
            }
            return Ok(());
        }
        if epoch < self.claimed[slot] {
            let by = self.claimed[slot];
            return Err(format!("epoch {epoch} commits, superseded by {by}"));
        }
        match self.committed[slot].replace((epoch, node)) {
            Some((before, _)) if before > epoch => Err(format!("{epoch} commits after {before}")),
            Some((before, other)) if before == epoch && other != node => {
                Err(format!("{} and {} commit in epoch {epoch}", id(node), id(other)))
            }
            _ => Ok(()),
        }
    }

    /// Whether the registration that a node believes in is there.
    pub(crate) fn is_registered(&self, node: usize) -> bool {
        let own = self.nodes[node].registration;
        own.is_some_and(|(own, _)| self.etcd.now().is_registered(node, own))
    }

    /// Whether a node serves a shard, and would start a turn.
    pub(crate) fn serves(&self, node: usize, slot: usize) -> bool {
        let known = &self.nodes[node];
        let is_held = known.registration.is_some_and(|(number, _)| {
            let held = known.places[slot].state.held();
            held.is_some_and(|held| held.incarnation == incarnation(node, number))
        });
        known.holds_lease && is_held && known.places[slot].gate != Gate::Shut
    }

    /// What must hold in every state.
    pub(crate) fn check(&mut self) -> Result<(), Violation> {
        for slot in 0..SHARDS {
            let serving: Vec<_> = (0..NODES).filter(|node| self.serves(*node, slot)).collect();
            if serving.len() > 1 {
                return Err(format!("shard {slot} is served by {serving:?}"));
            }
            for node in serving.into_iter().filter(|node| self.is_registered(*node)) {
                if self.bug == Bug::ClaimsIgnoreTheFormerOwner {
                    // This is worse, and comes a little later.
                    continue;
                }
                let epoch = self.nodes[node].places[slot].state.held().map(|held| held.epoch.0);
                if epoch != Some(self.epochs[slot]) {
                    return Err(format!(
                        "shard {slot} is served in vain by its owner, {}",
                        id(node)
                    ));
                }
            }
            let key = self.etcd.now().slots[slot].owner.as_ref();
            let epoch = key.map_or(0, |owner| owner.epoch.0);
            let before = std::mem::replace(&mut self.claimed[slot], epoch);
            if before > epoch {
                return Err(format!("the epoch of shard {slot} goes from {before} to {epoch}"));
            }
            if before < epoch {
                self.before[slot] = before;
            }
        }
        Ok(())
    }
}
