//! A component that comes in as a stream of messages.

use bytes::Bytes;
use futures_util::stream;
use tonic::Streaming;
use wasmverse_core::{CallError, ErrorKind};
use wasmverse_proto::{
    admin::{UploadHeader, UploadTypeRequest, UploadTypeResponse, upload_type_request::Part},
    convert::status_to_error,
};

use crate::call::Desk;

/// Passes a component on to a node.
pub(super) async fn take_in(
    desk: &Desk,
    mut parts: Streaming<UploadTypeRequest>,
) -> Result<UploadTypeResponse, CallError> {
    let header = header(&mut parts).await?;
    let chunks = stream::try_unfold(parts, |mut parts| async move {
        match next(&mut parts).await? {
            Some(Part::Chunk(chunk)) => Ok(Some((chunk, parts))),
            Some(Part::Header(_)) => Err(malformed("a second header")),
            Some(Part::Complete(_)) | None => Ok::<Option<(Bytes, _)>, CallError>(None),
        }
    });
    let stored = desk.control.upload(header, chunks).await?;
    if stored.active {
        desk.catalog.shows(&stored.r#type, stored.revision).await;
    }
    Ok(stored)
}

async fn header(parts: &mut Streaming<UploadTypeRequest>) -> Result<UploadHeader, CallError> {
    match next(parts).await? {
        Some(Part::Header(header)) => Ok(header),
        Some(Part::Chunk(_) | Part::Complete(_)) | None => Err(malformed("no header first of all")),
    }
}

/// The next part; none: the end. A message without a part is passed over.
async fn next(parts: &mut Streaming<UploadTypeRequest>) -> Result<Option<Part>, CallError> {
    loop {
        let message = parts.message().await.map_err(|status| status_to_error(&status))?;
        match message {
            Some(UploadTypeRequest { part: Some(part) }) => return Ok(Some(part)),
            Some(UploadTypeRequest { part: None }) => {}
            None => return Ok(None),
        }
    }
}

fn malformed(problem: &str) -> CallError {
    let message =
        format!("an upload is a header, then pieces of the component; this has {problem}");
    CallError::new(ErrorKind::InvalidArgument, message)
}
