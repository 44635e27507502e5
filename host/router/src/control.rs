//! How a peer is spoken to: its channel, the secret that each request carries, the limits.

use std::{fmt, time::Duration};

use tonic::{
    Request, Status,
    metadata::{Ascii, MetadataValue},
    service::{Interceptor, interceptor::InterceptedService},
    transport::{Channel, Endpoint},
};
use wasmverse_proto::{MESSAGE_BYTES_MAX, node::node_service_client::NodeServiceClient};

/// What a peer may send before we have read it, on one stream and in all.
const STREAM_WINDOW_BYTES: u32 = 8 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 16 << 20;
/// A peer that is gone without a word is noticed after these two together.
const PING_EVERY: Duration = Duration::from_secs(5);
const PING_TIMEOUT: Duration = Duration::from_secs(5);

/// A client of a node's own service: types, objects, logs.
pub type Control = NodeServiceClient<InterceptedService<Channel, Bearer>>;

/// Shows the cluster's secret with each request.
#[derive(Clone)]
pub struct Bearer(Option<MetadataValue<Ascii>>);

impl Bearer {
    /// What shows this secret, if there is one. A secret that no header can hold is shown as none:
    /// the peer will refuse it.
    pub fn new(secret: Option<&str>) -> Self {
        Self(secret.and_then(|secret| {
            let mut value: MetadataValue<Ascii> = format!("Bearer {secret}").parse().ok()?;
            value.set_sensitive(true);
            Some(value)
        }))
    }
}

impl fmt::Debug for Bearer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Bearer(…)")
    }
}

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(value) = &self.0 {
            request.metadata_mut().insert("authorization", value.clone());
        }
        Ok(request)
    }
}

/// How to reach a peer at `HOST:PORT`.
pub(crate) fn endpoint(
    address: &str,
    connect_timeout: Duration,
) -> Result<Endpoint, tonic::transport::Error> {
    Ok(Endpoint::from_shared(format!("http://{address}"))?
        .connect_timeout(connect_timeout)
        .tcp_nodelay(true)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .http2_keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_TIMEOUT)
        .keep_alive_while_idle(true))
}

/// A client on a channel.
pub(crate) fn client(channel: Channel, bearer: Bearer) -> Control {
    NodeServiceClient::with_interceptor(channel, bearer)
        .max_decoding_message_size(MESSAGE_BYTES_MAX)
        .max_encoding_message_size(MESSAGE_BYTES_MAX)
}
