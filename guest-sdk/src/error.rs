//! What went wrong, as objects say it and hear it.

use std::{fmt, time::Duration};

use serde::{Serialize, de::DeserializeOwned};

/// The result of a method, and of everything that an object asks of others.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, in one word. The set is closed and the same on all surfaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// An object answered with an error of its own: see [`Error::code`].
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
    const NAMES: [(Self, &'static str); 12] = [
        (Self::Application, "application"),
        (Self::NotFound, "not-found"),
        (Self::AlreadyExists, "already-exists"),
        (Self::InvalidArgument, "invalid-argument"),
        (Self::Denied, "denied"),
        (Self::Unauthenticated, "unauthenticated"),
        (Self::Cycle, "cycle"),
        (Self::Overloaded, "overloaded"),
        (Self::Timeout, "timeout"),
        (Self::Trapped, "trapped"),
        (Self::Unavailable, "unavailable"),
        (Self::Internal, "internal"),
    ];

    /// The name that all surfaces share, such as `not-found`.
    pub fn as_str(self) -> &'static str {
        Self::NAMES[self as usize].1
    }

    /// The kind of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::NAMES.iter().find(|(_, known)| *known == name).map(|(kind, _)| *kind)
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why something was not done.
///
/// An object makes errors of its own with [`Error::new`] and refuses input with
/// [`Error::invalid_argument`]. What the platform answered may be passed on with `?` in the same
/// turn and stays what it was.
#[derive(Clone, PartialEq, Eq)]
pub struct Error(Box<Fields>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Fields {
    kind: ErrorKind,
    code: String,
    message: String,
    details: Vec<u8>,
    maybe_executed: bool,
    /// 0: not known.
    retry_after_millis: u32,
    attributes: Vec<(String, String)>,
}

impl Error {
    /// An error of the object's own: a code for programs (kebab-case), a sentence for people.
    pub fn new(code: impl Into<String>, message: impl Into<String>) -> Self {
        let mut error = Self::of_kind(ErrorKind::Application, message);
        error.0.code = code.into();
        error
    }

    /// The caller's argument cannot be used.
    pub fn invalid_argument(message: impl Into<String>) -> Self {
        Self::of_kind(ErrorKind::InvalidArgument, message)
    }

    /// An error as the platform would make it: for tests that script answers. A guest that returns
    /// one it was not given is heard as [`ErrorKind::Application`].
    pub fn of_kind(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self(Box::new(Fields {
            kind,
            code: String::new(),
            message: message.into(),
            details: Vec::new(),
            maybe_executed: false,
            retry_after_millis: 0,
            attributes: Vec::new(),
        }))
    }

    /// Adds data for programs, as JSON. Data that has no JSON form is left out.
    #[must_use]
    pub fn with_details<T: Serialize + ?Sized>(mut self, details: &T) -> Self {
        self.0.details = serde_json::to_vec(details).unwrap_or_default();
        self
    }

    /// What went wrong, in one word.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The application's own code; empty for all kinds but [`ErrorKind::Application`].
    pub fn code(&self) -> &str {
        &self.0.code
    }

    /// One sentence for people.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The data that came with it, if there is any and it is a `T`.
    pub fn details<T: DeserializeOwned>(&self) -> Option<T> {
        serde_json::from_slice(&self.0.details).ok()
    }

    /// Whether the turn that failed may have run after all.
    pub fn maybe_executed(&self) -> bool {
        self.0.maybe_executed
    }

    /// When to try again, if that is known.
    pub fn retry_after(&self) -> Option<Duration> {
        let millis = self.0.retry_after_millis;
        (millis > 0).then(|| Duration::from_millis(millis.into()))
    }

    /// What else is known (`object`, `chain` …).
    pub fn attribute(&self, name: &str) -> Option<&str> {
        let (_, value) = self.0.attributes.iter().rfind(|(known, _)| known == name)?;
        Some(value)
    }
}

/// `kind: message`, or `code: message` for an application's own.
impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = if self.0.code.is_empty() { self.0.kind.as_str() } else { &self.0.code };
        write!(f, "{name}: {}", self.0.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for Error {}

#[cfg(target_family = "wasm")]
mod wire {
    use super::{Error, ErrorKind, Fields};
    use crate::generated::object::wasmverse::object::types::Failure;

    impl From<Failure> for Error {
        fn from(failure: Failure) -> Self {
            Self(Box::new(Fields {
                kind: ErrorKind::from_name(&failure.kind).unwrap_or(ErrorKind::Internal),
                code: failure.code,
                message: failure.message,
                details: failure.details,
                maybe_executed: failure.maybe_executed,
                retry_after_millis: failure.retry_after_millis,
                attributes: failure.attributes,
            }))
        }
    }

    impl From<Error> for Failure {
        fn from(error: Error) -> Self {
            let fields = *error.0;
            Self {
                kind: fields.kind.as_str().into(),
                code: fields.code,
                message: fields.message,
                details: fields.details,
                maybe_executed: fields.maybe_executed,
                retry_after_millis: fields.retry_after_millis,
                attributes: fields.attributes,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_parse_back_and_stand_in_the_order_of_the_kinds() {
        for (kind, name) in ErrorKind::NAMES {
            assert_eq!(kind.as_str(), name);
            assert_eq!(ErrorKind::from_name(name), Some(kind));
        }
        assert_eq!(ErrorKind::from_name("teapot"), None);
    }

    #[test]
    fn details_come_back_as_what_they_were() {
        let error = Error::new("insufficient-funds", "no").with_details(&vec![1, 2]);
        assert_eq!(error.details::<Vec<u8>>(), Some(vec![1, 2]));
        assert_eq!(error.details::<String>(), None);
        assert_eq!(error.to_string(), "insufficient-funds: no");
    }

    #[test]
    fn an_error_is_one_pointer_wide() {
        assert_eq!(size_of::<Result<()>>(), size_of::<usize>());
    }
}
