//! The objects of a node: calls meet the door of their shard, wait in a mailbox, and run as turns,
//! which call other objects.

use std::collections::VecDeque;

use rand::Rng as _;
use tokio::sync::oneshot;

use crate::letter::Answer;

use super::{
    bells::LocalCall,
    calls::{Letter, Purpose, index_of},
    node::Door,
    sending::Source,
    store::{Appended, StoreOp},
    world::{Bug, Event, MS, Time, Who, World},
};

/// An object on a node.
#[derive(Default)]
pub(super) struct Entry {
    pub(super) mailbox: VecDeque<Letter>,
    pub(super) turn: Option<u64>,
    /// What a volatile one has in memory: the calls that it has had.
    pub(super) memory: Option<Vec<usize>>,
}

/// A turn that runs.
pub(super) struct Turn {
    pub(super) object: usize,
    pub(super) letter: Letter,
    epoch: u64,
    /// How many of its calls have ended.
    calls: usize,
    /// The one that it waits for.
    pub(super) calling: Option<u64>,
    commits: bool,
}

/// Where an answer goes.
#[derive(Debug)]
pub(super) enum ReplyTo {
    /// To a link, as the answer to this frame.
    Link(u64, u64),
    Local(oneshot::Sender<Answer>),
    /// To the node that it came along from, as this call of an attempt.
    Relay(Source, usize),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Done,
    /// Surely not executed: the shard is another's, in this epoch or later.
    Elsewhere(usize, u64),
    /// Whether it may have been executed.
    Unavailable(bool),
    Timeout(bool),
}

impl World {
    /// What the router hands to the node in its own process.
    pub(super) fn take_local(&mut self, who: Who, local: Box<LocalCall>) {
        let process = &self.processes[who.process];
        if process.life != who.life || !process.is_up {
            return;
        }
        let LocalCall { call, answer } = *local;
        let index = index_of(&call);
        let deadline = self.infos[index].deadline;
        let began = call.chain.began();
        let letter = Letter { call: index, began, deadline, reply: ReplyTo::Local(answer) };
        self.meet(who.process, letter);
    }

    /// A call comes to its object's shard.
    pub(super) fn meet(&mut self, process: usize, mut letter: Letter) {
        let shard = self.objects[self.infos[letter.call].object].shard;
        let revision = self.processes[process].node.revision;
        let parks_all = self.bug == Bug::DrainsParkEveryCall;
        let place = self.place(process, shard);
        match place.door {
            Door::Shut => {
                let epoch = place.epoch;
                return self.reply(process, letter.reply, Outcome::Elsewhere(shard, epoch));
            }
            Door::Open => {}
            Door::Draining if letter.began < place.drained_since && !parks_all => {}
            Door::Draining | Door::Sealed => return place.parked.push_back(letter),
        }
        if revision > 0 && (letter.began == 0 || letter.began > revision) {
            letter.began = revision;
        }
        self.let_in(process, shard, letter);
    }

    pub(super) fn let_in(&mut self, process: usize, shard: usize, letter: Letter) {
        self.place(process, shard).passes += 1;
        let object = self.infos[letter.call].object;
        self.processes[process].node.entries[object].mailbox.push_back(letter);
        self.begin_turn(process, object);
    }

    /// Runs what waits for an object, if nothing runs there.
    fn begin_turn(&mut self, process: usize, object: usize) {
        let shard = self.objects[object].shard;
        loop {
            let now = self.now;
            let holds_lease = self.processes[process].holds_lease(now, self.bug);
            let entry = &mut self.processes[process].node.entries[object];
            if entry.turn.is_some() {
                return;
            }
            let Some(letter) = entry.mailbox.pop_front() else { return };
            let epoch = self.place(process, shard).epoch;
            let refusal = if letter.deadline <= now || !self.is_awaited(process, &letter.reply) {
                Some(Outcome::Timeout(false))
            } else if !holds_lease || self.place(process, shard).door == Door::Shut {
                Some(Outcome::Elsewhere(shard, epoch))
            } else {
                None
            };
            if let Some(refusal) = refusal {
                self.reply(process, letter.reply, refusal);
                self.leave_shard(process, shard);
                continue;
            }
            self.note(|| format!("  node {process} begins a turn of call {}", letter.call));
            self.check_serves(process, shard, epoch);
            let turn = self.number();
            let entry = &mut self.processes[process].node.entries[object];
            entry.turn = Some(turn);
            let running = Turn { object, letter, epoch, calls: 0, calling: None, commits: false };
            self.processes[process].node.turns.insert(turn, running);
            let most = self.turn_length();
            let who = self.processes[process].who();
            self.within(MS / 10, most, Event::Turn(who, turn));
        }
    }

    fn turn_length(&mut self) -> Time {
        match self.random.random_range(0..20) {
            0 if self.now < self.terms.quiet => self.terms.turn_max,
            0..4 => 50 * MS,
            _ => 4 * MS,
        }
    }

