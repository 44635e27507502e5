//! A node without objects: it says who called what, or fails as its method's name asks for.

mod dead_letters;
mod words;

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    time::Instant,
};

use bytes::Bytes;
use futures_util::{
    StreamExt as _,
    stream::{self, BoxStream},
};
use tokio::{
    net::TcpListener,
    sync::{mpsc, watch},
};
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream, WatchStream};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::{Request, Response, Status, Streaming, transport::Server};
use wasmverse_core::{Action, Call, CallError, ErrorKind, Reply};
use wasmverse_proto::{
    PROTOCOL,
    admin::{
        DeadLetter, DeployRequest, DeployResponse, DropDeadLetterRequest, DropDeadLetterResponse,
        GetDeadLetterRequest, ListDeadLettersRequest, ListDeadLettersResponse,
        ListRemindersRequest, ListRemindersResponse, ListTypesRequest, ListTypesResponse, LogLine,
        Refusal, RetryDeadLetterRequest, RetryDeadLetterResponse, RolloutProgress, RolloutRequest,
        TailLogsRequest, TypeInfo, UploadTypeRequest, UploadTypeResponse,
        upload_type_request::Part,
    },
    convert::{error_to_status, frame_to_call, ref_to_object, reply_to_frame},
    gate::{ListObjectsRequest, ListObjectsResponse, ObjectInfo, ObjectRef},
    node::{
        AdoptTypeRequest, AdoptTypeResponse, CallFrame, Frame, Frames, HandOverAnswer,
        HandOverPart, Hello, PrepareTypeRequest, PrepareTypeResponse, PushFrame, ReplyFrame,
        frame::Frame as Kind,
        node_service_server::{NodeService, NodeServiceServer},
    },
};

use dead_letters::DeadLetters;
use words::{caller, who};
pub(crate) use words::{described, failure};

type Streamed<T> = BoxStream<'static, Result<T, Status>>;

/// What a node saw of an upload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Upload {
    Complete(usize),
    BrokenOff,
}

/// The node, and what it saw. Clones are one.
#[derive(Clone)]
pub(crate) struct Node {
    name: &'static str,
    /// What it lists beside `a/b`, as live.
    pub(crate) live: Arc<Mutex<Vec<&'static str>>>,
    pub(crate) types: watch::Sender<Vec<TypeInfo>>,
    pub(crate) uploads: watch::Sender<Vec<Upload>>,
    pub(crate) cancelled: watch::Sender<usize>,
    /// Lets those go that wait at it.
    pub(crate) release: CancellationToken,
    pub(crate) waiting: watch::Sender<usize>,
    listed: Arc<Mutex<Vec<ListObjectsRequest>>>,
    /// Where pushes leave; the latest link is the last.
    links: Arc<Mutex<Vec<mpsc::Sender<Kind>>>>,
    pushed: Arc<AtomicU64>,
    pub(crate) acknowledged: watch::Sender<u64>,
    /// Objects that heard of clients that are gone.
    pub(crate) gone: watch::Sender<Vec<(String, Vec<String>)>>,
    pub(crate) dead_letters: DeadLetters,
    tasks: TaskTracker,
}

impl Node {
    pub(crate) fn new(types: Vec<TypeInfo>) -> Self {
        Self::named("node-1", types)
    }

    /// One of several.
    pub(crate) fn named(name: &'static str, types: Vec<TypeInfo>) -> Self {
        Self {
            name,
            live: Arc::default(),
            types: watch::Sender::new(types),
            uploads: watch::Sender::default(),
            cancelled: watch::Sender::default(),
            release: CancellationToken::new(),
            waiting: watch::Sender::default(),
            listed: Arc::default(),
            links: Arc::default(),
            pushed: Arc::default(),
            acknowledged: watch::Sender::default(),
            gone: watch::Sender::default(),
            dead_letters: DeadLetters::new(),
            tasks: TaskTracker::new(),
        }
    }

    pub(crate) fn serve(&self, listener: TcpListener) {
        let service = NodeServiceServer::new(self.clone())
            .max_decoding_message_size(16 << 20)
            .max_encoding_message_size(16 << 20);
        let incoming = TcpListenerStream::new(listener);
        let serving = Server::builder().add_service(service).serve_with_incoming(incoming);
        self.tasks.spawn(async move { serving.await.unwrap() });
    }

