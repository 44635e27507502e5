//! One connection of the load, with as little of its own between call and socket as can be.

mod socket;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{
    Method, Request,
    client::conn::http1::{self, SendRequest},
    header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue},
};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, task::JoinSet};
use tonic::{
    metadata::{Ascii, MetadataValue},
    transport::{Channel, Endpoint as Transport},
};
use wasmverse_proto::{
    convert::{object_to_ref, status_to_error},
    gate::{CallObjectRequest, ObjectRef, gate_service_client::GateServiceClient},
};

use super::{Plan, Surface};
use crate::{
    client::{CONNECT_TIMEOUT, bearer, code_of, escaped, object_path, unreachable},
    failure::{ErrorBody, Failure, Result},
};
use socket::Socket;

/// Longer than a gate lets a call take that names no deadline.
const CALL_TIMEOUT: Duration = Duration::from_secs(35);

/// Why a call brought no result.
#[derive(Debug)]
pub(super) struct Slip {
    pub(super) code: String,
    /// The connection is of no use any more.
    pub(super) is_broken: bool,
}

/// What every call needs and none changes, made once.
#[derive(Debug)]
pub(super) struct Targets {
    paths: Vec<hyper::Uri>,
    frames: Vec<String>,
    refs: Vec<ObjectRef>,
    host: HeaderValue,
    bearer: Option<MetadataValue<Ascii>>,
    authorization: Option<HeaderValue>,
}

/// Makes what all calls of a plan share.
pub(super) fn targets(plan: &Plan) -> Result<Targets> {
    let odd = |what: &str| Failure::usage(format!("{what} does not fit a header"));
    let paths = plan.objects.iter().map(|object| {
        let path = object_path(object)?;
        let path = format!("{}{path}/{}", plan.endpoint.prefix(), escaped(&plan.method));
        path.parse().map_err(|_| Failure::usage(format!("{path} is no path")))
    });
    let bearer = plan.token.as_deref().map(bearer).transpose()?;
    let authorization = plan.token.as_ref().map(|token| format!("Bearer {token}").parse());
    Ok(Targets {
        paths: paths.collect::<Result<_>>()?,
        frames: plan.objects.iter().map(|object| socket::frame(plan, object)).collect(),
        refs: plan.objects.iter().map(object_to_ref).collect(),
        host: plan.endpoint.authority().parse().map_err(|_| odd("the host"))?,
        bearer,
        authorization: authorization.transpose().map_err(|_| odd("the token"))?,
    })
}

/// A connection of one surface or another.
#[derive(Debug)]
pub(super) struct Lane {
    plan: Arc<Plan>,
    targets: Arc<Targets>,
    wire: Wire,
}

#[derive(Debug)]
enum Wire {
    Http { sender: SendRequest<Full<Bytes>>, _driver: JoinSet<()> },
    Grpc(GateServiceClient<Channel>),
    Ws(Box<Socket>),
}

impl Lane {
    pub(super) async fn connect(plan: Arc<Plan>, targets: Arc<Targets>) -> Result<Self> {
        let wire = Wire::connect(&plan, &targets).await?;
        Ok(Self { plan, targets, wire })
    }

    /// A new connection in place of a broken one.
    pub(super) async fn reconnect(&mut self) -> Result<()> {
        self.wire = Wire::connect(&self.plan, &self.targets).await?;
        Ok(())
    }

    /// Calls the object of that number and takes the whole answer, unless none comes.
    pub(super) async fn call(
        &mut self,
        object: usize,
        key: Option<String>,
    ) -> std::result::Result<(), Slip> {
        let called = tokio::time::timeout(CALL_TIMEOUT, self.send(object, key)).await;
        called.unwrap_or_else(|_| Err(Slip { code: "timeout".to_owned(), is_broken: true }))
    }

