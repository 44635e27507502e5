//! The clients of this process, as the way of a push sees them.

use std::sync::Arc;

use wasmverse_core::{ObjectId, Push, PushTo};

/// A push on its way to the clients of this process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// The object that pushed it.
    pub from: ObjectId,
    /// For whom, and what.
    pub push: Push,
}

/// Who takes pushes to clients: the sessions of a gate.
pub trait Audience: Send + Sync + 'static {
    /// Brings an event to its clients, and waits for none of them. Answers those that are not here
    /// (any more): the object that pushed hears of them.
    fn deliver(&self, delivery: Delivery) -> Vec<Arc<str>>;

    /// Pushes to these clients were lost on the way, nobody knows how many.
    fn missed(&self, to: &PushTo);
}
