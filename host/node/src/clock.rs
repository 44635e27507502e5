//! The wall clock by which reminders are due.

use std::sync::atomic::{AtomicI64, Ordering::Relaxed};

use crate::saver::now_micros;

/// The wall clock. Tests set it forward and back.
#[derive(Debug, Default)]
pub(crate) struct Clock {
    /// In microseconds.
    offset: AtomicI64,
}

impl Clock {
    /// Microseconds since 1970.
    pub(crate) fn now_micros(&self) -> i64 {
        now_micros().saturating_add(self.offset.load(Relaxed))
    }

    /// Sets it forward, or (less than 0) back.
    pub(crate) fn shift(&self, micros: i64) {
        self.offset.fetch_add(micros, Relaxed);
    }
}
