//! A call in a mailbox: what to do, for whom, and where the answer goes.

use std::{sync::Arc, time::Instant};

use tokio::sync::oneshot;
use wasmverse_core::{
    Action, Call, CallError, Caller, Chain, ErrorKind, Invocation, MethodSpec, ObjectId, Reply,
    RevisionNumber, SendNumber, due::Firing,
};

use crate::{budget::Charge, metrics::Metrics, shards::Pass};

/// What a letter costs beside its payload: itself, names, the chain, the way of the answer.
const LETTER_BYTES: usize = 512;

/// What a caller waits for.
pub(crate) type Answer = Result<Reply, CallError>;

/// A call in a mailbox.
pub(crate) struct Letter {
    pub(crate) work: Work,
    pub(crate) caller: Caller,
    pub(crate) chain: Chain,
    pub(crate) deadline: Instant,
    pub(crate) traceparent: Option<Arc<str>>,
    pub(crate) reply: ReplyTo,
    pub(crate) arrived: Instant,
    /// For what it carries; none: it is the node's own.
    pub(crate) charge: Option<Charge>,
    /// Leave to be at work in its object's shard, until all that follows from it is done; none: the
    /// object is the node's own.
    pub(crate) pass: Option<Pass>,
}

/// What a letter asks for.
pub(crate) enum Work {
    /// Run a turn.
    Invoke(Invocation, Option<Admitted>, Source),
    Create,
    Delete,
    /// Only have an instance.
    Wake,
}

/// What a turn is to be run for.
pub(crate) enum Source {
    /// A call, and whoever makes it waits.
    Call,
    /// A send of that number, of the object that calls. Answered by [`Reply::Done`] if it has left the
    /// outbox in the turn's own commit.
    Send(SendNumber),
    /// A reminder that fires.
    Reminder(Box<Firing>),
}

/// What a method is, by the revision that was asked.
#[derive(Clone, Copy)]
pub(crate) struct Admitted {
    pub(crate) by: RevisionNumber,
    pub(crate) method: MethodSpec,
}

/// Where an answer goes.
pub(crate) enum ReplyTo {
    Caller(oneshot::Sender<Answer>),
    /// It was sent one way.
    Nobody,
}

impl Letter {
    /// A call as a letter; `None`: it is none, existence is answered without one.
    pub(crate) fn new(call: Call, arrived: Instant, reply: ReplyTo) -> (ObjectId, Self) {
        let work = match call.action {
            Action::Invoke(invocation) => Work::Invoke(invocation, None, Source::Call),
            Action::Deliver(invocation, number) => {
                Work::Invoke(invocation, None, Source::Send(number))
            }
            Action::Create => Work::Create,
            Action::Delete => Work::Delete,
            Action::Exists | Action::ClientsGone(_) => Work::Wake,
        };
        let letter = Self {
            work,
            caller: call.caller,
            chain: call.chain,
            deadline: call.deadline,
            traceparent: call.traceparent,
            reply,
            arrived,
            charge: None,
            pass: None,
        };
        (call.object, letter)
    }

    /// The letter as the call that it was, and where the answer goes; or that alone, if it never was
    /// a call.
    pub(crate) fn into_call(self, object: &ObjectId) -> Result<(Call, ReplyTo), ReplyTo> {
        let action = match self.work {
            Work::Invoke(invocation, _, Source::Call) => Action::Invoke(invocation),
            Work::Invoke(invocation, _, Source::Send(number)) => {
                Action::Deliver(invocation, number)
            }
            Work::Create => Action::Create,
            Work::Delete => Action::Delete,
            Work::Invoke(_, _, Source::Reminder(_)) | Work::Wake => return Err(self.reply),
        };
        let call = Call {
            object: object.clone(),
            action,
            caller: self.caller,
            chain: self.chain,
            deadline: self.deadline,
            traceparent: self.traceparent,
        };
        Ok((call, self.reply))
    }

    /// What it takes while it waits, about.
    pub(crate) fn bytes(&self) -> usize {
        let payload = match &self.work {
            Work::Invoke(invocation, ..) => invocation.payload.len(),
            Work::Create | Work::Delete | Work::Wake => 0,
        };
        LETTER_BYTES + payload
    }

    /// Whether it need not have its turn: nobody waits for it, or it is too late.
    pub(crate) fn is_stale(&self, now: Instant) -> bool {
        self.deadline <= now || self.is_abandoned()
    }

    /// Whether nobody waits for the answer any more.
    pub(crate) fn is_abandoned(&self) -> bool {
        match &self.reply {
            ReplyTo::Caller(reply) => reply.is_closed(),
            ReplyTo::Nobody => false,
        }
    }
}

impl ReplyTo {
    /// Brings the answer, and counts it.
    pub(crate) fn answer(self, metrics: &Metrics, object: &ObjectId, answer: Answer) {
        metrics.ended(&answer);
        let answer = answer.map_err(|error| error.about(object));
        match self {
            Self::Caller(reply) => {
                if reply.send(answer).is_err() {
                    metrics.abandoned.increment(1);
                }
            }
            Self::Nobody => {
                if let Err(error) = answer {
                    metrics.sends_lost.increment(1);
                    // A guest loses thousands in one turn: the counter tells of them.
                    tracing::debug!(%object, %error, "a send was lost");
                }
            }
        }
    }
}

pub(crate) fn too_late() -> CallError {
    CallError::new(ErrorKind::Timeout, "the deadline passed before the call had its turn")
}

pub(crate) fn stopping() -> CallError {
    CallError::new(ErrorKind::Unavailable, "the node is stopping")
}
