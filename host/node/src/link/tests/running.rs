//! A node of fakes that serves the real service's link, and routers to it.

use std::{net::SocketAddr, pin::Pin, sync::Arc, time::Duration, time::Instant};

use bytes::Bytes;
use tokio::{net::TcpListener, sync::watch, task::JoinHandle};
use tokio_stream::{Stream, StreamExt as _, wrappers::WatchStream};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::{Request, Response, Status, Streaming};
use wasmverse_core::{Action, Call, Caller, Chain, Invocation, ShardCount};
use wasmverse_proto::{
    admin::{
        DeadLetter, DeployRequest, DeployResponse, DropDeadLetterRequest, DropDeadLetterResponse,
        GetDeadLetterRequest, ListDeadLettersRequest, ListDeadLettersResponse,
        ListRemindersRequest, ListRemindersResponse, ListTypesRequest, ListTypesResponse, LogLine,
        RetryDeadLetterRequest, RetryDeadLetterResponse, RolloutProgress, RolloutRequest,
        TailLogsRequest, TypeInfo, UploadTypeRequest, UploadTypeResponse,
    },
    gate::{ListObjectsRequest, ListObjectsResponse, ObjectInfo, ObjectRef},
    node::{
        AdoptTypeRequest, AdoptTypeResponse, CallFrame, Frames, HandOverAnswer, HandOverPart,
        PrepareTypeRequest, PrepareTypeResponse, ReplyFrame, node_service_server::NodeService,
    },
};
use wasmverse_router::{LinkBounds, Router, RouterConfig};

use super::callee::Fake;
use crate::{
    gates::tests::Nobody,
    link::{Bounds, Ending, Identity, LinkStream, Links},
    serve::serve,
};

/// A node that runs.
pub(super) struct Running {
    pub(super) fake: Fake,
    pub(super) address: SocketAddr,
    pub(super) ending: Ending,
    pub(super) types: watch::Sender<ListTypesResponse>,
    server: JoinHandle<()>,
}

/// What a test's node is like.
pub(super) struct Setup {
    pub(super) bounds: Bounds,
    pub(super) secret: Option<&'static str>,
    pub(super) cluster: &'static str,
    pub(super) drain: Duration,
    /// What was there before, if this is a restart.
    pub(super) fake: Fake,
    pub(super) address: SocketAddr,
}

impl Default for Setup {
    fn default() -> Self {
        let bounds = Bounds::default();
        let drain = Duration::from_secs(10);
        let address = ([127, 0, 0, 1], 0).into();
        Self { bounds, secret: None, cluster: "c", drain, fake: Fake::new(), address }
    }
}

