//! The HTTP side.

use std::{error::Error as _, time::Duration};

use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt as _, stream, stream::BoxStream};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde::de::DeserializeOwned;
use serde_json::Value;
use wasmverse_core::ObjectId;

use super::{
    CONNECT_TIMEOUT, CallRequest, ListRequest, LogsRequest, Patience, failed, innermost,
    other_side, unreachable,
};
use crate::{
    answers::{LogLine, ObjectInfo, Page, Rollout, Uploaded},
    endpoint::Endpoint,
    failure::{ErrorBody, Failure, Result},
};

/// What needs no escape in a path segment.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
/// How often a rollout is asked about.
const ROLLOUT_INTERVAL: Duration = Duration::from_millis(100);

/// A gate, and who asks.
#[derive(Clone, Debug)]
pub(crate) struct Http {
    client: reqwest::Client,
    endpoint: Endpoint,
    token: Option<String>,
}

impl Http {
    pub(crate) fn new(endpoint: &Endpoint, token: Option<&str>) -> Result<Self> {
        // Clusters are addressed directly: a proxy of the environment is meant for the world.
        let client = reqwest::Client::builder()
            .no_proxy()
            .connect_timeout(CONNECT_TIMEOUT)
            .tcp_nodelay(true)
            .build()
            .map_err(anyhow::Error::from)?;
        Ok(Self { client, endpoint: endpoint.clone(), token: token.map(str::to_owned) })
    }

    pub(crate) async fn call(&self, request: &CallRequest) -> Result<Option<Bytes>> {
        let path = format!("{}/{}", object_path(&request.object)?, escaped(&request.method));
        let mut builder = self.request(Method::POST, &path);
        if !request.payload.is_empty() {
            let media =
                if request.is_json { "application/json" } else { "application/octet-stream" };
            builder = builder.header("content-type", media).body(request.payload.clone());
        }
        if let Some(key) = &request.key {
            builder = builder.header("idempotency-key", key);
        }
        if let Some(session) = &request.session {
            builder = builder.header("wasmverse-session", session);
        }
        if let Some(timeout) = request.timeout {
            builder =
                builder.header("wasmverse-timeout", format!("{}ms", timeout.as_millis().max(1)));
        }
        let patience = Patience::of_call(request.timeout);
        let response = self.send(builder, patience).await?;
        if response.status() == StatusCode::NO_CONTENT {
            return Ok(None);
        }
        let body = self.body(response, patience).await?;
        Ok(Some(body).filter(|body| !body.is_empty()))
    }

    pub(crate) async fn create(&self, object: &ObjectId) -> Result<()> {
        self.send(self.request(Method::PUT, &object_path(object)?), Patience::WRITE).await.map(drop)
    }

    pub(crate) async fn delete(&self, object: &ObjectId) -> Result<()> {
        self.send(self.request(Method::DELETE, &object_path(object)?), Patience::WRITE)
            .await
            .map(drop)
    }

    pub(crate) async fn get(&self, object: &ObjectId) -> Result<ObjectInfo> {
        self.json(self.request(Method::GET, &object_path(object)?), Patience::READ).await
    }

    pub(crate) async fn list(&self, request: &ListRequest) -> Result<Page> {
        let mut query = vec![("limit", request.limit.to_string())];
        let optional =
            [("type", &request.type_name), ("prefix", &request.prefix), ("page", &request.page)];
        for (name, value) in optional {
            query.extend(value.clone().map(|value| (name, value)));
        }
        let query: Vec<_> =
            query.into_iter().map(|(name, value)| format!("{name}={}", escaped(&value))).collect();
        let path = format!("/v1/objects?{}", query.join("&"));
        let page: Page = self.json(self.request(Method::GET, &path), Patience::READ).await?;
        Ok(Page { next_page: page.next_page.filter(|page| !page.is_empty()), ..page })
    }

    pub(crate) async fn types(&self) -> Result<Vec<Value>> {
        let mut answer: Value =
            self.json(self.request(Method::GET, "/v1/types"), Patience::READ).await?;
        match answer.get_mut("types").map(Value::take) {
            Some(Value::Array(types)) => Ok(types),
            _ => Err(not_understood(&answer.to_string())),
        }
    }

    pub(crate) async fn upload(&self, component: Bytes) -> Result<Uploaded> {
        let builder = self
            .request(Method::POST, "/v1/admin/types")
            .header("content-type", "application/wasm")
            .body(component);
        self.json(builder, Patience::UPLOAD).await
    }

