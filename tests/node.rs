//! A node with real components: every promise of turns, sleep, saves and hot reload.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::needless_pass_by_value, reason = "arguments of JSON are written in place")]

#[path = "node/bounds.rs"]
mod bounds;
#[path = "node/calls.rs"]
mod calls;
#[path = "node/durable.rs"]
mod durable;
#[path = "node/effects.rs"]
mod effects;
#[path = "node/existence.rs"]
mod existence;
#[path = "node/keys.rs"]
mod keys;
#[path = "node/reads.rs"]
mod reads;
#[path = "node/reload.rs"]
mod reload;
#[path = "node/reminders.rs"]
mod reminders;
#[path = "node/saves.rs"]
mod saves;
#[path = "node/sends.rs"]
mod sends;
#[path = "node/sleep.rs"]
mod sleep;
#[path = "node/stop.rs"]
mod stop;
#[path = "node/traps.rs"]
mod traps;
#[path = "node/world.rs"]
mod world;
