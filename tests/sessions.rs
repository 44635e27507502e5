//! Clients with sessions, over real sockets: what they are pushed, how they come back, and what
//! objects hear of them.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "sessions/cuts.rs"]
mod cuts;
#[path = "sessions/gone.rs"]
mod gone;
#[path = "sessions/identity.rs"]
mod identity;
#[path = "sessions/many.rs"]
mod many;
#[path = "sessions/room.rs"]
mod room;