impl Running {
    pub(super) async fn start(setup: Setup, tasks: &TaskTracker) -> Self {
        let listener = TcpListener::bind(setup.address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (fake, ending) = (setup.fake, Ending::default());
        let identity = Identity {
            id: "n1".into(),
            incarnation: "1".into(),
            cluster: setup.cluster.into(),
            shards: ShardCount::default(),
        };
        let links = Links::new(
            Arc::new(fake.clone()),
            (fake.gates.clone(), None),
            identity,
            setup.bounds,
            ending.clone(),
            metrics::Gauge::noop(),
        );
        let types = watch::Sender::new(ListTypesResponse::default());
        let service = Service { links, types: types.clone(), ending: ending.clone() };
        let end = ending.clone();
        let server = tasks.spawn(async move {
            serve(service, setup.secret, listener, end, setup.drain).await.unwrap();
        });
        Self { fake, address, ending, types, server }
    }

    /// Asks the server to end, and waits for it.
    pub(super) async fn stop(self) -> Fake {
        self.ending.drain.cancel();
        tokio::time::timeout(Duration::from_secs(20), self.server).await.unwrap().unwrap();
        self.fake
    }
}

pub(super) fn config() -> RouterConfig {
    RouterConfig {
        secret: None,
        id: "g1".into(),
        incarnation: "1".into(),
        address: "g1".into(),
        shards: ShardCount::default(),
        bounds: LinkBounds::default(),
    }
}

pub(super) fn router(config: RouterConfig, nodes: &[SocketAddr], tasks: &TaskTracker) -> Router {
    let nodes = nodes.iter().map(ToString::to_string).collect();
    Router::to(config, nodes, Some(Arc::new(Nobody)), tasks, CancellationToken::new())
}

pub(super) fn call(id: &str, method: &str, payload: impl Into<Bytes>) -> Call {
    Call {
        object: format!("T/{id}").parse().unwrap(),
        action: Action::Invoke(Invocation {
            method: method.into(),
            payload: payload.into(),
            key: None,
            read_only: false,
        }),
        caller: Caller::Client(None),
        chain: Chain::default(),
        deadline: Instant::now() + Duration::from_secs(20),
        traceparent: None,
    }
}

pub(super) fn type_info(name: &str) -> TypeInfo {
    TypeInfo { r#type: name.into(), ..TypeInfo::default() }
}

struct Service {
    links: Links,
    types: watch::Sender<ListTypesResponse>,
    ending: Ending,
}

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl NodeService for Service {
    type LinkStream = LinkStream<Streaming<Frames>>;
    type WatchTypesStream = Answers<ListTypesResponse>;
    type RolloutStream = Answers<RolloutProgress>;
    type TailLogsStream = Answers<LogLine>;
    type HandOverStream = Answers<HandOverAnswer>;

    async fn link(
        &self,
        request: Request<Streaming<Frames>>,
    ) -> Result<Response<Self::LinkStream>, Status> {
        Ok(Response::new(self.links.accept(request.into_inner())))
    }

    async fn call(&self, request: Request<CallFrame>) -> Result<Response<ReplyFrame>, Status> {
        Ok(Response::new(self.links.call(request.into_inner()).await))
    }

    async fn watch_types(
        &self,
        _: Request<ListTypesRequest>,
    ) -> Result<Response<Self::WatchTypesStream>, Status> {
        let types = WatchStream::new(self.types.subscribe()).map(Ok);
        let over = self.ending.drain.clone().cancelled_owned();
        Ok(Response::new(Box::pin(futures_util::StreamExt::take_until(types, over))))
    }

    async fn list_types(
        &self,
        _: Request<ListTypesRequest>,
    ) -> Result<Response<ListTypesResponse>, Status> {
        Ok(Response::new(self.types.borrow().clone()))
    }

    async fn list_objects(
        &self,
        _: Request<ListObjectsRequest>,
    ) -> Result<Response<ListObjectsResponse>, Status> {
        Err(Status::unimplemented("not here"))
    }

    async fn get_object(&self, _: Request<ObjectRef>) -> Result<Response<ObjectInfo>, Status> {
        Err(Status::unimplemented("not here"))
    }

    async fn upload_type(
        &self,
        _: Request<Streaming<UploadTypeRequest>>,
    ) -> Result<Response<UploadTypeResponse>, Status> {
        Err(Status::unimplemented("not here"))
    }

    async fn deploy(&self, _: Request<DeployRequest>) -> Result<Response<DeployResponse>, Status> {
        Err(Status::unimplemented("not here"))
    }

    async fn rollout(
        &self,
        _: Request<RolloutRequest>,
    ) -> Result<Response<Self::RolloutStream>, Status> {
        Err(Status::unimplemented("not here"))
    }

    async fn tail_logs(
        &self,
        _: Request<TailLogsRequest>,
    ) -> Result<Response<Self::TailLogsStream>, Status> {
        Err(Status::unimplemented("not here"))
    }
    async fn list_dead_letters(
        &self,
        _: Request<ListDeadLettersRequest>,
    ) -> Result<Response<ListDeadLettersResponse>, Status> {
        Err(Status::unimplemented("not here"))
    }

    async fn get_dead_letter(
        &self,
        _: Request<GetDeadLetterRequest>,
    ) -> Result<Response<DeadLetter>, Status> {
        Err(Status::unimplemented("not here"))
    }

    async fn retry_dead_letter(
        &self,
        _: Request<RetryDeadLetterRequest>,
    ) -> Result<Response<RetryDeadLetterResponse>, Status> {
        Err(Status::unimplemented("not here"))
    }

    async fn drop_dead_letter(
        &self,
        _: Request<DropDeadLetterRequest>,
    ) -> Result<Response<DropDeadLetterResponse>, Status> {
        Err(Status::unimplemented("not here"))
    }

    async fn list_reminders(
        &self,
        _: Request<ListRemindersRequest>,
    ) -> Result<Response<ListRemindersResponse>, Status> {
        Err(Status::unimplemented("not here"))
    }

    async fn hand_over(
        &self,
        _: Request<Streaming<HandOverPart>>,
    ) -> Result<Response<Self::HandOverStream>, Status> {
        Err(Status::unimplemented("not here"))
    }

    async fn prepare_type(
        &self,
        _: Request<PrepareTypeRequest>,
    ) -> Result<Response<PrepareTypeResponse>, Status> {
        Err(Status::unimplemented("not here"))
    }

    async fn adopt_type(
        &self,
        _: Request<AdoptTypeRequest>,
    ) -> Result<Response<AdoptTypeResponse>, Status> {
        Err(Status::unimplemented("not here"))
    }
}
