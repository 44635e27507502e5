//! Calls any object anywhere.
//!
//! A [`Router`] knows where objects are (a static view for now: one node, all shards) and brings a
//! call there: to the [`Callee`] in this process, without serialization, or over a `Link` to a peer.

mod audience;
mod catalog;
mod config;
mod control;
mod large;
mod link;
mod metrics;
mod outbox;
mod peer;
mod pushes;
mod retry;
mod router;

use futures_util::future::BoxFuture;
use wasmverse_core::{Call, CallError, Reply};

pub use audience::{Audience, Delivery};
pub use catalog::Types;
pub use config::{LinkBounds, RouterConfig};
pub use control::{Bearer, Control};
pub use retry::{has_own_key, until_answered};
pub use router::Router;

/// What answers calls: a node's directory, or a router on the way to one.
pub trait Callee: Send + Sync + 'static {
    /// Brings a call to its object and waits for the answer, at most until its deadline.
    ///
    /// The call takes its place in the queue **before the future is returned**: whoever calls
    /// twice from one task is served in that order, however the futures are polled. A future that
    /// is dropped takes a call that still waits out of its queue; a running turn goes on.
    fn call(&self, call: Call) -> BoxFuture<'static, Result<Reply, CallError>>;

    /// Brings a one-way call to its object, at most once; sends and calls from one task to one
    /// object keep their order. What becomes of it is logged and counted, never answered.
    fn send(&self, call: Call);
}
