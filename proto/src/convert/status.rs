//! Errors as gRPC statuses with `google.rpc` details, and back.
//!
//! A status travels in HTTP/2 headers, and clients accept as little as 8 KiB of these: what does
//! not fit is left out, and the metadata says `truncated`.

use std::{collections::HashMap, error::Error as _, time::Duration};

use prost::Message;
use prost_types::Any;
use tonic::{Code, ConnectError, Status};
use tonic_types::{ErrorInfo, RetryInfo, pb};
use wasmverse_core::{CallError, ErrorKind};

use super::grpc_code;
use crate::gate::ApplicationDetails;

/// The domain of our `google.rpc.ErrorInfo`.
pub const DOMAIN: &str = "wasmverse";

/// It travels twice: percent-encoded, and in the details.
const MESSAGE_BYTES_MAX: usize = 1024;
/// Object, code, details and attributes together.
const DETAILS_BYTES_MAX: usize = 2048;

const CODE: &str = "code";
const OBJECT: &str = "object";
const MAYBE_EXECUTED: &str = "maybe_executed";
const TRUNCATED: &str = "truncated";
const APPLICATION_DETAILS_URL: &str = "type.googleapis.com/wasmverse.gate.v1.ApplicationDetails";

/// An error as a status, with everything that fits into its details.
pub fn error_to_status(error: &CallError) -> Status {
    let code = grpc_code(error.kind());
    let message = beginning(error.message(), MESSAGE_BYTES_MAX);
    let mut room =
        Room { left: DETAILS_BYTES_MAX, truncated: message.len() < error.message().len() };
    let mut metadata = HashMap::new();
    if !error.code().is_empty() {
        room.put(&mut metadata, CODE, error.code());
    }
    if let Some(object) = error.object() {
        room.put(&mut metadata, OBJECT, &object.to_string());
    }
    if error.may_have_executed() {
        room.put(&mut metadata, MAYBE_EXECUTED, "true");
    }
    let mut details = Vec::new();
    if let Some(after) = error.retry_after_hint() {
        details.push(packed(
            RetryInfo::TYPE_URL,
            &pb::RetryInfo { retry_delay: after.try_into().ok() },
        ));
    }
    if !error.details().is_empty() && room.take(error.details().len()) {
        let data = ApplicationDetails { details: error.details().clone() };
        details.push(packed(APPLICATION_DETAILS_URL, &data));
    }
    for (name, value) in error.attributes().iter().filter(|(name, _)| !is_reserved(name)) {
        room.put(&mut metadata, name, value);
    }
    if room.truncated {
        metadata.insert(TRUNCATED.into(), "true".into());
    }
    let info =
        pb::ErrorInfo { reason: error.kind().as_str().into(), domain: DOMAIN.into(), metadata };
    details.insert(0, packed(ErrorInfo::TYPE_URL, &info));
    let rich = pb::Status { code: code.into(), message: message.into(), details };
    Status::with_details(code, message, rich.encode_to_vec().into())
}

/// The error in a status: ours as it was (within what fitted), a foreign one by its code.
pub fn status_to_error(status: &Status) -> CallError {
    let details = pb::Status::decode(status.details()).unwrap_or_default().details;
    let info: Option<pb::ErrorInfo> = find(&details, ErrorInfo::TYPE_URL);
    let ours = info.filter(|info| info.domain == DOMAIN);
    let kind = ours.as_ref().and_then(|info| ErrorKind::from_name(&info.reason));
    let (Some(mut info), Some(kind)) = (ours, kind) else {
        return foreign(status);
    };
    let mut error = if kind == ErrorKind::Application {
        let data: ApplicationDetails = find(&details, APPLICATION_DETAILS_URL).unwrap_or_default();
        let code = info.metadata.remove(CODE).unwrap_or_default();
        CallError::application(code, status.message(), data.details)
    } else {
        CallError::new(kind, status.message())
    };
    if let Some(object) = info.metadata.get(OBJECT).and_then(|text| text.parse().ok()) {
        error = error.about(&object);
    }
    if info.metadata.get(MAYBE_EXECUTED).is_some_and(|value| value == "true") {
        error = error.maybe_executed();
    }
    if let Some(after) = retry_delay(&details) {
        error = error.retry_after(after);
    }
    let mut attributes: Vec<_> = info.metadata.into_iter().collect();
    attributes.retain(|(name, _)| !is_reserved(name) || name == TRUNCATED);
    attributes.sort();
    attributes.into_iter().fold(error, |error, (name, value)| error.with(name, value))
}

