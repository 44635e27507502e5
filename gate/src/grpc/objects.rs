//! `GateService`: what clients call.

use std::{future::Future, sync::Arc};

use tonic::{Request, Response, Status, metadata::MetadataMap};
use wasmverse_core::{Action, CallError, Reply};
use wasmverse_proto::{
    convert::{error_to_status, ref_to_object},
    gate::{
        CallObjectRequest, CallObjectResponse, CreateObjectRequest, CreateObjectResponse,
        DeleteObjectRequest, DeleteObjectResponse, ListObjectsRequest, ListObjectsResponse,
        ObjectRef, OpenSessionRequest, gate_service_server::GateService,
    },
};

use super::{session, terms::terms};
use crate::{
    call::Desk,
    metrics::{Operation, Surface},
    sessions::Talk,
};

/// Objects, over gRPC.
#[derive(Debug)]
pub(crate) struct Objects(pub(crate) Arc<Desk>);

impl Objects {
    /// Measures, and turns an error into its status.
    async fn answer<T>(
        &self,
        operation: Operation,
        work: impl Future<Output = Result<T, CallError>>,
    ) -> Result<Response<T>, Status> {
        let measure = self.0.meter.begin(Surface::Grpc, operation);
        let result = work.await;
        measure.end(&result);
        result.map(Response::new).map_err(|error| error_to_status(&error))
    }

    async fn call(
        &self,
        metadata: &MetadataMap,
        request: CallObjectRequest,
    ) -> Result<CallObjectResponse, CallError> {
        let object = ref_to_object(request.object.as_ref())?;
        let terms = terms(&self.0, metadata)?;
        let key = Some(request.idempotency_key.as_str()).filter(|key| !key.is_empty());
        let action = self.0.invocation(&request.method, request.payload, key)?;
        let payload = self.0.ask(object, action, terms).await?.into_payload();
        Ok(CallObjectResponse { payload })
    }

    async fn act(
        &self,
        metadata: &MetadataMap,
        object: Option<&ObjectRef>,
        action: Action,
    ) -> Result<Reply, CallError> {
        let object = ref_to_object(object)?;
        self.0.ask(object, action, terms(&self.0, metadata)?).await
    }
}

#[tonic::async_trait]
impl GateService for Objects {
    type OpenSessionStream = session::Events;

    async fn call_object(
        &self,
        request: Request<CallObjectRequest>,
    ) -> Result<Response<CallObjectResponse>, Status> {
        let (metadata, _, request) = request.into_parts();
        self.answer(Operation::Call, self.call(&metadata, request)).await
    }

    async fn create_object(
        &self,
        request: Request<CreateObjectRequest>,
    ) -> Result<Response<CreateObjectResponse>, Status> {
        let (metadata, _, request) = request.into_parts();
        self.answer(Operation::Create, async {
            self.act(&metadata, request.object.as_ref(), Action::Create).await?;
            Ok(CreateObjectResponse {})
        })
        .await
    }

    async fn delete_object(
        &self,
        request: Request<DeleteObjectRequest>,
    ) -> Result<Response<DeleteObjectResponse>, Status> {
        let (metadata, _, request) = request.into_parts();
        self.answer(Operation::Delete, async {
            self.act(&metadata, request.object.as_ref(), Action::Delete).await?;
            Ok(DeleteObjectResponse {})
        })
        .await
    }

    async fn open_session(
        &self,
        request: Request<OpenSessionRequest>,
    ) -> Result<Response<Self::OpenSessionStream>, Status> {
        let OpenSessionRequest { session_token, last_seq } = request.into_inner();
        self.answer(Operation::Session, async {
            let sessions = &self.0.sessions;
            let attached = match session_token.as_str() {
                "" => sessions.open(),
                token => sessions.resume(token, last_seq),
            }?;
            Ok(session::events(Talk::new(attached, &self.0.ending)))
        })
        .await
    }

    async fn list_objects(
        &self,
        request: Request<ListObjectsRequest>,
    ) -> Result<Response<ListObjectsResponse>, Status> {
        let (metadata, _, request) = request.into_parts();
        self.answer(Operation::List, async {
            let deadline = terms(&self.0, &metadata)?.deadline.into();
            self.0.control.list(request, deadline).await
        })
        .await
    }
}
