//! Between the wire and the words of `core`: the one table of error codes, calls as frames, errors
//! as statuses.
//!
//! Nothing from the wire is trusted: what is malformed becomes a [`CallError`](wasmverse_core::CallError), never a panic.

mod frames;
mod hello;
mod status;

use tonic::Code;
use wasmverse_core::ErrorKind;

pub use frames::{
    bytes_to_reply, call_to_frame, elsewhere_to_frame, error_to_failure, failure_to_error,
    frame_to_call, frame_to_elsewhere, frame_to_reply, object_to_ref, ref_to_object,
    reply_to_bytes, reply_to_frame,
};
pub use hello::agree;
pub use status::{DOMAIN, error_to_status, status_to_error};

/// The gRPC code of an error, and its HTTP status: the only place that knows them.
const fn codes(kind: ErrorKind) -> (Code, u16) {
    match kind {
        ErrorKind::Application => (Code::Unknown, 422),
        ErrorKind::NotFound => (Code::NotFound, 404),
        ErrorKind::AlreadyExists => (Code::AlreadyExists, 409),
        ErrorKind::InvalidArgument => (Code::InvalidArgument, 400),
        ErrorKind::Denied => (Code::PermissionDenied, 403),
        ErrorKind::Unauthenticated => (Code::Unauthenticated, 401),
        ErrorKind::Cycle => (Code::FailedPrecondition, 409),
        ErrorKind::Overloaded => (Code::ResourceExhausted, 429),
        ErrorKind::Timeout => (Code::DeadlineExceeded, 504),
        ErrorKind::Trapped => (Code::Aborted, 502),
        ErrorKind::Unavailable => (Code::Unavailable, 503),
        ErrorKind::Internal => (Code::Internal, 500),
    }
}

/// The gRPC code of an error.
pub const fn grpc_code(kind: ErrorKind) -> Code {
    codes(kind).0
}

/// The HTTP status of an error.
pub const fn http_status(kind: ErrorKind) -> u16 {
    codes(kind).1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_error_has_a_grpc_code_of_its_own() {
        let codes: std::collections::BTreeSet<i32> =
            ErrorKind::ALL.iter().map(|kind| grpc_code(*kind) as i32).collect();
        assert_eq!(codes.len(), ErrorKind::ALL.len());
        assert!(!codes.contains(&(Code::Ok as i32)));
    }

    #[test]
    fn every_error_has_an_http_status_of_failure() {
        for kind in ErrorKind::ALL {
            assert!((400..600).contains(&http_status(kind)), "{kind}");
        }
    }
}
