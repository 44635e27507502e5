//! Clients: each calls objects through its gate, often several times in a row without waiting, keeps
//! what it was told, and makes keyed calls again.

use rand::Rng as _;

use super::{
    calls::Purpose,
    turns::Outcome,
    world::{Bug, Event, MS, SECOND, World},
};

pub(super) struct Client {
    gate: usize,
    /// Calls that it has still to make.
    pub(super) left: usize,
    made: usize,
}

impl World {
    pub(super) fn add_clients(&mut self) {
        for place in 0..self.terms.clients {
            let gate = self.nodes + self.random.random_range(0..2);
            self.clients.push(Client { gate, left: self.terms.calls, made: 0 });
            self.within(100 * MS, SECOND, Event::Client(place));
        }
    }

    /// A client makes some calls in a row.
    pub(super) fn client_acts(&mut self, client: usize) {
        if self.clients[client].left == 0 {
            return;
        }
        let object = self.random.random_range(0..self.objects.len());
        for _ in 0..self.random.random_range(1..=3) {
            self.client_begins(client, object);
        }
        self.within(MS, self.terms.gap, Event::Client(client));
    }

    pub(super) fn client_begins(&mut self, client: usize, object: usize) -> usize {
        let has_key = self.objects[object].is_durable && self.chance(40);
        let key = has_key.then(|| self.number());
        let deadline = self.now + self.between(self.terms.patience / 2, self.terms.patience);
        let it = &mut self.clients[client];
        it.left = it.left.saturating_sub(1);
        it.made += 1;
        let made = it.made;
        let call = self.info(object, key, deadline, Some((client, made)));
        self.client_calls(call);
        call
    }

    pub(super) fn client_calls(&mut self, call: usize) {
        if let Some((client, _)) = self.infos[call].client {
            self.note(|| format!("  client {client} makes call {call}"));
            self.call(self.clients[client].gate, call, 0, Purpose::Client);
        }
    }

    pub(super) fn client_hears(&mut self, call: usize, outcome: Outcome) {
        let info = &self.infos[call];
        let is_sure = info.key.is_some() || self.bug == Bug::EverythingIsRetried;
        let may_retry = match outcome {
            Outcome::Unavailable(may_have_run) => is_sure || (!may_have_run && info.key.is_some()),
            Outcome::Done | Outcome::Elsewhere(..) | Outcome::Timeout(_) => false,
        };
        let (deadline, tries) = (info.deadline, info.tries.min(5));
        if may_retry && self.now + 20 * MS < deadline {
            let may_have_run = matches!(outcome, Outcome::Unavailable(true));
            self.infos[call].may_have_run |= may_have_run;
            let most = (20 * MS) << tries;
            return self.within(10 * MS, most, Event::Again(call));
        }
        self.settle_call(call, outcome);
    }

    /// What became of a call for good.
    pub(super) fn settle_call(&mut self, call: usize, outcome: Outcome) {
        let info = &mut self.infos[call];
        if outcome == Outcome::Done {
            info.is_done = true;
            return;
        }
        info.has_failed = true;
        let mut may_have_run = info.may_have_run;
        if let Outcome::Unavailable(may) | Outcome::Timeout(may) = outcome {
            may_have_run |= may;
        }
        info.may_have_run = may_have_run;
        self.checks.failed_calls += 1;
        if self.checks.last.contains(&call) {
            return self.violate(format!("call {call} failed in the end: {outcome:?}"));
        }
        if !self.terms.is_faulty {
            self.violate(format!("call {call} failed in a planned change: {outcome:?}"));
        }
    }
}
