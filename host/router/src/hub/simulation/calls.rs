//! Calls as the real router brings them: their futures, polled when they are woken, and what becomes of
//! them.

use std::{sync::Arc, task::Context, task::Poll};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use rand::Rng as _;
use wasmverse_core::{
    Action, Call, CallError, Caller, Chain, Epoch, ErrorKind, Invocation, Placement, Reply,
};

use crate::letter::Answer;

use super::{
    turns::{Outcome, ReplyTo},
    world::{Event, MS, Time, World, shard_id},
};

/// So long after its deadline a caller gives up: what is parked the router answers before.
const LATE: Time = 110 * MS;

/// What there is to know of a call. Repeated, it is the same.
pub(super) struct Info {
    pub(super) object: usize,
    pub(super) key: Option<u64>,
    pub(super) deadline: Time,
    /// The client that made it, and as the how manieth of its.
    pub(super) client: Option<(usize, usize)>,
    /// Objects that its turn calls, one after the other.
    calls: Vec<usize>,
    /// Under a key: what its turn called before.
    called: Vec<Option<usize>>,
    /// How often it was brought to its object.
    pub(super) tries: usize,
    /// Some try may have run.
    pub(super) may_have_run: bool,
    /// Its caller was told that it is done.
    pub(super) is_done: bool,
    pub(super) has_failed: bool,
}

/// A call at a node.
#[derive(Debug)]
pub(super) struct Letter {
    pub(super) call: usize,
    pub(super) began: u64,
    pub(super) deadline: Time,
    pub(super) reply: ReplyTo,
}

/// Who made a call.
#[derive(Clone, Copy, Debug)]
pub(super) enum Purpose {
    Client,
    Nested(u64),
}

/// A call under way.
pub(super) struct Calling {
    pub(super) process: usize,
    call: usize,
    purpose: Purpose,
    future: BoxFuture<'static, Answer>,
}

/// Which call it is.
pub(super) fn index_of(call: &Call) -> usize {
    match &call.action {
        Action::Invoke(invocation) => index(&invocation.payload),
        other => unreachable!("{other:?} is never called"),
    }
}

pub(super) fn index(payload: &[u8]) -> usize {
    payload.iter().fold(0, |number, byte| (number << 8) | usize::from(*byte))
}

/// The process is gone.
pub(super) fn closed() -> CallError {
    CallError::new(ErrorKind::Unavailable, "its turn was cut off").maybe_executed()
}

impl World {
    /// A call that is new.
    pub(super) fn info(
        &mut self,
        object: usize,
        key: Option<u64>,
        deadline: Time,
        client: Option<(usize, usize)>,
    ) -> usize {
        let mut calls = Vec::new();
        let wanted = match self.random.random_range(0..6) {
            0..3 => 0,
            3..5 => 1,
            _ => 2,
        };
        // Objects call those behind them alone: no turn waits for itself.
        for _ in 0..wanted {
            if object + 1 < self.objects.len() {
                calls.push(self.random.random_range(object + 1..self.objects.len()));
            }
        }
        let (called, tries) = (Vec::new(), 0);
        let (may_have_run, is_done, has_failed) = (false, false, false);
        self.infos.push(Info {
            object,
            key,
            deadline,
            client,
            calls,
            called,
            tries,
            may_have_run,
            is_done,
            has_failed,
        });
        self.infos.len() - 1
    }

    /// The call that a turn makes next: under a key, the same as before.
    pub(super) fn nested(&mut self, call: usize, place: usize) -> Option<usize> {
        let info = &self.infos[call];
        let object = *info.calls.get(place)?;
        if let Some(Some(called)) = info.called.get(place) {
            return Some(*called);
        }
        let (has_key, deadline) = (info.key.is_some(), info.deadline);
        let key = (has_key && self.objects[object].is_durable).then(|| self.number());
        let nested = self.info(object, key, deadline, None);
        let called = &mut self.infos[call].called;
        if called.len() == place {
            called.push(key.map(|_| nested));
        }
        Some(nested)
    }

