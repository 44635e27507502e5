//! HTTP for clients and operators: routes, and what surrounds them.

mod admin;
mod body;
mod cluster;
mod dead_letters;
mod error;
mod events;
mod names;
mod objects;
mod query;
mod site;
mod socket;
mod terms;
mod time;
mod type_routes;

use std::sync::Arc;

use axum::{
    Router,
    http::{HeaderName, HeaderValue, Method, StatusCode, header},
    middleware::from_fn_with_state,
    response::{IntoResponse as _, Response},
    routing::{get, post},
};
use tower_http::{
    catch_panic::CatchPanicLayer,
    compression::{
        CompressionLayer,
        predicate::{NotForContentType, Predicate, SizeAbove},
    },
    cors::{AllowOrigin, CorsLayer},
};
use wasmverse_core::{CallError, ErrorKind};

use crate::call::Desk;
use error::Refusal;

/// Smaller answers are not worth compressing.
const COMPRESSED_BYTES_MIN: u64 = 1024;

/// The routes of a gate.
pub(crate) fn routes(desk: &Arc<Desk>, cors_origins: &[String]) -> anyhow::Result<Router> {
    let mut clients = Router::new()
        .route("/v1/objects", get(objects::list))
        .route(
            "/v1/objects/{type}/{id}",
            get(objects::get).put(objects::create).delete(objects::delete),
        )
        .route("/v1/objects/{type}/{id}/{method}", post(objects::call))
        .route("/v1/types", get(type_routes::list))
        .route("/v1/types/{type}", get(type_routes::get))
        .route("/v1/events", get(events::events))
        .route("/v1/ws", get(socket::socket))
        .route("/v1/openapi.json", get(type_routes::openapi))
        .method_not_allowed_fallback(no_method);
    if let Some(cors) = cors(cors_origins)? {
        clients = clients.layer(cors);
    }
    let admin = Router::new()
        .route("/v1/admin/types", post(admin::upload))
        .route("/v1/admin/types/{type}/deploy", post(admin::deploy))
        .route("/v1/admin/types/{type}/rollout", get(admin::rollout))
        .route("/v1/admin/logs", get(admin::all_logs))
        .route("/v1/admin/logs/{type}/{id}", get(admin::object_logs))
        .route("/v1/admin/dead-letters", get(dead_letters::list))
        .route("/v1/admin/dead-letters/{number}", get(dead_letters::get).delete(dead_letters::drop))
        .route("/v1/admin/dead-letters/{number}/retry", post(dead_letters::retry))
        .route("/v1/admin/objects/{type}/{id}/reminders", get(dead_letters::reminders))
        .route("/v1/admin/cluster", get(cluster::status))
        .route("/v1/admin/shards", get(cluster::shards))
        .route("/v1/admin/shards/{number}/move", post(cluster::move_shard))
        .route("/v1/admin/shards/{number}/pin", post(cluster::pin).delete(cluster::unpin))
        .route("/v1/admin/nodes/{id}/drain", post(cluster::drain).delete(cluster::undrain))
        .method_not_allowed_fallback(no_method)
        .route_layer(from_fn_with_state(Arc::clone(desk), admin::guard));
    let worth_it = SizeAbove::new(COMPRESSED_BYTES_MIN)
        .and(NotForContentType::const_new("application/x-ndjson"))
        .and(NotForContentType::SSE);
    Ok(clients
        .merge(admin)
        .fallback(site::file)
        .with_state(Arc::clone(desk))
        .layer(CompressionLayer::new().compress_when(worth_it))
        .layer(CatchPanicLayer::custom(panicked)))
}

async fn no_route() -> Refusal {
    CallError::new(ErrorKind::NotFound, "there is no such route").into()
}

async fn no_method(method: Method) -> Refusal {
    let error = CallError::new(
        ErrorKind::InvalidArgument,
        format!("the route is there, but not for {method}"),
    );
    Refusal::with_status(StatusCode::METHOD_NOT_ALLOWED, error)
}

/// What panicked was told to standard error already; here it becomes an answer.
fn panicked(_: Box<dyn std::any::Any + Send>) -> Response {
    let error = CallError::new(ErrorKind::Internal, "the gate failed on this request");
    Refusal::from(error.maybe_executed()).into_response()
}

/// Who may call from web pages of other sites; none: nobody.
fn cors(origins: &[String]) -> anyhow::Result<Option<CorsLayer>> {
    if origins.is_empty() {
        return Ok(None);
    }
    let allowed = if origins.iter().any(|origin| origin == "*") {
        AllowOrigin::any()
    } else {
        let values = origins.iter().map(|origin| {
            let value = HeaderValue::from_str(origin.trim_end_matches('/'));
            value.map_err(|_| anyhow::anyhow!("failed to read `gate.cors_origins`: `{origin}`"))
        });
        AllowOrigin::list(values.collect::<Result<Vec<_>, _>>()?)
    };
    let headers =
        [terms::KEY, terms::TIMEOUT, terms::SESSION, terms::TRACEPARENT, events::LAST_EVENT_ID]
            .map(HeaderName::from_static);
    Ok(Some(
        CorsLayer::new()
            .allow_origin(allowed)
            .allow_methods([Method::GET, Method::POST, Method::PUT, Method::DELETE])
            .allow_headers(headers.into_iter().chain([header::CONTENT_TYPE]).collect::<Vec<_>>())
            .expose_headers([header::RETRY_AFTER]),
    ))
}
