//! What a node does for gates and operators, as its gRPC service: links, types, objects, logs, dead
//! letters and reminders.

mod dead_letters;
mod hand_over;
mod upload;

use std::{pin::Pin, time::Duration};

use futures_util::{Stream, StreamExt as _, stream};
use tokio::net::TcpListener;
use tokio_stream::wrappers::WatchStream;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};
use wasmverse_core::{CallError, ErrorKind, RevisionNumber, TypeName};
use wasmverse_proto::{
    admin::{
        DeadLetter, DeployRequest, DeployResponse, DropDeadLetterRequest, DropDeadLetterResponse,
        GetDeadLetterRequest, ListDeadLettersRequest, ListDeadLettersResponse,
        ListRemindersRequest, ListRemindersResponse, ListTypesRequest, ListTypesResponse, LogLine,
        RetryDeadLetterRequest, RetryDeadLetterResponse, RolloutProgress, RolloutRequest,
        TailLogsRequest, UploadTypeRequest, UploadTypeResponse,
    },
    convert::{error_to_status, ref_to_object},
    gate::{ListObjectsRequest, ListObjectsResponse, ObjectInfo, ObjectRef},
    node::{
        AdoptTypeRequest, AdoptTypeResponse, CallFrame, Frames, HandOverAnswer, HandOverPart,
        PrepareTypeRequest, PrepareTypeResponse, ReplyFrame, node_service_server::NodeService,
    },
};

use crate::{
    LogFilter, Node,
    link::{Bounds, Ending, Identity, LinkStream, Links},
    serve::serve,
    terms,
};

/// A page of a list, unless it is asked for another length; and at most.
const PAGE_LENGTH: u32 = 100;
const PAGE_LENGTH_MAX: u32 = 1000;
/// How many of the latest lines a reader of logs may begin with.
const RECENT_LINES_MAX: u32 = 1000;

impl Node {
    /// Serves gates and other nodes until `shutdown`; then what is under way may end, within the
    /// drain limit. With a secret, only those who show it are served.
    ///
    /// # Errors
    /// If the listener fails.
    pub async fn listen(
        &self,
        listener: TcpListener,
        secret: Option<&str>,
        shutdown: CancellationToken,
    ) -> anyhow::Result<()> {
        let _listening = self.0.listening.token();
        let ending = Ending { drain: shutdown, cut: CancellationToken::new() };
        let identity = Identity {
            id: self.id().to_owned(),
            incarnation: self.process(),
            cluster: self.cluster_id(),
            shards: self.shards(),
        };
        let callee = std::sync::Arc::new(self.clone());
        let up = self.0.metrics.links.clone();
        let links = Links::new(
            callee,
            (self.0.gates.clone(), Some(self.0.owned.shards.clone())),
            identity,
            Bounds::default(),
            ending.clone(),
            up,
        );
        let service = Service { node: self.clone(), links, ending: ending.clone() };
        // The turns that run when the limit is reached are cut then: their answers still pass.
        let drain = self.config().drain + Duration::from_secs(1);
        Ok(serve(service, secret, listener, ending, drain).await?)
    }
}

struct Service {
    node: Node,
    links: Links,
    ending: Ending,
}

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

