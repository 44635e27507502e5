//! The engine against what compilers of long ago, clumsy authors and attackers hand to it.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use wasmverse_engine::Config;
use wasmverse_tests::stage::Stage;

#[path = "engine/bombs.rs"]
mod bombs;
#[path = "engine/golden.rs"]
mod golden;
#[path = "engine/golden_calls.rs"]
mod golden_calls;
#[path = "engine/hostile.rs"]
mod hostile;
#[path = "engine/isolation.rs"]
mod isolation;
#[path = "engine/mischief.rs"]
mod mischief;
#[path = "engine/neighbours.rs"]
mod neighbours;
#[path = "engine/references.rs"]
mod references;
#[path = "engine/refused.rs"]
mod refused;

/// A stage whose engine keeps compiled code between tests.
fn stage() -> Stage {
    Stage::new(config())
}

fn config() -> Config {
    let cache = concat!(env!("CARGO_TARGET_TMPDIR"), "/compiled");
    Config { cache_dir: Some(cache.into()), ..Config::default() }
}
