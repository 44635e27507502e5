//! Two nodes are given the same shards, one after the other: the older one never changes a row after
//! the newer one claimed, wherever it was stopped; and that it is stopped holds up nobody. What is
//! shown of the store alone is in `store/fences.rs`.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "fences/claims.rs"]
mod claims;
#[path = "fences/moments.rs"]
mod moments;
#[path = "fences/pair.rs"]
mod pair;
#[path = "fences/saves.rs"]
mod saves;
#[path = "fences/steps.rs"]
mod steps;
