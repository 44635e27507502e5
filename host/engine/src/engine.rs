//! The engine: wasmtime with our settings, its clock, and what compiles components.

use bytes::Bytes;

use crate::{Component, Config, LoadError};

/// Checks and compiles components. Cheap to clone; its threads end with the last clone.
#[derive(Clone, Debug)]
pub struct Engine {}

impl Engine {
    /// Starts the engine and the thread that ticks for it.
    ///
    /// # Errors
    /// [`LoadError::Internal`] if wasmtime refuses the settings or the cache folder.
    pub fn new(config: Config) -> Result<Self, LoadError> {
        drop(config);
        unimplemented!()
    }

    /// Checks a component, compiles it off the async threads, and asks it to describe itself.
    ///
    /// # Errors
    /// [`LoadError::Refused`] says what is wrong with it and what to do about it.
    pub async fn load(&self, bytes: Bytes) -> Result<Component, LoadError> {
        drop(bytes);
        unimplemented!()
    }
}
