//! What users are promised, tried from outside over real sockets: each file is one promise.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "scenarios/effects.rs"]
mod effects;
#[path = "scenarios/errors.rs"]
mod errors;
#[path = "scenarios/existence.rs"]
mod existence;
#[path = "scenarios/identity.rs"]
mod identity;
#[path = "scenarios/keys.rs"]
mod keys;
#[path = "scenarios/limits.rs"]
mod limits;
#[path = "scenarios/lists.rs"]
mod lists;
#[path = "scenarios/reload.rs"]
mod reload;
#[path = "scenarios/reload_refused.rs"]
mod reload_refused;
#[path = "scenarios/security.rs"]
mod security;
#[path = "scenarios/soak.rs"]
mod soak;
#[path = "scenarios/state.rs"]
mod state;
#[path = "scenarios/storms.rs"]
mod storms;
#[path = "scenarios/traps.rs"]
mod traps;
#[path = "scenarios/turns.rs"]
mod turns;
#[path = "scenarios/typed_references.rs"]
mod typed_references;
#[path = "scenarios/uploads.rs"]
mod uploads;
