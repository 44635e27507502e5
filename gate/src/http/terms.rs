//! What a request says beside what it asks for: deadline, trace, key, session, credentials.

use axum::http::{HeaderMap, Uri, header};
use wasmverse_core::{CallError, ErrorKind};

use crate::{
    access::Credentials,
    call::{Desk, Terms, traceparent},
    deadline,
};

pub(crate) const TIMEOUT: &str = "wasmverse-timeout";
pub(crate) const SESSION: &str = "wasmverse-session";
pub(crate) const KEY: &str = "idempotency-key";
pub(crate) const TRACEPARENT: &str = "traceparent";

/// The terms of a request.
///
/// # Errors
/// `invalid-argument` for a timeout that is none, `unauthenticated` for a session.
pub(crate) fn terms(desk: &Desk, headers: &HeaderMap) -> Result<Terms, CallError> {
    let client = headers
        .get(SESSION)
        .map(|token| desk.sessions.client(token.to_str().unwrap_or_default()))
        .transpose()?;
    let asked = text(headers, TIMEOUT)?.map(deadline::from_words).transpose()?;
    let traceparent = headers.get(TRACEPARENT).and_then(|value| traceparent(value.to_str().ok()?));
    Ok(Terms { deadline: desk.timeouts.deadline(asked), traceparent, client })
}

/// Keeps pages of other sites out, however they got a browser to ask.
///
/// # Errors
/// `denied` for a page that may not call objects.
pub(crate) fn check_page(desk: &Desk, headers: &HeaderMap, uri: &Uri) -> Result<(), CallError> {
    // Only browsers say so.
    if headers.contains_key(header::ORIGIN) {
        desk.pages.check(credentials(headers, uri))?;
    }
    Ok(())
}

/// A header as text.
///
/// # Errors
/// `invalid-argument` if it is not UTF-8.
pub(crate) fn text<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a str>, CallError> {
    let text = |value: &'a axum::http::HeaderValue| {
        std::str::from_utf8(value.as_bytes()).map_err(|_| {
            CallError::new(ErrorKind::InvalidArgument, format!("the header `{name}` is not UTF-8"))
        })
    };
    headers.get(name).map(text).transpose()
}

/// What a request shows to operate the cluster. An `Origin` that is not text is a foreign one.
pub(crate) fn credentials<'a>(headers: &'a HeaderMap, uri: &'a Uri) -> Credentials<'a> {
    let text = |name| headers.get(name).map(|value| value.to_str().unwrap_or_default());
    let authority = uri.authority().map(axum::http::uri::Authority::as_str);
    Credentials {
        authorization: text(header::AUTHORIZATION),
        origin: text(header::ORIGIN),
        host: authority.or_else(|| text(header::HOST)),
    }
}
