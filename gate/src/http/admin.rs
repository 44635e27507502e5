//! Operations over HTTP: upload, deploy, follow a rollout, tail logs.
//!
//! All of it passes the one rule of access first, before anything is read.

use std::{convert::Infallible, sync::Arc};

use axum::{
    Json,
    body::Body,
    extract::{Request, State},
    http::{HeaderMap, StatusCode, Uri, header},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, TryStreamExt as _};
use serde::Deserialize;
use serde_json::{Value, json};
use wasmverse_core::{CallError, ErrorKind, ObjectId};
use wasmverse_proto::admin::{
    DeployRequest, LogLine, RolloutProgress, RolloutRequest, TailLogsRequest, UploadHeader,
};

use super::{
    body::{Bounds, broken_off, collect, discard},
    error::Refusal,
    names,
    query::parameters,
    terms::{credentials, terms},
};
use crate::{
    call::Desk,
    metrics::{Operation, Surface},
};

const TYPES: &str = "/v1/admin/types/";
const LOGS: &str = "/v1/admin/logs/";
/// A deploy names a revision and nothing else.
const DEPLOY_BYTES_MAX: usize = 4096;

/// Lets operators in, and measures.
pub(crate) async fn guard(
    State(desk): State<Arc<Desk>>,
    request: Request,
    next: Next,
) -> Result<Response, Refusal> {
    let allowed = desk.access.check(credentials(request.headers(), request.uri()));
    let Err(error) = allowed else { return Ok(next.run(request).await) };
    let (parts, body) = request.into_parts();
    discard(&parts.headers, body, desk.control.upload_bytes_max()).await;
    desk.meter.begin(Surface::Http, Operation::Admin).end(&Err::<(), _>(error.clone()));
    Err(error.into())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct UploadParameters {
    #[serde(default = "yes")]
    deploy: bool,
    #[serde(default)]
    author: String,
}

fn yes() -> bool {
    true
}

/// `POST /v1/admin/types`: the component as it is.
pub(crate) async fn upload(
    State(desk): State<Arc<Desk>>,
    request: Request,
) -> Result<Response, Refusal> {
    let measure = desk.meter.begin(Surface::Http, Operation::Admin);
    let result = take_in(&desk, request).await;
    measure.end(&result);
    Ok((StatusCode::CREATED, Json(result?)).into_response())
}

async fn take_in(desk: &Desk, request: Request) -> Result<Value, CallError> {
    let UploadParameters { deploy, author } = parameters(request.uri())?;
    let header = UploadHeader { store_only: !deploy, author };
    let chunks = request.into_body().into_data_stream().map_err(|_| broken_off());
    let stored = desk.control.upload(header, chunks).await?;
    if stored.active {
        desk.catalog.shows(&stored.r#type, stored.revision).await;
    }
    Ok(json!({
        "type": stored.r#type,
        "revision": stored.revision,
        "digest": stored.digest,
        "active": stored.active,
    }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Deploy {
    revision: u32,
}

/// `POST /v1/admin/types/{type}/deploy`
pub(crate) async fn deploy(
    State(desk): State<Arc<Desk>>,
    request: Request,
) -> Result<Json<Value>, Refusal> {
    let measure = desk.meter.begin(Surface::Http, Operation::Admin);
    let result = make_active(&desk, request).await;
    measure.end(&result);
    Ok(Json(result?))
}

async fn make_active(desk: &Desk, request: Request) -> Result<Value, CallError> {
    let (parts, body) = request.into_parts();
    let type_name = names::type_name(parts.uri.path(), TYPES)?;
    let terms = terms(desk, &parts.headers)?;
    let bounds = Bounds { bytes_max: DEPLOY_BYTES_MAX, deadline: terms.deadline };
    let body = collect(&parts.headers, body, bounds, desk.budget.share()).await?;
    let Deploy { revision } = serde_json::from_slice(&body).map_err(|error| {
        let message = format!("a deploy is `{{\"revision\": 1}}`: {error}");
        CallError::new(ErrorKind::InvalidArgument, message)
    })?;
    let request = DeployRequest { r#type: type_name.as_str().to_owned(), revision };
    let deployed = desk.control.deploy(request).await?;
    desk.catalog.shows(&deployed.r#type, deployed.revision).await;
    Ok(json!({
        "type": deployed.r#type,
        "revision": deployed.revision,
        "digest": deployed.digest,
    }))
}

/// `GET /v1/admin/types/{type}/rollout`: how far the latest deploy has come.
pub(crate) async fn rollout(
    State(desk): State<Arc<Desk>>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Json<Value>, Refusal> {
    let measure = desk.meter.begin(Surface::Http, Operation::Admin);
    let result = progress(&desk, &uri, &headers).await;
    measure.end(&result);
    Ok(Json(result?))
}

async fn progress(desk: &Desk, uri: &Uri, headers: &HeaderMap) -> Result<Value, CallError> {
    let type_name = names::type_name(uri.path(), TYPES)?;
    let deadline = terms(desk, headers)?.deadline.into();
    let request = RolloutRequest { r#type: type_name.as_str().to_owned() };
    let mut progress = std::pin::pin!(desk.control.rollout(request, deadline).await?);
    match tokio::time::timeout_at(deadline, progress.next()).await {
        Ok(Some(latest)) => Ok(rollout_shape(&latest?)),
        Ok(None) => {
            let message = format!("nothing of `{type_name}` was deployed");
            Err(CallError::new(ErrorKind::NotFound, message))
        }
        Err(_) => Err(CallError::new(ErrorKind::Timeout, "the node did not answer in time")),
    }
}

fn rollout_shape(progress: &RolloutProgress) -> Value {
    let refused = progress.refused.iter();
    let refused: Vec<_> =
        refused.map(|refusal| json!({"id": refusal.id, "reason": refusal.reason})).collect();
    json!({
        "type": progress.r#type,
        "revision": progress.revision,
        "live": progress.live,
        "moved": progress.moved,
        "gone": progress.gone,
        "refused": refused,
        "refused_total": progress.refused_total,
        "done": progress.done,
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LogParameters {
    #[serde(default)]
    recent: u32,
}

/// `GET /v1/admin/logs/{type}/{id}`: a line of JSON for each line of the log, as it comes.
pub(crate) async fn object_logs(
    State(desk): State<Arc<Desk>>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let object = names::object(uri.path(), LOGS).map(Some);
    logs(&desk, &uri, &headers, object).await
}

/// `GET /v1/admin/logs`: the same of all objects.
pub(crate) async fn all_logs(
    State(desk): State<Arc<Desk>>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    logs(&desk, &uri, &headers, Ok(None)).await
}

async fn logs(
    desk: &Desk,
    uri: &Uri,
    headers: &HeaderMap,
    object: Result<Option<ObjectId>, CallError>,
) -> Result<Response, Refusal> {
    let measure = desk.meter.begin(Surface::Http, Operation::Admin);
    let result = tail(desk, uri, headers, object).await;
    measure.end(&result);
    let lines = result?.take_until(desk.ending.clone().cancelled_owned());
    Ok(([(header::CONTENT_TYPE, "application/x-ndjson")], Body::from_stream(lines)).into_response())
}

async fn tail(
    desk: &Desk,
    uri: &Uri,
    headers: &HeaderMap,
    object: Result<Option<ObjectId>, CallError>,
) -> Result<impl Stream<Item = Result<Bytes, Infallible>> + use<>, CallError> {
    let object = object?;
    let LogParameters { recent } = parameters(uri)?;
    let deadline = terms(desk, headers)?.deadline.into();
    let (r#type, id) = object
        .map(|object| (object.type_name().as_str().to_owned(), object.id().to_owned()))
        .unwrap_or_default();
    let request = TailLogsRequest { r#type, id, recent };
    let lines = desk.control.logs(request, deadline).await?;
    Ok(lines.map(|line| {
        let shape = match line {
            Ok(line) => log_shape(&line),
            // The last line of a log that breaks off says why.
            Err(error) => {
                json!({"error": {"code": error.kind().as_str(), "message": error.message()}})
            }
        };
        Ok(format!("{shape}\n").into())
    }))
}

fn log_shape(line: &LogLine) -> Value {
    let mut shape = json!({
        "at": super::time::rfc3339(line.at_micros),
        "type": line.r#type,
        "id": line.id,
        "level": line.level,
        "message": line.message,
        "fields": line.fields,
    });
    if !line.turn.is_empty() {
        shape["turn"] = line.turn.as_str().into();
    }
    if line.missed > 0 {
        shape["missed"] = line.missed.into();
    }
    shape
}
