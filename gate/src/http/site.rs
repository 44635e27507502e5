//! `gate.static_dir`: files for browsers, wherever no route of ours is.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::{Request, State},
    http::{HeaderValue, Method, StatusCode, header},
    response::Response,
};
use tower::ServiceExt as _;
use tower_http::services::ServeDir;

use super::{error::Refusal, no_route};
use crate::call::Desk;

/// Scripts, styles and connections of this site only.
const POLICY: &str = "default-src 'self'; connect-src 'self' ws: wss:; object-src 'none'; \
                      base-uri 'none'; frame-ancestors 'none'";
/// Where the files lie whose names change with what they hold.
const HASHED: &str = "/assets/";

/// A file, or nothing.
pub(crate) async fn file(
    State(desk): State<Arc<Desk>>,
    request: Request,
) -> Result<Response, Refusal> {
    let Some(folder) = &desk.static_dir else { return Err(no_route().await) };
    let path = request.uri().path().to_owned();
    let reads = [Method::GET, Method::HEAD].contains(request.method());
    if !reads || path.starts_with("/v1/") || path.contains("/.") {
        return Err(no_route().await);
    }
    let Ok(found) = ServeDir::new(folder).oneshot(request).await;
    if found.status() == StatusCode::NOT_FOUND {
        return Err(no_route().await);
    }
    let mut response = found.map(Body::new);
    let cache =
        if path.starts_with(HASHED) { "public, max-age=31536000, immutable" } else { "no-cache" };
    for (name, value) in [
        (header::CACHE_CONTROL, cache),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
    ] {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    Ok(response)
}
