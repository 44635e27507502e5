//! The leader: whoever could write its key turns views into targets.

use std::{collections::BTreeSet, time::Duration};

use wasmverse_core::{
    NodeId, ShardId,
    cluster::{
        Incarnation, Slot, View,
        plan::{Terms, plan},
    },
};

use super::{
    asks::EtcdOp,
    world::{Event, MS, Time, World},
};

/// Who is there, and since when nothing of that has changed.
#[derive(Default)]
pub(super) struct Membership {
    members: BTreeSet<(NodeId, Incarnation, bool)>,
    since: Duration,
    /// What was written last must be read before anything follows.
    written: u64,
    /// It has asked etcd for something.
    asks: bool,
}

impl Membership {
    fn observe(&mut self, view: &View, now: Duration) {
        let members = view
            .nodes
            .values()
            .map(|it| (it.id.clone(), it.incarnation.clone(), view.is_eligible(&it.id)));
        let members: BTreeSet<_> = members.collect();
        if members != self.members {
            (self.members, self.since) = (members, now);
        }
    }
}

impl World {
    /// Does what a leader does, if it is one or can become one.
    pub(super) fn lead(&mut self, place: usize) {
        let now = self.local(place);
        let stability = Duration::from_micros(self.terms.stability);
        let process = &mut self.processes[place];
        if process.is_gate {
            return;
        }
        process.membership.observe(&process.view, now);
        let Some(ours) = &process.registration else { return };
        if process.membership.asks || process.view.revision < ours.revision {
            return;
        }
        let Some((leader, since)) = process.leader.clone() else {
            process.membership.asks = true;
            return self.ask_etcd(place, EtcdOp::Campaign);
        };
        let view = &process.view;
        if leader != ours.incarnation || view.revision < process.membership.written.max(since) {
            return;
        }
        let is_new = view.shards().all(|shard| view.slot(shard).owner.is_none());
        let unrest = match is_new {
            true => Duration::ZERO,
            false => stability.saturating_sub(now.saturating_sub(process.membership.since)),
        };
        let terms = Terms {
            min_nodes: if is_new { 2 } else { 1 },
            is_stable: unrest.is_zero(),
            moves_max: self.terms.moves_max,
            load: None,
        };
        let mut wishes = self.etcd.seen(view.revision).wishes.clone();
        let mut view = View::clone(view);
        // Where its parcel is a shard is claimed first: then the wish is granted.
        let is_on_its_way = |view: &View, shard: &ShardId| {
            let Slot { owner, target } = view.slot(*shard);
            owner.as_ref().is_some_and(|owner| owner.holder.is_none())
                && target.as_ref().is_some_and(|target| view.nodes.contains_key(&target.node))
        };
        wishes.retain(|shard, _| !is_on_its_way(&view, shard));
        view.wishes.retain(|shard, _| wishes.contains_key(shard));
        let planned = plan(&view, &terms);
        if planned.is_empty() && wishes.is_empty() {
            if !unrest.is_zero() {
                let who = process.who();
                let wait = Time::try_from(unrest.as_micros()).unwrap();
                self.after(wait + MS, Event::Lead(who));
            }
            return;
        }
        self.processes[place].membership.asks = true;
        let wishes = wishes.into_iter().collect();
        self.ask_etcd(place, EtcdOp::Targets((since, view.revision), planned, wishes));
    }

    pub(super) fn planned(&mut self, place: usize, written: Option<u64>) {
        let process = &mut self.processes[place];
        process.membership.asks = false;
        process.membership.written = written.unwrap_or(process.membership.written);
        let who = process.who();
        // If it was refused, the word of that is here, or is to come.
        self.within(MS, 30 * MS, Event::Lead(who));
    }
}
