//! `gate.static_dir`: files for browsers, wherever no route of ours is.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::{Request, State},
    http::{HeaderValue, Method, StatusCode, header},
    response::Response,
};
use percent_encoding::percent_decode_str;
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
    if !reads || !is_plain(&path) {
        return Err(no_route().await);
    }
    // A folder is none of its files; only the site itself has a page.
    let files = ServeDir::new(folder).append_index_html_on_directories(path == "/");
    let Ok(found) = files.oneshot(request).await;
    let status = found.status();
    if status.is_redirection() && status != StatusCode::NOT_MODIFIED
        || [StatusCode::NOT_FOUND, StatusCode::BAD_REQUEST].contains(&status)
    {
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

/// Whether a path may name a file: none of ours, none that is hidden, and nothing that file systems
/// or browsers read otherwise than it looks.
fn is_plain(path: &str) -> bool {
    let Ok(path) = percent_decode_str(path).decode_utf8() else { return false };
    let mut pieces = path.split('/').skip(1);
    let is_odd = |piece: &str| {
        piece.starts_with('.') || piece.contains('\\') || piece.contains(char::is_control)
    };
    path == "/"
        || path.starts_with('/')
            && !path.starts_with("/v1/")
            && pieces.all(|piece| !piece.is_empty() && !is_odd(piece))
}
