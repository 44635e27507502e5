//! A process as a member of the cluster: it registers, keeps its lease alive, and follows the view.

use std::{sync::Arc, time::Duration};

use wasmverse_core::cluster::{Incarnation, Lease};

use super::{
    asks::EtcdOp,
    process::{Registration, name_of},
    world::{Bug, Event, MS, SECOND, Time, Who, World},
};

/// Of leases.
const TTL: Time = 2 * SECOND;

fn ttl() -> Duration {
    Duration::from_micros(TTL)
}

impl World {
    pub(super) fn ask_to_register(&mut self, place: usize) {
        let process = &mut self.processes[place];
        if !std::mem::replace(&mut process.registers, true) {
            let who = process.who();
            self.within(MS, 20 * MS, Event::Register(who));
        }
    }

    pub(super) fn register(&mut self, place: usize) {
        if self.processes[place].registers {
            let asked = self.local(place);
            self.ask_etcd(place, EtcdOp::Register(asked));
            // If nobody answers, it asks again.
            let who = self.processes[place].who();
            self.after(500 * MS, Event::Register(who));
        }
    }

    /// At etcd: the lease, the incarnation, the revision.
    pub(super) fn grant(&mut self, who: Who) -> (u64, Incarnation, u64) {
        let until = self.now + TTL;
        let process = &self.processes[who.process];
        let (id, is_gate) = (process.id.clone(), process.is_gate);
        let granted = self.etcd.register((&id, &name_of(who.life)), is_gate, until);
        self.at(until, Event::Expire(granted.0));
        granted
    }

    pub(super) fn registered(&mut self, place: usize, asked: Duration, registration: Registration) {
        let lease = Lease::new(ttl(), asked);
        let now = self.local(place);
        let process = &mut self.processes[place];
        // One of two that were asked for has been taken for the place of the other since.
        if !process.registers || now >= lease.until() {
            return;
        }
        process.registers = false;
        let who = process.who();
        let (number, interval) = (registration.lease, lease.interval());
        process.registration = Some(registration);
        process.lease = Some(lease);
        self.expect_lapse(place);
        self.after(Time::try_from(interval.as_micros()).unwrap(), Event::Beat(who, number));
        self.look_at_all(place);
        self.lead(place);
    }

    fn expect_lapse(&mut self, place: usize) {
        let process = &self.processes[place];
        let Some(lease) = process.lease else { return };
        let (who, at) = (process.who(), process.clock.when(lease.until()));
        self.at(at, Event::Lapse(who));
    }

    pub(super) fn beat(&mut self, who: Who, lease: u64) {
        let place = who.process;
        let is_ours = |it: &Registration| it.lease == lease;
        if !self.processes[place].registration.as_ref().is_some_and(is_ours) {
            return;
        }
        let sent = self.local(place);
        self.ask_etcd(place, EtcdOp::KeepAlive(lease, sent));
        self.after(TTL / 5, Event::Beat(who, lease));
    }

    /// At etcd.
    pub(super) fn keep_alive(&mut self, lease: u64) -> bool {
        self.etcd.keep_alive(lease, self.now + TTL)
    }

    pub(super) fn kept(&mut self, place: usize, lease: u64, sent: Duration, is_kept: bool) {
        let process = &mut self.processes[place];
        if process.registration.as_ref().is_none_or(|it| it.lease != lease) {
            return;
        }
        if !is_kept {
            return self.lose_registration(place, "its lease is gone");
        }
        if let Some(lease) = &mut process.lease {
            lease.confirm(sent);
        }
        self.expect_lapse(place);
    }

    pub(super) fn lapse(&mut self, place: usize) {
        let process = &self.processes[place];
        let is_over = process.registration.is_some() && !process.holds_lease(self.now, self.bug);
        if is_over && self.bug != Bug::LeaseIsNotLookedAt {
            self.lose_registration(place, "its lease has lapsed");
        }
    }

    pub(super) fn expire(&mut self, lease: u64) {
        match self.etcd.lapses(lease) {
            Some(until) if until > self.now => self.at(until, Event::Expire(lease)),
            Some(_) => {
                self.note(|| format!("lease {lease} lapses"));
                self.etcd.end(lease);
                self.tell_all();
            }
            None => {}
        }
    }

    fn lose_registration(&mut self, place: usize, why: &str) {
        self.note(|| format!("process {place} loses its registration: {why}"));
        let process = &mut self.processes[place];
        (process.registration, process.lease) = (None, None);
        if !process.is_gate {
            self.checks.lost_registrations += 1;
        }
        self.look_at_all(place);
        if self.processes[place].node.leaving != super::node::Leaving::Gone {
            self.ask_to_register(place);
        }
    }

    /// Something is new: every process hears of it in its own time.
    pub(super) fn tell_all(&mut self) {
        let revision = self.etcd.revision();
        for place in 0..self.processes.len() {
            let process = &mut self.processes[place];
            if process.is_up && !process.watches && process.view.revision < revision {
                process.watches = true;
                let who = process.who();
                let slow = self.now < self.terms.quiet && self.chance(5);
                let most = if slow { self.terms.slow } else { 15 * MS };
                self.within(MS / 2, most, Event::Watch(who));
            }
        }
    }

    pub(super) fn watch(&mut self, place: usize) {
        let who = self.processes[place].who();
        // It is broken: what it misses it reads anew.
        if let Some(until) = self.cut(place, self.etcd_place()) {
            return self.at(until + 10 * MS, Event::Watch(who));
        }
        let latest = self.etcd.revision();
        let seen = self.processes[place].view.revision;
        let upto =
            if seen < latest && self.chance(20) { self.between(seen + 1, latest) } else { latest };
        self.processes[place].watches = upto < latest;
        if upto < latest {
            self.within(MS / 2, 15 * MS, Event::Watch(who));
        }
        if upto > seen {
            self.see(place, upto);
        }
    }

    /// A process has read up to a revision.
    fn see(&mut self, place: usize, revision: u64) {
        let seen = self.etcd.seen(revision).clone();
        let at = self.instant(self.now);
        let process = &mut self.processes[place];
        process.view = Arc::clone(&seen.view);
        process.leader = seen.leader;
        // The router and the driver hear of it at the same time, whichever comes first.
        let router_first = self.chance(50);
        if router_first {
            self.route(place, at);
        }
        let process = &self.processes[place];
        let is_lost = process.registration.as_ref().is_some_and(|ours| {
            let view = &process.view;
            let is_there = match process.is_gate {
                true => view
                    .gates
                    .get(&process.id)
                    .is_some_and(|gate| gate.incarnation == ours.incarnation),
                false => view.is_registered(&process.id, &ours.incarnation),
            };
            view.revision >= ours.revision && !is_there
        });
        if is_lost && self.bug != Bug::LeaseIsNotLookedAt {
            self.lose_registration(place, "the view does not show it");
        } else {
            self.look_at_all(place);
        }
        if !router_first {
            self.route(place, at);
        }
        self.lead(place);
        self.go_on_leaving(place);
    }

    fn route(&mut self, place: usize, at: std::time::Instant) {
        let process = &self.processes[place];
        process.hub.replace(Arc::clone(&process.view), at);
        self.know_peers(place);
    }
}
