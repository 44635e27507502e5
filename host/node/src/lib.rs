//! Hosts objects: one activation per object, one turn at a time, nothing leaves before its
//! outcome is committed.
//!
//! A [`Node`] answers calls ([`wasmverse_router::Callee`]): the directory finds or makes the
//! object's entry, its activation takes one letter at a time out of the mailbox, and the engine
//! runs it.

mod activation;
mod asleep;
mod auto_load;
mod budget;
mod callers;
mod clock;
mod cluster;
mod config;
mod dead_letters;
mod deploy;
mod directory;
mod entry;
mod gates;
mod gone;
mod host;
mod known_types;
mod letter;
mod link;
mod list;
mod logs;
mod memory;
mod metrics;
mod node;
mod outgoing;
mod owned;
mod post;
mod reminders;
mod results;
mod rollout;
mod room;
mod saver;
mod sends;
mod serve;
mod service;
mod shards;
mod sweep;
mod terms;

pub use config::{Config, LimitsConfig, NodeConfig, StoreConfig};
pub use deploy::Uploaded;
pub use known_types::TypeEntry;
pub use list::{ObjectState, ObjectStatus};
pub use logs::{LogFilter, LogHub, TailLine};
pub use node::Node;
pub use rollout::Progress;
