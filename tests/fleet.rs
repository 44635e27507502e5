//! A cluster of real processes under load, while it grows and shrinks, restarts, and loses its parts
//! one after the other: a planned change fails no call, a crash none that carries a key, the rest is
//! answered soon, and what happened to each object is of one history.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "fleet/balances.rs"]
mod balances;
#[path = "fleet/calls.rs"]
mod calls;
#[path = "fleet/clocks.rs"]
mod clocks;
#[path = "fleet/cuts.rs"]
mod cuts;
#[path = "fleet/deaths.rs"]
mod deaths;
#[path = "fleet/figures.rs"]
mod figures;
#[path = "fleet/ground.rs"]
mod ground;
#[path = "fleet/harness.rs"]
mod harness;
#[path = "fleet/history.rs"]
mod history;
#[path = "fleet/load.rs"]
mod load;
#[path = "fleet/moves.rs"]
mod moves;
#[path = "fleet/objects.rs"]
mod objects;
#[path = "fleet/planted.rs"]
mod planted;
#[path = "fleet/restarts.rs"]
mod restarts;
#[path = "fleet/scale.rs"]
mod scale;
#[path = "fleet/talk.rs"]
mod talk;
#[path = "fleet/trial.rs"]
mod trial;