    async fn send(&mut self, object: usize, key: Option<String>) -> std::result::Result<(), Slip> {
        let (plan, targets) = (&self.plan, &self.targets);
        match &mut self.wire {
            Wire::Http { sender, .. } => {
                let request = http_request(plan, targets, object, key)?;
                call_http(sender, request).await
            }
            Wire::Ws(socket) => socket.call(&targets.frames[object], key).await,
            Wire::Grpc(client) => {
                let mut request = tonic::Request::new(CallObjectRequest {
                    object: Some(targets.refs[object].clone()),
                    method: plan.method.clone(),
                    payload: plan.payload.clone(),
                    idempotency_key: key.unwrap_or_default(),
                });
                if let Some(bearer) = &targets.bearer {
                    request.metadata_mut().insert("authorization", bearer.clone());
                }
                client.call_object(request).await.map(drop).map_err(|status| Slip {
                    code: status_to_error(&status).kind().as_str().to_owned(),
                    // A channel connects anew by itself.
                    is_broken: false,
                })
            }
        }
    }
}

impl Wire {
    async fn connect(plan: &Plan, targets: &Targets) -> Result<Self> {
        let endpoint = &plan.endpoint;
        match plan.surface {
            Surface::Grpc => {
                let transport = Transport::from_shared(endpoint.http_url())
                    .map_err(|error| Failure::usage(format!("{endpoint}: {error}")))?;
                let transport = transport.connect_timeout(CONNECT_TIMEOUT).tcp_nodelay(true);
                let connecting = transport.connect().await;
                let channel = connecting.map_err(|error| unreachable(endpoint, &error))?;
                Ok(Self::Grpc(GateServiceClient::new(channel)))
            }
            Surface::Http => {
                let stream = dial(plan).await?;
                let (sender, connection) = http1::handshake(TokioIo::new(stream))
                    .await
                    .map_err(|error| unreachable(endpoint, &error))?;
                let mut driver = JoinSet::new();
                // What breaks the connection shows in the call that was under way.
                driver.spawn(async move { drop(connection.await) });
                Ok(Self::Http { sender, _driver: driver })
            }
            Surface::Ws => {
                let stream = dial(plan).await?;
                let socket = Socket::open(plan, targets.authorization.clone(), stream).await?;
                Ok(Self::Ws(Box::new(socket)))
            }
        }
    }
}

async fn dial(plan: &Plan) -> Result<TcpStream> {
    let connecting = TcpStream::connect(plan.endpoint.authority());
    let stream = tokio::time::timeout(CONNECT_TIMEOUT, connecting)
        .await
        .map_err(|elapsed| unreachable(&plan.endpoint, &elapsed))?
        .map_err(|error| unreachable(&plan.endpoint, &error))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

fn http_request(
    plan: &Plan,
    targets: &Targets,
    object: usize,
    key: Option<String>,
) -> std::result::Result<Request<Full<Bytes>>, Slip> {
    let mut request = Request::new(Full::new(plan.payload.clone()));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = targets.paths[object].clone();
    let headers = request.headers_mut();
    headers.insert(HOST, targets.host.clone());
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Some(authorization) = &targets.authorization {
        headers.insert(AUTHORIZATION, authorization.clone());
    }
    if let Some(key) = key {
        let odd = |_| Slip { code: "invalid-argument".to_owned(), is_broken: false };
        headers.insert("idempotency-key", HeaderValue::try_from(key).map_err(odd)?);
    }
    Ok(request)
}

async fn call_http(
    sender: &mut SendRequest<Full<Bytes>>,
    request: Request<Full<Bytes>>,
) -> std::result::Result<(), Slip> {
    let broken = |_| Slip { code: "unavailable".to_owned(), is_broken: true };
    sender.ready().await.map_err(broken)?;
    let response = sender.send_request(request).await.map_err(broken)?;
    let status = response.status();
    let mut body = response.into_body();
    if status.is_success() {
        while let Some(frame) = body.frame().await {
            frame.map_err(broken)?;
        }
        return Ok(());
    }
    let body = body.collect().await.map_err(broken)?.to_bytes();
    let code = match serde_json::from_slice::<ErrorBody>(&body) {
        Ok(body) => body.error.code,
        Err(_) => code_of(status.as_u16()).to_owned(),
    };
    Err(Slip { code, is_broken: false })
}
