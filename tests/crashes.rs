//! A node that is killed, at any moment or at a named step of a commit, keeps what it acknowledged,
//! and does once what is to happen once.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "crashes/bank.rs"]
mod bank;
#[path = "crashes/books.rs"]
mod books;
#[path = "crashes/campaign.rs"]
mod campaign;
#[path = "crashes/chain.rs"]
mod chain;
#[path = "crashes/customers.rs"]
mod customers;
#[path = "crashes/firings.rs"]
mod firings;
#[path = "crashes/keyed.rs"]
mod keyed;
#[path = "crashes/lane.rs"]
mod lane;
#[path = "crashes/listeners.rs"]
mod listeners;
#[path = "crashes/load.rs"]
mod load;
#[path = "crashes/once.rs"]
mod once;
#[path = "crashes/planted.rs"]
mod planted;
#[path = "crashes/repeats.rs"]
mod repeats;
#[path = "crashes/report.rs"]
mod report;
#[path = "crashes/site.rs"]
mod site;
#[path = "crashes/steps.rs"]
mod steps;
#[path = "crashes/sum.rs"]
mod sum;
#[path = "crashes/talk.rs"]
mod talk;
#[path = "crashes/verdict.rs"]
mod verdict;
