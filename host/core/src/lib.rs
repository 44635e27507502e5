//! The rules of Wasmverse, without IO, clocks or randomness.
//!
//! What to do is decided here, by functions and state machines that a test can drive one step at
//! a time; doing it is the business of the crates above. A type lives here only if a rule here
//! uses it.

mod access;
mod backoff;
mod call;
pub mod cluster;
pub mod commit;
pub mod due;
mod error;
pub mod eviction;
mod id;
pub mod ledger;
pub mod life;
pub mod outbox;
mod outcome;
mod send;
mod shard;
mod spec;
mod state;
mod when;

pub use access::ON_CLIENT_GONE;
pub use backoff::Backoff;
pub use call::{Action, Call, Caller, Chain, DERIVED, Invocation, Reply};
pub use error::{CallError, Elsewhere, ErrorKind};
pub use id::{IdError, NodeId, ObjectId, TypeName};
pub use outcome::{
    Effects, Outcome, Push, PushTo, Reminder, ReminderChanges, SendRequest, StorageWrites, TurnEnd,
};
pub use send::SendNumber;
pub use shard::{Epoch, Placement, ShardCount, ShardId};
pub use spec::{
    Activation, Callers, Durability, Encoding, LimitError, LimitKind, Limits, MethodSpec, Mode,
    TypeSpec,
};
pub use state::{RevisionNumber, State, Version};
pub use when::When;
