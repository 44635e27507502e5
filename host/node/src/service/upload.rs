//! A component that comes in pieces.

use bytes::BytesMut;
use tonic::{Status, Streaming};
use wasmverse_proto::admin::{UploadHeader, UploadTypeRequest, upload_type_request::Part};

use super::refused;

/// Its header, and all of it.
pub(super) async fn receive(
    mut parts: Streaming<UploadTypeRequest>,
    bytes_max: usize,
) -> Result<(UploadHeader, BytesMut), Status> {
    let first = parts.message().await?.and_then(|first| first.part);
    let Some(Part::Header(header)) = first else {
        return Err(refused("the first part of an upload must be its header"));
    };
    let mut component = BytesMut::new();
    loop {
        let part = parts.message().await?.and_then(|part| part.part);
        let chunk = match part {
            Some(Part::Chunk(chunk)) => chunk,
            Some(Part::Complete(true)) => break,
            Some(Part::Header(_) | Part::Complete(false)) => {
                return Err(refused("after its header an upload has chunks only"));
            }
            // A stream that its sender cancels ends like one that is done.
            None => return Err(refused("the upload broke off")),
        };
        if component.len() + chunk.len() > bytes_max {
            return Err(refused(&format!(
                "the component is larger than {bytes_max} bytes: strip it, or raise \
                 `node.component_bytes_max`"
            )));
        }
        component.extend_from_slice(&chunk);
    }
    Ok((header, component))
}
