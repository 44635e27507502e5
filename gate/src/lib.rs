//! Serves clients and operators over HTTP and gRPC; hosts no objects itself.
//!
//! The trust boundary: it runs no guest code and reaches no store. A request is parsed once, here,
//! into a `core::Call`, and goes to a node through the router.

mod access;
mod budget;
mod call;
mod catalog;
mod cluster;
mod config;
mod control;
mod deadline;
mod gate;
mod grpc;
mod http;
mod join;
mod metrics;
mod openapi;
mod seat;
mod serve;
mod sessions;
mod unread;

pub use config::{Config, GateConfig};
pub use gate::{Addresses, Gate, Listeners, Sockets, bind};
