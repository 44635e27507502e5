//! What is asked of a node rather than of an object: lists, types, uploads, deploys, logs, dead
//! letters, reminders.
//!
//! Every question has a deadline, and every answer that is none is a `CallError`, so that both
//! surfaces show the same.

use std::{future::Future, pin::pin, time::Duration};

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, TryStreamExt as _, stream};
use tokio::{sync::mpsc, time::Instant};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};
use wasmverse_core::{CallError, ErrorKind, ObjectId};
use wasmverse_proto::{
    admin::{
        DeadLetter, DeployRequest, DeployResponse, DropDeadLetterRequest, GetDeadLetterRequest,
        ListDeadLettersRequest, ListDeadLettersResponse, ListRemindersRequest, LogLine, Reminder,
        RetryDeadLetterRequest, RolloutProgress, RolloutRequest, TailLogsRequest, UploadHeader,
        UploadTypeRequest, UploadTypeResponse, upload_type_request::Part,
    },
    convert::{object_to_ref, status_to_error},
    gate::{ListObjectsRequest, ListObjectsResponse, ObjectInfo},
};
use wasmverse_router::Router;

use crate::call::too_large;

/// How many objects, or dead letters, a page lists at most.
pub(crate) const PAGE_LENGTH_MAX: u32 = 1000;
/// How many recent lines a log begins with at most.
pub(crate) const RECENT_LINES_MAX: u32 = 1000;
/// An upload is written and compiled within this time, a deploy compiled.
const OPERATION_TIMEOUT: Duration = Duration::from_secs(300);
/// How long a client may go on sending what was refused, so that it comes to read the answer.
const REFUSED_WITHIN: Duration = Duration::from_secs(10);
/// Pieces of an upload that wait to be written to the node.
const PIECES_WAITING_MAX: usize = 8;

/// Speaks to a node. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Control {
    router: Router,
    upload_bytes_max: usize,
}

impl Control {
    pub(crate) fn new(router: Router, upload_bytes_max: usize) -> Self {
        Self { router, upload_bytes_max }
    }

    /// The largest component.
    pub(crate) fn upload_bytes_max(&self) -> usize {
        self.upload_bytes_max
    }

    /// A page of objects.
    pub(crate) async fn list(
        &self,
        request: ListObjectsRequest,
        deadline: Instant,
    ) -> Result<ListObjectsResponse, CallError> {
        check_page_length(request.limit)?;
        if !request.r#type.is_empty() {
            wasmverse_core::TypeName::new(&request.r#type)?;
        }
        let mut node = self.node()?;
        until(deadline, node.list_objects(Request::new(request))).await
    }

    /// What is known of an object.
    pub(crate) async fn get(
        &self,
        object: &ObjectId,
        deadline: Instant,
    ) -> Result<ObjectInfo, CallError> {
        let mut node = self.node()?;
        let found = until(deadline, node.get_object(Request::new(object_to_ref(object)))).await;
        found.map_err(|error| error.about(object))
    }

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

    /// How far the latest deploy of a type has come, until it has.
    pub(crate) async fn rollout(
        &self,
        request: RolloutRequest,
        deadline: Instant,
    ) -> Result<impl Stream<Item = Result<RolloutProgress, CallError>> + use<>, CallError> {
        let mut node = self.node()?;
        let progress = until(deadline, node.rollout(Request::new(request))).await?;
        Ok(progress.map_err(|status| status_to_error(&status)))
    }

    /// What objects write to their log, as it comes.
    pub(crate) async fn logs(
        &self,
        request: TailLogsRequest,
        deadline: Instant,
    ) -> Result<impl Stream<Item = Result<LogLine, CallError>> + use<>, CallError> {
        if request.recent > RECENT_LINES_MAX {
            return Err(invalid(format!("`recent` is at most {RECENT_LINES_MAX}")));
        }
        let mut node = self.node()?;
        let lines = until(deadline, node.tail_logs(Request::new(request))).await?;
        Ok(lines.map_err(|status| status_to_error(&status)))
    }

    /// A page of dead letters.
    pub(crate) async fn dead_letters(
        &self,
        from: Option<&ObjectId>,
        after: u64,
        limit: u32,
        deadline: Instant,
    ) -> Result<ListDeadLettersResponse, CallError> {
        check_page_length(limit)?;
        let object = from.map(object_to_ref);
        let request = Request::new(ListDeadLettersRequest { object, after, limit });
        let mut node = self.node()?;
        until(deadline, node.list_dead_letters(request)).await
    }

    /// One dead letter.
    pub(crate) async fn dead_letter(
        &self,
        number: u64,
        deadline: Instant,
    ) -> Result<DeadLetter, CallError> {
        let mut node = self.node()?;
        until(deadline, node.get_dead_letter(GetDeadLetterRequest { number })).await
    }

    /// Sends a dead letter again.
    pub(crate) async fn retry_dead_letter(
        &self,
        number: u64,
        deadline: Instant,
    ) -> Result<(), CallError> {
        let mut node = self.node()?;
        let retrying = node.retry_dead_letter(RetryDeadLetterRequest { number });
        until(deadline, retrying).await.map(drop)
    }

    /// Forgets a dead letter.
    pub(crate) async fn drop_dead_letter(
        &self,
        number: u64,
        deadline: Instant,
    ) -> Result<(), CallError> {
        let mut node = self.node()?;
        let dropping = node.drop_dead_letter(DropDeadLetterRequest { number });
        until(deadline, dropping).await.map(drop)
    }

    /// The reminders of an object.
    pub(crate) async fn reminders(
        &self,
        object: &ObjectId,
        deadline: Instant,
    ) -> Result<Vec<Reminder>, CallError> {
        let request = ListRemindersRequest { object: Some(object_to_ref(object)) };
        let mut node = self.node()?;
        let found = until(deadline, node.list_reminders(request)).await;
        found.map(|found| found.reminders).map_err(|error| error.about(object))
    }

    fn node(&self) -> Result<wasmverse_router::Control, CallError> {
        let away = || CallError::new(ErrorKind::Unavailable, "no node is configured");
        self.router.control().ok_or_else(away)
    }
}

/// A node's answer, or `timeout` when the deadline passes first.
async fn until<T>(
    deadline: Instant,
    answer: impl Future<Output = Result<Response<T>, Status>>,
) -> Result<T, CallError> {
    match tokio::time::timeout_at(deadline, answer).await {
        Ok(Ok(response)) => Ok(response.into_inner()),
        Ok(Err(status)) => Err(status_to_error(&status)),
        Err(_) => {
            Err(CallError::new(ErrorKind::Timeout, "the node did not answer in time")
                .maybe_executed())
        }
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

fn check_page_length(limit: u32) -> Result<(), CallError> {
    match limit {
        0..=PAGE_LENGTH_MAX => Ok(()),
        _ => Err(invalid(format!("`limit` is at most {PAGE_LENGTH_MAX}"))),
    }
}

fn invalid(message: String) -> CallError {
    CallError::new(ErrorKind::InvalidArgument, message)
}
