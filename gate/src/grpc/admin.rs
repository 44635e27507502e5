//! `AdminService`: what operators call. Who is none was turned away before.

mod upload;

use std::{future::Future, sync::Arc};

use futures_util::{Stream, StreamExt as _, stream::BoxStream};
use tonic::{Request, Response, Status, Streaming};
use wasmverse_core::{CallError, TypeName};
use wasmverse_proto::{
    admin::{
        ClusterStatusRequest, ClusterStatusResponse, DeadLetter, DeployRequest, DeployResponse,
        DrainNodeRequest, DrainNodeResponse, DropDeadLetterRequest, DropDeadLetterResponse,
        GetDeadLetterRequest, ListDeadLettersRequest, ListDeadLettersResponse,
        ListRemindersRequest, ListRemindersResponse, ListShardsRequest, ListShardsResponse,
        ListTypesRequest, ListTypesResponse, LogLine, MoveShardRequest, MoveShardResponse,
        PinShardRequest, PinShardResponse, RetryDeadLetterRequest, RetryDeadLetterResponse,
        RolloutProgress, RolloutRequest, TailLogsRequest, UndrainNodeRequest, UndrainNodeResponse,
        UnpinShardRequest, UnpinShardResponse, UploadTypeRequest, UploadTypeResponse,
        admin_service_server::AdminService,
    },
    convert::{error_to_status, ref_to_object},
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
        self.answer(upload::take_in(&self.0, request.into_inner())).await
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

    async fn cluster_status(
        &self,
        _: Request<ClusterStatusRequest>,
    ) -> Result<Response<ClusterStatusResponse>, Status> {
        self.answer(async { Ok(self.0.operations.status()) }).await
    }

    async fn list_shards(
        &self,
        _: Request<ListShardsRequest>,
    ) -> Result<Response<ListShardsResponse>, Status> {
        self.answer(async { Ok(self.0.operations.shards()) }).await
    }

    async fn move_shard(
        &self,
        request: Request<MoveShardRequest>,
    ) -> Result<Response<MoveShardResponse>, Status> {
        let (metadata, _, MoveShardRequest { shard, node }) = request.into_parts();
        self.answer(async {
            let deadline = terms(&self.0, &metadata)?.deadline.into();
            let epoch = self.0.operations.move_shard(shard, &node, deadline).await?;
            Ok(MoveShardResponse { epoch: epoch.0 })
        })
        .await
    }

    async fn pin_shard(
        &self,
        request: Request<PinShardRequest>,
    ) -> Result<Response<PinShardResponse>, Status> {
        let (metadata, _, PinShardRequest { shard, node }) = request.into_parts();
        self.answer(async {
            let deadline = terms(&self.0, &metadata)?.deadline.into();
            self.0.operations.pin(shard, &node, deadline).await?;
            Ok(PinShardResponse {})
        })
        .await
    }

    async fn unpin_shard(
        &self,
        request: Request<UnpinShardRequest>,
    ) -> Result<Response<UnpinShardResponse>, Status> {
        let (metadata, _, UnpinShardRequest { shard }) = request.into_parts();
        self.answer(async {
            let deadline = terms(&self.0, &metadata)?.deadline.into();
            self.0.operations.unpin(shard, deadline).await?;
            Ok(UnpinShardResponse {})
        })
        .await
    }

    async fn drain_node(
        &self,
        request: Request<DrainNodeRequest>,
    ) -> Result<Response<DrainNodeResponse>, Status> {
        let (metadata, _, DrainNodeRequest { node }) = request.into_parts();
        self.answer(async {
            let deadline = terms(&self.0, &metadata)?.deadline.into();
            self.0.operations.drain(&node, deadline).await?;
            Ok(DrainNodeResponse {})
        })
        .await
    }

    async fn undrain_node(
        &self,
        request: Request<UndrainNodeRequest>,
    ) -> Result<Response<UndrainNodeResponse>, Status> {
        let (metadata, _, UndrainNodeRequest { node }) = request.into_parts();
        self.answer(async {
            let deadline = terms(&self.0, &metadata)?.deadline.into();
            self.0.operations.undrain(&node, deadline).await?;
            Ok(UndrainNodeResponse {})
        })
        .await
    }
}
