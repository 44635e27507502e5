//! The world: what happens next, in virtual time, by one generator of randomness.

use std::{
    collections::{BTreeMap, VecDeque},
    time::{Duration, Instant},
};

use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use wasmverse_core::{ObjectId, ShardCount, ShardId};

use super::{
    bells::{Bells, Ready},
    calls::{Calling, Info},
    check::Checks,
    clients::Client,
    etcd::Etcd,
    faults::{Kind, Terms},
    links::Link,
    process::{Process, local},
    store::Store,
};

pub(super) use super::events::{Bug, Event, Who};

/// In microseconds since the beginning.
pub(super) type Time = u64;
pub(super) const MS: Time = 1_000;
pub(super) const SECOND: Time = 1_000_000;

/// So many of the last events are shown when something is wrong.
const TRACE: usize = 60;

/// An object, in the order in which objects call each other.
pub(super) struct Object {
    pub(super) id: ObjectId,
    pub(super) shard: usize,
    pub(super) is_durable: bool,
}

pub(super) struct World {
    pub(super) bug: Bug,
    pub(super) terms: Terms,
    pub(super) random: StdRng,
    pub(super) now: Time,
    queue: BTreeMap<(Time, u64), Event>,
    numbers: u64,
    /// What virtual times are counted from: far ahead, so that nothing is ever late by the real clock.
    base: Instant,
    pub(super) bells: Bells,
    pub(super) shards: usize,
    pub(super) objects: Vec<Object>,
    pub(super) etcd: Etcd,
    pub(super) store: Store,
    /// Nodes, and then gates.
    pub(super) processes: Vec<Process>,
    pub(super) nodes: usize,
    pub(super) links: BTreeMap<u64, Link>,
    /// Who does not reach whom, and until when; who is one beyond the last process is etcd.
    pub(super) cuts: BTreeMap<(usize, usize), Time>,
    /// When the last answer arrives of those that come back after a parcel.
    pub(super) streams: BTreeMap<u64, Time>,
    pub(super) infos: Vec<Info>,
    pub(super) calling: BTreeMap<u64, Calling>,
    pub(super) clients: Vec<Client>,
    pub(super) checks: Checks,
    pub(super) is_traced: bool,
    trace_max: usize,
    trace: VecDeque<String>,
}

impl World {
    pub(super) fn new(seed: u64, kind: Kind, bug: Bug) -> Self {
        let mut random = StdRng::seed_from_u64(seed);
        let terms = Terms::new(kind, &mut random);
        // Mostly few: they are faster, and meet more often.
        let (has_many_nodes, has_many_shards) =
            (random.random_ratio(1, 4), random.random_ratio(1, 4));
        let nodes = random.random_range(3..=if has_many_nodes { 5 } else { 3 });
        let shards = random.random_range(8..=if has_many_shards { 16 } else { 8 });
        let count = ShardCount::new(u16::try_from(shards).unwrap()).unwrap();
        let base = Instant::now() + Duration::from_secs(3600);
        let bells = Bells::default();
        let mut objects = Vec::new();
        for place in 0..random.random_range(8..14) {
            let shard = random.random_range(0..shards);
            let id = ObjectId::parse("T", &format!("shard#{shard}/{place}")).unwrap();
            let is_durable = random.random_ratio(2, 3);
            objects.push(Object { id, shard, is_durable });
        }
        let mut world = Self {
            bug,
            now: 0,
            queue: BTreeMap::new(),
            numbers: 0,
            base,
            bells,
            shards,
            etcd: Etcd::new(count),
            store: Store::new(shards, objects.len()),
            processes: Vec::new(),
            nodes,
            links: BTreeMap::new(),
            cuts: BTreeMap::new(),
            streams: BTreeMap::new(),
            infos: Vec::new(),
            calling: BTreeMap::new(),
            clients: Vec::new(),
            checks: Checks::default(),
            is_traced: false,
            trace_max: if std::env::var_os("WASMVERSE_SEED").is_some() {
                usize::MAX
            } else {
                TRACE
            },
            trace: VecDeque::new(),
            objects,
            terms,
            random,
        };
        for place in 0..nodes + 2 {
            let process = Process::new(&world, place, 0);
            world.processes.push(process);
        }
        for place in 0..nodes + 2 {
            world.begin(place);
        }
        world.plan_faults();
        world.add_clients();
        world
    }

    /// Until all is over, or something is wrong.
    pub(super) fn run(&mut self) -> Result<(), String> {
        let end = self.terms.end();
        while let Some(((at, _), event)) = self.queue.pop_first() {
            if at > end {
                break;
            }
            self.now = at;
            if let Some(who) = event.who() {
                let process = &self.processes[who.process];
                if process.life != who.life || !process.is_up {
                    continue;
                }
                if process.paused_until > at {
                    let until = process.paused_until;
                    self.at(until, event);
                    continue;
                }
            }
            if !event.is_dull() {
                self.note(|| format!("{event:?}"));
            }
            self.take(event);
            self.settle();
            if let Some(violation) = self.checks.violation.take() {
                return Err(violation);
            }
        }
        self.now = end;
        self.check_end()
    }

