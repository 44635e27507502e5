//! Failures across the edge of the sandbox: the platform's errors as a guest sees them, and a
//! guest's failures as its callers see them. Nothing that a guest returns poses as the platform.

use std::time::Duration;

use bytes::Bytes;
use wasmverse_core::{CallError, ErrorKind};

use crate::bindings::Failure;

/// The longest message, code and name that an error carries on, in bytes.
const TEXT_BYTES_MAX: usize = 8 << 10;
/// How many attributes an error carries on.
const ATTRIBUTES_MAX: usize = 32;

/// An error as the guest sees it.
pub(crate) fn to_guest(error: &CallError) -> Failure {
    let object = error.object().map(|object| ("object".to_owned(), object.to_string()));
    let millis = error.retry_after_hint().map_or(0, |after| after.as_millis());
    Failure {
        kind: error.kind().as_str().to_owned(),
        code: error.code().to_owned(),
        message: error.message().to_owned(),
        details: error.details().to_vec(),
        maybe_executed: error.may_have_executed(),
        retry_after_millis: u32::try_from(millis).unwrap_or(u32::MAX),
        attributes: object.into_iter().chain(error.attributes().iter().cloned()).collect(),
    }
}

/// What an error takes, in bytes: as it is, and as the guest sees it.
pub(crate) fn bytes(error: &CallError) -> usize {
    let attributes = error.attributes().iter().map(|(name, value)| name.len() + value.len());
    let object = error.object().map_or(0, |object| object.id().len());
    let texts = error.message().len() + error.code().len() + error.details().len() + object;
    2 * (texts + attributes.sum::<usize>())
}

/// A guest's failure as its callers see it. `given`: the platform's failures that the guest was
/// given in this very turn; one of those it may pass on.
pub(crate) fn from_guest(mut failure: Failure, given: &[CallError]) -> CallError {
    let message = cut(std::mem::take(&mut failure.message));
    match ErrorKind::from_name(&failure.kind) {
        Some(kind @ ErrorKind::InvalidArgument) => match passed_on(kind, &message, given) {
            Some(error) => error,
            None => CallError::new(kind, message),
        },
        Some(ErrorKind::Application) => application(failure, message),
        Some(kind) => match passed_on(kind, &message, given) {
            Some(error) => error,
            None => posing(failure, message),
        },
        None if failure.kind.is_empty() => application(failure, message),
        None => posing(failure, message),
    }
}

/// Whether a failure, as its callers see it, is one of those that the guest was given.
pub(crate) fn is_passed_on(error: &CallError, given: &[CallError]) -> bool {
    given.iter().any(|given| given.kind() == error.kind())
}

/// What the platform said, in the guest's words if it has any.
fn passed_on(kind: ErrorKind, message: &str, given: &[CallError]) -> Option<CallError> {
    let original = given.iter().find(|given| given.kind() == kind)?;
    if message.is_empty() || message == original.message() {
        return Some(original.clone());
    }
    let mut error = CallError::new(kind, message);
    if let Some(object) = original.object() {
        error = error.about(object);
    }
    if original.may_have_executed() {
        error = error.maybe_executed();
    }
    if let Some(after) = original.retry_after_hint() {
        error = error.retry_after(after);
    }
    Some(original.attributes().iter().fold(error, |error, (name, value)| error.with(name, value)))
}

fn application(failure: Failure, message: String) -> CallError {
    let mut error =
        CallError::application(cut(failure.code), message, Bytes::from(failure.details));
    if failure.retry_after_millis > 0 {
        error = error.retry_after(Duration::from_millis(failure.retry_after_millis.into()));
    }
    let attributes = failure.attributes.into_iter().take(ATTRIBUTES_MAX);
    attributes.fold(error, |error, (name, value)| error.with(cut(name), cut(value)))
}

/// A kind that the guest was not given: its own error, with a note.
fn posing(failure: Failure, message: String) -> CallError {
    let kind = cut(failure.kind.clone());
    application(failure, message).with("kind", kind)
}

fn cut(mut text: String) -> String {
    if text.len() > TEXT_BYTES_MAX {
        text.truncate(text.floor_char_boundary(TEXT_BYTES_MAX));
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn failure(kind: &str, message: &str) -> Failure {
        Failure {
            kind: kind.into(),
            code: "insufficient-funds".into(),
            message: message.into(),
            details: b"{}".to_vec(),
            maybe_executed: true,
            retry_after_millis: 0,
            attributes: Vec::new(),
        }
    }

    #[test]
    fn an_empty_kind_is_the_objects_own_error() {
        for kind in ["", "application"] {
            let error = from_guest(failure(kind, "no money"), &[]);
            assert_eq!(error.kind(), ErrorKind::Application);
            assert_eq!((error.code(), error.message()), ("insufficient-funds", "no money"));
            assert_eq!(&error.details()[..], b"{}");
        }
    }

    #[test]
    fn an_argument_that_cannot_be_read_is_invalid() {
        let error = from_guest(failure("invalid-argument", "not a number"), &[]);
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        assert_eq!(error.message(), "not a number");
    }

    #[test]
    fn a_kind_that_the_host_did_not_give_is_application_with_a_note() {
        for kind in ErrorKind::ALL {
            if matches!(kind, ErrorKind::Application | ErrorKind::InvalidArgument) {
                continue;
            }
            let error = from_guest(failure(kind.as_str(), "x"), &[]);
            assert_eq!(error.kind(), ErrorKind::Application, "{kind}");
            assert!(!error.may_have_executed());
            assert!(error.attributes().contains(&("kind".into(), kind.as_str().into())));
        }
        let error = from_guest(failure("teapot", "x"), &[]);
        assert_eq!(error.kind(), ErrorKind::Application);
    }

    #[test]
    fn a_failure_that_the_host_gave_may_be_passed_on() {
        let given = CallError::new(ErrorKind::Unavailable, "node gone")
            .about(&"T/b".parse().unwrap())
            .maybe_executed()
            .retry_after(Duration::from_millis(20));
        let given = [CallError::new(ErrorKind::Denied, "no"), given];
        let error = from_guest(failure("unavailable", "cannot reach the bank"), &given);
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert_eq!(error.message(), "cannot reach the bank");
        assert!(error.may_have_executed());
        assert_eq!(error.retry_after_hint(), Some(Duration::from_millis(20)));
        assert_eq!(from_guest(failure("unavailable", ""), &given), given[1]);
        assert_eq!(from_guest(to_guest(&given[1]), &given), given[1]);
        assert!(is_passed_on(&given[1], &given));
        assert!(!is_passed_on(&from_guest(failure("", "no money"), &given), &given));
    }

    #[test]
    fn the_guest_hears_everything_that_is_known() {
        let error = CallError::new(ErrorKind::Cycle, "round and round")
            .about(&"T/b".parse().unwrap())
            .with("chain", "T/a → T/b")
            .retry_after(Duration::from_secs(u64::MAX));
        let failure = to_guest(&error);
        assert_eq!(failure.kind, "cycle");
        assert_eq!(failure.retry_after_millis, u32::MAX);
        let names: Vec<_> = failure.attributes.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["object", "chain"]);
    }

    proptest! {
        #[test]
        fn nothing_that_a_guest_returns_poses_as_the_platform(kind in "[a-z-]{0,16}", text in ".{0,20}") {
            let error = from_guest(failure(&kind, &text), &[]);
            let own = [ErrorKind::Application, ErrorKind::InvalidArgument];
            prop_assert!(own.contains(&error.kind()));
            prop_assert!(!error.may_have_executed());
        }
    }
}
