//! Components on their way to a node, and deploys: whichever node is asked coordinates.

use std::{pin::pin, time::Duration};

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, stream};
use tokio::{sync::mpsc, time::Instant};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Request;
use wasmverse_core::CallError;
use wasmverse_proto::admin::{
    DeployRequest, DeployResponse, UploadHeader, UploadTypeRequest, UploadTypeResponse,
    upload_type_request::Part,
};

use super::{Control, invalid, until};
use crate::call::too_large;

/// An upload is written and compiled within this time, a deploy compiled.
const OPERATION_TIMEOUT: Duration = Duration::from_secs(300);
/// How long a client may go on sending what was refused, so that it comes to read the answer.
const REFUSED_WITHIN: Duration = Duration::from_secs(10);
/// Pieces of an upload that wait to be written to the node.
const PIECES_WAITING_MAX: usize = 8;

impl Control {
    /// Passes a component on to a node, piece by piece. One that breaks off never looks complete:
    /// the part that says so comes last.
    pub(crate) async fn upload(
        &self,
        header: UploadHeader,
        chunks: impl Stream<Item = Result<Bytes, CallError>> + Send,
    ) -> Result<UploadTypeResponse, CallError> {
        let (sender, receiver) = mpsc::channel(PIECES_WAITING_MAX);
        let begin = stream::once(std::future::ready(Part::Header(header)));
        let parts = begin.chain(ReceiverStream::new(receiver));
        let parts = parts.map(|part| UploadTypeRequest { part: Some(part) });
        let mut node = self.node()?;
        let deadline = Instant::now() + OPERATION_TIMEOUT;
        let mut answer = pin!(until(deadline, node.upload_type(parts)));
        let mut pump = pin!(pump(chunks, sender, self.upload_bytes_max));
        tokio::select! {
            biased;
            sent = &mut pump => sent?,
            early = &mut answer => {
                // It is decided, but the client may still be sending: let it come to the end.
                let _ = tokio::time::timeout(REFUSED_WITHIN, pump).await;
                return early;
            }
        }
        answer.await
    }

    /// Makes a stored revision active.
    pub(crate) async fn deploy(&self, request: DeployRequest) -> Result<DeployResponse, CallError> {
        let mut node = self.node()?;
        let deadline = Instant::now() + OPERATION_TIMEOUT;
        until(deadline, node.deploy(Request::new(request))).await
    }
}

/// Takes what the client sends to where it is written from. Once nobody writes any more, it takes
/// it in all the same.
async fn pump(
    chunks: impl Stream<Item = Result<Bytes, CallError>>,
    sender: mpsc::Sender<Part>,
    bytes_max: usize,
) -> Result<(), CallError> {
    let mut chunks = pin!(chunks);
    let mut bytes = 0;
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk?;
        bytes += chunk.len();
        if bytes > bytes_max {
            let refused = invalid(format!(
                "{}: strip the component, or leave out what it does not need",
                too_large(bytes_max)
            ));
            drain(chunks, bytes_max.saturating_mul(4)).await;
            return Err(refused);
        }
        let _ = sender.send(Part::Chunk(chunk)).await;
    }
    let _ = sender.send(Part::Complete(true)).await;
    Ok(())
}

/// Takes in what a client still sends, so that it comes to read the answer; not for ever.
pub(crate) async fn drain<B: AsRef<[u8]>, E>(
    chunks: impl Stream<Item = Result<B, E>>,
    bytes_max: usize,
) {
    let draining = async {
        let mut chunks = pin!(chunks);
        let mut bytes = 0;
        while let Some(Ok(chunk)) = chunks.next().await {
            bytes += chunk.as_ref().len();
            if bytes > bytes_max {
                break;
            }
        }
    };
    let _ = tokio::time::timeout(REFUSED_WITHIN, draining).await;
}
