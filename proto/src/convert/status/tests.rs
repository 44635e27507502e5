//! Errors come through a status as they were; foreign statuses are taken by their code.

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::convert::frames::tests::errors;

/// What a client that knows headers of 8 KiB accepts, after base64 and percent-encoding.
fn header_bytes(status: &Status) -> usize {
    status.details().len().div_ceil(3) * 4 + status.message().len() * 3
}

proptest! {
    #[test]
    fn an_error_comes_through_as_it_was(error in errors()) {
        prop_assert_eq!(status_to_error(&error_to_status(&error)), error);
    }

    #[test]
    fn an_error_of_any_size_fits_into_headers(
        error in errors(),
        (long, wide) in (0usize..20_000, 0usize..20_000),
    ) {
        let details = Bytes::from(vec![7; wide]);
        let own = CallError::application("c".repeat(long), "ü".repeat(wide), details);
        for error in [own, error] {
            let error = error.with("chain", "x".repeat(long));
            let status = error_to_status(&error);
            prop_assert!(header_bytes(&status) < 8000, "{}", header_bytes(&status));
            let back = status_to_error(&status);
            prop_assert_eq!(back.kind(), error.kind());
            let whole = back.attributes().iter().all(|(name, _)| name != TRUNCATED);
            let said = |error: &CallError| {
                let names = error.attributes().iter().map(|(name, _)| name);
                let known = names.filter(|name| *name != TRUNCATED).count();
                let code = error.code().to_owned();
                (error.message().to_owned(), code, error.details().clone(), known)
            };
            prop_assert_eq!(whole, said(&back) == said(&error));
        }
    }

    #[test]
    fn no_status_makes_us_panic(
        code in 0i32..20,
        message in ".{0,20}",
        details in proptest::collection::vec(any::<u8>(), 0..60),
    ) {
        let _ = status_to_error(&Status::with_details(code.into(), message, details.into()));
    }
}

#[test]
fn an_error_that_lost_its_details_keeps_its_kind() {
    for kind in ErrorKind::ALL {
        let error = status_to_error(&Status::new(grpc_code(kind), "no"));
        let expected = if kind == ErrorKind::Application { ErrorKind::Unavailable } else { kind };
        assert_eq!(error.kind(), expected);
    }
}

#[test]
fn details_of_another_domain_are_not_taken_for_ours() {
    let info = pb::ErrorInfo {
        reason: "denied".into(),
        domain: "example.com".into(),
        metadata: HashMap::new(),
    };
    let details = vec![packed(ErrorInfo::TYPE_URL, &info)];
    let rich = pb::Status { code: 5, message: String::new(), details };
    let status = Status::with_details(Code::NotFound, "gone", rich.encode_to_vec().into());
    assert_eq!(status_to_error(&status).kind(), ErrorKind::NotFound);
}

#[test]
fn a_lost_connection_may_have_executed_and_a_refused_one_not() {
    assert!(status_to_error(&Status::unavailable("gone")).may_have_executed());
    let refused = Status::from_error(Box::new(ConnectError("connection refused".into())));
    assert_eq!(refused.code(), Code::Unavailable);
    assert!(!status_to_error(&refused).may_have_executed());
}
