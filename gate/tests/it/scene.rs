//! A gate, its node, and the means to speak to it without anybody tidying the request up.

use std::{net::SocketAddr, time::Duration};

use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::task::TaskTracker;
use tonic::transport::Channel;
use wasmverse_daemon::Shutdown;
use wasmverse_gate::{Config, Gate, Listeners};
use wasmverse_proto::{
    admin::admin_service_client::AdminServiceClient, gate::gate_service_client::GateServiceClient,
};

use crate::node::{Node, described};

/// No test waits longer for anything.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Everything that a test needs. What it started ends with its runtime.
pub(crate) struct Scene {
    pub(crate) node: Node,
    pub(crate) gate: Gate,
    pub(crate) shutdown: Shutdown,
    tasks: TaskTracker,
}

/// What came back over HTTP.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }

    /// The name of the error.
    pub(crate) fn code(&self) -> String {
        self.json()["error"]["code"].as_str().unwrap_or_default().to_owned()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
}

impl Scene {
    /// A gate that is ready, with a type of each encoding.
    pub(crate) async fn start() -> Self {
        Self::with(|_| {}).await
    }

    /// A gate that is ready, configured otherwise.
    pub(crate) async fn with(change: impl FnOnce(&mut Config)) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let scene = Self::without_node(address, change).await;
        scene.node.serve(listener);
        within(scene.gate.readiness().ready()).await;
        scene
    }

    /// A gate whose node does not answer yet.
    pub(crate) async fn without_node(node: SocketAddr, change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config::default();
        config.gate.nodes = vec![node.to_string()];
        config.gate.ops_listen = "127.0.0.1:0".into();
        change(&mut config);
        let bind = || TcpListener::bind("127.0.0.1:0");
        let listeners = Listeners { http: bind().await.unwrap(), grpc: bind().await.unwrap() };
        let shutdown = Shutdown::new();
        let gate = Gate::start(config, listeners, shutdown.clone()).await.unwrap();
        let types = ["Json", "Bytes", "Protobuf"];
        let types = types.map(|name| described(name, &name.to_lowercase())).to_vec();
        Self { node: Node::new(types), gate, shutdown, tasks: TaskTracker::new() }
    }

    /// Asks over a connection of its own, exactly this.
    pub(crate) async fn ask(&self, request: Request<Body>) -> Answer {
        let stream = TcpStream::connect(self.gate.addresses().http).await.unwrap();
        let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream));
        let (mut sender, connection) = handshake.await.unwrap();
        self.tasks.spawn(connection);
        answer(within(sender.send_request(request)).await.unwrap()).await
    }

    /// The same over HTTP/2.
    pub(crate) async fn ask_http2(&self, mut request: Request<Body>) -> Answer {
        let address = self.gate.addresses().http;
        *request.uri_mut() = format!("http://{address}{}", request.uri()).parse().unwrap();
        let stream = TcpStream::connect(address).await.unwrap();
        let handshake =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
        let (mut sender, connection) = handshake.await.unwrap();
        self.tasks.spawn(connection);
        answer(within(sender.send_request(request)).await.unwrap()).await
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.ask(request("GET", path, "")).await
    }

    pub(crate) async fn post(&self, path: &str, body: impl Into<Body>) -> Answer {
        self.ask(request("POST", path, body)).await
    }

    pub(crate) async fn channel(&self) -> Channel {
        let endpoint = Channel::from_shared(format!("http://{}", self.gate.addresses().grpc));
        endpoint.unwrap().connect().await.unwrap()
    }

    pub(crate) async fn grpc(&self) -> GateServiceClient<Channel> {
        GateServiceClient::new(self.channel().await)
    }

    pub(crate) async fn grpc_admin(&self) -> AdminServiceClient<Channel> {
        AdminServiceClient::new(self.channel().await)
    }
}

pub(crate) async fn answer(response: http::Response<hyper::body::Incoming>) -> Answer {
    let (parts, body) = response.into_parts();
    let body = within(axum::body::to_bytes(Body::new(body), 64 << 20)).await.unwrap();
    Answer { status: parts.status, headers: parts.headers, body }
}

/// A request to `localhost`.
pub(crate) fn request(method: &str, path: &str, body: impl Into<Body>) -> Request<Body> {
    let builder = Request::builder().method(method).uri(path).header("host", "localhost");
    builder.body(body.into()).unwrap()
}

/// A request with more headers.
pub(crate) fn with_headers(
    mut request: Request<Body>,
    headers: &[(&'static str, &str)],
) -> Request<Body> {
    for (name, value) in headers {
        request.headers_mut().insert(*name, value.parse().unwrap());
    }
    request
}

/// What must happen soon.
pub(crate) async fn within<F: Future>(happening: F) -> F::Output {
    tokio::time::timeout(PATIENCE, happening).await.expect("it did not happen in time")
}