impl Service {
    /// A stream of answers that ends when the node does.
    fn answers<T: 'static>(
        &self,
        stream: impl Stream<Item = T> + Send + 'static,
    ) -> Response<Answers<T>> {
        let end = self.ending.drain.clone().cancelled_owned();
        Response::new(Box::pin(stream.map(Ok).take_until(end)))
    }

    /// Carries something through, whether or not the one who asked for it still waits.
    async fn carry_through<T: Send + 'static>(
        &self,
        doing: impl Future<Output = Result<T, CallError>> + Send + 'static,
    ) -> Result<T, Status> {
        let carried = self.node.0.background.spawn(doing).await;
        let lost = |_| CallError::new(ErrorKind::Internal, "it was given up in the middle");
        carried.unwrap_or_else(|error| Err(lost(error))).map_err(|error| error_to_status(&error))
    }
}

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

    async fn list_objects(
        &self,
        request: Request<ListObjectsRequest>,
    ) -> Result<Response<ListObjectsResponse>, Status> {
        let asked = request.into_inner();
        let limit = page_length(asked.limit)?;
        let type_name = optional_type(&asked.r#type)?;
        let after = match asked.page.as_str() {
            "" => None,
            page => Some(page.parse().map_err(|_| refused("`page` is of no list"))?),
        };
        let listed = self.node.list(type_name.as_ref(), &asked.prefix, after.as_ref(), limit).await;
        let (objects, more) = listed.map_err(|error| error_to_status(&error))?;
        let last = objects.last().filter(|_| more);
        let next_page = last.map(|last| last.object.to_string()).unwrap_or_default();
        let objects = objects.iter().map(|status| terms::object(status, self.node.id())).collect();
        Ok(Response::new(ListObjectsResponse { objects, next_page }))
    }

    async fn get_object(
        &self,
        request: Request<ObjectRef>,
    ) -> Result<Response<ObjectInfo>, Status> {
        let object =
            ref_to_object(Some(request.get_ref())).map_err(|error| error_to_status(&error))?;
        let known = self.node.get(&object).await.map_err(|error| error_to_status(&error))?;
        let stranger = || {
            CallError::new(ErrorKind::NotFound, format!("nothing is known of {object}"))
                .about(&object)
        };
        let status = known.ok_or_else(|| error_to_status(&stranger()))?;
        Ok(Response::new(terms::object(&status, self.node.id())))
    }

    async fn watch_types(
        &self,
        _: Request<ListTypesRequest>,
    ) -> Result<Response<Self::WatchTypesStream>, Status> {
        let types = WatchStream::new(self.node.types());
        Ok(self.answers(types.map(|types| terms::types(&types))))
    }

    async fn list_types(
        &self,
        _: Request<ListTypesRequest>,
    ) -> Result<Response<ListTypesResponse>, Status> {
        Ok(Response::new(terms::types(&self.node.types().borrow())))
    }

    async fn upload_type(
        &self,
        request: Request<Streaming<UploadTypeRequest>>,
    ) -> Result<Response<UploadTypeResponse>, Status> {
        let bytes_max = self.node.config().component_bytes_max;
        let (header, component) = upload::receive(request.into_inner(), bytes_max).await?;
        let node = self.node.clone();
        let uploading = async move {
            node.upload(component.freeze(), &header.author, !header.store_only).await
        };
        let uploaded = self.carry_through(uploading).await?;
        Ok(Response::new(UploadTypeResponse {
            r#type: uploaded.type_name.as_str().into(),
            revision: uploaded.number.0,
            digest: uploaded.digest.to_string(),
            active: uploaded.active,
        }))
    }

    async fn deploy(
        &self,
        request: Request<DeployRequest>,
    ) -> Result<Response<DeployResponse>, Status> {
        let asked = request.into_inner();
        let type_name = required_type(&asked.r#type)?;
        let node = self.node.clone();
        let deploying =
            async move { node.deploy(&type_name, RevisionNumber(asked.revision)).await };
        let record = self.carry_through(deploying).await?;
        if !record.active {
            let problem = format!("a later deploy of {} took over", record.type_name);
            return Err(error_to_status(&CallError::new(ErrorKind::Unavailable, problem)));
        }
        Ok(Response::new(DeployResponse {
            r#type: record.type_name.as_str().into(),
            revision: record.number.0,
            digest: wasmverse_engine::Digest(record.digest).to_string(),
        }))
    }

    async fn rollout(
        &self,
        request: Request<RolloutRequest>,
    ) -> Result<Response<Self::RolloutStream>, Status> {
        let type_name = required_type(&request.get_ref().r#type)?;
        let Some(progress) = self.node.rollout(&type_name) else {
            let problem = format!("{type_name} was not deployed since this node started");
            return Err(error_to_status(&CallError::new(ErrorKind::NotFound, problem)));
        };
        // The last one is the one that says that it is done.
        let steps = stream::unfold(Some(WatchStream::new(progress)), move |steps| {
            let type_name = type_name.clone();
            async move {
                let mut steps = steps?;
                let step = steps.next().await?;
                let shown = terms::progress(&type_name, &step);
                Some((shown, (!step.done).then_some(steps)))
            }
        });
        Ok(self.answers(steps))
    }

    async fn tail_logs(
        &self,
        request: Request<TailLogsRequest>,
    ) -> Result<Response<Self::TailLogsStream>, Status> {
        let asked = request.into_inner();
        let filter = LogFilter {
            type_name: optional_type(&asked.r#type)?,
            id: (!asked.id.is_empty()).then_some(asked.id),
        };
        let recent = usize::try_from(asked.recent.min(RECENT_LINES_MAX)).unwrap_or_default();
        let lines = self.node.logs().tail(filter, recent);
        Ok(self.answers(lines.map(|line| terms::log_line(&line))))
    }

    async fn list_dead_letters(
        &self,
        request: Request<ListDeadLettersRequest>,
    ) -> Result<Response<ListDeadLettersResponse>, Status> {
        self.dead_letters(request.get_ref()).await.map(Response::new)
    }

    async fn get_dead_letter(
        &self,
        request: Request<GetDeadLetterRequest>,
    ) -> Result<Response<DeadLetter>, Status> {
        self.dead_letter(request.get_ref().number).await.map(Response::new)
    }

    async fn retry_dead_letter(
        &self,
        request: Request<RetryDeadLetterRequest>,
    ) -> Result<Response<RetryDeadLetterResponse>, Status> {
        self.retry(request.get_ref().number).await?;
        Ok(Response::new(RetryDeadLetterResponse {}))
    }

    async fn drop_dead_letter(
        &self,
        request: Request<DropDeadLetterRequest>,
    ) -> Result<Response<DropDeadLetterResponse>, Status> {
        self.drop_letter(request.get_ref().number).await?;
        Ok(Response::new(DropDeadLetterResponse {}))
    }

    async fn list_reminders(
        &self,
        request: Request<ListRemindersRequest>,
    ) -> Result<Response<ListRemindersResponse>, Status> {
        self.reminders(request.get_ref()).await.map(Response::new)
    }

    async fn hand_over(
        &self,
        request: Request<Streaming<HandOverPart>>,
    ) -> Result<Response<Self::HandOverStream>, Status> {
        self.take_over(request.into_inner()).await
    }

    async fn prepare_type(
        &self,
        request: Request<PrepareTypeRequest>,
    ) -> Result<Response<PrepareTypeResponse>, Status> {
        let asked = request.into_inner();
        let type_name = required_type(&asked.r#type)?;
        let prepared =
            self.node.0.prepare(&type_name, RevisionNumber(asked.revision), &asked.digest);
        prepared.await.map_err(|error| error_to_status(&error))?;
        Ok(Response::new(PrepareTypeResponse {}))
    }

    async fn adopt_type(
        &self,
        request: Request<AdoptTypeRequest>,
    ) -> Result<Response<AdoptTypeResponse>, Status> {
        let type_name = required_type(&request.get_ref().r#type)?;
        let types = &self.node.0.types;
        types.until_adopted(&type_name, request.get_ref().version).await;
        types.get(&type_name).map_err(|error| error_to_status(&error))?;
        Ok(Response::new(AdoptTypeResponse {}))
    }
}

/// How long a page is to be.
fn page_length(asked: u32) -> Result<u32, Status> {
    match asked {
        0 => Ok(PAGE_LENGTH),
        1..=PAGE_LENGTH_MAX => Ok(asked),
        _ => Err(refused(&format!("`limit` is at most {PAGE_LENGTH_MAX}"))),
    }
}

fn required_type(name: &str) -> Result<TypeName, Status> {
    TypeName::new(name).map_err(|error| error_to_status(&error.into()))
}

fn optional_type(name: &str) -> Result<Option<TypeName>, Status> {
    if name.is_empty() { Ok(None) } else { required_type(name).map(Some) }
}

fn refused(problem: &str) -> Status {
    error_to_status(&CallError::new(ErrorKind::InvalidArgument, problem))
}

#[cfg(test)]
mod tests;
