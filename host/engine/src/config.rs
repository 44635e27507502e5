//! What the operator grants to components.

use std::path::PathBuf;

use wasmverse_core::Limits;

/// What the operator grants to components. The node fills it from its configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// What a turn may use unless its type says otherwise.
    pub limits: Limits,
    /// What a type may ask for at most.
    pub bounds: Limits,
    /// The largest component, in bytes.
    pub component_bytes: usize,
    /// How many components compile at once, and on how many threads.
    pub compile_parallel: usize,
    /// Where compiled code is kept between starts; none: nowhere. What lies there is trusted.
    pub cache_dir: Option<PathBuf>,
    /// Core instances that may run beyond their first tick at once: the others keep the rest of
    /// the cores.
    pub slow_lane: usize,
}

impl Default for Config {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            limits: Limits::default(),
            bounds: Limits::default(),
            component_bytes: 32 << 20,
            compile_parallel: cores.div_ceil(2),
            cache_dir: None,
            slow_lane: cores.saturating_sub(1).max(1),
        }
    }
}
