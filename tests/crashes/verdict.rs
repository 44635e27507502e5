//! What a checker finds: which promise was broken, and what tells so.

use std::fmt;

/// A promise that was broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Violation {
    /// An effect that was acknowledged is gone.
    AcknowledgedIsGone,
    /// An effect that somebody was told of by a push is gone.
    PushedIsGone,
    /// State and storage of an object are of different turns.
    TornApart,
    /// There is more than was asked for: something twice, or something that was refused.
    Unasked,
    /// A push came twice, or after a later one.
    PushedOutOfOrder,
    /// A keyed request was executed twice.
    HappenedTwice,
    /// The repeat of a keyed request was answered otherwise than the first time.
    ForgotItsAnswer,
    /// Money was made, or lost.
    MoneyIsWrong,
    /// A reminder did not fire when it was due.
    FiringIsMissing,
    /// A reminder fired again for a time for which it had fired, or for one at which it was not due.
    FiredTwice,
    /// An object failed where none fails by itself.
    Failed,
}

/// A violation, and what tells of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) violation: Violation,
    pub(crate) told: String,
}

/// What a checker says.
pub(crate) type Verdict = Result<(), Found>;

impl Found {
    pub(crate) fn new(violation: Violation, told: impl Into<String>) -> Self {
        Self { violation, told: told.into() }
    }

    /// Says of whom it tells.
    pub(crate) fn about(self, whom: &str) -> Self {
        Self { told: format!("{whom}: {}", self.told), ..self }
    }
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.violation, self.told)
    }
}
