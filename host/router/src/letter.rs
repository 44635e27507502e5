//! A call on its way through the router: what can be sent on, and what its caller hears.

use std::{sync::Arc, time::Instant};

use futures_util::future::BoxFuture;
use tokio::{sync::oneshot, time::timeout_at};
use wasmverse_core::{
    Action, Call, CallError, Elsewhere, Epoch, ErrorKind, ObjectId, Reply, ShardId,
};

use crate::{hub::Hub, metrics::Metrics, outbox::Outbox};

pub(crate) type Answer = Result<Reply, CallError>;

/// About what a call holds beside its argument.
const OVERHEAD_BYTES: usize = 256;

/// What a caller hears.
pub(crate) enum Word {
    /// What became of its call.
    Answer(Answer),
    /// Its call is on its way: this knows what becomes of it.
    Follow(BoxFuture<'static, Answer>),
}

/// A call that goes to a peer.
pub(crate) struct Letter {
    /// Grows with each call of the router: its order among the calls to a shard, and its id on links.
    pub(crate) number: u64,
    pub(crate) deadline: Instant,
    /// Who waits; none: nobody does.
    pub(crate) answer: Option<oneshot::Sender<Word>>,
    /// None: it goes to this peer or nowhere.
    pub(crate) back: Option<Back>,
}

/// What it takes to send a call on elsewhere.
pub(crate) struct Back {
    pub(crate) call: Call,
    pub(crate) shard: ShardId,
    /// In which epoch the peer was taken to own the shard.
    pub(crate) epoch: Epoch,
}

impl Back {
    /// The first epoch whose owner may serve it, after this refusal.
    pub(crate) fn after(&self, refusal: Elsewhere) -> Epoch {
        Epoch(self.epoch.0.saturating_add(1)).max(refusal.epoch)
    }
}

/// Why a peer's queue has not taken a call.
pub(crate) enum NotQueued {
    /// Somebody else may: it is routed anew.
    Elsewhere,
    Error(CallError),
}

/// What has come back with the answers of a peer.
#[derive(Default)]
pub(crate) struct Settled {
    /// Calls that it does not serve, and has not executed.
    pub(crate) refused: Vec<(Letter, Elsewhere)>,
    /// Fences that it has answered.
    pub(crate) fences: Vec<u64>,
}

/// A call that waits for somebody to serve its shard.
pub(crate) struct Waiter {
    pub(crate) call: Call,
    /// Who waits; none: nobody does.
    pub(crate) answer: Option<oneshot::Sender<Word>>,
}

/// Where a call can be found to take it back.
pub(crate) enum Place {
    /// In this queue, if anywhere.
    Peer(Arc<Outbox>),
    /// Parked, or in the queue of whoever serves the shard meanwhile; the queue where it was first.
    Shard(Arc<Hub>, ShardId, Option<Arc<Outbox>>),
}

/// What is known of a call that was taken back.
pub(crate) enum TakenBack {
    /// It may have been executed.
    Written,
    /// It waited for its node.
    Queued,
    /// It waited for somebody to serve its shard.
    Parked(ShardId),
}

/// A call's place in the queue, and its answer. Dropped early, it takes the call back if that is
/// still possible.
pub(crate) struct Ticket {
    number: u64,
    place: Place,
    answer: oneshot::Receiver<Word>,
    settled: bool,
}

impl Ticket {
    pub(crate) fn new(number: u64, place: Place, answer: oneshot::Receiver<Word>) -> Self {
        Self { number, place, answer, settled: false }
    }

    /// What becomes of the call, at its deadline at the latest.
    pub(crate) async fn wait(
        mut self,
        object: ObjectId,
        deadline: Instant,
        metrics: Arc<Metrics>,
    ) -> Answer {
        let heard = timeout_at(deadline.into(), &mut self.answer).await;
        let answered = match heard {
            Ok(Ok(word)) => {
                self.settled = true;
                match word {
                    Word::Answer(answer) => answer,
                    Word::Follow(calling) => return calling.await,
                }
            }
            Ok(Err(_)) => {
                self.settled = true;
                let given_up = CallError::new(ErrorKind::Unavailable, "the link was given up");
                Err(given_up.maybe_executed())
            }
            Err(_) => Err(match self.take_back() {
                TakenBack::Written => timeout(true),
                TakenBack::Queued => timeout(false),
                TakenBack::Parked(shard) => unserved(shard),
            }),
        };
        answered.map_err(|error| {
            metrics.count(&error);
            error.about(&object)
        })
    }

    fn take_back(&mut self) -> TakenBack {
        self.settled = true;
        let first = match &self.place {
            Place::Peer(outbox) | Place::Shard(_, _, Some(outbox)) => outbox.abandon(self.number),
            Place::Shard(_, _, None) => None,
        };
        match (first, &self.place) {
            (Some(true), _) => TakenBack::Written,
            (Some(false), _) => TakenBack::Queued,
            (None, Place::Shard(hub, shard, _)) => hub.take_back(*shard, self.number),
            (None, Place::Peer(_)) => TakenBack::Written,
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if !self.settled {
            self.take_back();
        }
    }
}

/// What a call takes on the wire, without its names.
pub(crate) fn size(call: &Call) -> usize {
    match &call.action {
        Action::Invoke(invocation) | Action::Deliver(invocation, _) => {
            invocation.payload.len()
                + invocation.method.len()
                + invocation.key.as_ref().map_or(0, |key| key.len())
        }
        Action::Create | Action::Delete | Action::Exists => 0,
        Action::ClientsGone(clients) => clients.iter().map(|client| client.len()).sum(),
    }
}

/// What a parked call holds, about.
pub(crate) fn held_bytes(call: &Call) -> usize {
    OVERHEAD_BYTES + size(call) + call.traceparent.as_ref().map_or(0, |text| text.len())
}

/// The caller's own clock ran out.
pub(crate) fn timeout(written: bool) -> CallError {
    let error = CallError::new(ErrorKind::Timeout, "no answer came within the deadline");
    if written { error.maybe_executed() } else { error }
}

/// The caller's own clock ran out before anybody served the shard.
pub(crate) fn unserved(shard: ShardId) -> CallError {
    let problem =
        format!("no answer came within the deadline: shard {shard} is served by nobody now");
    CallError::new(ErrorKind::Timeout, problem)
}

/// A call that goes to one node alone has met another.
pub(crate) fn not_there(shard: ShardId) -> CallError {
    CallError::new(ErrorKind::Unavailable, format!("the node does not own shard {shard}"))
}
