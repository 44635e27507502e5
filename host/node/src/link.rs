//! The node's side of the links from its peers: calls come in batches and go to the callee in the
//! order in which they came; answers go back in batches, in the order in which they are ready.

mod running;
mod stream;

use std::{sync::Arc, time::Instant};

use futures_util::Stream;
use metrics::Gauge;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tonic::Status;
use wasmverse_core::{CallError, Epoch, ErrorKind, Reply, ShardCount, ShardId};
use wasmverse_proto::{
    FRAME_BYTES_MAX, PROTOCOL,
    convert::{frame_to_call, reply_to_frame},
    node::{CallFrame, Frames, Hello, ReplyFrame},
};
use wasmverse_router::Callee;

pub(crate) use stream::LinkStream;

use crate::{gates::Gates, shards::Shards};

/// Who the node is, as it introduces itself.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    pub(crate) id: String,
    pub(crate) incarnation: String,
    /// Empty: not known.
    pub(crate) cluster: String,
    pub(crate) shards: ShardCount,
}

/// What peers may have under way; beyond it their calls are `overloaded`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// Calls of one link.
    pub(crate) calls_max: usize,
    /// What these carry, in bytes.
    pub(crate) bytes_max: usize,
    /// What answers that wait to be read may hold, in bytes.
    pub(crate) answers_bytes_max: usize,
    /// What calls that travel apart carry, over all peers, in bytes.
    pub(crate) large_bytes_max: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            calls_max: 16_384,
            bytes_max: 256 << 20,
            answers_bytes_max: 256 << 20,
            large_bytes_max: 256 << 20,
        }
    }
}

/// Serves the links of all peers.
pub(crate) struct Links {
    callee: Arc<dyn Callee>,
    gates: Arc<Gates>,
    /// In which epochs this node owns shards; none: nobody counts them.
    shards: Option<Arc<Shards>>,
    hello: Hello,
    bounds: Bounds,
    large: Semaphore,
    ending: Ending,
    up: Gauge,
}

/// How links end: first they take no more calls, then those that still drain are cut.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ending {
    pub(crate) drain: CancellationToken,
    pub(crate) cut: CancellationToken,
}

impl Links {
    pub(crate) fn new(
        callee: Arc<dyn Callee>,
        (gates, shards): (Arc<Gates>, Option<Arc<Shards>>),
        identity: Identity,
        bounds: Bounds,
        ending: Ending,
        up: Gauge,
    ) -> Self {
        let hello = Hello {
            protocol: PROTOCOL,
            id: identity.id,
            incarnation: identity.incarnation,
            cluster: identity.cluster,
            role: "node".into(),
            shards: identity.shards.get().into(),
            ..Hello::default()
        };
        let large = Semaphore::new(bounds.large_bytes_max.min(Semaphore::MAX_PERMITS));
        Self { callee, gates, shards, hello, bounds, large, ending, up }
    }

    /// Serves one link; the peer has shown the secret already.
    pub(crate) fn accept<S>(&self, inbound: S) -> LinkStream<S>
    where
        S: Stream<Item = Result<Frames, Status>> + Unpin,
    {
        LinkStream::new(
            Arc::clone(&self.callee),
            (Arc::clone(&self.gates), self.shards.clone()),
            self.hello.clone(),
            self.bounds,
            self.ending.clone(),
            self.up.clone(),
            inbound,
        )
    }

    /// Serves one call that travels apart.
    pub(crate) async fn call(&self, frame: CallFrame) -> ReplyFrame {
        let id = frame.id;
        let reply = async {
            if self.ending.drain.is_cancelled() {
                return Err(not_taken(&frame));
            }
            let bytes = u32::try_from(frame.payload.len()).ok();
            let room = bytes.and_then(|bytes| self.large.try_acquire_many(bytes).ok());
            let Some(_room) = room else { return Err(overloaded()) };
            let call = frame_to_call(frame, Instant::now())?;
            tokio::select! {
                reply = self.callee.call(call) => reply,
                () = self.ending.cut.cancelled() => Err(draining().maybe_executed()),
            }
        };
        reply_to_frame(id, passable(reply.await))
    }
}

/// An answer, unless it is too large to pass: the others on its link shall not fail with it.
fn passable(answer: Result<Reply, CallError>) -> Result<Reply, CallError> {
    let size = size(&answer);
    if size <= FRAME_BYTES_MAX {
        return answer;
    }
    let problem =
        format!("the answer has {size} bytes: at most {FRAME_BYTES_MAX} pass between processes");
    Err(CallError::new(ErrorKind::Trapped, problem).maybe_executed())
}

/// What an answer takes on the wire, about. Whatever an object can make long counts.
fn size(answer: &Result<Reply, CallError>) -> usize {
    match answer {
        Ok(Reply::Payload(payload)) => payload.len(),
        Ok(Reply::Done | Reply::Exists(_)) => 0,
        Err(error) => {
            let attributes =
                error.attributes().iter().map(|(name, value)| name.len() + value.len());
            let texts = error.message().len() + error.code().len();
            error.details().len() + texts + attributes.sum::<usize>()
        }
    }
}

fn overloaded() -> CallError {
    CallError::new(ErrorKind::Overloaded, "the node has too many calls of this peer under way")
        .retry_after(std::time::Duration::from_millis(100))
}

/// No more calls are taken. One that was sent here by who owns its shard is sent on by its sender.
fn not_taken(frame: &CallFrame) -> CallError {
    match u16::try_from(frame.shard) {
        Ok(shard) if frame.epoch > 0 => CallError::elsewhere(ShardId(shard), Epoch(frame.epoch)),
        _ => draining(),
    }
}

fn draining() -> CallError {
    CallError::new(ErrorKind::Unavailable, "the node is shutting down")
}

#[cfg(test)]
mod tests;
