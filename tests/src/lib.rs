//! The system as its users and maintainers see it: what the tests beside this crate stand on.
//!
//! For the engine alone there is a [`stage`]; for node and gate in the test's process a
//! [`cluster`]; for the real programs [`programs`], and for a node that dies or stops again and
//! again a [`station`]; for a database [`postgres`], with a [`proxy`] before it that fails as it is
//! told; and for a whole cluster of real processes a [`fleet`].

pub mod cluster;
pub mod corpus;
pub mod fleet;
pub mod forge;
pub mod grpc;
pub mod guests;
pub mod http;
pub mod patience;
pub mod postgres;
pub mod programs;
pub mod proxy;
pub mod sessions;
pub mod stage;
pub mod station;
pub mod terminal;
