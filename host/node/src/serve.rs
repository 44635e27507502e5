//! The node's gRPC server: its own service behind the cluster's secret, health, reflection.

use std::{sync::Arc, time::Duration};

use subtle::ConstantTimeEq as _;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::{
    Request, Status,
    service::{Interceptor, interceptor::InterceptedService},
    transport::{Server, server::TcpIncoming},
};
use wasmverse_core::{CallError, ErrorKind};
use wasmverse_proto::{
    DESCRIPTORS, MESSAGE_BYTES_MAX,
    convert::error_to_status,
    node::node_service_server::{NodeService, NodeServiceServer},
};

use crate::link::Ending;

/// What a peer may send before we have read it, on one stream and in all.
const STREAM_WINDOW_BYTES: u32 = 8 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 16 << 20;
/// Requests that one connection may have open at a time.
const STREAMS_MAX: u32 = 1024;
/// A peer that is gone without a word is noticed after these two together.
const PING_EVERY: Duration = Duration::from_secs(10);
const PING_TIMEOUT: Duration = Duration::from_secs(5);
/// What is left of connections once their links have ended.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Serves peers until `ending.drain`, and then those calls that are under way, at most for `drain`.
///
/// # Errors
/// If the listener fails.
pub(crate) async fn serve<S: NodeService>(
    service: S,
    secret: Option<&str>,
    listener: TcpListener,
    ending: Ending,
    drain: Duration,
) -> Result<(), tonic::transport::Error> {
    let guarded = InterceptedService::new(
        NodeServiceServer::new(service)
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
            .max_encoding_message_size(MESSAGE_BYTES_MAX),
        Guard(secret.map(|secret| format!("Bearer {secret}").into_bytes().into())),
    );
    let (health, health_service) = tonic_health::server::health_reporter();
    health.set_serving::<NodeServiceServer<S>>().await;
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    let whole = "our own descriptors are whole";
    let serving = Server::builder()
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_concurrent_streams(STREAMS_MAX)
        .http2_keepalive_interval(Some(PING_EVERY))
        .http2_keepalive_timeout(Some(PING_TIMEOUT))
        .add_service(health_service)
        .add_service(reflection().build_v1().expect(whole))
        // What older tools ask for.
        .add_service(reflection().build_v1alpha().expect(whole))
        .add_service(guarded)
        .serve_with_incoming_shutdown(
            TcpIncoming::from(listener).with_nodelay(Some(true)),
            ending.drain.clone().cancelled_owned(),
        );
    tokio::pin!(serving);
    tokio::select! {
        ended = &mut serving => return ended,
        () = drained(&ending.drain, drain) => {}
    }
    tracing::warn!("calls are still under way: cutting the links");
    ending.cut.cancel();
    // What remains are connections that nobody closes.
    tokio::time::timeout(LAST_WORDS, serving).await.unwrap_or(Ok(()))
}

async fn drained(token: &CancellationToken, limit: Duration) {
    token.cancelled().await;
    tokio::time::sleep(limit).await;
}

/// Lets in only who shows the cluster's secret, if it has one.
#[derive(Clone)]
struct Guard(Option<Arc<[u8]>>);

impl Interceptor for Guard {
    fn call(&mut self, request: Request<()>) -> Result<Request<()>, Status> {
        let Some(expected) = &self.0 else { return Ok(request) };
        let shown = request
            .metadata()
            .get("authorization")
            .map(tonic::metadata::MetadataValue::as_encoded_bytes);
        if bool::from(shown.unwrap_or_default().ct_eq(expected)) {
            return Ok(request);
        }
        let problem = "the request does not show the cluster's secret";
        Err(error_to_status(&CallError::new(ErrorKind::Unauthenticated, problem)))
    }
}
