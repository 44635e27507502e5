//! Calls any object anywhere.
//!
//! A [`Router`] knows where objects are (a static view for now: one node, all shards) and brings a
//! call there: to the [`Callee`] in this process, without serialization, or over a `Link` to a peer.

use futures_util::future::BoxFuture;
use wasmverse_core::{Call, CallError, Reply};

/// What answers calls: a node's directory, or a router on the way to one.
pub trait Callee: Send + Sync + 'static {
    /// Brings a call to its object and waits for the answer, at most until its deadline.
    fn call(&self, call: Call) -> BoxFuture<'static, Result<Reply, CallError>>;

    /// Brings a one-way call to its object, at most once; sends from one task to one object keep
    /// their order. What becomes of it is logged and counted, never answered.
    fn send(&self, call: Call);
}
