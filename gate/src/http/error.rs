//! Errors as HTTP answers: one shape, whatever went wrong.

use axum::{
    body::Body,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::Bytes;
use serde::Serialize;
use serde_json::Value;
use wasmverse_core::{CallError, ErrorKind};
use wasmverse_proto::convert::http_status;

/// What a handler answers when it does not answer well.
#[derive(Debug)]
pub(crate) struct Refusal {
    status: StatusCode,
    error: CallError,
}

impl Refusal {
    /// A status of HTTP's own, in the same shape.
    pub(crate) fn with_status(status: StatusCode, error: CallError) -> Self {
        Self { status, error }
    }
}

impl From<CallError> for Refusal {
    fn from(error: CallError) -> Self {
        let status = StatusCode::from_u16(http_status(error.kind()));
        Self { status: status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), error }
    }
}

#[derive(Serialize)]
struct Envelope<'a> {
    error: Shape<'a>,
}

#[derive(Serialize)]
pub(crate) struct Shape<'a> {
    code: &'static str,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    object: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_ms: Option<u64>,
    maybe_executed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    application: Option<Application<'a>>,
}

#[derive(Serialize)]
struct Application<'a> {
    code: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<Value>,
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let Self { status, error } = self;
        let retry_after = error.retry_after_hint();
        let body = serde_json::to_vec(&Envelope { error: shown(&error) }).unwrap_or_default();
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(after) = retry_after {
            let seconds = after.as_secs() + u64::from(after.subsec_nanos() > 0);
            headers.insert(header::RETRY_AFTER, seconds.max(1).into());
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

/// An error as clients see it.
pub(crate) fn shown(error: &CallError) -> Shape<'_> {
    Shape {
        code: error.kind().as_str(),
        message: error.message(),
        object: error.object().map(ToString::to_string),
        retry_after_ms: error
            .retry_after_hint()
            .map(|after| u64::try_from(after.as_millis()).unwrap_or(u64::MAX).max(1)),
        maybe_executed: error.may_have_executed(),
        application: (error.kind() == ErrorKind::Application)
            .then(|| Application { code: error.code(), details: details(error.details()) }),
    }
}

/// The application's data: as it is where it is JSON, else as text, else in Base64.
fn details(bytes: &Bytes) -> Option<Value> {
    if bytes.is_empty() {
        return None;
    }
    let text = || std::str::from_utf8(bytes).map(Into::into);
    let binary = |_| Value::String(BASE64_STANDARD.encode(bytes));
    Some(serde_json::from_slice(bytes).or_else(|_| text()).unwrap_or_else(binary))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::time::Duration;

    async fn parts(error: CallError) -> (u16, axum::http::HeaderMap, Value) {
        let response = Refusal::from(error).into_response();
        let (parts, body) = response.into_parts();
        let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
        (parts.status.as_u16(), parts.headers, serde_json::from_slice(&body).unwrap())
    }

    #[tokio::test]
    async fn an_error_shows_all_that_is_known() {
        let error = CallError::application(
            "insufficient-funds",
            "12 are missing",
            Bytes::from_static(b"{\"missing\":12}"),
        )
        .about(&"BankAccount/a".parse().unwrap())
        .retry_after(Duration::from_millis(1200));
        let (status, headers, body) = parts(error).await;
        assert_eq!(status, 422);
        assert_eq!(headers["retry-after"], "2");
        assert_eq!(headers["content-type"], "application/json");
        let expected = json!({"error": {
            "code": "application", "message": "12 are missing", "object": "BankAccount/a",
            "retry_after_ms": 1200, "maybe_executed": false,
            "application": {"code": "insufficient-funds", "details": {"missing": 12}},
        }});
        assert_eq!(body, expected);
    }

    #[tokio::test]
    async fn an_error_says_nothing_of_what_is_not_known() {
        let (status, headers, body) = parts(CallError::new(ErrorKind::NotFound, "no such")).await;
        assert_eq!(status, 404);
        assert!(!headers.contains_key("retry-after"));
        let expected =
            json!({"error": {"code": "not-found", "message": "no such", "maybe_executed": false}});
        assert_eq!(body, expected);
    }

    #[tokio::test]
    async fn every_kind_has_its_status_and_its_name() {
        for (kind, status) in [
            (ErrorKind::Application, 422),
            (ErrorKind::NotFound, 404),
            (ErrorKind::AlreadyExists, 409),
            (ErrorKind::InvalidArgument, 400),
            (ErrorKind::Denied, 403),
            (ErrorKind::Unauthenticated, 401),
            (ErrorKind::Cycle, 409),
            (ErrorKind::Overloaded, 429),
            (ErrorKind::Timeout, 504),
            (ErrorKind::Trapped, 502),
            (ErrorKind::Unavailable, 503),
            (ErrorKind::Internal, 500),
        ] {
            let (seen, _, body) = parts(CallError::new(kind, "x").maybe_executed()).await;
            assert_eq!((seen, &body["error"]["code"]), (status, &json!(kind.as_str())));
            assert_eq!(body["error"]["maybe_executed"], true);
        }
    }

    #[test]
    fn details_are_json_or_text_or_base64() {
        assert_eq!(details(&Bytes::new()), None);
        assert_eq!(details(&Bytes::from_static(b"[1]")), Some(json!([1])));
        assert_eq!(details(&Bytes::from_static(b"{nope")), Some(json!("{nope")));
        assert_eq!(details(&Bytes::from_static(&[0xff, 0xfe])), Some(json!("//4=")));
    }
}
