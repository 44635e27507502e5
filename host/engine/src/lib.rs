//! Runs components within limits.
//!
//! An [`Engine`] checks and compiles components; a [`Component`] is one revision of a type, ready
//! to be instantiated; an [`Instance`] is the sandbox of one object, entered one step at a time.
//! What a guest asks of the world goes through the trait [`Outbound`], which the node implements:
//! this crate knows nothing of shards, nodes or peers.

mod bindings;
mod check;
mod complexity;
mod component;
mod config;
mod derive;
mod describe;
mod engine;
mod error;
mod failure;
mod footprint;
mod host;
mod imports;
mod instance;
mod journal;
mod load;
mod memory;
mod meter;
mod metrics;
mod outbound;
mod run;
mod sandbox;
mod settings;
mod stop;
mod storage;
mod ticker;
mod turn;
mod wasi;

pub use component::{Component, Digest};
pub use config::Config;
pub use engine::Engine;
pub use error::{LoadError, Refusal};
pub use instance::{Instance, Leaving, MAPPINGS_PER_INSTANCE};
pub use outbound::{LogLevel, LogLine, Outbound};
pub use turn::{Turn, TurnId, TurnReport};
