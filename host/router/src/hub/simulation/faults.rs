//! What happens to the cluster: planned changes, and everything that may go wrong.

use rand::{Rng as _, rngs::StdRng};

use super::{
    asks::EtcdOp,
    node::Leaving,
    world::{Event, MS, SECOND, Time, World, shard_id},
};

/// What a run is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Moves, pins, drains, joins, leaves.
    Planned,
    /// Those, and crashes.
    Crashes,
    /// Those, and partitions, pauses, broken links.
    Partitions,
}

/// Of one run.
pub(super) struct Terms {
    pub(super) kind: Kind,
    pub(super) is_faulty: bool,
    pub(super) stability: Time,
    pub(super) moves_max: usize,
    pub(super) drain: Time,
    pub(super) turn_max: Time,
    /// A watch may be so late.
    pub(super) slow: Time,
    pub(super) clients: usize,
    /// Of each client.
    pub(super) calls: usize,
    pub(super) gap: Time,
    pub(super) patience: Time,
    /// When the last thing happens.
    pub(super) quiet: Time,
}

impl Terms {
    pub(super) fn new(kind: Kind, random: &mut StdRng) -> Self {
        let is_faulty = kind != Kind::Planned;
        let drain = match is_faulty {
            true => random.random_range(100 * MS..SECOND),
            false => 10 * SECOND,
        };
        Self {
            kind,
            is_faulty,
            stability: random.random_range(100 * MS..SECOND),
            moves_max: random.random_range(1..=8),
            drain,
            turn_max: if is_faulty { SECOND } else { 200 * MS },
            slow: if is_faulty { SECOND } else { 200 * MS },
            clients: random.random_range(2..=4),
            calls: random.random_range(8..=16),
            gap: random.random_range(50 * MS..600 * MS),
            patience: if is_faulty { 5 * SECOND } else { 30 * SECOND },
            quiet: random.random_range(3 * SECOND..6 * SECOND),
        }
    }

    /// Everything must be well by then.
    pub(super) fn end(&self) -> Time {
        self.quiet + 15 * SECOND
    }
}

/// What happens to the cluster.
#[derive(Clone, Copy, Debug)]
pub(super) enum Fault {
    Wish(usize, usize),
    Pin(usize, usize),
    Unpin(usize),
    Drain(usize),
    Undrain,
    /// A node stops as planned; after a while it starts again.
    Leave(usize, Time),
    Crash(usize, Time),
    Start(usize),
    Pause(usize, Time),
    /// Two do not reach each other for so long.
    Cut(usize, usize, Time),
    BreakLinks(usize),
    /// All of it ends.
    Quiet,
    /// Every client calls every object once more.
    LastCalls,
}

impl World {
    pub(super) fn plan_faults(&mut self) {
        let count = self.random.random_range(1..=5);
        for _ in 0..count {
            let at = self.between(800 * MS, self.terms.quiet - 500 * MS);
            let node = self.random.random_range(0..self.nodes);
            let is_planned = self.chance(35);
            let fault = match self.terms.kind {
                Kind::Crashes if !is_planned => Fault::Crash(node, self.length()),
                Kind::Partitions if !is_planned => self.trouble(node),
                Kind::Planned | Kind::Crashes | Kind::Partitions => self.planned_change(node),
            };
            self.at(at, Event::Fault(fault));
        }
        self.at(self.terms.quiet, Event::Fault(Fault::Quiet));
        self.at(self.terms.quiet + 7 * SECOND, Event::Fault(Fault::LastCalls));
    }

    fn length(&mut self) -> Time {
        match self.random.random_range(0..3) {
            0 => self.between(5 * MS, 100 * MS),
            1 => self.between(100 * MS, SECOND),
            _ => self.between(SECOND, 4 * SECOND),
        }
    }

    fn planned_change(&mut self, node: usize) -> Fault {
        let shard = self.random.random_range(0..self.shards);
        match self.random.random_range(0..9) {
            0..3 => Fault::Wish(shard, node),
            3 => Fault::Pin(shard, node),
            4 => Fault::Unpin(shard),
            5..7 => Fault::Drain(node),
            _ => Fault::Leave(node, self.length()),
        }
    }

    fn trouble(&mut self, node: usize) -> Fault {
        let length = self.length();
        let other = self.random.random_range(0..self.processes.len());
        match self.random.random_range(0..8) {
            0 => Fault::Crash(node, length),
            1..3 => Fault::Pause(node, length),
            3..5 => Fault::Cut(node, self.etcd_place(), length),
            5..7 if other != node => Fault::Cut(node, other, length),
            _ => Fault::BreakLinks(node),
        }
    }

