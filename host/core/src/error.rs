//! The closed set of errors, same names everywhere: WIT, gRPC, HTTP, command line, logs, metrics.

use std::{fmt, time::Duration};

use bytes::Bytes;

use crate::{Epoch, ObjectId, ShardId};

/// What went wrong, in one word. The set is closed: transports map each to one status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ErrorKind {
    /// The object answered with an error of its own.
    Application,
    /// No such type, method or object.
    NotFound,
    /// Created before.
    AlreadyExists,
    /// The caller's input is wrong.
    InvalidArgument,
    /// The caller may not do that.
    Denied,
    /// Who the caller is could not be established.
    Unauthenticated,
    /// The call came back to an object that waits for it, or the chain is too deep.
    Cycle,
    /// A queue is full.
    Overloaded,
    /// The deadline passed.
    Timeout,
    /// The object's code crashed or exhausted a limit.
    Trapped,
    /// The object cannot be reached now.
    Unavailable,
    /// A fault of the platform's own.
    Internal,
}

impl ErrorKind {
    /// Every kind there is.
    pub const ALL: [Self; 12] = [
        Self::Application,
        Self::NotFound,
        Self::AlreadyExists,
        Self::InvalidArgument,
        Self::Denied,
        Self::Unauthenticated,
        Self::Cycle,
        Self::Overloaded,
        Self::Timeout,
        Self::Trapped,
        Self::Unavailable,
        Self::Internal,
    ];

    /// The name that all surfaces share, such as `not-found`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Application => "application",
            Self::NotFound => "not-found",
            Self::AlreadyExists => "already-exists",
            Self::InvalidArgument => "invalid-argument",
            Self::Denied => "denied",
            Self::Unauthenticated => "unauthenticated",
            Self::Cycle => "cycle",
            Self::Overloaded => "overloaded",
            Self::Timeout => "timeout",
            Self::Trapped => "trapped",
            Self::Unavailable => "unavailable",
            Self::Internal => "internal",
        }
    }

    /// The kind of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a call brought no answer. One pointer wide: the good case pays nothing for it.
#[derive(Clone, PartialEq, Eq)]
pub struct CallError(Box<Failure>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Failure {
    kind: ErrorKind,
    message: String,
    code: String,
    details: Bytes,
    object: Option<ObjectId>,
    maybe_executed: bool,
    retry_after: Option<Duration>,
    attributes: Vec<(String, String)>,
    elsewhere: Option<Elsewhere>,
}

/// A call came to a node that does not serve its shard, and was surely not executed. It is between
/// processes only: a router sends the call on, and no caller ever sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Elsewhere {
    /// Where the object belongs.
    pub shard: ShardId,
    /// The latest epoch that the node knows of.
    pub epoch: Epoch,
}

impl CallError {
    /// An error of a kind, with one sentence for people.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self(Box::new(Failure {
            kind,
            message: message.into(),
            code: String::new(),
            details: Bytes::new(),
            object: None,
            maybe_executed: false,
            retry_after: None,
            attributes: Vec::new(),
            elsewhere: None,
        }))
    }

    /// The node that was asked does not serve the shard.
    pub fn elsewhere(shard: ShardId, epoch: Epoch) -> Self {
        let message = format!("shard {shard} is on its way to another node");
        let mut error = Self::new(ErrorKind::Unavailable, message);
        error.0.elsewhere = Some(Elsewhere { shard, epoch });
        error
    }

    /// An object's own error: its code (kebab-case), its words, its data.
    pub fn application(
        code: impl Into<String>,
        message: impl Into<String>,
        details: Bytes,
    ) -> Self {
        let mut error = Self::new(ErrorKind::Application, message);
        error.0.code = code.into();
        error.0.details = details;
        error
    }

    /// Names the object that it is about, unless one is named already.
    #[must_use]
    pub fn about(mut self, object: &ObjectId) -> Self {
        self.0.object.get_or_insert_with(|| object.clone());
        self
    }

    /// Says that the turn may have run after all.
    #[must_use]
    pub fn maybe_executed(mut self) -> Self {
        self.0.maybe_executed = true;
        self
    }

    /// Says when to try again.
    #[must_use]
    pub fn retry_after(mut self, after: Duration) -> Self {
        self.0.retry_after = Some(after);
        self
    }

    /// Adds something else that is known (`chain` …).
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.0.attributes.push((name.into(), value.into()));
        self
    }

    /// Whether the node that was asked does not serve the shard: then the call was not executed.
    pub fn as_elsewhere(&self) -> Option<Elsewhere> {
        self.0.elsewhere
    }

    /// What went wrong, in one word.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// One sentence for people.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The application's own code; empty for all other kinds.
    pub fn code(&self) -> &str {
        &self.0.code
    }

    /// The application's own data, in the type's encoding; empty: none.
    pub fn details(&self) -> &Bytes {
        &self.0.details
    }

    /// The object that it is about.
    pub fn object(&self) -> Option<&ObjectId> {
        self.0.object.as_ref()
    }

    /// The turn may have run after all.
    pub fn may_have_executed(&self) -> bool {
        self.0.maybe_executed
    }

    /// When to try again, if that is known.
    pub fn retry_after_hint(&self) -> Option<Duration> {
        self.0.retry_after
    }

    /// What else is known, as names and values.
    pub fn attributes(&self) -> &[(String, String)] {
        &self.0.attributes
    }
}

/// `kind: message`, as logs show it.
impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.0.kind, self.0.message)
    }
}

impl fmt::Debug for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for CallError {}

/// A name that is none is the caller's mistake.
impl From<crate::IdError> for CallError {
    fn from(error: crate::IdError) -> Self {
        Self::new(ErrorKind::InvalidArgument, error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_parse_back() {
        for kind in ErrorKind::ALL {
            assert_eq!(ErrorKind::from_name(kind.as_str()), Some(kind));
        }
        assert_eq!(ErrorKind::from_name("teapot"), None);
    }

    #[test]
    fn the_first_object_named_stays() {
        let (a, b) = ("T/a".parse().unwrap(), "T/b".parse().unwrap());
        let error = CallError::new(ErrorKind::Cycle, "x").about(&a).about(&b);
        assert_eq!(error.object(), Some(&a));
    }

    #[test]
    fn an_error_is_one_pointer_wide() {
        assert_eq!(size_of::<Result<(), CallError>>(), size_of::<usize>());
    }
}