    pub(crate) fn last_listed(&self) -> ListObjectsRequest {
        self.listed.lock().unwrap().last().cloned().unwrap()
    }

    /// Pushes from `Json/x` to these clients of the gate; none: all.
    pub(crate) async fn push(&self, clients: &[&str], event: &str, payload: &str) {
        self.push_from("Json", clients, event, payload).await;
    }

    pub(crate) async fn push_from(&self, from: &str, to: &[&str], event: &str, payload: &str) {
        let frame = PushFrame {
            id: self.pushed.fetch_add(1, SeqCst) + 1,
            from: Some(ObjectRef { r#type: from.into(), id: "x".into() }),
            clients: to.iter().map(ToString::to_string).collect(),
            event: event.into(),
            payload: payload.to_owned().into(),
            lost: false,
        };
        let link = self.links.lock().unwrap().last().cloned().expect("a gate has linked up");
        link.send(Kind::Push(frame)).await.unwrap();
    }

    fn info(&self, id: &str) -> ObjectInfo {
        ObjectInfo {
            object: Some(ObjectRef { r#type: "Json".into(), id: id.into() }),
            state: "live".into(),
            node: self.name.into(),
            revision: 4,
            updated_at_micros: 1_500_000_000_123_456,
        }
    }

    async fn answer(&self, call: Call) -> Result<Reply, CallError> {
        let known =
            self.types.borrow().iter().any(|t| t.r#type == call.object.type_name().as_str());
        if !known {
            return Err(CallError::new(ErrorKind::NotFound, "no such type").about(&call.object));
        }
        match &call.action {
            Action::Invoke(invocation) => {
                let method = invocation.method.to_string();
                let payload = invocation.payload.clone();
                self.invoke(&call, &method, payload).await
            }
            Action::Create if call.object.id() == "taken" => {
                Err(CallError::new(ErrorKind::AlreadyExists, "it is there").about(&call.object))
            }
            Action::ClientsGone(clients) => {
                let clients = clients.iter().map(ToString::to_string).collect();
                self.gone.send_modify(|gone| gone.push((call.object.to_string(), clients)));
                Ok(Reply::Done)
            }
            Action::Create | Action::Delete | Action::Deliver(..) => Ok(Reply::Done),
            Action::Exists => Ok(Reply::Exists(true)),
        }
    }

    async fn invoke(&self, call: &Call, method: &str, payload: Bytes) -> Result<Reply, CallError> {
        if let Some(kind) = ErrorKind::from_name(method) {
            return Err(failure(kind, &call.object));
        }
        match method {
            "echo" => Ok(Reply::Payload(payload)),
            "nothing" => Ok(Reply::Payload(Bytes::new())),
            "caller" => Ok(Reply::Payload(caller(call).to_string().into())),
            "who" => Ok(Reply::Payload(who(call).into())),
            "large" => Ok(Reply::Payload(format!("\"{}\"", "x".repeat(100_000)).into())),
            "wait" => {
                self.waiting.send_modify(|waiting| *waiting += 1);
                self.release.cancelled().await;
                Ok(Reply::Payload("\"released\"".into()))
            }
            _ => Err(CallError::new(ErrorKind::NotFound, "no such method").about(&call.object)),
        }
    }
}

#[tonic::async_trait]
impl NodeService for Node {
    type LinkStream = Streamed<Frames>;

    async fn link(
        &self,
        request: Request<Streaming<Frames>>,
    ) -> Result<Response<Self::LinkStream>, Status> {
        let mut inbound = request.into_inner();
        let (sender, receiver) = mpsc::channel(1024);
        let node = self.clone();
        self.tasks.spawn(async move {
            while let Ok(Some(batch)) = inbound.message().await {
                for frame in batch.frames {
                    match frame.frame {
                        Some(Kind::Hello(theirs)) => {
                            let hello = Hello {
                                protocol: PROTOCOL,
                                id: node.name.into(),
                                incarnation: "1".into(),
                                cluster: match theirs.cluster.as_str() {
                                    "" => "c".into(),
                                    cluster => cluster.into(),
                                },
                                role: "node".into(),
                                shards: theirs.shards,
                                ..Hello::default()
                            };
                            let _ = sender.send(Kind::Hello(hello)).await;
                            node.links.lock().unwrap().push(sender.clone());
                        }
                        Some(Kind::Call(call)) => {
                            let (node, sender) = (node.clone(), sender.clone());
                            node.tasks.clone().spawn(async move {
                                let id = call.id;
                                let call = frame_to_call(call, Instant::now()).unwrap();
                                let reply = reply_to_frame(id, node.answer(call).await);
                                let _ = sender.send(Kind::Reply(reply)).await;
                            });
                        }
                        Some(Kind::PushAck(ack)) => {
                            node.acknowledged.send_replace(ack.id);
                        }
                        Some(Kind::Cancel(_)) => node.cancelled.send_modify(|count| *count += 1),
                        _ => {}
                    }
                }
            }
        });
        let frames = ReceiverStream::new(receiver)
            .map(|frame| Ok(Frames { frames: vec![Frame { frame: Some(frame) }] }));
        Ok(Response::new(frames.boxed()))
    }

    async fn call(&self, request: Request<CallFrame>) -> Result<Response<ReplyFrame>, Status> {
        let call = frame_to_call(request.into_inner(), Instant::now()).unwrap();
        Ok(Response::new(reply_to_frame(0, self.answer(call).await)))
    }

    async fn list_objects(
        &self,
        request: Request<ListObjectsRequest>,
    ) -> Result<Response<ListObjectsResponse>, Status> {
        let request = request.into_inner();
        let last = request.page == "2";
        self.listed.lock().unwrap().push(request);
        let next_page = if last { String::new() } else { "2".into() };
        let mut objects = vec![self.info("a/b")];
        objects.extend(self.live.lock().unwrap().iter().map(|id| self.info(id)));
        Ok(Response::new(ListObjectsResponse { objects, next_page }))
    }

    async fn get_object(
        &self,
        request: Request<ObjectRef>,
    ) -> Result<Response<ObjectInfo>, Status> {
        let object = ref_to_object(Some(request.get_ref())).unwrap();
        if object.id() == "stranger" {
            let error = CallError::new(ErrorKind::NotFound, "nothing is known of it");
            return Err(error_to_status(&error));
        }
        Ok(Response::new(self.info(object.id())))
    }

    type WatchTypesStream = Streamed<ListTypesResponse>;

    async fn watch_types(
        &self,
        _: Request<ListTypesRequest>,
    ) -> Result<Response<Self::WatchTypesStream>, Status> {
        let types = WatchStream::new(self.types.subscribe());
        Ok(Response::new(types.map(|types| Ok(ListTypesResponse { types })).boxed()))
    }

    async fn upload_type(
        &self,
        request: Request<Streaming<UploadTypeRequest>>,
    ) -> Result<Response<UploadTypeResponse>, Status> {
        let mut parts = request.into_inner();
        let (mut bytes, mut store_only) = (Vec::new(), None);
        // Says so even if this request is dropped in the middle.
        let uploads = self.uploads.clone();
        let mut seen = Seen { uploads, upload: Upload::BrokenOff };
        while let Some(message) = parts.message().await? {
            match message.part {
                Some(Part::Header(header)) => store_only = Some(header.store_only),
                Some(Part::Chunk(chunk)) => bytes.extend_from_slice(&chunk),
                Some(Part::Complete(true)) => seen.upload = Upload::Complete(bytes.len()),
                Some(Part::Complete(false)) | None => {}
            }
        }
        if seen.upload == Upload::BrokenOff {
            return Err(Status::invalid_argument("it broke off"));
        }
        if bytes.starts_with(b"bad") {
            let message = "not a component: it starts with `bad`; build it with `wasmverse build`";
            let error = CallError::new(ErrorKind::InvalidArgument, message);
            return Err(error_to_status(&error));
        }
        let active = !store_only.expect("the header comes first");
        if active {
            self.types.send_modify(|types| types.push(described("Fresh", "json")));
        }
        Ok(Response::new(UploadTypeResponse {
            r#type: "Fresh".into(),
            revision: 1,
            digest: "d1".into(),
            active,
        }))
    }

    async fn list_types(
        &self,
        _: Request<ListTypesRequest>,
    ) -> Result<Response<ListTypesResponse>, Status> {
        Ok(Response::new(ListTypesResponse { types: self.types.borrow().clone() }))
    }

    async fn deploy(
        &self,
        request: Request<DeployRequest>,
    ) -> Result<Response<DeployResponse>, Status> {
        let DeployRequest { r#type, revision } = request.into_inner();
        let digest = format!("d{revision}");
        self.types.send_modify(|types| {
            let found = types.iter_mut().find(|known| known.r#type == r#type);
            if let Some(known) = found {
                known.revision = revision;
            }
        });
        Ok(Response::new(DeployResponse { r#type, revision, digest }))
    }

    type RolloutStream = Streamed<RolloutProgress>;

    async fn rollout(
        &self,
        request: Request<RolloutRequest>,
    ) -> Result<Response<Self::RolloutStream>, Status> {
        let name = request.into_inner().r#type;
        let step = move |moved, done| RolloutProgress {
            r#type: name.clone(),
            revision: 2,
            live: 3,
            moved,
            refused: vec![Refusal { id: "x".into(), reason: "it will not".into() }],
            done,
            gone: 0,
            refused_total: 1,
        };
        let steps = vec![Ok(step(1, false)), Ok(step(2, true))];
        Ok(Response::new(stream::iter(steps).boxed()))
    }

    type TailLogsStream = Streamed<LogLine>;

    async fn tail_logs(
        &self,
        request: Request<TailLogsRequest>,
    ) -> Result<Response<Self::TailLogsStream>, Status> {
        let request = request.into_inner();
        let lines: Vec<_> = (0..request.recent)
            .map(|n| {
                Ok(LogLine {
                    at_micros: 1_500_000_000_000_000 + i64::from(n),
                    r#type: request.r#type.clone(),
                    id: request.id.clone(),
                    level: "info".into(),
                    message: format!("line {n}"),
                    fields: [("n".to_owned(), n.to_string())].into(),
                    ..LogLine::default()
                })
            })
            .collect();
        Ok(Response::new(stream::iter(lines).chain(stream::pending()).boxed()))
    }

    async fn list_dead_letters(
        &self,
        request: Request<ListDeadLettersRequest>,
    ) -> Result<Response<ListDeadLettersResponse>, Status> {
        Ok(Response::new(self.dead_letters.list(request.get_ref())))
    }

    async fn get_dead_letter(
        &self,
        request: Request<GetDeadLetterRequest>,
    ) -> Result<Response<DeadLetter>, Status> {
        self.dead_letters.get(request.get_ref().number).map(Response::new)
    }

    async fn retry_dead_letter(
        &self,
        request: Request<RetryDeadLetterRequest>,
    ) -> Result<Response<RetryDeadLetterResponse>, Status> {
        self.dead_letters.retry(request.get_ref().number)?;
        Ok(Response::new(RetryDeadLetterResponse {}))
    }

    async fn drop_dead_letter(
        &self,
        request: Request<DropDeadLetterRequest>,
    ) -> Result<Response<DropDeadLetterResponse>, Status> {
        self.dead_letters.forget(request.get_ref().number)?;
        Ok(Response::new(DropDeadLetterResponse {}))
    }

    async fn list_reminders(
        &self,
        request: Request<ListRemindersRequest>,
    ) -> Result<Response<ListRemindersResponse>, Status> {
        let reminders = dead_letters::reminders(request.get_ref().object.as_ref());
        Ok(Response::new(ListRemindersResponse { reminders }))
    }

    type HandOverStream = Streamed<HandOverAnswer>;

    async fn hand_over(
        &self,
        _: Request<Streaming<HandOverPart>>,
    ) -> Result<Response<Self::HandOverStream>, Status> {
        Err(no_business_of_gates())
    }

    async fn prepare_type(
        &self,
        _: Request<PrepareTypeRequest>,
    ) -> Result<Response<PrepareTypeResponse>, Status> {
        Err(no_business_of_gates())
    }

    async fn adopt_type(
        &self,
        _: Request<AdoptTypeRequest>,
    ) -> Result<Response<AdoptTypeResponse>, Status> {
        Err(no_business_of_gates())
    }
}

/// What nodes ask each other.
fn no_business_of_gates() -> Status {
    Status::unimplemented("a gate asks for no such thing")
}

/// Notes what became of an upload when it is over, however it ends.
struct Seen {
    uploads: watch::Sender<Vec<Upload>>,
    upload: Upload,
}

impl Drop for Seen {
    fn drop(&mut self) {
        self.uploads.send_modify(|uploads| uploads.push(self.upload.clone()));
    }
}