    pub(super) fn fail(&mut self, fault: Fault) {
        match fault {
            Fault::Wish(shard, node) => {
                let id = self.processes[node].id.clone();
                self.etcd.commit(|view, revision, keys| {
                    view.wishes.insert(shard_id(shard), id);
                    keys.wishes.insert(shard_id(shard), revision);
                });
            }
            Fault::Pin(shard, node) => {
                let id = self.processes[node].id.clone();
                self.etcd.commit(|view, _, _| drop(view.pins.insert(shard_id(shard), id)));
            }
            Fault::Unpin(shard) => {
                self.etcd.commit(|view, _, _| drop(view.pins.remove(&shard_id(shard))));
            }
            Fault::Drain(node) => {
                let id = self.processes[node].id.clone();
                let now = self.etcd.now();
                let Some(incarnation) = now.view.nodes.get(&id).map(|it| it.incarnation.clone())
                else {
                    return;
                };
                self.etcd.commit(|view, _, _| drop(view.drains.insert(id, incarnation)));
            }
            Fault::Undrain => {
                self.etcd.commit(|view, _, _| view.drains.clear());
            }
            Fault::Leave(node, length) => self.begin_leaving(node, length),
            Fault::Crash(node, length) => {
                if self.processes[node].is_up {
                    self.end_process(node);
                    self.after(length, Event::Fault(Fault::Start(node)));
                }
            }
            Fault::Start(node) => {
                if !self.processes[node].is_up {
                    self.begin(node);
                }
            }
            Fault::Pause(node, length) => {
                self.processes[node].paused_until = self.now + length;
            }
            Fault::Cut(one, other, length) => self.cut_off(one, other, length),
            Fault::BreakLinks(node) => {
                let links = self.links.iter().filter(|(_, it)| it.to == node || it.from == node);
                let links: Vec<_> = links.map(|(id, _)| *id).collect();
                links.into_iter().for_each(|id| self.within(0, 50 * MS, Event::Break(id)));
            }
            Fault::Quiet => self.quiet(),
            Fault::LastCalls => self.last_calls(),
        }
        self.tell_all();
    }

    fn cut_off(&mut self, one: usize, other: usize, length: Time) {
        let until = self.now + length;
        self.cuts.insert((one.min(other), one.max(other)), until);
        if self.chance(50) {
            let is_between = |a: usize, b: usize| (a, b) == (one, other) || (b, a) == (one, other);
            let links = self.links.iter().filter(|(_, it)| is_between(it.from, it.to));
            let links: Vec<_> = links.map(|(id, _)| *id).collect();
            links.into_iter().for_each(|id| self.within(0, length, Event::Break(id)));
        }
    }

    /// Anything may fail still.
    pub(super) fn is_troubled(&self) -> bool {
        self.terms.is_faulty && self.now < self.terms.quiet
    }

    /// Nothing fails any more.
    fn quiet(&mut self) {
        self.fail(Fault::Undrain);
        self.cuts.clear();
        for place in 0..self.processes.len() {
            self.processes[place].paused_until = 0;
            if !self.processes[place].is_up {
                self.begin(place);
            }
        }
    }

    fn begin_leaving(&mut self, node: usize, length: Time) {
        // Somebody has to stay.
        let stay = self.processes[..self.nodes].iter().filter(|it| {
            it.is_up && it.node.leaving == Leaving::Stays && it.registration.is_some()
        });
        let it = &self.processes[node];
        let may_leave = it.is_up && it.registration.is_some() && it.node.leaving == Leaving::Stays;
        if stay.count() < 2 || !may_leave {
            return;
        }
        self.processes[node].node.leaving = Leaving::Moves;
        self.processes[node].node.away_for = length;
        self.ask_etcd(node, EtcdOp::SayThatWeLeave);
    }

    pub(super) fn told_that_we_leave(&mut self, node: usize) {
        self.go_on_leaving(node);
        let who = self.processes[node].who();
        // It does not wait for ever.
        self.after(self.terms.drain + 2 * SECOND, Event::Leave(who));
    }

    /// A node that leaves, and has nothing any more, lets its links end, and then goes.
    pub(super) fn go_on_leaving(&mut self, node: usize) {
        if node >= self.nodes || !self.processes[node].is_up {
            return;
        }
        let it = &self.processes[node];
        if it.node.leaving == Leaving::Moves {
            let is_told = it.view.nodes.get(&it.id).is_some_and(|member| member.is_leaving);
            // What is on its way to it is claimed, and moves on, before it goes.
            let is_target = it.view.shards().any(|shard| {
                it.view.slot(shard).target.as_ref().is_some_and(|target| target.node == it.id)
            });
            if is_told && !is_target && !it.node.holds_any() {
                self.processes[node].node.leaving = Leaving::Ends;
                self.ask_for_no_more(node);
            }
        }
        if self.processes[node].node.leaving == Leaving::Ends && !self.has_links_to(node) {
            self.processes[node].node.leaving = Leaving::Gone;
            self.ask_etcd(node, EtcdOp::Leave);
        }
    }

    /// It has waited long enough.
    pub(super) fn leave(&mut self, node: usize) {
        if self.processes[node].node.leaving != Leaving::Gone {
            self.processes[node].node.leaving = Leaving::Gone;
            self.ask_etcd(node, EtcdOp::Leave);
        }
    }

    pub(super) fn left(&mut self, node: usize) {
        let length = self.processes[node].node.away_for;
        self.end_process(node);
        self.after(length, Event::Fault(Fault::Start(node)));
    }
}
