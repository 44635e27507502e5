//! What a coordination service gives, in the few forms that a cluster needs.
//!
//! Keys under one prefix, each with the revision that wrote it last; leases that take their keys
//! along when they lapse; commits that are done whole or not at all; and a watch that misses
//! nothing. Two implementations, [`crate::Etcd`] and [`crate::Memory`], pass one suite,
//! [`crate::contract`].

use std::time::Duration;

use bytes::Bytes;
use futures_util::{future::BoxFuture, stream::BoxStream};

use crate::Clock;

/// So many guards, and so many operations, fit into one commit. (etcd's default is 128.)
pub const TRANSACTION_MAX: usize = 120;

/// One lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LeaseId(pub i64);

/// A key, and what it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Without the prefix: `nodes/a`.
    pub key: String,
    /// What it holds.
    pub value: Bytes,
    /// The revision that wrote it last.
    pub revision: u64,
    /// It goes when this lease goes.
    pub lease: Option<LeaseId>,
}

/// What happened to a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// It was written.
    Put(Row),
    /// It is gone.
    Deleted {
        /// Without the prefix.
        key: String,
    },
}

/// Whole revisions, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// The last one of them.
    pub revision: u64,
    /// What they changed, in order.
    pub changes: Vec<Change>,
}

/// All keys under the prefix, as of one revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// As of this one.
    pub revision: u64,
    /// In the order of their keys.
    pub rows: Vec<Row>,
}

/// What a commit rests on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Guard {
    /// There is no such key.
    Absent(String),
    /// The key was last written by this revision.
    Revision(String, u64),
}

/// What a commit does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// Writes a key.
    Put {
        /// Without the prefix.
        key: String,
        /// What it is to hold.
        value: Bytes,
        /// With which lease it is to go.
        lease: Option<LeaseId>,
    },
    /// Deletes a key, if it is there.
    Delete(String),
}

/// Why there is no answer, and what may be done about it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// It was surely not done. Try again later.
    #[error("the coordination service is not available: {0}")]
    Unavailable(String),
    /// Nobody knows whether it was done. Ask again.
    #[error("the coordination service did not say what became of it: {0}")]
    Unknown(String),
    /// What happened after that revision is not known any more: begin with a snapshot.
    #[error("what happened since is not known any more")]
    Compacted,
    /// There is no such lease, or none any more. It was surely not done.
    #[error("the lease is gone")]
    LeaseGone,
    /// It was surely not done, and trying again is of no use: a wrong password, no permission, or
    /// settings that do not fit.
    #[error("refused: {0}")]
    Refused(String),
}

/// A coordination service, as seen under one prefix. Every answer comes within seconds, if only to
/// say that there is none.
pub trait Coordination: Send + Sync + 'static {
    /// All keys, as of the latest revision.
    fn snapshot(&self) -> BoxFuture<'_, Result<Snapshot, Error>>;

    /// One key, as of the latest revision, which is answered too.
    fn get<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<(u64, Option<Row>), Error>>;

    /// Everything that happens after a revision. Once it has failed it has ended, and the next one
    /// begins after the last batch, or with a snapshot if that is compacted.
    fn watch(
        &self,
        after: u64,
    ) -> BoxFuture<'_, Result<BoxStream<'static, Result<Batch, Error>>, Error>>;

    /// A new lease. It lapses when it is not kept alive for `ttl` or a little longer, never before.
    fn grant(&self, ttl: Duration) -> BoxFuture<'_, Result<LeaseId, Error>>;

    /// Starts the lease's time anew. One round trip.
    fn keep_alive(&self, lease: LeaseId) -> BoxFuture<'_, Result<(), Error>>;

    /// Ends a lease and deletes its keys; nothing if it is gone.
    fn revoke(&self, lease: LeaseId) -> BoxFuture<'_, Result<(), Error>>;

    /// If all guards hold, does all operations at once and answers their revision. `None`: a guard
    /// did not hold, and nothing was done. No key is in two operations.
    fn commit(&self, guards: Vec<Guard>, ops: Vec<Op>)
    -> BoxFuture<'_, Result<Option<u64>, Error>>;

    /// The clock to measure its leases by.
    fn clock(&self) -> Clock {
        Clock::default()
    }
}
