//! A parcel on its way to the next owner, and the answers that come back after it.

use std::mem;

use wasmverse_core::cluster::owner::{Done, State};

use super::{
    calls::Letter,
    node::Leaving,
    parcels::Parcel,
    turns::{Outcome, ReplyTo},
    world::{Event, MS, SECOND, Who, World, shard_id},
};

/// Who brings a parcel, and for which time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Source {
    pub(super) who: Who,
    pub(super) attempt: u64,
}

/// A parcel on its way.
#[derive(Debug)]
pub(super) struct Attempt {
    from: Source,
    to: usize,
    shard: usize,
    tag: u64,
    /// None: it has been taken out.
    parcel: Option<Parcel>,
}

/// A call that went along.
pub(super) struct Relay {
    reply: ReplyTo,
    to: usize,
}

impl World {
    /// Brings the parcel of a shard to its target.
    pub(super) fn hand_over(&mut self, process: usize, shard: usize, tag: u64) {
        let it = &self.processes[process];
        let who = it.who();
        let target = it.view.slot(shard_id(shard)).target.as_ref();
        let to = target.and_then(|target| self.processes.iter().position(|p| p.id == target.node));
        if !matches!(it.node.places[shard].state, State::Sending(..))
            || it.node.places[shard].tag != tag
        {
            return;
        }
        let to = to.filter(|to| {
            let it = &self.processes[*to];
            it.is_up && it.node.leaving != Leaving::Gone && self.cut(process, *to).is_none()
        });
        let Some(to) = to else {
            return self.within(MS, SECOND, Event::SendEnds(who, shard, tag, false));
        };
        let from = Source { who, attempt: self.number() };
        let Some(outgoing) = &self.processes[process].node.places[shard].outgoing else {
            return self.after(MS, Event::SendEnds(who, shard, tag, true));
        };
        let calls = outgoing
            .calls
            .iter()
            .enumerate()
            .map(|(index, letter)| Letter { reply: ReplyTo::Relay(from, index), ..*letter });
        let (calls, pieces) = (calls.collect(), outgoing.pieces.clone());
        let parcel = Some(Parcel { calls, pieces, ..*outgoing });
        self.processes[process].node.attempts.insert(shard, from.attempt);
        let there = self.processes[to].who();
        self.within(
            MS / 5,
            10 * MS,
            Event::Arrive(there, Attempt { from, to, shard, tag, parcel }),
        );
        // If nobody answers.
        self.after(3 * SECOND, Event::SendEnds(who, shard, tag, false));
    }

    pub(super) fn take_parcel(&mut self, who: Who, mut attempt: Attempt) {
        let (process, shard, from) = (who.process, attempt.shard, attempt.from.who);
        if self.cut(process, from.process).is_some() {
            return;
        }
        let it = &self.processes[process];
        let target = it.view.slot(shard_id(shard)).target.as_ref();
        let is_taken = target.is_some_and(|target| target.node == it.id);
        if is_taken && let Some(parcel) = attempt.parcel.take() {
            let before = self.place(process, shard).keepsake.replace(parcel);
            self.send_on(process, shard, before.into_iter().flat_map(|it| it.calls));
        }
        let at = self.now + self.between(MS / 5, 10 * MS);
        // Answers come after the word that it is taken.
        self.streams.insert(attempt.from.attempt, at);
        self.at(at, Event::Taken(from, attempt, is_taken));
    }

    pub(super) fn parcel_taken(&mut self, who: Who, attempt: &Attempt, is_taken: bool) {
        let process = who.process;
        let Attempt { from, to, shard, tag, .. } = *attempt;
        let it = &mut self.processes[process].node;
        if it.attempts.get(&shard) != Some(&from.attempt) {
            return;
        }
        if self.cuts.get(&(process.min(to), process.max(to))).is_some_and(|it| *it > self.now) {
            return;
        }
        it.attempts.remove(&shard);
        if !is_taken {
            let who = self.processes[process].who();
            return self.after(MS, Event::SendEnds(who, shard, tag, false));
        }
        // From now on their answers come from there.
        if let Some(parcel) = &mut it.places[shard].outgoing {
            for (index, letter) in mem::take(&mut parcel.calls).into_iter().enumerate() {
                let relay = Relay { reply: letter.reply, to };
                it.relays.insert((from.attempt, index), relay);
            }
        }
        self.answered(process, vec![(shard, tag, Done::Sent(true))]);
    }

    /// It could not be brought, or there was nothing to bring.
    pub(super) fn send_ended(&mut self, process: usize, shard: usize, tag: u64, done: bool) {
        let drain = self.terms.drain;
        let now = self.now;
        let place = self.place(process, shard);
        if place.tag != tag || !matches!(place.state, State::Sending(..)) {
            return;
        }
        let mut done = done;
        if let Some(parcel) = place.outgoing.as_mut().filter(|it| it.packed + drain < now) {
            // It holds its shard up no longer.
            parcel.pieces.clear();
            let calls = mem::take(&mut parcel.calls);
            self.checks.parcels_lost += 1;
            self.send_on(process, shard, calls);
            done = true;
        }
        self.processes[process].node.attempts.remove(&shard);
        self.answered(process, vec![(shard, tag, Done::Sent(done))]);
    }

    /// The answer of a call that went along.
    pub(super) fn relayed(&mut self, process: usize, attempt: u64, index: usize, outcome: Outcome) {
        let node = &mut self.processes[process].node;
        if let Some(relay) = node.relays.remove(&(attempt, index)) {
            self.reply(process, relay.reply, outcome);
        }
    }

    pub(super) fn is_relayed(&self, from: Source) -> bool {
        let it = &self.processes[from.who.process];
        it.is_up
            && it.life == from.who.life
            && (it.node.attempts.values().any(|attempt| *attempt == from.attempt)
                || it.node.relays.range((from.attempt, 0)..(from.attempt + 1, 0)).next().is_some())
    }

    /// A process that was to answer calls is gone.
    pub(super) fn fail_relays_to(&mut self, gone: usize) {
        for process in 0..self.nodes {
            let relays = &mut self.processes[process].node.relays;
            let lost: Vec<_> = relays.extract_if(.., |_, relay| relay.to == gone).collect();
            for (_, relay) in lost {
                self.reply(process, relay.reply, Outcome::Unavailable(true));
            }
        }
    }
}
