//! One client for both sides of a gate; commands do not know which one they speak to.

mod cluster;
mod dead_letters;
mod events;
mod grpc;
mod http;
mod patience;

pub(crate) use events::{Events, Mark, Told, is_passing};
pub(crate) use grpc::bearer;
pub(crate) use http::{code_of, escaped, object_path};
pub(crate) use patience::Patience;

use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::BoxStream;
use serde_json::Value;
use wasmverse_core::ObjectId;

use crate::{
    answers::{LogLine, ObjectInfo, Page, Rollout, Uploaded},
    endpoint::{Endpoint, Side},
    failure::{Away, CallFailure, Failure, Result},
};

/// How long a connection may take to come about.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How many objects, or dead letters, are asked for at once.
pub(crate) const PAGE_LIMIT: u32 = 1000;

/// A call as the command line gives it.
#[derive(Clone, Debug)]
pub(crate) struct CallRequest {
    pub(crate) object: ObjectId,
    pub(crate) method: String,
    pub(crate) payload: Bytes,
    /// Whether the payload is JSON; else the type's own encoding.
    pub(crate) is_json: bool,
    pub(crate) key: Option<String>,
    pub(crate) timeout: Option<Duration>,
    /// The secret of a session: the call is made by its client.
    pub(crate) session: Option<String>,
}

/// Which objects to list.
#[derive(Clone, Debug, Default)]
pub(crate) struct ListRequest {
    pub(crate) type_name: Option<String>,
    pub(crate) prefix: Option<String>,
    pub(crate) limit: u32,
    pub(crate) page: Option<String>,
}

/// Whose log to follow.
#[derive(Clone, Debug, Default)]
pub(crate) struct LogsRequest {
    pub(crate) type_name: String,
    pub(crate) id: String,
    pub(crate) recent: u32,
}

/// A connection to a cluster.
#[derive(Clone, Debug)]
pub(crate) enum Client {
    Http(http::Http),
    Grpc(Box<grpc::Grpc>),
}

impl Client {
    /// Reaches a cluster. HTTP connects with the first request.
    pub(crate) async fn connect(endpoint: &Endpoint, token: Option<&str>) -> Result<Self> {
        match endpoint.side {
            Side::Http => Ok(Self::Http(http::Http::new(endpoint, token)?)),
            Side::Grpc => Ok(Self::Grpc(Box::new(grpc::Grpc::connect(endpoint, token).await?))),
        }
    }

    /// Runs a method; `None`: it has no result.
    pub(crate) async fn call(&mut self, request: &CallRequest) -> Result<Option<Bytes>> {
        match self {
            Self::Http(http) => http.call(request).await,
            Self::Grpc(grpc) => grpc.call(request).await,
        }
    }

    pub(crate) async fn create(&mut self, object: &ObjectId) -> Result<()> {
        match self {
            Self::Http(http) => http.create(object).await,
            Self::Grpc(grpc) => grpc.create(object).await,
        }
    }

    pub(crate) async fn delete(&mut self, object: &ObjectId) -> Result<()> {
        match self {
            Self::Http(http) => http.delete(object).await,
            Self::Grpc(grpc) => grpc.delete(object).await,
        }
    }

    pub(crate) async fn get(&mut self, object: &ObjectId) -> Result<ObjectInfo> {
        match self {
            Self::Http(http) => http.get(object).await,
            Self::Grpc(grpc) => grpc.get(object).await,
        }
    }

    pub(crate) async fn list(&mut self, request: &ListRequest) -> Result<Page> {
        match self {
            Self::Http(http) => http.list(request).await,
            Self::Grpc(grpc) => grpc.list(request).await,
        }
    }

    /// The types, as `GET /v1/types` lists them.
    pub(crate) async fn types(&mut self) -> Result<Vec<Value>> {
        match self {
            Self::Http(http) => http.types().await,
            Self::Grpc(grpc) => grpc.types().await,
        }
    }

    /// Brings a component to the cluster and makes it active.
    pub(crate) async fn upload(&mut self, component: Bytes) -> Result<Uploaded> {
        match self {
            Self::Http(http) => http.upload(component).await,
            Self::Grpc(grpc) => grpc.upload(component).await,
        }
    }

    /// How the latest deploy of a type goes on; the last item is the end of it, unless the stream
    /// ends before.
    pub(crate) async fn rollout(
        &mut self,
        type_name: &str,
    ) -> Result<BoxStream<'static, Result<Rollout>>> {
        match self {
            Self::Http(http) => http.rollout(type_name).await,
            Self::Grpc(grpc) => grpc.rollout(type_name).await,
        }
    }

    /// What objects write to their log, as it comes.
    pub(crate) async fn logs(
        &mut self,
        request: &LogsRequest,
    ) -> Result<BoxStream<'static, Result<LogLine>>> {
        match self {
            Self::Http(http) => http.logs(request).await,
            Self::Grpc(grpc) => grpc.logs(request).await,
        }
    }
}

/// Nobody there.
pub(crate) fn unreachable(endpoint: &Endpoint, error: &dyn std::error::Error) -> Failure {
    Failure::Unreachable { url: endpoint.to_string(), cause: innermost(error) }
}

/// That port speaks, but as the other side does.
fn other_side(endpoint: &Endpoint) -> Failure {
    let (name, other) = endpoint.other_side();
    Failure::Away(Box::new(Away {
        code: "unavailable",
        message: format!("cannot talk to {endpoint}: this looks like the {name} side"),
        hint: Some(format!("use {other}")),
        maybe_executed: false,
    }))
}

/// An error that the cluster did not word.
fn failed(code: &str, message: impl Into<String>) -> CallFailure {
    CallFailure { code: code.to_owned(), message: message.into(), ..CallFailure::default() }
}

/// What really happened, without the layers that passed it on.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}
