//! What every process does: configuration, logs, metrics, health, shutdown.
//!
//! A process is a `main` that loads its configuration and hands what it serves to [`run`].
//! Nothing here knows what that is.

pub mod config;
pub mod logs;
pub mod metrics;
pub mod ops;
mod process;
mod shutdown;

pub use process::{fail, print, run, runtime};
pub use shutdown::Shutdown;
