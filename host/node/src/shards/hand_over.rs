//! Brings the parcel of a shard to the node that is to have it, and its calls' answers back.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio_stream::StreamExt as _;
use tonic::Streaming;
use wasmverse_core::{CallError, ErrorKind, NodeId, ShardId};
use wasmverse_proto::{
    convert::{call_to_frame, frame_to_reply, object_to_ref, status_to_error},
    node::{
        HandOverAnswer, HandOverHead, HandOverObject, HandOverPart, hand_over_answer::Answer,
        hand_over_part::Part,
    },
};

use super::{Parcel, Piece};
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
            let is_over = parcel.packed.elapsed() > limit;
            is_over.then(|| (parcel.pieces.drain(..).count(), std::mem::take(&mut parcel.calls)))
        });
        let Some((pieces, calls)) = given_up.flatten() else { return false };
        self.metrics.snapshots_dropped.increment(pieces as u64);
        tracing::error!(%shard, pieces, "a shard moves without what its objects had in memory");
        self.send_on(shard, calls);
        true
    }

    async fn try_hand_over(self: &Arc<Self>, shard: ShardId, to: &NodeId) -> Result<(), CallError> {
        let away = || CallError::new(ErrorKind::Unavailable, format!("{to} is not reached"));
        let joined = self.joined().ok_or_else(away)?;
        let mut control = joined.router.control_of(to).ok_or_else(away)?;
        let incarnation = joined.incarnation();
        let parts = self
            .owned
            .shards
            .with_outgoing(shard, |parcel| self.parts(shard, parcel, &incarnation));
        let Some(parts) = parts else { return Ok(()) };
        let taking = async {
            let answers = control.hand_over(tokio_stream::iter(parts)).await;
            let mut answers = answers.map_err(|status| status_to_error(&status))?.into_inner();
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
        let calls =
            self.owned.shards.with_outgoing(shard, |parcel| std::mem::take(&mut parcel.calls));
        let calls: Vec<_> = calls
            .unwrap_or_default()
            .into_iter()
            .map(|waiting| Some((waiting.call.object, waiting.reply)))
            .collect();
        if calls.iter().any(Option::is_some) {
            let host = Arc::clone(self);
            self.background.spawn(async move { host.relay(shard, answers, calls).await });
        }
        Ok(())
    }

    fn parts(&self, shard: ShardId, parcel: &Parcel, incarnation: &str) -> Vec<HandOverPart> {
        let head = HandOverHead {
            shard: shard.0.into(),
            epoch: parcel.epoch.0,
            node: self.config.id().to_owned(),
            incarnation: incarnation.to_owned(),
        };
        let now = Instant::now();
        let pieces = parcel.pieces.iter().map(|piece| Part::Object(part(piece)));
        let calls = (0..).zip(&parcel.calls).map(|(id, waiting)| {
            Part::Call(call_to_frame(id, shard.0.into(), waiting.call.clone(), now))
        });
        let begin = std::iter::once(Part::Head(head));
        let end = std::iter::once(Part::Complete(true));
        begin
            .chain(pieces)
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
