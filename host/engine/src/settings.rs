//! wasmtime with our settings: one place that says how every sandbox is built.

use anyhow::Context as _;
use wasmtime::{Cache, CacheConfig, Strategy};

use crate::Config;

/// The stack of a guest; deeper recursion traps.
pub(crate) const STACK_BYTES: usize = 512 << 10;
/// A guest's stack and, above it, the host functions that it calls.
const FIBER_BYTES: usize = 1 << 20;
/// A page of WebAssembly.
const PAGE_BYTES: u64 = 64 << 10;
/// Behind each memory, so that most accesses need no check of their own.
const GUARD_BYTES: u64 = 64 << 10;

/// A wasmtime engine for sandboxes within `config.bounds`.
pub(crate) fn engine(config: &Config) -> anyhow::Result<wasmtime::Engine> {
    let memory = u64::try_from(config.bounds.memory_bytes)?.next_multiple_of(PAGE_BYTES);
    let mut settings = wasmtime::Config::new();
    settings
        .strategy(Strategy::Cranelift)
        .epoch_interruption(true)
        // Interleaved turns are not offered, and their support doubles the cost of a call.
        .concurrency_support(false)
        .max_wasm_stack(STACK_BYTES)
        .async_stack_size(FIBER_BYTES)
        // An instance reserves what it may grow to, once: memories never move, and many fit.
        .memory_reservation(memory)
        .memory_reservation_for_growth(0)
        .memory_may_move(false)
        .memory_guard_size(GUARD_BYTES)
        .guard_before_linear_memory(false)
        .memory_init_cow(true);
    if let Some(folder) = &config.cache_dir {
        let folder = std::path::absolute(folder)?;
        let mut cache = CacheConfig::new();
        cache.with_directory(&folder);
        let cache = Cache::new(cache).map_err(anyhow::Error::from);
        let cache = cache.with_context(|| format!("open the code cache {}", folder.display()))?;
        settings.cache(Some(cache));
    }
    wasmtime::Engine::new(&settings).map_err(anyhow::Error::from)
}
