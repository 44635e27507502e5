//! The system as its users and maintainers see it: what the tests beside this crate stand on.

pub mod corpus;
pub mod forge;
pub mod guests;
pub mod stage;
