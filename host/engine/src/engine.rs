//! The engine: wasmtime with our settings, its clock, and what compiles components.

use std::{collections::HashMap, fmt, sync::Arc};

use bytes::Bytes;
use parking_lot::Mutex;
use rayon::{ThreadPool, ThreadPoolBuilder};
use tokio::sync::Semaphore;
use wasmtime::component::Linker;

use crate::{
    Component, Config, Digest, LoadError, check::World, host::Host, imports, load,
    metrics::Metrics, settings, ticker,
};

/// The stack of a thread that compiles: deeply nested code needs it.
const COMPILER_STACK_BYTES: usize = 16 << 20;

/// Checks and compiles components. Cheap to clone; its threads end with the last clone and the
/// last component and instance that it made.
#[derive(Clone, Debug)]
pub struct Engine(Arc<Shared>);

/// What all clones of an engine, its components and their instances share.
pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) wasmtime: wasmtime::Engine,
    pub(crate) linker: Linker<Host>,
    pub(crate) world: World,
    pub(crate) metrics: Arc<Metrics>,
    /// Places for turns that run beyond their first tick.
    pub(crate) lane: Arc<Semaphore>,
    /// Places for components that are being compiled.
    pub(crate) compiling: Arc<Semaphore>,
    /// Threads that compile.
    pub(crate) compilers: ThreadPool,
    /// Components that are being loaded or are in use, so that none is compiled twice at once.
    pub(crate) loaded: Mutex<HashMap<Digest, load::Slot>>,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("config", &self.config).finish_non_exhaustive()
    }
}

impl Engine {
    /// Starts the engine and the thread that ticks for it.
    ///
    /// # Errors
    /// [`LoadError::Internal`] if wasmtime refuses the settings or the cache folder.
    pub fn new(config: Config) -> Result<Self, LoadError> {
        Self::start(config)
            .map_err(|error| LoadError::Internal(format!("start the engine: {error:#}")))
    }

    /// Checks a component, compiles it off the async threads, and asks it to describe itself.
    ///
    /// # Errors
    /// [`LoadError::Refused`] says what is wrong with it and what to do about it.
    pub async fn load(&self, bytes: Bytes) -> Result<Component, LoadError> {
        load::load(&self.0, bytes).await
    }

    fn start(config: Config) -> anyhow::Result<Self> {
        let wasmtime = settings::engine(&config)?;
        let mut linker = Linker::new(&wasmtime);
        imports::link(&mut linker)?;
        let parallel = config.compile_parallel.max(1);
        let compilers = ThreadPoolBuilder::new()
            .num_threads(parallel)
            .stack_size(COMPILER_STACK_BYTES)
            .thread_name(|number| format!("engine-compiler-{number}"))
            .build()?;
        // Nobody waits for it: it holds nothing, and ends by itself.
        drop(ticker::start(wasmtime.weak())?);
        Ok(Self(Arc::new(Shared {
            world: World::new()?,
            metrics: Metrics::new(),
            lane: Arc::new(Semaphore::new(config.slow_lane.max(1))),
            compiling: Arc::new(Semaphore::new(parallel)),
            compilers,
            loaded: Mutex::new(HashMap::new()),
            linker,
            wasmtime,
            config,
        })))
    }
}
