//! Types over HTTP: what there is, and how to call it.

use std::sync::Arc;

use axum::{
    Json,
    extract::State,
    http::{Uri, header},
    response::{IntoResponse as _, Response},
};
use serde_json::{Value, json};
use wasmverse_core::{CallError, ErrorKind};

use super::{error::Refusal, names};
use crate::{
    call::Desk,
    catalog::Described,
    metrics::{Operation, Surface},
};

/// What the paths of types begin with.
pub(crate) const PREFIX: &str = "/v1/types/";

/// `GET /v1/types`
pub(crate) async fn list(State(desk): State<Arc<Desk>>) -> Result<Json<Value>, Refusal> {
    let measure = desk.meter.begin(Surface::Http, Operation::Types);
    let known = desk.catalog.known();
    measure.end(&known);
    let types: Vec<_> = known?.types().iter().map(shape).collect();
    Ok(Json(json!({"types": types})))
}

/// `GET /v1/types/{type}`
pub(crate) async fn get(State(desk): State<Arc<Desk>>, uri: Uri) -> Result<Json<Value>, Refusal> {
    let measure = desk.meter.begin(Surface::Http, Operation::Types);
    let result = one(&desk, &uri);
    measure.end(&result);
    Ok(Json(result?))
}

fn one(desk: &Desk, uri: &Uri) -> Result<Value, CallError> {
    let known = desk.catalog.known()?;
    let name = names::type_name(uri.path(), PREFIX)?;
    let found = known.find(name.as_str()).map(shape);
    found.ok_or_else(|| CallError::new(ErrorKind::NotFound, format!("there is no type `{name}`")))
}

/// `GET /v1/openapi.json`
pub(crate) async fn openapi(State(desk): State<Arc<Desk>>) -> Result<Response, Refusal> {
    let measure = desk.meter.begin(Surface::Http, Operation::Types);
    let known = desk.catalog.known();
    measure.end(&known);
    let document = known?.openapi();
    Ok(([(header::CONTENT_TYPE, "application/json")], document).into_response())
}

fn shape(described: &Described) -> Value {
    let info = &described.info;
    json!({
        "type": info.r#type,
        "revision": info.revision,
        "digest": info.digest,
        "label": info.label,
        "durability": info.durability,
        "encoding": described.encoding.as_str(),
        "schema": described.description["schema"].as_u64().unwrap_or(1),
        "doc": info.doc,
        "methods": described.methods(),
    })
}
