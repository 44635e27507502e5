//! What bodies and answers under way may hold, over all clients: their number alone bounds nothing
//! when each may have mebibytes.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use bytes::Bytes;
use wasmverse_core::{CallError, ErrorKind};

/// When a client that found no room may try again.
const RETRY_AFTER: Duration = Duration::from_millis(500);

/// Bytes that may be held at a time.
#[derive(Debug)]
pub(crate) struct Budget {
    held: AtomicUsize,
    bytes_max: usize,
}

/// What one request or answer holds; given back when dropped.
#[derive(Debug)]
pub(crate) struct Share {
    budget: Arc<Budget>,
    bytes: usize,
}

impl Budget {
    pub(crate) fn new(bytes_max: usize) -> Arc<Self> {
        Arc::new(Self { held: AtomicUsize::new(0), bytes_max })
    }

    /// A share of nothing yet.
    pub(crate) fn share(self: &Arc<Self>) -> Share {
        Share { budget: Arc::clone(self), bytes: 0 }
    }

    /// Counts what is there already, whether or not there is room.
    pub(crate) fn count(self: &Arc<Self>, bytes: usize) -> Share {
        self.held.fetch_add(bytes, Relaxed);
        Share { budget: Arc::clone(self), bytes }
    }

    /// How much room there is.
    pub(crate) fn left(&self) -> usize {
        self.bytes_max.saturating_sub(self.held.load(Relaxed))
    }

    /// Counts bytes until the last of them is dropped.
    ///
    /// # Errors
    /// `overloaded` if there is no room.
    pub(crate) fn keep(self: &Arc<Self>, bytes: Bytes) -> Result<Bytes, CallError> {
        if bytes.is_empty() {
            return Ok(bytes);
        }
        let mut share = self.share();
        share.grow(bytes.len())?;
        Ok(share.around(bytes))
    }
}

impl Share {
    /// Takes more.
    ///
    /// # Errors
    /// `overloaded` if there is no room.
    pub(crate) fn grow(&mut self, bytes: usize) -> Result<(), CallError> {
        let held = self.budget.held.fetch_add(bytes, Relaxed);
        if held.saturating_add(bytes) > self.budget.bytes_max {
            self.budget.held.fetch_sub(bytes, Relaxed);
            let problem = "the gate holds too many requests and answers";
            return Err(CallError::new(ErrorKind::Overloaded, problem).retry_after(RETRY_AFTER));
        }
        self.bytes += bytes;
        Ok(())
    }

    /// Another one, of so many bytes that are there already.
    pub(crate) fn beside(&self, bytes: usize) -> Self {
        self.budget.count(bytes)
    }

    /// Bytes that hold on to this share.
    fn around(self, bytes: Bytes) -> Bytes {
        Bytes::from_owner(Kept { bytes, _share: self })
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.budget.held.fetch_sub(self.bytes, Relaxed);
    }
}

struct Kept {
    bytes: Bytes,
    _share: Share,
}

impl AsRef<[u8]> for Kept {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_counts_until_its_last_part_is_dropped() {
        let budget = Budget::new(10);
        let kept = budget.keep(Bytes::from_static(b"12345678")).unwrap();
        let part = kept.slice(2..3);
        drop(kept);
        let mut share = budget.share();
        let error = share.grow(3).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Overloaded);
        assert!(error.retry_after_hint().is_some());
        share.grow(2).unwrap();
        assert!(budget.keep(Bytes::from_static(b"1")).is_err());
        drop((part, share));
        assert_eq!(budget.held.load(Relaxed), 0);
    }
}
