//! The store on a real PostgreSQL: the contract, and what happens when the server, the network or
//! a node fails in the midst of it. `SERVER` is whatever server there is; tests that hurt theirs
//! start one of their own.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

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