    /// Asks again and again: this side answers how far it has come.
    pub(crate) async fn rollout(
        &self,
        type_name: &str,
    ) -> Result<BoxStream<'static, Result<Rollout>>> {
        let path = format!("/v1/admin/types/{}/rollout", escaped(type_name));
        let first: Rollout = self.json(self.request(Method::GET, &path), Patience::READ).await?;
        let more = stream::unfold((self.clone(), path, first.done), async |(http, path, done)| {
            if done {
                return None;
            }
            tokio::time::sleep(ROLLOUT_INTERVAL).await;
            let next: Result<Rollout> =
                http.json(http.request(Method::GET, &path), Patience::READ).await;
            let done = next.as_ref().map_or(true, |rollout| rollout.done);
            Some((next, (http, path, done)))
        });
        Ok(stream::iter([Ok(first)]).chain(more).boxed())
    }

    /// A line of JSON for each line of the log; an error object at its end says why it broke off.
    pub(crate) async fn logs(
        &self,
        request: &LogsRequest,
    ) -> Result<BoxStream<'static, Result<LogLine>>> {
        let (type_name, id) = (request.type_name.clone(), &request.id);
        let whose = match id.is_empty() {
            true => String::new(),
            false => format!("/{}/{}", escaped(&type_name), escaped(id)),
        };
        let path = format!("/v1/admin/logs{whose}?recent={}", request.recent);
        let response = self.send(self.request(Method::GET, &path), Patience::READ).await?;
        let start = (response, self.clone(), Vec::new());
        let lines = stream::try_unfold(start, async |(mut response, http, mut rest)| {
            loop {
                if let Some(line) = first_line(&mut rest) {
                    return Ok(Some((log_line(&line)?, (response, http, rest))));
                }
                match response.chunk().await.map_err(|error| http.failure(&error))? {
                    Some(chunk) => rest.extend_from_slice(&chunk),
                    None => return Ok(None),
                }
            }
        });
        // The side knows the logs of one object and of all: those of a type are picked from all.
        let of_type = move |line: &Result<LogLine>| {
            let wanted = line.as_ref().map_or(true, |line| {
                type_name.is_empty() || line.type_name == type_name || line.missed > 0
            });
            std::future::ready(wanted)
        };
        Ok(lines.filter(of_type).boxed())
    }

    pub(super) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let builder = self.client.request(method, format!("{}{path}", self.endpoint.http_url()));
        match &self.token {
            Some(token) => builder.bearer_auth(token),
            None => builder,
        }
    }

    pub(super) async fn json<T: DeserializeOwned>(
        &self,
        builder: RequestBuilder,
        patience: Patience,
    ) -> Result<T> {
        let response = self.send(builder, patience).await?;
        let body = self.body(response, patience).await?;
        serde_json::from_slice(&body).map_err(|_| not_understood(&String::from_utf8_lossy(&body)))
    }

    /// The response, if it is a good one.
    pub(super) async fn send(
        &self,
        builder: RequestBuilder,
        patience: Patience,
    ) -> Result<Response> {
        let sent = patience.wait(&self.endpoint, builder.send()).await?;
        let response = sent.map_err(|error| self.failure(&error))?;
        // The gRPC side may answer HTTP/1, too: with success, and the error in a header.
        if response.headers().contains_key("grpc-status") {
            return Err(other_side(&self.endpoint));
        }
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let body = self.body(response, patience).await?;
        Err(match serde_json::from_slice::<ErrorBody>(&body) {
            Ok(body) => Failure::Call(Box::new(body.error)),
            Err(_) => foreign(status, &String::from_utf8_lossy(&body)),
        })
    }

    /// The whole body; nothing of it may take longer than the beginning did.
    async fn body(&self, mut response: Response, patience: Patience) -> Result<Bytes> {
        let mut body = BytesMut::new();
        loop {
            let chunk = patience.wait(&self.endpoint, response.chunk()).await?;
            match chunk.map_err(|error| self.failure(&error))? {
                Some(chunk) => body.extend_from_slice(&chunk),
                None => return Ok(body.freeze()),
            }
        }
    }

    fn failure(&self, error: &reqwest::Error) -> Failure {
        if error.is_builder() {
            return Failure::usage(innermost(error));
        }
        if error.is_connect() {
            return unreachable(&self.endpoint, error);
        }
        if is_no_http(error) {
            return other_side(&self.endpoint);
        }
        let mut failure = match error.is_timeout() {
            true => failed("timeout", "no answer in time"),
            false => failed("unavailable", format!("the connection broke: {}", innermost(error))),
        };
        failure.maybe_executed = true;
        Failure::Call(Box::new(failure))
    }
}

