//! What a request says beside what it asks for, as gRPC metadata.

use tonic::metadata::MetadataMap;
use wasmverse_core::CallError;

use crate::{
    call::{Desk, Terms, traceparent},
    deadline,
};

/// The terms of a request.
///
/// # Errors
/// `invalid-argument` for a timeout that is none, `unauthenticated` for a session.
pub(crate) fn terms(desk: &Desk, metadata: &MetadataMap) -> Result<Terms, CallError> {
    let client = metadata
        .get("wasmverse-session")
        .map(|token| desk.sessions.client(token.to_str().unwrap_or_default()))
        .transpose()?;
    let asked = metadata.get("grpc-timeout").map(|value| {
        // What is no text is no timeout either.
        deadline::from_grpc(value.to_str().unwrap_or_default())
    });
    let traceparent =
        metadata.get("traceparent").and_then(|value| traceparent(value.to_str().ok()?));
    Ok(Terms { deadline: desk.timeouts.deadline(asked.transpose()?), traceparent, client })
}
