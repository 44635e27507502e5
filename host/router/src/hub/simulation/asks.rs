//! What processes ask of etcd and of the store: on the way, there, and on the way back.

use std::time::Duration;

use wasmverse_core::{
    Epoch, ShardId,
    cluster::{
        Incarnation,
        owner::{Bid, Done, Held, Unreleased},
        plan::Assignment,
    },
};

use super::{
    process::Registration,
    store::{Appended, Line, StoreAnswer, StoreOp},
    world::{Event, MS, Who, World},
};

/// A claim, as the driver asks for it.
#[derive(Clone, Debug)]
pub(super) struct Claim {
    pub(super) shard: usize,
    pub(super) tag: u64,
    pub(super) bid: Bid,
    pub(super) epoch: Epoch,
}

/// What a process asks for.
#[derive(Clone, Debug)]
pub(super) enum EtcdOp {
    /// By its clock it was asked for then.
    Register(Duration),
    KeepAlive(u64, Duration),
    SayThatWeLeave,
    Leave,
    Campaign,
    /// As who leads since a revision, by a view of another.
    Targets((u64, u64), Vec<Assignment>, Vec<(ShardId, u64)>),
    Claim(Vec<Claim>),
    /// Whether claims would be granted, if the store gave an epoch above these.
    Holds(Vec<Claim>),
    Release(usize, u64, Held, Option<u64>),
}

#[derive(Debug)]
pub(super) enum EtcdAnswer {
    Registered(Duration, Incarnation, u64, u64),
    Kept(u64, Duration, bool),
    Told(Option<u64>),
    Left,
    Elected(Option<u64>),
    Planned(Option<u64>),
    Claimed(Vec<(usize, u64, Option<u64>)>),
    Holds(Vec<(Claim, bool)>),
    Released(usize, u64, Result<u64, Unreleased>),
}

impl World {
    pub(super) fn ask_etcd(&mut self, place: usize, op: EtcdOp) {
        let who = self.processes[place].who();
        self.within(MS / 5, 4 * MS, Event::ToEtcd(who, op, false));
    }

    pub(super) fn at_etcd(&mut self, who: Who, op: EtcdOp, was_tried: bool) {
        // What is asked for again and again until there is an answer.
        let is_definite = matches!(op, EtcdOp::Claim(_) | EtcdOp::Release(..) | EtcdOp::Leave);
        let is_alone = matches!(op, EtcdOp::Claim(_) | EtcdOp::Release(..) | EtcdOp::Targets(..));
        // A request of a process that is gone may still arrive, but nobody repeats it.
        if self.processes[who.process].life != who.life && (was_tried || !is_alone) {
            return;
        }
        if let Some(until) = self.cut(who.process, self.etcd_place()) {
            match op {
                EtcdOp::KeepAlive(..) | EtcdOp::Register(_) => return,
                op => return self.at(until + 20 * MS, Event::ToEtcd(who, op, was_tried)),
            }
        }
        let again = is_definite.then(|| op.clone());
        let before = self.etcd.revision();
        let answer = self.do_at_etcd(who, op, was_tried);
        if self.etcd.revision() > before {
            self.tell_all();
        }
        // The answer is lost: nobody knows whether it was done.
        if let Some(op) = again.filter(|_| self.is_troubled())
            && self.chance(5)
        {
            let delay = self.between(20 * MS, 200 * MS);
            return self.after(delay, Event::ToEtcd(who, op, true));
        }
        self.within(MS / 5, 4 * MS, Event::FromEtcd(who, answer));
    }

    fn do_at_etcd(&mut self, who: Who, op: EtcdOp, was_tried: bool) -> EtcdAnswer {
        let place = who.process;
        let id = self.processes[place].id.clone();
        match op {
            EtcdOp::Register(asked) => {
                let (lease, incarnation, revision) = self.grant(who);
                EtcdAnswer::Registered(asked, incarnation, revision, lease)
            }
            EtcdOp::KeepAlive(lease, sent) => {
                let kept = self.keep_alive(lease);
                EtcdAnswer::Kept(lease, sent, kept)
            }
            EtcdOp::SayThatWeLeave => {
                let ours = self.processes[place].registration.clone();
                EtcdAnswer::Told(
                    ours.and_then(|ours| self.etcd.say_that_one_leaves(&id, &ours.incarnation)),
                )
            }
            EtcdOp::Leave => {
                if let Some(ours) = &self.processes[place].registration {
                    self.etcd.end(ours.lease);
                }
                EtcdAnswer::Left
            }
            EtcdOp::Campaign => {
                let ours = self.processes[place].registration.clone();
                let elected = ours.and_then(|ours| self.etcd.campaign(&id, &ours.incarnation));
                EtcdAnswer::Elected(elected)
            }
            EtcdOp::Targets(by, planned, wishes) => {
                EtcdAnswer::Planned(self.etcd.write_targets(by, &planned, &wishes))
            }
            EtcdOp::Claim(claims) => {
                let claimed = self.etcd.claim(&id, &claims);
                self.check_claims(place, &claims, &claimed);
                EtcdAnswer::Claimed(claimed)
            }
            EtcdOp::Holds(claims) => {
                let holds = claims.into_iter().map(|it| {
                    let holds = self.etcd.allows_claim(&id, it.shard, &it.bid);
                    (it, holds)
                });
                EtcdAnswer::Holds(holds.collect())
            }
            EtcdOp::Release(shard, tag, held, target) => {
                let released = self.etcd.release(shard, &held, target, was_tried);
                EtcdAnswer::Released(shard, tag, released)
            }
        }
    }

