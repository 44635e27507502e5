//! The rules of Wasmverse, without IO, clocks or randomness.
//!
//! What to do is decided here, by functions and state machines that a test can drive one step at
//! a time; doing it is the business of the crates above. A type lives here only if a rule here
//! uses it.

mod access;
mod backoff;
mod call;
pub mod commit;
mod error;
pub mod eviction;
mod id;
pub mod life;
mod outcome;
mod shard;
mod spec;
mod state;

pub use access::ON_CLIENT_GONE;
pub use backoff::Backoff;
pub use call::{Action, Call, Caller, Chain, Invocation, Reply};
pub use error::{CallError, ErrorKind};
pub use id::{IdError, NodeId, ObjectId, TypeName};
pub use outcome::{Effects, Outcome, Push, PushTo, SendRequest, StorageWrites, TurnEnd};
pub use shard::{Epoch, Placement, ShardCount, ShardId};
pub use spec::{
    Activation, Callers, Durability, Encoding, LimitError, LimitKind, Limits, MethodSpec, Mode,
    TypeSpec,
};
pub use state::{RevisionNumber, State, Version};