/// A status that is not of our making: from a proxy, from another server, from the transport.
fn foreign(status: &Status) -> CallError {
    let kind = match status.code() {
        Code::InvalidArgument | Code::OutOfRange => ErrorKind::InvalidArgument,
        Code::NotFound => ErrorKind::NotFound,
        Code::AlreadyExists => ErrorKind::AlreadyExists,
        Code::PermissionDenied => ErrorKind::Denied,
        Code::Unauthenticated => ErrorKind::Unauthenticated,
        Code::FailedPrecondition => ErrorKind::Cycle,
        Code::ResourceExhausted => ErrorKind::Overloaded,
        Code::DeadlineExceeded => ErrorKind::Timeout,
        Code::Aborted => ErrorKind::Trapped,
        // The transport names its own troubles so.
        Code::Unavailable | Code::Cancelled | Code::Unknown => ErrorKind::Unavailable,
        Code::Internal | Code::DataLoss | Code::Unimplemented | Code::Ok => ErrorKind::Internal,
    };
    let message = match status.message() {
        "" => status.code().description(),
        message => message,
    };
    let error = CallError::new(kind, message).with("status", format!("{:?}", status.code()));
    let begun = match status.code() {
        Code::Unavailable => !never_connected(status),
        Code::Cancelled
        | Code::Unknown
        | Code::DeadlineExceeded
        | Code::Aborted
        | Code::Internal
        | Code::DataLoss => true,
        Code::Ok
        | Code::InvalidArgument
        | Code::NotFound
        | Code::AlreadyExists
        | Code::PermissionDenied
        | Code::ResourceExhausted
        | Code::FailedPrecondition
        | Code::OutOfRange
        | Code::Unimplemented
        | Code::Unauthenticated => false,
    };
    if begun { error.maybe_executed() } else { error }
}

/// Whether the request never left, because nobody could be reached.
fn never_connected(status: &Status) -> bool {
    std::iter::successors(status.source(), |error| (*error).source())
        .any(<dyn std::error::Error>::is::<ConnectError>)
}

fn is_reserved(name: &str) -> bool {
    [CODE, OBJECT, MAYBE_EXECUTED, TRUNCATED].contains(&name)
}

fn retry_delay(details: &[Any]) -> Option<Duration> {
    let info: pb::RetryInfo = find(details, RetryInfo::TYPE_URL)?;
    info.retry_delay?.try_into().ok()
}

fn packed(url: &str, message: &impl Message) -> Any {
    Any { type_url: url.into(), value: message.encode_to_vec() }
}

fn find<M: Message + Default>(details: &[Any], url: &str) -> Option<M> {
    let detail = details.iter().find(|detail| detail.type_url == url)?;
    M::decode(detail.value.as_slice()).ok()
}

/// As much of the text as fits, cut between characters.
fn beginning(text: &str, bytes_max: usize) -> &str {
    &text[..text.floor_char_boundary(bytes_max)]
}

/// What is left of the bytes that details may take.
struct Room {
    left: usize,
    truncated: bool,
}

impl Room {
    fn take(&mut self, bytes: usize) -> bool {
        match self.left.checked_sub(bytes) {
            Some(left) => self.left = left,
            None => {
                self.truncated = true;
                return false;
            }
        }
        true
    }

    fn put(&mut self, metadata: &mut HashMap<String, String>, name: &str, value: &str) {
        if self.take(name.len() + value.len()) {
            metadata.insert(name.into(), value.into());
        }
    }
}

#[cfg(test)]
mod tests;