    pub(super) fn etcd_answered(&mut self, who: Who, answer: EtcdAnswer) {
        let place = who.process;
        if let Some(until) = self.cut(place, self.etcd_place()) {
            match answer {
                EtcdAnswer::Kept(..) | EtcdAnswer::Registered(..) => return,
                answer => return self.at(until + 20 * MS, Event::FromEtcd(who, answer)),
            }
        }
        match answer {
            EtcdAnswer::Registered(asked, incarnation, revision, lease) => {
                self.registered(place, asked, Registration { incarnation, revision, lease });
            }
            EtcdAnswer::Kept(lease, sent, kept) => self.kept(place, lease, sent, kept),
            EtcdAnswer::Told(revision) => {
                let registration = self.processes[place].registration.as_mut();
                if let (Some(ours), Some(revision)) = (registration, revision) {
                    ours.revision = revision;
                }
                self.told_that_we_leave(place);
            }
            EtcdAnswer::Left => self.left(place),
            EtcdAnswer::Elected(written) | EtcdAnswer::Planned(written) => {
                self.planned(place, written);
            }
            EtcdAnswer::Claimed(claimed) => {
                for (shard, _, claimed) in &claimed {
                    if claimed.is_none() {
                        self.turn_away(place, *shard);
                    }
                }
                let done =
                    claimed.into_iter().map(|(shard, tag, at)| (shard, tag, Done::Claimed(at)));
                self.answered(place, done.collect());
            }
            EtcdAnswer::Holds(claims) => self.holds(who, claims),
            EtcdAnswer::Released(shard, tag, released) => {
                self.answered(place, vec![(shard, tag, Done::Released(released))]);
            }
        }
    }

    /// What still holds is raised from where the store has it.
    fn holds(&mut self, who: Who, claims: Vec<(Claim, bool)>) {
        let mut settled = Vec::new();
        let mut sure = Vec::new();
        for (claim, holds) in claims {
            if holds { sure.push(claim) } else { settled.push((claim.shard, claim.tag, None)) }
        }
        self.within(MS / 5, 5 * MS, Event::ToStore(who, StoreOp::Raise(sure, settled, true)));
    }

    pub(super) fn at_store(&mut self, who: Who, op: StoreOp) {
        let mut pause = 0;
        let answer = match op {
            StoreOp::Raise(claims, mut settled, is_second) => {
                let mut others = self.store.raise(claims, &mut settled);
                if is_second {
                    settled.extend(others.drain(..).map(|it| (it.shard, it.tag, None)));
                    // What is not given is not asked for again at once.
                    if settled.iter().any(|(.., at)| at.is_none()) {
                        pause = 50 * MS;
                    }
                }
                StoreAnswer::Raised(settled, others)
            }
            StoreOp::Append { turn, object, shard, epoch, call, key } => {
                let line = Line { call, epoch, process: who.process };
                let (mut appended, wrong) = self.store.append(self.bug, (object, shard), key, line);
                if let Some(wrong) = wrong {
                    self.violate(wrong);
                }
                if appended == Appended::Done && self.is_troubled() && self.chance(1) {
                    appended = Appended::Unknown;
                }
                StoreAnswer::Appended { turn, appended }
            }
        };
        self.within(pause + MS / 5, pause + 5 * MS, Event::FromStore(who, answer));
    }

    pub(super) fn store_answered(&mut self, place: usize, answer: StoreAnswer) {
        match answer {
            StoreAnswer::Raised(settled, others) => {
                if !others.is_empty() {
                    self.ask_etcd(place, EtcdOp::Holds(others));
                }
                let done =
                    settled.into_iter().map(|(shard, tag, at)| (shard, tag, Done::Raised(at)));
                self.answered(place, done.collect());
            }
            StoreAnswer::Appended { turn, appended } => self.appended(place, turn, appended),
        }
    }
}
