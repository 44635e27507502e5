//! Why a command failed: what is printed, and the exit code that scripts branch on.

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};
use wasmverse_core::CallError;

pub(crate) type Result<T> = std::result::Result<T, Failure>;

/// Each variant has an exit code of its own meaning.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The command line makes no sense: 2.
    Usage(String),
    /// Nobody answers at that address: 3.
    Unreachable { url: String, cause: String },
    /// Somebody is there, but no answer is to be had: 3.
    Away(Box<Away>),
    /// The cluster answered with an error: 1.
    Call(Box<CallFailure>),
    /// Something on this machine went wrong: 1.
    Local(anyhow::Error),
    /// The command did what it should, and what it found is bad; its result says so: 1.
    Found(String),
}

/// Why a cluster that took the connection did not answer.
#[derive(Debug)]
pub(crate) struct Away {
    /// Its name in our set of errors.
    pub(crate) code: &'static str,
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
    pub(crate) maybe_executed: bool,
}

/// The error object of the HTTP side, which `--json` prints for either side.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct CallFailure {
    pub(crate) code: String,
    pub(crate) message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) object: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) retry_after_ms: Option<u64>,
    pub(crate) maybe_executed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) application: Option<ApplicationFailure>,
}

/// What the object itself said.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct ApplicationFailure {
    pub(crate) code: String,
    #[serde(skip_serializing_if = "serde_json::Value::is_null")]
    pub(crate) details: serde_json::Value,
}

/// The body of an error response.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ErrorBody {
    pub(crate) error: CallFailure,
}

impl Failure {
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::Usage(message.into())
    }

    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Call(_) | Self::Local(_) | Self::Found(_) => 1,
            Self::Usage(_) => 2,
            Self::Unreachable { .. } | Self::Away(_) => 3,
        }
    }

    /// As the error object that `--json` prints.
    pub(crate) fn body(&self) -> ErrorBody {
        let plain = |code: &str| CallFailure {
            code: code.to_owned(),
            message: self.sentence(),
            ..CallFailure::default()
        };
        let error = match self {
            Self::Call(failure) => (**failure).clone(),
            Self::Usage(_) => plain("invalid-argument"),
            Self::Unreachable { .. } => plain("unavailable"),
            Self::Away(away) => {
                CallFailure { maybe_executed: away.maybe_executed, ..plain(away.code) }
            }
            Self::Local(_) | Self::Found(_) => plain("internal"),
        };
        ErrorBody { error }
    }

    /// What to do about it, where that is known.
    pub(crate) fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Unreachable { .. } => {
                "start one with `wasmverse dev`, or say where it is with --url or WASMVERSE_URL"
            }
            Self::Call(failure) => match failure.code.as_str() {
                "unauthenticated" => "say who you are with --token or WASMVERSE_TOKEN",
                "not-found" if failure.message.contains("no type") => {
                    "`wasmverse types` lists those that are there"
                }
                "unavailable" if failure.maybe_executed => {
                    "look before you repeat it: the call may have been executed"
                }
                _ => return None,
            },
            Self::Away(away) => return away.hint.clone(),
            Self::Usage(_) | Self::Local(_) | Self::Found(_) => return None,
        };
        Some(hint.to_owned())
    }

    fn sentence(&self) -> String {
        match self {
            Self::Usage(message) | Self::Found(message) => message.clone(),
            Self::Unreachable { url, cause } => {
                format!("cannot reach the cluster at {url}: {cause}")
            }
            Self::Away(away) => away.message.clone(),
            Self::Call(failure) => failure.message.clone(),
            Self::Local(error) => format!("{error:#}"),
        }
    }
}

/// What stands after `error: `.
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Call(failure) = self else {
            return f.write_str(&self.sentence());
        };
        write!(f, "{}: ", failure.code)?;
        if let Some(application) = &failure.application {
            write!(f, "{}: ", application.code)?;
        }
        f.write_str(&failure.message)?;
        if let Some(object) = failure.object.as_ref().filter(|o| !failure.message.contains(*o)) {
            write!(f, " ({object})")?;
        }
        if let Some(details) =
            failure.application.as_ref().map(|a| &a.details).filter(|details| !details.is_null())
        {
            write!(f, "\n  details: {details}")?;
        }
        if let Some(after) = failure.retry_after_ms {
            write!(
                f,
                "\n  try again in {}",
                humantime::format_duration(Duration::from_millis(after))
            )?;
        }
        Ok(())
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::Local(error)
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::Local(error.into())
    }
}

/// The error of the gRPC side in the words of the HTTP side.
impl From<CallError> for Failure {
    fn from(error: CallError) -> Self {
        let application = (error.kind() == wasmverse_core::ErrorKind::Application).then(|| {
            let details = error.details();
            let text = || String::from_utf8_lossy(details).into_owned().into();
            ApplicationFailure {
                code: error.code().to_owned(),
                details: match details.is_empty() {
                    true => serde_json::Value::Null,
                    false => serde_json::from_slice(details).unwrap_or_else(|_| text()),
                },
            }
        });
        Self::Call(Box::new(CallFailure {
            code: error.kind().as_str().to_owned(),
            message: error.message().to_owned(),
            object: error.object().map(ToString::to_string),
            retry_after_ms: error
                .retry_after_hint()
                .map(|after| u64::try_from(after.as_millis()).unwrap_or(u64::MAX)),
            maybe_executed: error.may_have_executed(),
            application,
        }))
    }
}

#[cfg(test)]
mod tests {
    use wasmverse_core::ErrorKind;

    use super::*;

    #[test]
    fn exit_codes_tell_a_failed_call_from_bad_usage_and_from_nobody_there() {
        let call = Failure::from(CallError::new(ErrorKind::NotFound, "no such type"));
        let nobody = Failure::Unreachable { url: "http://x".into(), cause: "refused".into() };
        let codes =
            [&call, &Failure::usage("x"), &nobody, &Failure::Local(anyhow::anyhow!("full"))]
                .map(Failure::exit_code);
        assert_eq!(codes, [1, 2, 3, 1]);
    }

    #[test]
    fn an_error_begins_with_its_kind_and_names_the_object_once() {
        let id = "Counter/visits".parse().unwrap();
        let error = CallError::new(ErrorKind::Overloaded, "the mailbox is full")
            .about(&id)
            .retry_after(Duration::from_millis(200));
        let failure = Failure::from(error);
        let expected = "overloaded: the mailbox is full (Counter/visits)\n  try again in 200ms";
        assert_eq!(failure.to_string(), expected);
    }

    #[test]
    fn an_objects_own_error_keeps_its_code_and_details() {
        let details = br#"{"missing":5}"#.as_slice().into();
        let failure =
            Failure::from(CallError::application("insufficient-funds", "5 short", details));
        let expected = "application: insufficient-funds: 5 short\n  details: {\"missing\":5}";
        assert_eq!(failure.to_string(), expected);
        let json = serde_json::to_string(&failure.body()).unwrap();
        let same = r#"{"error":{"code":"application","message":"5 short","maybe_executed":false,"application":{"code":"insufficient-funds","details":{"missing":5}}}}"#;
        assert_eq!(json, same);
    }

    #[test]
    fn the_error_object_of_http_is_understood() {
        let body = r#"{"error":{"code":"overloaded","message":"m","object":"A/b","retry_after_ms":200,"maybe_executed":false}}"#;
        let error = serde_json::from_str::<ErrorBody>(body).unwrap().error;
        assert_eq!(error.retry_after_ms, Some(200));
        assert!(!error.maybe_executed);
        assert_eq!(error.application, None);
    }
}
