//! Takes in what goes along with a shard: it is kept until this node has claimed the shard.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::{StreamExt as _, stream, stream::FuturesUnordered};
use tokio::sync::oneshot;
use tonic::{Response, Status, Streaming};
use wasmverse_core::{
    CallError, Epoch, ErrorKind, NodeId, RevisionNumber, ShardId, State, cluster::View,
};
use wasmverse_proto::{
    convert::{error_to_status, frame_to_call, ref_to_object, reply_to_frame},
    node::{
        CallFrame, HandOverAnswer, HandOverCallers, HandOverHead, HandOverObject, HandOverPart,
        NotOwner, hand_over_answer::Answer as Wire, hand_over_part::Part,
    },
};

use super::{Answers, Service};
use crate::{
    letter::{Answer, ReplyTo},
    shards::{Parcel, Piece, Waiting},
};

/// What one parcel may carry, in bytes.
const BYTES_MAX: usize = 1 << 30;
/// A view that is as new as the sender's has so long to come.
const VIEW_LIMIT: Duration = Duration::from_secs(2);

impl Service {
    pub(super) async fn take_over(
        &self,
        mut parts: Streaming<HandOverPart>,
    ) -> Result<Response<Answers<HandOverAnswer>>, Status> {
        let Some(HandOverPart { part: Some(Part::Head(head)) }) = parts.message().await? else {
            return Err(refused("the first part must be a head"));
        };
        let shard = self.expected(&head).await?;
        let (mut parcel, mut answers) = (Parcel::new(Epoch(head.epoch), Vec::new()), Vec::new());
        let mut bytes = 0;
        loop {
            match parts.message().await?.and_then(|part| part.part) {
                Some(Part::Object(object)) => {
                    bytes += object.state.len();
                    parcel.pieces.push(self.piece(object).await.map_err(|e| error_to_status(&e))?);
                }
                Some(Part::Call(frame)) => {
                    bytes += frame.payload.len();
                    let (waiting, answer) = waiting(frame).map_err(|e| error_to_status(&e))?;
                    parcel.calls.push(waiting);
                    answers.extend(answer);
                }
                Some(Part::Callers(HandOverCallers { object, clients })) => {
                    bytes += clients.iter().map(String::len).sum::<usize>();
                    let object = ref_to_object(object.as_ref()).map_err(|e| error_to_status(&e))?;
                    let clients = clients.into_iter().map(Arc::from).collect();
                    parcel.callers.push((object, clients));
                }
                Some(Part::Complete(_)) => break,
                Some(Part::Head(_)) | None => return Err(refused("the parcel breaks off")),
            }
            if bytes > BYTES_MAX {
                return Err(refused("the parcel is too large"));
            }
        }
        let host = &self.node.0;
        tracing::debug!(%shard, from = head.node, pieces = parcel.pieces.len(), "took a parcel");
        // It may have become another's while all of it came.
        self.expected(&head).await?;
        if let Some(mut before) = host.owned.shards.keep(shard, parcel) {
            if before.epoch.0 == head.epoch {
                // It is the same one, tried again: all of its calls are here once more.
                before.calls.retain(|waiting| matches!(waiting.reply, ReplyTo::Caller(_)));
            }
            host.send_on(shard, before.calls);
        }
        let taken = HandOverAnswer { answer: Some(Wire::Taken(true)) };
        let replies: FuturesUnordered<_> = answers
            .into_iter()
            .map(|(id, answer)| async move { answer_of(id, shard, answer.await) })
            .collect();
        Ok(self.answers(stream::once(std::future::ready(taken)).chain(replies)))
    }

    /// The shard of a parcel, if this node is the one that is to have it.
    async fn expected(&self, head: &HandOverHead) -> Result<ShardId, Status> {
        let host = &self.node.0;
        let shard = u16::try_from(head.shard).ok().filter(|shard| *shard < host.shards.get());
        let shard = ShardId(shard.ok_or_else(|| refused("there is no such shard"))?);
        let joined = host.joined().ok_or_else(|| refused("this node is in no cluster"))?;
        let mut views = joined.cluster.view();
        // Its sender may have heard earlier of what the leader wrote.
        let is_new = |view: &Arc<View>| view.revision >= head.revision;
        let _ = tokio::time::timeout(VIEW_LIMIT, views.wait_for(is_new)).await;
        let view: Arc<View> = views.borrow().clone();
        let target = view.slot(shard).target.as_ref();
        let me = NodeId::new(self.node.id());
        if target.is_none_or(|target| target.node != me) {
            let problem = format!("shard {shard} is not to be this node's, for all it knows");
            return Err(error_to_status(&CallError::new(ErrorKind::Unavailable, problem)));
        }
        Ok(shard)
    }

    async fn piece(&self, part: HandOverObject) -> Result<Piece, CallError> {
        let object = ref_to_object(part.object.as_ref())?;
        let state = match part.has_state {
            true => {
                let number = RevisionNumber(part.revision);
                let revision = self.node.0.revision(object.type_name(), number).await?;
                Some((State { schema: part.schema, data: part.state }, revision))
            }
            false => None,
        };
        Ok(Piece { object, state })
    }
}

type Answering = (u64, oneshot::Receiver<Answer>);

/// None waits for the answer of a one-way call.
fn waiting(frame: CallFrame) -> Result<(Waiting, Option<Answering>), CallError> {
    let (id, is_one_way) = (frame.id, frame.one_way);
    let call = frame_to_call(frame, Instant::now())?;
    if is_one_way {
        return Ok((Waiting { call, reply: ReplyTo::Nobody, charge: None }, None));
    }
    let (reply, answer) = oneshot::channel();
    let waiting = Waiting { call, reply: ReplyTo::Caller(reply), charge: None };
    Ok((waiting, Some((id, answer))))
}

fn answer_of(
    id: u64,
    shard: ShardId,
    answer: Result<Answer, oneshot::error::RecvError>,
) -> HandOverAnswer {
    let lost = || CallError::new(ErrorKind::Unavailable, "the turn was cut off").maybe_executed();
    let answer = answer.unwrap_or_else(|_| Err(lost()));
    let elsewhere = answer.as_ref().err().and_then(CallError::as_elsewhere);
    let answer = match elsewhere {
        Some(elsewhere) => Wire::NotOwner(NotOwner {
            id,
            shard: shard.0.into(),
            owner: String::new(),
            epoch: elsewhere.epoch.0,
        }),
        None => Wire::Reply(reply_to_frame(id, answer)),
    };
    HandOverAnswer { answer: Some(answer) }
}

fn refused(problem: &str) -> Status {
    error_to_status(&CallError::new(ErrorKind::InvalidArgument, problem))
}
