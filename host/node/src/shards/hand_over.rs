//! Brings the parcel of a shard to the node that is to have it, and its calls' answers back.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio_stream::StreamExt as _;
use tonic::{Status, Streaming};
use wasmverse_core::{CallError, ErrorKind, NodeId, ShardId, cluster::View};
use wasmverse_proto::{
    convert::{call_to_frame, frame_to_reply, object_to_ref, status_to_error},
    node::{
        CallFrame, HandOverAnswer, HandOverCallers, HandOverHead, HandOverObject, HandOverPart,
        hand_over_answer::Answer, hand_over_part::Part,
    },
};

use super::{Parcel, Piece, Waiting};
use crate::{host::Host, letter::ReplyTo};

/// The other node has so long to take a parcel.
const TAKE_LIMIT: Duration = Duration::from_secs(10);
/// Before a parcel is tried again.
const RETRY_PAUSE: Duration = Duration::from_millis(100);

impl Host {
    /// Brings the parcel of a shard to a node; whether it has it.
    pub(super) async fn hand_over(self: &Arc<Self>, shard: ShardId, to: &NodeId) -> bool {
        match self.try_hand_over(shard, to).await {
            Ok(()) => true,
            Err(error) => {
                tracing::warn!(%shard, %to, %error, "failed to hand a shard over");
                if self.gives_up(shard) {
                    return true;
                }
                tokio::time::sleep(RETRY_PAUSE).await;
                false
            }
        }
    }

    /// A parcel that cannot be brought within the drain limit holds its shard up no longer: its calls
    /// are sent on by who made them, and what was in memory is lost.
    fn gives_up(&self, shard: ShardId) -> bool {
        let limit = self.config.drain;
        let given_up = self.owned.shards.with_outgoing(shard, |parcel| {
            (parcel.packed.elapsed() > limit).then(|| {
                let calls = std::mem::take(&mut parcel.calls);
                parcel.callers.clear();
                (parcel.pieces.drain(..).count(), parcel.in_doubt.is_some(), calls)
            })
        });
        let Some((pieces, is_in_doubt, calls)) = given_up.flatten() else { return false };
        self.metrics.snapshots_dropped.increment(pieces as u64);
        tracing::error!(%shard, pieces, "a shard moves without what its objects had in memory");
        self.give_back(shard, calls, is_in_doubt);
        true
    }

    /// Calls of a parcel go back to who made them, and on from there; those that may be served by
    /// who may have the parcel only if they have keys, which routers know. Of one-way calls none is
    /// run twice, so that these are dropped.
    pub(super) fn give_back(&self, shard: ShardId, calls: Vec<Waiting>, is_in_doubt: bool) {
        if !is_in_doubt {
            return self.send_on(shard, calls);
        }
        for Waiting { call, reply, .. } in calls {
            let problem = "its shard moved to a node that did not say whether it has the call";
            let error = CallError::new(ErrorKind::Unavailable, problem).maybe_executed();
            reply.answer(&self.metrics, &call.object, Err(error));
        }
    }

    async fn try_hand_over(self: &Arc<Self>, shard: ShardId, to: &NodeId) -> Result<(), CallError> {
        let away = || CallError::new(ErrorKind::Unavailable, format!("{to} is not reached"));
        let joined = self.joined().ok_or_else(away)?;
        let mut control = joined.router.control_of(to).ok_or_else(away)?;
        let incarnation = joined.incarnation();
        let revision = revision_of(&joined.cluster.view().borrow(), shard, to);
        let parts = self.owned.shards.with_outgoing(shard, |parcel| {
            if parcel.in_doubt.as_ref().is_some_and(|before| before != to) {
                // They may be run there, once it hears that they are not to come along.
                parcel.calls.retain(|waiting| matches!(waiting.reply, ReplyTo::Caller(_)));
            }
            let before = parcel.in_doubt.replace(to.clone());
            (before, self.parts(shard, parcel, incarnation, revision))
        });
        let Some((before, parts)) = parts else { return Ok(()) };
        let taking = async {
            let answers = control.hand_over(tokio_stream::iter(parts)).await;
            let answers = answers.map_err(|status| {
                if is_its_own_word(&status) {
                    // It was refused: there is as much doubt as before.
                    self.owned.shards.with_outgoing(shard, |parcel| parcel.in_doubt = before);
                }
                status_to_error(&status)
            });
            let mut answers = answers?.into_inner();
            let first = answers.message().await.map_err(|status| status_to_error(&status))?;
            match first.and_then(|first| first.answer) {
                Some(Answer::Taken(_)) => Ok(answers),
                _ => Err(CallError::new(ErrorKind::Unavailable, "it did not take the parcel")),
            }
        };
        let taken = tokio::time::timeout(TAKE_LIMIT, taking).await;
        let late = || CallError::new(ErrorKind::Unavailable, "it did not take the parcel in time");
        let answers = taken.map_err(|_| late())??;
        // From now on their answers come from there.
        let calls = self.owned.shards.with_outgoing(shard, |parcel| {
            parcel.callers.clear();
            std::mem::take(&mut parcel.calls)
        });
        let calls: Vec<_> = calls
            .unwrap_or_default()
            .into_iter()
            .map(|Waiting { call, reply, .. }| match reply {
                ReplyTo::Caller(_) => Some((call.object, reply)),
                ReplyTo::Nobody => None,
            })
            .collect();
        if calls.iter().any(Option::is_some) {
            let host = Arc::clone(self);
            self.background.spawn(async move { host.relay(shard, answers, calls).await });
        }
        Ok(())
    }

