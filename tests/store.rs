//! The store on a real PostgreSQL: the contract, and what happens when the server, the network or
//! a node fails in the midst of it. Tests that hurt a server start one of their own; the others share
//! the one that `WASMVERSE_TEST_POSTGRES` names, if it is set.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "store/beside.rs"]
mod beside;
#[path = "store/carried.rs"]
mod carried;
#[path = "store/contract.rs"]
mod contract;
#[path = "store/faults.rs"]
mod faults;
#[path = "store/fences.rs"]
mod fences;
#[path = "store/opening.rs"]
mod opening;
#[path = "store/rows.rs"]
mod rows;
#[path = "store/slow.rs"]
mod slow;
