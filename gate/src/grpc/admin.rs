//! `AdminService`: what operators call. Who is none was turned away before.

use std::{future::Future, sync::Arc};

use bytes::Bytes;
use futures_util::{
    Stream, StreamExt as _,
    stream::{self, BoxStream},
};
use tonic::{Request, Response, Status, Streaming};
use wasmverse_core::{CallError, ErrorKind, TypeName};
use wasmverse_proto::{
    admin::{
        DeadLetter, DeployRequest, DeployResponse, DropDeadLetterRequest, DropDeadLetterResponse,
        GetDeadLetterRequest, ListDeadLettersRequest, ListDeadLettersResponse,
        ListRemindersRequest, ListRemindersResponse, ListTypesRequest, ListTypesResponse, LogLine,
        RetryDeadLetterRequest, RetryDeadLetterResponse, RolloutProgress, RolloutRequest,
        TailLogsRequest, UploadHeader, UploadTypeRequest, UploadTypeResponse,
        admin_service_server::AdminService, upload_type_request::Part,
    },
    convert::{error_to_status, ref_to_object, status_to_error},
};

use super::terms::terms;
use crate::{
    call::Desk,
    metrics::{Operation, Surface},
};

/// Operations, over gRPC.
#[derive(Debug)]
pub(crate) struct Admin(pub(crate) Arc<Desk>);

impl Admin {
    /// Measures, and turns an error into its status.
    async fn answer<T>(
        &self,
        work: impl Future<Output = Result<T, CallError>>,
    ) -> Result<Response<T>, Status> {
        let measure = self.0.meter.begin(Surface::Grpc, Operation::Admin);
        let result = work.await;
        measure.end(&result);
        result.map(Response::new).map_err(|error| error_to_status(&error))
    }

    async fn upload(
        &self,
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
        let stored = self.0.control.upload(header, chunks).await?;
        if stored.active {
            self.0.catalog.shows(&stored.r#type, stored.revision).await;
        }
        Ok(stored)
    }

    async fn deploy(&self, request: DeployRequest) -> Result<DeployResponse, CallError> {
        TypeName::new(&request.r#type)?;
        let deployed = self.0.control.deploy(request).await?;
        self.0.catalog.shows(&deployed.r#type, deployed.revision).await;
        Ok(deployed)
    }

    /// A stream for a client: with our words for errors, and ended before the process does.
    fn stream<T: Send + 'static>(
        &self,
        items: impl Stream<Item = Result<T, CallError>> + Send + 'static,
    ) -> BoxStream<'static, Result<T, Status>> {
        items
            .map(|item| item.map_err(|error| error_to_status(&error)))
            .take_until(self.0.ending.clone().cancelled_owned())
            .boxed()
    }
}

#[tonic::async_trait]
impl AdminService for Admin {
    async fn upload_type(
        &self,
        request: Request<Streaming<UploadTypeRequest>>,
    ) -> Result<Response<UploadTypeResponse>, Status> {
        self.answer(self.upload(request.into_inner())).await
    }

    async fn list_types(
        &self,
        _: Request<ListTypesRequest>,
    ) -> Result<Response<ListTypesResponse>, Status> {
        self.answer(async {
            let known = self.0.catalog.known()?;
            let types = known.types().iter().map(|described| described.info.clone()).collect();
            Ok(ListTypesResponse { types })
        })
        .await
    }

    async fn deploy(
        &self,
        request: Request<DeployRequest>,
    ) -> Result<Response<DeployResponse>, Status> {
        self.answer(self.deploy(request.into_inner())).await
    }

    type RolloutStream = BoxStream<'static, Result<RolloutProgress, Status>>;

    async fn rollout(
        &self,
        request: Request<RolloutRequest>,
    ) -> Result<Response<Self::RolloutStream>, Status> {
        let (metadata, _, request) = request.into_parts();
        self.answer(async {
            TypeName::new(&request.r#type)?;
            let deadline = terms(&self.0, &metadata)?.deadline.into();
            Ok(self.stream(self.0.control.rollout(request, deadline).await?))
        })
        .await
    }

    type TailLogsStream = BoxStream<'static, Result<LogLine, Status>>;

    async fn tail_logs(
        &self,
        request: Request<TailLogsRequest>,
    ) -> Result<Response<Self::TailLogsStream>, Status> {
        let (metadata, _, request) = request.into_parts();
        self.answer(async {
            let deadline = terms(&self.0, &metadata)?.deadline.into();
            Ok(self.stream(self.0.control.logs(request, deadline).await?))
        })
        .await
    }

    async fn list_dead_letters(
        &self,
        request: Request<ListDeadLettersRequest>,
    ) -> Result<Response<ListDeadLettersResponse>, Status> {
        let (metadata, _, request) = request.into_parts();
        self.answer(async {
            let from = request.object.as_ref();
            let from = from.map(|from| ref_to_object(Some(from))).transpose()?;
            let deadline = terms(&self.0, &metadata)?.deadline.into();
            let control = &self.0.control;
            control.dead_letters(from.as_ref(), request.after, request.limit, deadline).await
        })
        .await
    }

    async fn get_dead_letter(
        &self,
        request: Request<GetDeadLetterRequest>,
    ) -> Result<Response<DeadLetter>, Status> {
        let (metadata, _, GetDeadLetterRequest { number }) = request.into_parts();
        self.answer(async {
            let deadline = terms(&self.0, &metadata)?.deadline.into();
            self.0.control.dead_letter(number, deadline).await
        })
        .await
    }

    async fn retry_dead_letter(
        &self,
        request: Request<RetryDeadLetterRequest>,
    ) -> Result<Response<RetryDeadLetterResponse>, Status> {
        let (metadata, _, RetryDeadLetterRequest { number }) = request.into_parts();
        self.answer(async {
            let deadline = terms(&self.0, &metadata)?.deadline.into();
            self.0.control.retry_dead_letter(number, deadline).await?;
            Ok(RetryDeadLetterResponse {})
        })
        .await
    }

    async fn drop_dead_letter(
        &self,
        request: Request<DropDeadLetterRequest>,
    ) -> Result<Response<DropDeadLetterResponse>, Status> {
        let (metadata, _, DropDeadLetterRequest { number }) = request.into_parts();
        self.answer(async {
            let deadline = terms(&self.0, &metadata)?.deadline.into();
            self.0.control.drop_dead_letter(number, deadline).await?;
            Ok(DropDeadLetterResponse {})
        })
        .await
    }

    async fn list_reminders(
        &self,
        request: Request<ListRemindersRequest>,
    ) -> Result<Response<ListRemindersResponse>, Status> {
        let (metadata, _, request) = request.into_parts();
        self.answer(async {
            let object = ref_to_object(request.object.as_ref())?;
            let deadline = terms(&self.0, &metadata)?.deadline.into();
            let reminders = self.0.control.reminders(&object, deadline).await?;
            Ok(ListRemindersResponse { reminders })
        })
        .await
    }
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
