//! Calls any object anywhere.
//!
//! A [`Router`] sees in the cluster's view who serves an object's shard, and brings a call there: to
//! the [`Callee`] in this process, without serialization, or over a `Link` to a peer. While nobody
//! serves a shard, its calls wait here, in order.

mod audience;
mod catalog;
mod config;
mod control;
mod hub;
mod large;
mod letter;
mod link;
mod metrics;
mod outbox;
mod parking;
mod peer;
mod pushes;
mod retry;
mod router;
mod routes;
mod way_back;

use futures_util::future::BoxFuture;
use wasmverse_core::{Call, CallError, Reply};

pub use audience::{Audience, Delivery};
pub use catalog::Types;
pub use config::{LinkBounds, RouterConfig};
pub use control::{Bearer, Control};
pub use hub::Local;
pub use peer::Role;
pub use retry::{has_own_key, until_answered};
pub use router::Router;
pub use way_back::WayBack;

/// What answers calls: a node's directory, or a router on the way to one.
pub trait Callee: Send + Sync + 'static {
    /// Brings a call to its object and waits for the answer, at most until its deadline.
    ///
    /// The call takes its place in the queue **before the future is returned**: whoever calls
    /// twice from one task is served in that order, however the futures are polled. A future that
    /// is dropped takes a call that still waits out of its queue; a running turn goes on.
    fn call(&self, call: Call) -> BoxFuture<'static, Result<Reply, CallError>>;

    /// Brings a one-way call to its object, at most once; sends and calls from one task to one
    /// object keep their order as long as its shard stays where it is. What becomes of it is logged and
    /// counted, never answered.
    fn send(&self, call: Call);

    /// The same as `call`, for the router of this very process: a call that is not served here goes
    /// back by [`WayBack::again`] instead of being answered so. Whoever knows early that it is not
    /// saves the copy, and the allocation, that this takes.
    fn call_within(
        &self,
        call: Call,
        back: WayBack,
    ) -> BoxFuture<'static, Result<Reply, CallError>> {
        let calling = self.call(call.clone());
        back.follow(call, calling)
    }

    /// The same as `send`, for the router of this very process: a call that is not served here may go
    /// back by [`WayBack::send_again`].
    fn send_within(&self, call: Call, back: WayBack) {
        drop(back);
        self.send(call);
    }
}