/// What came is no HTTP/1: the gRPC side speaks only HTTP/2.
fn is_no_http(error: &reqwest::Error) -> bool {
    let mut sources = std::iter::successors(error.source(), |error| (*error).source());
    sources.any(|error| error.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_parse))
}

/// Takes the first whole line off what has come.
fn first_line(rest: &mut Vec<u8>) -> Option<Vec<u8>> {
    let end = rest.iter().position(|byte| *byte == b'\n')?;
    let tail = rest.split_off(end + 1);
    Some(std::mem::replace(rest, tail))
}

fn log_line(line: &[u8]) -> Result<LogLine> {
    if let Ok(body) = serde_json::from_slice::<ErrorBody>(line) {
        return Err(Failure::Call(Box::new(body.error)));
    }
    serde_json::from_slice(line).map_err(|_| not_understood(&String::from_utf8_lossy(line)))
}

/// The path of an object's routes.
///
/// # Errors
/// For ids that every URL library takes for a step in the path.
pub(crate) fn object_path(object: &ObjectId) -> Result<String> {
    Ok(format!("/v1/objects/{}", segments(object)?))
}

/// An object as two segments of a path.
///
/// # Errors
/// For ids that every URL library takes for a step in the path.
pub(super) fn segments(object: &ObjectId) -> Result<String> {
    if [".", ".."].contains(&object.id()) {
        return Err(Failure::usage(format!("{object} fits no URL: use --url grpc://HOST:PORT")));
    }
    Ok(format!("{}/{}", object.type_name(), escaped(object.id())))
}

pub(crate) fn escaped(text: &str) -> String {
    utf8_percent_encode(text, SEGMENT).to_string()
}

/// The name in our set for an error response that is not of a gate's making.
pub(crate) fn code_of(status: u16) -> &'static str {
    match status {
        400 | 405 | 413 | 415 | 431 => "invalid-argument",
        401 | 407 => "unauthenticated",
        403 => "denied",
        404 => "not-found",
        409 => "already-exists",
        422 => "application",
        429 => "overloaded",
        502 | 503 => "unavailable",
        408 | 504 => "timeout",
        _ => "internal",
    }
}

fn foreign(status: StatusCode, body: &str) -> Failure {
    let body: String = body.trim().chars().take(200).collect();
    let message = match body.is_empty() {
        true => format!("HTTP status {status}"),
        false => format!("HTTP status {status}: {body}"),
    };
    Failure::Call(Box::new(failed(code_of(status.as_u16()), message)))
}

fn not_understood(answer: &str) -> Failure {
    let answer: String = answer.chars().take(200).collect();
    let message = format!("this is no answer of a gate (is the port right?): {answer}");
    Failure::Call(Box::new(failed("internal", message)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_id_fits_one_path_segment() {
        let path = |text: &str| object_path(&text.parse().unwrap());
        assert_eq!(path("Room/a b/ü?#%").unwrap(), "/v1/objects/Room/a%20b%2F%C3%BC%3F%23%25");
        assert_eq!(path("Room/plain-id_1.~").unwrap(), "/v1/objects/Room/plain-id_1.~");
        assert!(matches!(path("Room/.."), Err(Failure::Usage(_))));
    }

    #[test]
    fn a_log_is_read_line_by_line_and_may_end_with_an_error() {
        let mut rest = b"{\"at\":\"now\",\"message\":\"hi\"}\n{\"error\":{\"code\":".to_vec();
        assert_eq!(log_line(&first_line(&mut rest).unwrap()).unwrap().message, "hi");
        assert_eq!(first_line(&mut rest), None);
        rest.extend_from_slice(b"\"unavailable\",\"message\":\"gone\"}}\n");
        let failure = log_line(&first_line(&mut rest).unwrap()).unwrap_err();
        assert_eq!(failure.to_string(), "unavailable: gone");
        assert!(rest.is_empty());
    }

    #[test]
    fn a_foreign_error_gets_a_name_by_its_status() {
        let failure = foreign(StatusCode::BAD_GATEWAY, " <html>no upstream</html>\n");
        let expected = "unavailable: HTTP status 502 Bad Gateway: <html>no upstream</html>";
        assert_eq!(failure.to_string(), expected);
    }
}
