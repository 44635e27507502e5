//! A gate over real sockets, in front of a node that does what a test tells it to.

#![expect(clippy::unwrap_used, reason = "what a test cannot do, fails it")]

mod access;
mod admin;
mod cluster;
mod dead_letters;
mod events;
mod grpc;
mod http;
mod lifecycle;
mod limits;
mod node;
mod objects;
mod scene;
mod session;
mod site;
mod socket;
mod socket_calls;
