//! The floor: what axum and tonic take to write the same frames to as many clients, with nothing
//! else around it. No session, no object, no order of turns: one list of bounded channels.

use std::{convert::Infallible, net::SocketAddr, pin::Pin, sync::Arc};

use anyhow::Context as _;
use axum::{
    Router,
    body::Body,
    extract::{
        State,
        ws::{Message, WebSocketUpgrade},
    },
    http::header::CONTENT_TYPE,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, stream};
use tokio::{net::TcpListener, sync::mpsc};
use tonic::{Request, Status};
use wasmverse_proto::gate::{
    CallObjectRequest, CallObjectResponse, CreateObjectRequest, CreateObjectResponse,
    DeleteObjectRequest, DeleteObjectResponse, ListObjectsRequest, ListObjectsResponse,
    OpenSessionRequest, SessionEvent, SessionOpened, SessionPush,
    gate_service_server::{GateService, GateServiceServer},
    session_event::Event as Kind,
};
use wasmverse_tests::sessions::Surface;

use super::wire;

/// Messages that may wait for a client.
const WAITING_MAX: usize = 16;
/// As long as the secret of a session.
const TOKEN: &str = "floor-floor-floor-floor-floor-floor-floor-f";

/// What the gate writes when the room says something; of gRPC the payload alone.
pub(crate) fn event(surface: Surface, number: u32) -> Vec<u8> {
    let text = wire::text(number);
    let payload = format!(
        r#"{{"room":"general","user":"crowd","text":"{text}","at_micros":1767225600000000,"seq":{number}}}"#
    );
    match surface {
        Surface::Sse => format!("event: message\nid: {TOKEN}.{number}\ndata: {payload}\n\n"),
        Surface::Ws => {
            format!(r#"{{"op":"push","seq":{number},"event":"message","payload":{payload}}}"#)
        }
        Surface::Grpc => payload,
    }
    .into_bytes()
}

/// All that are connected.
#[derive(Debug, Default)]
struct Clients(parking_lot::Mutex<Vec<mpsc::Sender<Bytes>>>);

impl Clients {
    fn events(&self) -> impl Stream<Item = Bytes> + Send + use<> {
        let (sender, receiver) = mpsc::channel(WAITING_MAX);
        self.0.lock().push(sender);
        stream::unfold(receiver, async |mut it| it.recv().await.map(|event| (event, it)))
    }
}

/// Serves until it is killed.
pub(crate) fn serve(http: SocketAddr, grpc: SocketAddr) -> anyhow::Result<()> {
    wasmverse_daemon::runtime().build()?.block_on(async {
        let clients = Arc::<Clients>::default();
        let routes = Router::new()
            .route("/v1/events", get(sse))
            .route("/v1/ws", get(ws))
            .route("/say", post(say))
            .with_state(Arc::clone(&clients));
        let listener = TcpListener::bind(http).await?;
        let grpc = tonic::transport::Server::builder()
            .tcp_nodelay(true)
            .add_service(GateServiceServer::new(Grpc(clients)))
            .serve(grpc);
        let http = axum::serve(
            axum::serve::ListenerExt::tap_io(listener, |stream| {
                stream.set_nodelay(true).ok();
            }),
            routes,
        );
        tokio::select! {
            done = http => done.context("serve HTTP"),
            done = grpc => done.context("serve gRPC"),
        }
    })
}

async fn say(State(clients): State<Arc<Clients>>, event: Bytes) {
    // One that does not read loses it; the clients count.
    for client in clients.0.lock().iter() {
        client.try_send(event.clone()).ok();
    }
}

async fn sse(State(clients): State<Arc<Clients>>) -> Response {
    let opened = format!("event: session\nid: {TOKEN}.0\ndata: {{\"session\":\"{TOKEN}\"}}\n\n");
    let opened = stream::iter([Bytes::from(opened)]);
    let events = opened.chain(clients.events()).map(Ok::<_, Infallible>);
    ([(CONTENT_TYPE, "text/event-stream")], Body::from_stream(events)).into_response()
}

async fn ws(State(clients): State<Arc<Clients>>, upgrade: WebSocketUpgrade) -> Response {
    // As the gate has it: what connections hold is a matter of these.
    upgrade.read_buffer_size(4 << 10).write_buffer_size(16 << 10).on_upgrade(async move |mut it| {
        let mut events = std::pin::pin!(clients.events());
        let opened = format!(r#"{{"op":"session","session":"{TOKEN}"}}"#);
        let mut next = Some(Bytes::from(opened));
        while let Some(event) = next {
            let Ok(text) = event.try_into() else { return };
            if it.send(Message::Text(text)).await.is_err() {
                return;
            }
            // What a client sends is of no interest.
            next = events.next().await;
        }
    })
}

/// The one method that is served.
#[derive(Debug)]
struct Grpc(Arc<Clients>);

#[tonic::async_trait]
impl GateService for Grpc {
    type OpenSessionStream = Pin<Box<dyn Stream<Item = Result<SessionEvent, Status>> + Send>>;

    async fn open_session(
        &self,
        _: Request<OpenSessionRequest>,
    ) -> Result<tonic::Response<Self::OpenSessionStream>, Status> {
        let opened = SessionOpened { client_id: String::new(), session_token: TOKEN.to_owned() };
        let opened = SessionEvent { seq: 0, event: Some(Kind::Opened(opened)) };
        let pushes = self.0.events().map(|payload| {
            let push = SessionPush { event: "message".to_owned(), payload };
            SessionEvent { seq: 1, event: Some(Kind::Push(push)) }
        });
        let events = stream::iter([opened]).chain(pushes).map(Ok);
        Ok(tonic::Response::new(Box::pin(events)))
    }

    async fn call_object(
        &self,
        _: Request<CallObjectRequest>,
    ) -> Result<tonic::Response<CallObjectResponse>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn create_object(
        &self,
        _: Request<CreateObjectRequest>,
    ) -> Result<tonic::Response<CreateObjectResponse>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn delete_object(
        &self,
        _: Request<DeleteObjectRequest>,
    ) -> Result<tonic::Response<DeleteObjectResponse>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn list_objects(
        &self,
        _: Request<ListObjectsRequest>,
    ) -> Result<tonic::Response<ListObjectsResponse>, Status> {
        Err(Status::unimplemented(""))
    }
}
