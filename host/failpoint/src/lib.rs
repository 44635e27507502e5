//! Named steps at which a process can be made to die or to stop, so that tests see what a crash, or
//! a pause, leaves.
//!
//! Compiled into debug builds only; there, `WASMVERSE_FAILPOINT=NAME[:COUNT[:stop]]` kills the
//! process when it passes that step for the first (or COUNTth) time, or stops it until it is told to
//! go on.

/// Passes a step, unless this is where the process is to end.
#[cfg(not(debug_assertions))]
#[inline]
pub fn pass(_name: &'static str) {}

/// Passes a step, unless this is where the process is to end.
#[cfg(debug_assertions)]
pub fn pass(name: &'static str) {
    if let Some(failpoint) = &*chosen::CHOSEN {
        failpoint.pass(name);
    }
}

#[cfg(debug_assertions)]
mod chosen {
    use std::sync::{
        LazyLock,
        atomic::{AtomicU64, Ordering},
    };

    use nix::sys::signal::{Signal, raise};

    pub(super) static CHOSEN: LazyLock<Option<Failpoint>> = LazyLock::new(|| {
        let text = std::env::var("WASMVERSE_FAILPOINT").ok()?;
        let failpoint = Failpoint::parse(&text);
        assert!(failpoint.is_some(), "WASMVERSE_FAILPOINT={text}: want NAME[:COUNT[:stop]]");
        failpoint
    });

    #[derive(Debug)]
    pub(super) struct Failpoint {
        name: String,
        /// Passes until it happens.
        left: AtomicU64,
        signal: Signal,
    }

    impl Failpoint {
        pub(super) fn parse(text: &str) -> Option<Self> {
            let mut parts = text.split(':');
            let name = parts.next().filter(|name| !name.is_empty())?.to_owned();
            let count = parts.next().map_or(Ok(1), str::parse).ok().filter(|count| *count > 0)?;
            // As a kill from outside: nothing is flushed, nobody is told.
            let signal = match parts.next() {
                None => Signal::SIGKILL,
                Some("stop") => Signal::SIGSTOP,
                Some(_) => return None,
            };
            let whole = parts.next().is_none();
            whole.then_some(Self { name, left: AtomicU64::new(count), signal })
        }

        pub(super) fn pass(&self, name: &str) {
            if self.is_reached(name) {
                // To this thread: one to the process may reach it by another one, and this one would
                // run on for a while.
                raise(self.signal).expect("a process may signal itself");
            }
        }

        pub(super) fn is_reached(&self, name: &str) -> bool {
            self.name == name && self.left.fetch_sub(1, Ordering::SeqCst) == 1
        }
    }
}

#[cfg(test)]
mod tests {
    use super::chosen::Failpoint;

    #[test]
    fn it_is_reached_once_at_its_count() {
        let failpoint = Failpoint::parse("here:2").unwrap();
        let reached = ["here", "there", "here", "here"].map(|name| failpoint.is_reached(name));
        assert_eq!(reached, [false, false, true, false]);
        assert!(Failpoint::parse("here").unwrap().is_reached("here"));
    }

    #[test]
    fn what_it_does_is_spelled_out() {
        assert!(Failpoint::parse("here:1:stop").is_some());
        for bad in ["", ":1", "here:0", "here:x", "here:1:go", "here:1:stop:more"] {
            assert!(Failpoint::parse(bad).is_none(), "{bad}");
        }
    }
}
