//! Calls with large arguments travel apart: a unary request on a connection of its own, so that
//! they hold up nobody. What travels at a time is bounded.

use std::{sync::Arc, time::Instant};

use futures_util::{FutureExt as _, future::BoxFuture};
use tokio::time::timeout_at;
use tonic::Status;
use wasmverse_core::{Call, CallError, ErrorKind, Reply};
use wasmverse_proto::convert::{call_to_frame, frame_to_reply, status_to_error};

use crate::{
    Control,
    peer::{Peer, timeout},
};

impl Peer {
    /// Brings a call to the peer in a request of its own.
    pub(crate) fn call_apart(
        self: &Arc<Self>,
        call: Call,
        shard: u32,
        size: usize,
    ) -> BoxFuture<'static, Result<Reply, CallError>> {
        let peer = Arc::clone(self);
        async move {
            let object = call.object.clone();
            let answered = peer.bring(call, shard, size).await;
            answered.map_err(|error| {
                peer.metrics.count(&error);
                error.about(&object)
            })
        }
        .boxed()
    }

    async fn bring(&self, call: Call, shard: u32, size: usize) -> Result<Reply, CallError> {
        let size = u32::try_from(size).ok();
        let room = size.and_then(|size| self.large.try_acquire_many(size).ok());
        let Some(_room) = room else {
            return Err(CallError::new(ErrorKind::Overloaded, "too much is under way to the node"));
        };
        let deadline = call.deadline;
        let mut control = self.reach(deadline).await?;
        let frame = call_to_frame(0, shard, call, Instant::now());
        match timeout_at(deadline.into(), control.call(frame)).await {
            Ok(Ok(reply)) => frame_to_reply(reply.into_inner()),
            Ok(Err(status)) => Err(not_brought(&status)),
            Err(_) => Err(timeout(true)),
        }
    }

    /// A client of the peer as soon as there is a link.
    async fn reach(&self, deadline: Instant) -> Result<Control, CallError> {
        let patience = Instant::now() + self.config.bounds.patience;
        let mut linked = self.linked.subscribe();
        let waited = timeout_at(deadline.min(patience).into(), linked.wait_for(Option::is_some));
        match waited.await {
            Ok(Ok(linked)) => {
                Ok(linked.as_ref().expect("waited for one that is there").control.clone())
            }
            Ok(Err(_)) => Err(self.unreachable()),
            Err(_) if deadline <= patience => Err(timeout(false)),
            Err(_) => Err(self.unreachable()),
        }
    }
}

/// What an object answers comes in a reply; a status is about the way to it.
fn not_brought(status: &Status) -> CallError {
    let error = status_to_error(status);
    match error.kind() {
        ErrorKind::Overloaded | ErrorKind::Timeout | ErrorKind::Unavailable => error,
        ErrorKind::Application
        | ErrorKind::NotFound
        | ErrorKind::AlreadyExists
        | ErrorKind::InvalidArgument
        | ErrorKind::Denied
        | ErrorKind::Unauthenticated
        | ErrorKind::Cycle
        | ErrorKind::Trapped
        | ErrorKind::Internal => {
            let message = format!("failed to bring the call to the node: {}", error.message());
            let unavailable = CallError::new(ErrorKind::Unavailable, message);
            if error.may_have_executed() { unavailable.maybe_executed() } else { unavailable }
        }
    }
}