    fn parts(
        &self,
        shard: ShardId,
        parcel: &Parcel,
        incarnation: String,
        revision: u64,
    ) -> Vec<HandOverPart> {
        let head = HandOverHead {
            shard: shard.0.into(),
            epoch: parcel.epoch.0,
            node: self.config.id().to_owned(),
            incarnation,
            revision,
        };
        let now = Instant::now();
        let pieces = parcel.pieces.iter().map(|piece| Part::Object(part(piece)));
        let calls = (0..).zip(&parcel.calls).map(|(id, waiting)| {
            let frame = call_to_frame(id, shard.0.into(), waiting.call.clone(), now);
            Part::Call(CallFrame { one_way: matches!(waiting.reply, ReplyTo::Nobody), ..frame })
        });
        let callers = parcel.callers.iter().map(|(object, clients)| {
            let clients = clients.iter().map(|client| (**client).into()).collect();
            Part::Callers(HandOverCallers { object: Some(object_to_ref(object)), clients })
        });
        let begin = std::iter::once(Part::Head(head));
        let end = std::iter::once(Part::Complete(true));
        begin
            .chain(pieces)
            .chain(callers)
            .chain(calls)
            .chain(end)
            .map(|part| HandOverPart { part: Some(part) })
            .collect()
    }

    /// Gives the answers of calls that went along to those who wait for them here.
    async fn relay(
        &self,
        shard: ShardId,
        mut answers: Streaming<HandOverAnswer>,
        mut calls: Vec<Option<(wasmverse_core::ObjectId, ReplyTo)>>,
    ) {
        let mut take = |id: u64| {
            usize::try_from(id).ok().and_then(|id| calls.get_mut(id)).and_then(Option::take)
        };
        while let Some(Ok(HandOverAnswer { answer: Some(answer) })) = answers.next().await {
            let (id, answer) = match answer {
                Answer::Reply(frame) => (frame.id, frame_to_reply(frame)),
                Answer::NotOwner(refused) => {
                    let epoch = wasmverse_core::Epoch(refused.epoch);
                    (refused.id, Err(CallError::elsewhere(shard, epoch)))
                }
                Answer::Taken(_) => continue,
            };
            if let Some((object, reply)) = take(id) {
                reply.answer(&self.metrics, &object, answer);
            }
        }
        for (object, reply) in calls.into_iter().flatten() {
            let error =
                CallError::new(ErrorKind::Unavailable, "the next owner of its shard is gone");
            reply.answer(&self.metrics, &object, Err(error.maybe_executed()));
        }
    }
}

/// The revision of the target for which a parcel goes to a node: that node may not know of it yet.
fn revision_of(view: &View, shard: ShardId, to: &NodeId) -> u64 {
    let target = view.slot(shard).target.as_ref();
    target.filter(|target| target.node == *to).map_or(0, |target| target.revision)
}

/// Whether the other node itself has refused, and not the way to it.
fn is_its_own_word(status: &Status) -> bool {
    !status.details().is_empty()
}

fn part(piece: &Piece) -> HandOverObject {
    let object = Some(object_to_ref(&piece.object));
    match &piece.state {
        None => HandOverObject { object, ..HandOverObject::default() },
        Some((state, revision)) => HandOverObject {
            object,
            has_state: true,
            revision: revision.number.0,
            schema: state.schema,
            state: state.data.clone(),
        },
    }
}
