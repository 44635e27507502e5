//! The way back into the router, for calls that the node in the same process turns out not to serve.

use std::{
    fmt,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use futures_util::{FutureExt as _, future::BoxFuture};
use wasmverse_core::{Call, CallError, Elsewhere, Epoch, Placement, Reply};

use crate::hub::Hub;

/// The way back into the router, of one call.
#[derive(Clone)]
pub struct WayBack {
    hub: Arc<Hub>,
    number: u64,
    /// In which the node was taken to own the shard.
    epoch: Epoch,
}

impl WayBack {
    pub(crate) fn new(hub: Arc<Hub>, number: u64, epoch: Epoch) -> Self {
        Self { hub, number, epoch }
    }

    /// Sends a call on that was surely not executed, in its place among those to its shard: to an
    /// owner of a later epoch. The place is taken before this returns.
    pub fn again(
        self,
        call: Call,
        refusal: Elsewhere,
    ) -> BoxFuture<'static, Result<Reply, CallError>> {
        let least = self.least(refusal);
        match self.hub.place(&call.object) {
            Ok(Placement::Shard(shard)) => self.hub.again(self.number, call, shard, least),
            Ok(Placement::Node(_)) => {
                let error = crate::letter::not_there(refusal.shard).about(&call.object);
                std::future::ready(Err(error)).boxed()
            }
            Err(error) => std::future::ready(Err(error)).boxed(),
        }
    }

    /// The same for a one-way call.
    pub fn send_again(self, call: Call, refusal: Elsewhere) {
        let least = self.least(refusal);
        match self.hub.place(&call.object) {
            Ok(Placement::Shard(shard)) => self.hub.send_again(self.number, call, shard, least),
            Ok(Placement::Node(_)) | Err(_) => {
                tracing::debug!(object = %call.object, "dropped a one-way call");
            }
        }
    }

    /// Waits for an answer, and sends the call on if there is none here.
    pub(crate) fn follow(
        self,
        call: Call,
        mut calling: BoxFuture<'static, Result<Reply, CallError>>,
    ) -> BoxFuture<'static, Result<Reply, CallError>> {
        // What is refused at once is sent on at once, before whatever is called next.
        match calling.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Err(error)) => match error.as_elsewhere() {
                Some(refusal) => self.again(call, refusal),
                None => std::future::ready(Err(error)).boxed(),
            },
            Poll::Ready(Ok(reply)) => std::future::ready(Ok(reply)).boxed(),
            Poll::Pending => async move {
                let answer = calling.await;
                match answer.as_ref().err().and_then(CallError::as_elsewhere) {
                    Some(refusal) => self.again(call, refusal).await,
                    None => answer,
                }
            }
            .boxed(),
        }
    }

    fn least(&self, refusal: Elsewhere) -> Epoch {
        Epoch(self.epoch.0.saturating_add(1)).max(refusal.epoch)
    }
}

impl fmt::Debug for WayBack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WayBack").field("number", &self.number).finish_non_exhaustive()
    }
}
