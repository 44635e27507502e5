//! A node that is killed, at any moment or at a named step of a commit, keeps what it acknowledged.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "crashes/campaign.rs"]
mod campaign;
#[path = "crashes/site.rs"]
mod site;
#[path = "crashes/steps.rs"]
mod steps;
