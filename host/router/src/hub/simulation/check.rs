//! What must hold, while it runs and in the end.

use std::collections::{BTreeMap, BTreeSet};

use wasmverse_core::cluster::owner::State;

use super::{
    asks::Claim,
    faults::Fault,
    node::Door,
    parcels::Parcel,
    world::{Event, MS, SECOND, World, shard_id},
};

/// What was seen so far.
#[derive(Debug, Default)]
pub(super) struct Checks {
    pub(super) violation: Option<String>,
    /// Epochs that were claimed, and by whom.
    claimed: BTreeMap<usize, Vec<(u64, usize)>>,
    used: BTreeSet<u64>,
    /// The last calls of clients: none of them may fail.
    pub(super) last: Vec<usize>,
    pub(super) turns: usize,
    pub(super) turns_cut: usize,
    pub(super) drains_cut: usize,
    pub(super) parcels_lost: usize,
    pub(super) failed_calls: usize,
    pub(super) lost_registrations: usize,
    pub(super) is_ended: bool,
}

impl Checks {
    pub(super) fn moves(&self) -> usize {
        self.claimed.values().map(Vec::len).sum()
    }

    pub(super) fn parcels(&self) -> usize {
        self.used.len()
    }
}

impl World {
    /// Owner keys were written: epochs only grow.
    pub(super) fn check_claims(
        &mut self,
        process: usize,
        claims: &[Claim],
        written: &[(usize, u64, Option<u64>)],
    ) {
        for (claim, (shard, _, written)) in claims.iter().zip(written) {
            let claimed = self.checks.claimed.entry(*shard).or_default();
            let last = claimed.last().copied().unwrap_or_default();
            if written.is_none() || last == (claim.epoch.0, process) {
                continue;
            }
            claimed.push((claim.epoch.0, process));
            if claim.epoch.0 <= last.0 {
                self.violate(format!(
                    "shard {shard} is claimed in {} after {last:?}",
                    claim.epoch.0
                ));
            }
        }
    }

    /// A turn begins: nobody else has the shard.
    pub(super) fn check_serves(&mut self, process: usize, shard: usize, epoch: u64) {
        self.checks.turns += 1;
        let slot = self.etcd.now().view.slot(shard_id(shard));
        let is_over = slot.owner.as_ref().is_some_and(|it| it.epoch.0 > epoch);
        if is_over {
            self.violate(format!(
                "node {process} begins a turn in epoch {epoch} of shard {shard}, but: {slot:?}"
            ));
        }
    }

    /// What was in another's memory is taken up: once, and in the next epoch alone.
    pub(super) fn check_parcel(&mut self, shard: usize, parcel: &Parcel, epoch: u64) {
        if !self.checks.used.insert(parcel.id) {
            self.violate(format!("shard {shard}: a parcel is used twice"));
        }
        let claimed = self.checks.claimed.entry(shard).or_default();
        let before = claimed.iter().rev().find(|(it, _)| *it < epoch).map(|(it, _)| *it);
        if before != Some(parcel.ends) {
            let ends = parcel.ends;
            self.violate(format!(
                "shard {shard}: what ends {ends} is used in {epoch}, which follows {before:?}"
            ));
        }
    }

    /// Every shard is where it should be; and every gate calls every object once more.
    pub(super) fn last_calls(&mut self) {
        let view = &self.etcd.now().view;
        let mut wrong = None;
        for shard in 0..self.shards {
            let slot = view.slot(shard_id(shard));
            let owner = view.owner(shard_id(shard)).map(|(member, epoch)| (&member.id, epoch));
            let target = slot.target.as_ref().map(|target| &target.node);
            let process = self.processes.iter().find(|it| Some(&it.id) == target);
            let serves = process.is_some_and(|it| {
                let place = &it.node.places[shard];
                matches!(place.state, State::Serving(_)) && place.door == Door::Open
            });
            if owner.map(|(owner, _)| owner) != target || !serves {
                let states = self.processes[..self.nodes].iter();
                let states: Vec<_> = states.map(|it| &it.node.places[shard].state).collect();
                wrong = Some(format!("shard {shard} is not served: {slot:?}, {states:?}"));
            }
        }
        if let Some(wrong) = wrong {
            // A shard may just be on its way.
            return match self.now < self.terms.quiet + 9 * SECOND {
                true => self.after(100 * MS, Event::Fault(Fault::LastCalls)),
                false => self.violate(wrong),
            };
        }
        for client in 0..2.min(self.clients.len()) {
            for object in 0..self.objects.len() {
                let call = self.client_begins(client, object);
                self.checks.last.push(call);
            }
        }
    }

    pub(super) fn check_end(&mut self) -> Result<(), String> {
        self.checks.is_ended = true;
        if let Some(call) = self.checks.last.iter().find(|call| !self.infos[**call].is_done) {
            return Err(format!("call {call} is not answered well in the end"));
        }
        if self.checks.last.is_empty() {
            return Err("the last calls were never made".to_owned());
        }
        for (index, info) in self.infos.iter().enumerate() {
            if info.client.is_some() && !info.is_done && !info.has_failed {
                return Err(format!("call {index} was never answered"));
            }
        }
        for object in 0..self.objects.len() {
            self.check_object(object).map_err(|wrong| format!("object {object}: {wrong}"))?;
        }
        Ok(())
    }

    /// What was acknowledged is there once, in order; what surely did not run is not.
    fn check_object(&self, object: usize) -> Result<(), String> {
        let is_durable = self.objects[object].is_durable;
        let log: Vec<usize> = if is_durable {
            self.store.logs[object].iter().map(|line| line.call).collect()
        } else {
            let entries = self.processes[..self.nodes].iter().map(|it| &it.node.entries[object]);
            entries.filter_map(|entry| entry.memory.clone()).flatten().collect()
        };
        let mut seen = BTreeSet::new();
        let mut orders: BTreeMap<usize, usize> = BTreeMap::new();
        for call in &log {
            let info = &self.infos[*call];
            if !seen.insert(*call) {
                return Err(format!("call {call} (key {:?}) is there twice", info.key));
            }
            let is_known = info.client.is_some() || info.tries == 1;
            if info.has_failed && is_known && !info.may_have_run && !info.is_done {
                return Err(format!("call {call} is there, though it surely did not run"));
            }
            if let Some((client, made)) = info.client.filter(|_| info.is_done && info.tries == 1) {
                let last = orders.insert(client, made).unwrap_or_default();
                if last > made {
                    return Err(format!("call {call} of client {client} comes too late: {log:?}"));
                }
            }
        }
        let is_kept = is_durable || !self.terms.is_faulty;
        let is_of_this = |index: usize| self.infos[index].object == object;
        for index in (0..self.infos.len()).filter(|index| is_kept && is_of_this(*index)) {
            if self.infos[index].is_done && !seen.contains(&index) {
                return Err(format!("call {index} was acknowledged, and is not there"));
            }
        }
        Ok(())
    }
}
