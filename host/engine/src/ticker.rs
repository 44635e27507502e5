//! The clock of an engine: one thread that counts epochs, so that no guest runs on unnoticed.

use std::{
    io,
    thread::{self, JoinHandle},
    time::Duration,
};

use wasmtime::EngineWeak;

/// How often every running guest is asked whether it may go on.
pub(crate) const TICK: Duration = Duration::from_millis(10);

/// Starts the thread. It ends by itself, at most a tick after the engine and all that it compiled.
pub(crate) fn start(engine: EngineWeak) -> io::Result<JoinHandle<()>> {
    let tick = move || {
        while let Some(engine) = engine.upgrade() {
            engine.increment_epoch();
            drop(engine);
            thread::sleep(TICK);
        }
    };
    thread::Builder::new().name("engine-ticker".into()).spawn(tick)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_thread_ends_with_its_engine() {
        let engine = wasmtime::Engine::default();
        let thread = start(engine.weak()).unwrap();
        let clone = engine.clone();
        drop(engine);
        assert!(!thread.is_finished());
        drop(clone);
        thread.join().unwrap();
    }
}
