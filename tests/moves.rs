//! Several nodes in one process, over a coordination service in memory: shards move from one to
//! another while objects are called, and nobody notices.

#[path = "moves/chains.rs"]
mod chains;
#[path = "moves/losses.rs"]
mod losses;
#[path = "moves/plain.rs"]
mod plain;
#[path = "moves/world.rs"]
mod world;
