//! Calls with large arguments travel apart: a unary request on a connection of its own, so that
//! they hold up nobody. What travels at a time is bounded.

use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Instant,
};

use futures_util::{FutureExt as _, future::BoxFuture};
use tokio::time::timeout_at;
use tonic::Status;
use wasmverse_core::{Call, CallError, Epoch, ErrorKind, Reply};
use wasmverse_proto::{
    convert::{frame_to_reply, status_to_error},
    node::CallFrame,
};

use crate::{
    Control,
    hub::{Goal, Hub},
    letter::{Answer, not_there, timeout},
    peer::Peer,
};

/// Why a call was not brought.
enum NotBrought {
    /// It never left, and its peer is gone.
    Gone,
    Error(CallError),
}

impl Hub {
    /// Brings a call to a peer in a request of its own.
    pub(crate) fn apart(
        self: &Arc<Self>,
        peer: &Arc<Peer>,
        number: u64,
        call: Call,
        goal: Goal,
        size: usize,
    ) -> BoxFuture<'static, Answer> {
        let (hub, peer) = (Arc::clone(self), Arc::clone(peer));
        async move {
            let (object, deadline) = (call.object.clone(), call.deadline);
            let back = hub.back_to(&call, goal);
            let frame = goal.frame(call);
            let error = match (peer.bring(frame, deadline, size).await, back) {
                (Ok(reply), _) => return Ok(reply),
                (Err(NotBrought::Gone), Some(back)) => {
                    return hub.again(number, back.call, back.shard, Epoch(0)).await;
                }
                (Err(NotBrought::Gone), None) => peer.unreachable(),
                (Err(NotBrought::Error(error)), back) => match (error.as_elsewhere(), back) {
                    (Some(elsewhere), Some(back)) => {
                        let least = back.after(elsewhere);
                        return hub.again(number, back.call, back.shard, least).await;
                    }
                    (Some(elsewhere), None) => not_there(elsewhere.shard),
                    (None, _) => error,
                },
            };
            peer.terms.metrics.count(&error);
            Err(error.about(&object))
        }
        .boxed()
    }
}

impl Peer {
    async fn bring(
        &self,
        mut frame: CallFrame,
        deadline: Instant,
        size: usize,
    ) -> Result<Reply, NotBrought> {
        let size = u32::try_from(size).ok();
        let room = size.and_then(|size| self.large.try_acquire_many(size).ok());
        let Some(_room) = room else {
            let problem = "too much is under way to the node";
            return Err(NotBrought::Error(CallError::new(ErrorKind::Overloaded, problem)));
        };
        let mut control = tokio::select! {
            biased;
            () = self.gone.cancelled() => return Err(NotBrought::Gone),
            control = self.reach(deadline) => control.map_err(NotBrought::Error)?,
        };
        let left = deadline.saturating_duration_since(Instant::now());
        frame.timeout_micros = u64::try_from(left.as_micros()).unwrap_or(u64::MAX);
        let answered = tokio::select! {
            biased;
            answered = timeout_at(deadline.into(), control.call(frame)) => answered,
            () = self.lost() => {
                return Err(NotBrought::Error(self.unreachable().maybe_executed()));
            }
        };
        match answered {
            Ok(Ok(reply)) => frame_to_reply(reply.into_inner()),
            Ok(Err(status)) => Err(not_brought(&status)),
            Err(_) => Err(timeout(true)),
        }
        .map_err(NotBrought::Error)
    }

    /// A client of the peer as soon as there is a link.
    async fn reach(&self, deadline: Instant) -> Result<Control, CallError> {
        // In a cluster the view says when it is of no use to wait any longer.
        let patience = match self.terms.is_static {
            true => Instant::now() + self.terms.config.bounds.patience,
            false => deadline,
        };
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

    /// Its registration is gone, and it answers nothing any more.
    async fn lost(&self) {
        self.gone.cancelled().await;
        if self.is_draining.load(Relaxed) {
            std::future::pending::<()>().await;
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