    fn take(&mut self, event: Event) {
        match event {
            Event::ToEtcd(who, op, was_tried) => self.at_etcd(who, op, was_tried),
            Event::FromEtcd(who, answer) => self.etcd_answered(who, answer),
            Event::ToStore(who, op) => self.at_store(who, op),
            Event::FromStore(who, answer) => self.store_answered(who.process, answer),
            Event::Watch(who) => self.watch(who.process),
            Event::Beat(who, lease) => self.beat(who, lease),
            Event::Lapse(who) => self.lapse(who.process),
            Event::Expire(lease) => self.expire(lease),
            Event::Lead(who) => self.lead(who.process),
            Event::Register(who) => self.register(who.process),
            Event::DrainOver(who, shard, tag) => self.end_drain(who.process, shard, tag),
            Event::Stall(who, shard, tag) => self.stalled(who, shard, tag),
            Event::Pack(who, packing) => self.pack(who, packing),
            Event::Packed(who, packing, pieces) => self.packed(who.process, &packing, pieces),
            Event::Send(who, shard, tag) => self.hand_over(who.process, shard, tag),
            Event::Arrive(who, attempt) => self.take_parcel(who, attempt),
            Event::Taken(who, attempt, is_taken) => self.parcel_taken(who, &attempt, is_taken),
            Event::SendEnds(who, shard, tag, done) => {
                self.send_ended(who.process, shard, tag, done);
            }
            Event::Relayed(who, attempt, index, outcome) => {
                self.relayed(who.process, attempt, index, outcome);
            }
            Event::Leave(who) => self.leave(who.process),
            Event::Dial(who, node) => self.dial(who, node),
            Event::Write(link) => self.write(link),
            Event::There(link) => self.arrive_there(link),
            Event::Back(link) => self.arrive_back(link),
            Event::Break(link) => self.break_link(link),
            Event::Turn(who, turn) => self.go_on_with_turn(who.process, turn),
            Event::LookAtParked(who) => self.look_at_parked(who.process),
            Event::Deadline(id) => self.give_up(id),
            Event::Client(client) => self.client_acts(client),
            Event::Again(call) => self.client_calls(call),
            Event::Fault(fault) => self.fail(fault),
        }
    }

    /// Everything that follows at once.
    fn settle(&mut self) {
        while let Some(ready) = self.bells.next() {
            match ready {
                Ready::Call(id) => self.poll(id),
                Ready::Link(id) => self.write_soon(id),
                Ready::Local(who, call) => self.take_local(who, call),
            }
        }
        for place in 0..self.processes.len() {
            let process = &mut self.processes[place];
            if process.is_up && !process.looks && process.is_busy() {
                process.looks = true;
                let who = process.who();
                self.after(50 * MS, Event::LookAtParked(who));
            }
        }
    }

    pub(super) fn at(&mut self, time: Time, event: Event) {
        let number = self.number();
        self.queue.insert((time.max(self.now), number), event);
    }

    pub(super) fn after(&mut self, delay: Time, event: Event) {
        self.at(self.now + delay, event);
    }

    /// After a while between the two.
    pub(super) fn within(&mut self, least: Time, most: Time, event: Event) {
        let delay = self.between(least, most);
        self.after(delay, event);
    }

    pub(super) fn between(&mut self, least: Time, most: Time) -> Time {
        self.random.random_range(least..=most)
    }

    /// True so often of a hundred times.
    pub(super) fn chance(&mut self, percent: u32) -> bool {
        self.random.random_ratio(percent, 100)
    }

    pub(super) fn number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    pub(super) fn instant(&self, time: Time) -> Instant {
        self.base + Duration::from_micros(time)
    }

    /// By a process's own clock.
    pub(super) fn local(&self, place: usize) -> Duration {
        local(&self.processes[place].clock, self.now)
    }

    /// Until when two do not reach each other; none: they do.
    pub(super) fn cut(&self, one: usize, other: usize) -> Option<Time> {
        let until = self.cuts.get(&(one.min(other), one.max(other)))?;
        (*until > self.now).then_some(*until)
    }

    pub(super) fn etcd_place(&self) -> usize {
        self.processes.len()
    }

    pub(super) fn violate(&mut self, what: String) {
        self.checks.violation.get_or_insert(what);
    }

    /// Remembers what happened, if somebody is to read it.
    pub(super) fn note(&mut self, what: impl FnOnce() -> String) {
        if self.is_traced {
            if self.trace.len() == self.trace_max {
                self.trace.pop_front();
            }
            let text: String = what().chars().take(400).collect();
            self.trace.push_back(format!("{:>9.3} {text}", self.now as f64 / 1000.0));
        }
    }

    pub(super) fn trace(&self) -> String {
        self.trace.iter().map(|line| format!("  {line}\n")).collect()
    }
}

pub(super) fn shard_id(shard: usize) -> ShardId {
    ShardId(u16::try_from(shard).unwrap())
}
