//! Why a component was not loaded.

use std::fmt;

/// Why a component was not loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The component is at fault.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// We are.
    #[error("failed to {0}")]
    Internal(String),
}

/// What is wrong with a component, and what its author can do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What is wrong, as a sentence without its full stop.
    pub cause: String,
    /// What to do about it, likewise.
    pub fix: String,
}

impl Refusal {
    pub(crate) fn new(cause: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { cause: cause.into(), fix: fix.into() }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.cause, self.fix)
    }
}

impl std::error::Error for Refusal {}