    /// Has the router of a process bring a call to its object.
    pub(super) fn call(
        &mut self,
        process: usize,
        index: usize,
        began: u64,
        purpose: Purpose,
    ) -> u64 {
        let id = self.number();
        let info = &mut self.infos[index];
        info.tries += 1;
        let (object, deadline) = (info.object, info.deadline);
        let object = &self.objects[object];
        let payload = u32::try_from(index).unwrap().to_be_bytes();
        let invocation = Invocation {
            method: "add".into(),
            payload: Bytes::copy_from_slice(&payload),
            key: None,
            read_only: false,
        };
        let chain = match purpose {
            Purpose::Client => Chain::default(),
            Purpose::Nested(_) => Chain::default().since(began).and(&object.id),
        };
        let call = Call {
            object: object.id.clone(),
            action: Action::Invoke(invocation),
            caller: Caller::Client(None),
            chain,
            deadline: self.instant(deadline),
            traceparent: None,
        };
        let placement = Placement::Shard(shard_id(object.shard));
        let hub = Arc::clone(&self.processes[process].hub);
        let future = hub.bring(call, &placement);
        self.calling.insert(id, Calling { process, call: index, purpose, future });
        self.at(deadline.max(self.now) + LATE, Event::Deadline(id));
        self.poll(id);
        id
    }

    /// Whether a call has ended.
    pub(super) fn poll(&mut self, id: u64) {
        let waker = self.bells.waker(false, id);
        let Some(calling) = self.calling.get_mut(&id) else { return };
        let Poll::Ready(answer) = calling.future.as_mut().poll(&mut Context::from_waker(&waker))
        else {
            return;
        };
        self.ended(id, answer);
    }

    fn ended(&mut self, id: u64, answer: Answer) {
        let Some(Calling { process, call, purpose, .. }) = self.calling.remove(&id) else { return };
        self.note(|| {
            format!("  call {call} ends: {:?}", answer.as_ref().map_err(CallError::message))
        });
        let outcome = match answer {
            Ok(_) => Outcome::Done,
            Err(error) => match error.kind() {
                ErrorKind::Unavailable => Outcome::Unavailable(error.may_have_executed()),
                _ => Outcome::Timeout(error.may_have_executed()),
            },
        };
        match purpose {
            Purpose::Client => self.client_hears(call, outcome),
            Purpose::Nested(turn) => {
                self.settle_call(call, outcome);
                self.nested_ended(process, turn);
            }
        }
    }

    /// The caller's own clock runs out. It goes a little slow: what is parked is answered before.
    pub(super) fn give_up(&mut self, id: u64) {
        let Some(calling) = self.calling.get(&id) else { return };
        let process = calling.process;
        if self.processes[process].paused_until > self.now {
            let until = self.processes[process].paused_until;
            return self.at(until + MS, Event::Deadline(id));
        }
        self.ended(id, Err(CallError::new(ErrorKind::Timeout, "late").maybe_executed()));
    }

    pub(super) fn look_at_parked(&mut self, process: usize) {
        let now = self.instant(self.now);
        self.processes[process].looks = false;
        self.processes[process].hub.look_after_parked(now);
        if self.processes[process].hub.lot.lock().is_overdue(now) {
            self.violate("a call is parked beyond its deadline".to_owned());
        }
    }

    /// What callers of the router are told.
    pub(super) fn answer(&self, outcome: Outcome) -> Answer {
        let unavailable = || CallError::new(ErrorKind::Unavailable, "it is away");
        let timeout = || CallError::new(ErrorKind::Timeout, "it is late");
        Err(match outcome {
            Outcome::Done => return Ok(Reply::Done),
            Outcome::Elsewhere(shard, epoch) => CallError::elsewhere(shard_id(shard), Epoch(epoch)),
            Outcome::Unavailable(true) => unavailable().maybe_executed(),
            Outcome::Unavailable(false) => unavailable(),
            Outcome::Timeout(true) => timeout().maybe_executed(),
            Outcome::Timeout(false) => timeout(),
        })
    }
}