    /// A turn makes its next call, or ends.
    pub(super) fn go_on_with_turn(&mut self, process: usize, id: u64) {
        let Some(turn) = self.processes[process].node.turns.get(&id) else { return };
        let (call, calls, began) = (turn.letter.call, turn.calls, turn.letter.began);
        let (object, epoch) = (turn.object, turn.epoch);
        if let Some(nested) = self.nested(call, calls) {
            let calling = self.call(process, nested, began, Purpose::Nested(id));
            if let Some(turn) = self.processes[process].node.turns.get_mut(&id) {
                turn.calling = Some(calling);
            }
            return;
        }
        let shard = self.objects[object].shard;
        if self.objects[object].is_durable {
            let key = self.infos[call].key;
            let who = self.processes[process].who();
            if let Some(turn) = self.processes[process].node.turns.get_mut(&id) {
                turn.commits = true;
            }
            let op = StoreOp::Append { turn: id, object, shard, epoch, call, key };
            return self.within(MS / 5, 5 * MS, Event::ToStore(who, op));
        }
        let memory = &mut self.processes[process].node.entries[object].memory;
        memory.get_or_insert_default().push(call);
        self.end_turn(process, id, Outcome::Done);
    }

    /// A call of a turn has ended.
    pub(super) fn nested_ended(&mut self, process: usize, turn: u64) {
        let Some(running) = self.processes[process].node.turns.get_mut(&turn) else { return };
        running.calling = None;
        running.calls += 1;
        let who = self.processes[process].who();
        self.within(MS / 10, MS, Event::Turn(who, turn));
    }

    pub(super) fn appended(&mut self, process: usize, turn: u64, appended: Appended) {
        let Some(running) = self.processes[process].node.turns.get(&turn) else { return };
        let (epoch, shard) = (running.epoch, self.objects[running.object].shard);
        let outcome = match appended {
            Appended::Done => Outcome::Done,
            Appended::Refused => Outcome::Unavailable(false),
            Appended::Unknown => Outcome::Unavailable(true),
        };
        if appended == Appended::Refused {
            self.outrun(process, shard, epoch);
        }
        self.end_turn(process, turn, outcome);
    }

    fn end_turn(&mut self, process: usize, id: u64, outcome: Outcome) {
        let Some(turn) = self.processes[process].node.turns.remove(&id) else { return };
        self.processes[process].node.entries[turn.object].turn = None;
        self.reply(process, turn.letter.reply, outcome);
        self.leave_shard(process, self.objects[turn.object].shard);
        self.begin_turn(process, turn.object);
    }

    /// Cancels what runs in a shard, and has wait what waited for it.
    pub(super) fn cut_shard(&mut self, process: usize, shard: usize) {
        for object in 0..self.objects.len() {
            if self.objects[object].shard != shard {
                continue;
            }
            let entry = &mut self.processes[process].node.entries[object];
            let (letters, turn) = (std::mem::take(&mut entry.mailbox), entry.turn.take());
            let place = self.place(process, shard);
            place.passes -= letters.len() + usize::from(turn.is_some());
            for letter in letters.into_iter().rev() {
                place.parked.push_front(letter);
            }
            let node = &mut self.processes[process].node;
            if let Some(turn) = turn.and_then(|turn| node.turns.remove(&turn)) {
                self.checks.turns_cut += 1;
                drop(turn.calling.and_then(|calling| self.calling.remove(&calling)));
                self.reply(process, turn.letter.reply, Outcome::Unavailable(true));
            }
        }
    }

    /// Whether somebody waits for an answer, as far as is known here.
    fn is_awaited(&self, process: usize, reply: &ReplyTo) -> bool {
        match reply {
            ReplyTo::Link(link, _) => self.links.contains_key(link),
            ReplyTo::Local(answer) => !answer.is_closed(),
            ReplyTo::Relay(from, _) => {
                self.cut(process, from.who.process).is_some() || self.is_relayed(*from)
            }
        }
    }

    pub(super) fn reply(&mut self, process: usize, reply: ReplyTo, outcome: Outcome) {
        match reply {
            ReplyTo::Link(link, frame) => self.answer_on_link(link, frame, outcome),
            ReplyTo::Local(answer) => drop(answer.send(self.answer(outcome))),
            ReplyTo::Relay(from, index) => {
                let outcome = match self.cut(process, from.who.process) {
                    // The stream breaks in the end.
                    Some(_) => Outcome::Unavailable(true),
                    None => outcome,
                };
                let back = Event::Relayed(from.who, from.attempt, index, outcome);
                // In order: it is one stream.
                let at = self.now + self.between(MS / 5, 5 * MS);
                let last = self.streams.entry(from.attempt).or_default();
                *last = at.max(*last + 1);
                let at = *last;
                self.at(at, back);
            }
        }
    }

    /// Has calls that were not executed go where their objects are.
    pub(super) fn send_on(
        &mut self,
        process: usize,
        shard: usize,
        letters: impl IntoIterator<Item = Letter>,
    ) {
        let epoch = self.place(process, shard).epoch;
        for letter in letters {
            self.reply(process, letter.reply, Outcome::Elsewhere(shard, epoch));
        }
    }
}
