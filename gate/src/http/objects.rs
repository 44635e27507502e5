//! Objects over HTTP: call, create, delete, get, list.

use std::{borrow::Cow, sync::Arc};

use axum::{
    Json,
    body::Body,
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, Uri, header, request::Parts},
    response::{IntoResponse as _, Response},
};
use serde::Deserialize;
use serde_json::{Value, json};
use wasmverse_core::{Action, CallError, Encoding, ErrorKind, ObjectId, Reply};
use wasmverse_proto::gate::{ListObjectsRequest, ObjectInfo};

use super::{
    body::{Bounds, collect, discard},
    error::Refusal,
    names,
    query::parameters,
    terms::{KEY, check_page, terms, text},
};
use crate::{
    call::{Desk, Terms},
    metrics::{Operation, Surface},
    openapi::media_type,
};

/// What the paths of objects begin with.
pub(crate) const PREFIX: &str = "/v1/objects/";

type Answer = Result<Response, Refusal>;

/// `POST /v1/objects/{type}/{id}/{method}`
pub(crate) async fn call(State(desk): State<Arc<Desk>>, request: Request) -> Answer {
    let measure = desk.meter.begin(Surface::Http, Operation::Call);
    let (parts, body) = request.into_parts();
    let result = run(&desk, &parts, body).await;
    measure.end(&result);
    Ok(result?)
}

async fn run(desk: &Desk, parts: &Parts, body: Body) -> Result<Response, CallError> {
    let asked = match asked(desk, parts) {
        Ok(asked) => asked,
        Err(error) => {
            discard(&parts.headers, body, desk.body_bytes_max).await;
            return Err(error);
        }
    };
    let Asked { object, method, key, encoding, terms } = asked;
    let bounds = Bounds { bytes_max: desk.body_bytes_max, deadline: terms.deadline };
    let payload = collect(&parts.headers, body, bounds, desk.budget.share()).await?;
    let action = desk.invocation(&method, payload, key)?;
    let payload = desk.ask(object, action, terms).await?.into_payload();
    if payload.is_empty() {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let mut response = Response::new(Body::from(payload));
    let media = HeaderValue::from_static(media_type(encoding));
    response.headers_mut().insert(header::CONTENT_TYPE, media);
    Ok(response)
}

/// A call but for its payload.
struct Asked<'a> {
    object: ObjectId,
    method: Cow<'a, str>,
    key: Option<&'a str>,
    encoding: Encoding,
    terms: Terms,
}

fn asked<'a>(desk: &Desk, parts: &'a Parts) -> Result<Asked<'a>, CallError> {
    let (object, method) = names::method(parts.uri.path(), PREFIX)?;
    let terms = terms(desk, &parts.headers)?;
    check_page(desk, &parts.headers, &parts.uri)?;
    let encoding = desk.catalog.encoding(object.type_name())?;
    let key = text(&parts.headers, KEY)?;
    Ok(Asked { object, method, key, encoding, terms })
}

/// `PUT /v1/objects/{type}/{id}`
pub(crate) async fn create(State(desk): State<Arc<Desk>>, uri: Uri, headers: HeaderMap) -> Answer {
    let measure = desk.meter.begin(Surface::Http, Operation::Create);
    let result = act(&desk, &uri, &headers, Action::Create).await;
    measure.end(&result);
    result?;
    Ok(StatusCode::CREATED.into_response())
}

/// `DELETE /v1/objects/{type}/{id}`
pub(crate) async fn delete(State(desk): State<Arc<Desk>>, uri: Uri, headers: HeaderMap) -> Answer {
    let measure = desk.meter.begin(Surface::Http, Operation::Delete);
    let result = act(&desk, &uri, &headers, Action::Delete).await;
    measure.end(&result);
    result?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

async fn act(
    desk: &Desk,
    uri: &Uri,
    headers: &HeaderMap,
    action: Action,
) -> Result<Reply, CallError> {
    let object = names::object(uri.path(), PREFIX)?;
    let terms = terms(desk, headers)?;
    check_page(desk, headers, uri)?;
    desk.ask(object, action, terms).await
}

/// `GET /v1/objects/{type}/{id}`
pub(crate) async fn get(State(desk): State<Arc<Desk>>, uri: Uri, headers: HeaderMap) -> Answer {
    let measure = desk.meter.begin(Surface::Http, Operation::Get);
    let result = known(&desk, &uri, &headers).await;
    measure.end(&result);
    Ok(Json(shape(&result?)).into_response())
}

async fn known(desk: &Desk, uri: &Uri, headers: &HeaderMap) -> Result<ObjectInfo, CallError> {
    let object = names::object(uri.path(), PREFIX)?;
    let terms = terms(desk, headers)?;
    desk.control.get(&object, terms.deadline.into()).await
}

/// `GET /v1/objects`
pub(crate) async fn list(State(desk): State<Arc<Desk>>, uri: Uri, headers: HeaderMap) -> Answer {
    let measure = desk.meter.begin(Surface::Http, Operation::List);
    let result = page(&desk, &uri, &headers).await;
    measure.end(&result);
    Ok(Json(result?).into_response())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Page {
    #[serde(default)]
    r#type: String,
    #[serde(default)]
    prefix: String,
    limit: Option<u32>,
    #[serde(default)]
    page: String,
}

async fn page(desk: &Desk, uri: &Uri, headers: &HeaderMap) -> Result<Value, CallError> {
    let Page { r#type, prefix, limit, page } = parameters(uri)?;
    if limit == Some(0) {
        return Err(CallError::new(ErrorKind::InvalidArgument, "`limit` is at least 1"));
    }
    let request = ListObjectsRequest { r#type, prefix, limit: limit.unwrap_or_default(), page };
    let terms = terms(desk, headers)?;
    let page = desk.control.list(request, terms.deadline.into()).await?;
    let next = (!page.next_page.is_empty()).then_some(page.next_page);
    let objects: Vec<_> = page.objects.iter().map(shape).collect();
    Ok(json!({"objects": objects, "next_page": next}))
}

/// What is known of an object, as HTTP shows it.
fn shape(info: &ObjectInfo) -> Value {
    let object = info.object.clone().unwrap_or_default();
    json!({
        "type": object.r#type,
        "id": object.id,
        "state": info.state,
        "node": (!info.node.is_empty()).then_some(&info.node),
        "revision": info.revision,
        "updated_at": (info.updated_at_micros > 0)
            .then(|| super::time::rfc3339(info.updated_at_micros)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use wasmverse_proto::gate::ObjectRef;

    #[test]
    fn an_object_shows_what_is_known_and_null_for_the_rest() {
        let stored = ObjectInfo {
            object: Some(ObjectRef { r#type: "T".into(), id: "a/b".into() }),
            state: "stored".into(),
            revision: 3,
            updated_at_micros: 1_500_000_000_123_456,
            ..ObjectInfo::default()
        };
        let expected = json!({"type": "T", "id": "a/b", "state": "stored", "node": null,
            "revision": 3, "updated_at": "2017-07-14T02:40:00.123456Z"});
        assert_eq!(shape(&stored), expected);
        let live = ObjectInfo { node: "n".into(), updated_at_micros: 0, ..stored };
        assert_eq!(shape(&live)["node"], "n");
        assert_eq!(shape(&live)["updated_at"], Value::Null);
    }
}
