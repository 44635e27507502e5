//! `GET /v1/events`: a session as server-sent events.
//!
//! An id is the session's secret and the ordinal of the event: enough to resume by.

use std::{convert::Infallible, sync::Arc};

use axum::{
    body::Body,
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, Uri, header},
    response::Response,
};
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use serde::Deserialize;
use wasmverse_core::{CallError, ErrorKind};

use super::{error::Refusal, query::parameters, terms::check_page};
use crate::{
    call::Desk,
    metrics::{Operation, Surface},
    sessions::{Attached, Said, Talk, Token, Told},
};

/// What a browser shows when it comes back.
pub(crate) const LAST_EVENT_ID: &str = "last-event-id";
/// A browser that has lost its connection waits for so long, in milliseconds.
const RETRY_MILLIS: u32 = 1000;
/// One whose session was resumed elsewhere waits for so long: both would take it from each other
/// for ever.
const REPLACED_RETRY_MILLIS: u32 = 3_600_000;

/// A smaller event is copied: one piece is cheaper to send than two.
const SHARED_BYTES_MIN: usize = 4096;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Parameters {
    last_event_id: Option<String>,
}

/// Opens a session, or resumes one.
pub(crate) async fn events(
    State(desk): State<Arc<Desk>>,
    request: Request,
) -> Result<Response, Refusal> {
    let measure = desk.meter.begin(Surface::Http, Operation::Session);
    let attached = attach(&desk, request.headers(), request.uri());
    measure.end(&attached);
    let talk = Talk::new(attached?, &desk.ending);
    let token = talk.attached().token.clone();
    let events = talk.flat_map(move |said| {
        stream::iter(written(&token, said).into_iter().flatten().map(Ok::<_, Infallible>))
    });
    let mut response = Response::new(Body::from_stream(events));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // Some proxies keep an answer until it is whole, unless they are told not to.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    Ok(response)
}

fn attach(desk: &Desk, headers: &HeaderMap, uri: &Uri) -> Result<Attached, CallError> {
    check_page(desk, headers, uri)?;
    keep_other_sites_out(headers)?;
    let asked: Parameters = parameters(uri)?;
    // What a browser shows is newer than what its page wrote into the address. Whatever cannot be
    // resumed begins with a gap.
    let header = headers.get(LAST_EVENT_ID).map(|id| id.to_str().unwrap_or("?"));
    let shown = header.or(asked.last_event_id.as_deref());
    let Some(id) = shown.filter(|id| !id.is_empty()) else { return desk.sessions.open() };
    let parts = id.rsplit_once('.').and_then(|(token, seq)| Some((token, seq.parse().ok()?)));
    let (token, seq) = parts.unwrap_or_default();
    desk.sessions.resume(token, seq)
}

/// What pages of other sites embed or link to has no `Origin`, but each would take a session.
fn keep_other_sites_out(headers: &HeaderMap) -> Result<(), CallError> {
    let site = headers.get("sec-fetch-site").is_some_and(|site| site == "cross-site");
    if site && !headers.contains_key(header::ORIGIN) {
        let problem = "pages of other sites may not open sessions here";
        return Err(CallError::new(ErrorKind::Denied, problem));
    }
    Ok(())
}

/// An event on the wire. What is large is the same bytes for all clients.
fn written(token: &Token, said: Said) -> [Option<Bytes>; 2] {
    let token = token.expose();
    let text = match said {
        Said::Opened { client, seq } => {
            let data = serde_json::json!({ "client_id": client, "session": token });
            format!("retry: {RETRY_MILLIS}\nevent: session\nid: {token}.{seq}\ndata: {data}\n\n")
        }
        Said::Told(Told::Push { seq, event }) => {
            let (mut text, rest) = (format!("id: {token}.{seq}\n"), event.lines());
            if rest.len() > SHARED_BYTES_MIN {
                return [Some(text.into()), Some(rest)];
            }
            text.push_str(std::str::from_utf8(&rest).expect("lines are text"));
            text
        }
        Said::Told(Told::Gap { seq, missed }) => {
            let data = serde_json::json!({ "missed": missed });
            format!("event: gap\nid: {token}.{seq}\ndata: {data}\n\n")
        }
        Said::Heartbeat(_) => ":\n\n".to_owned(),
        Said::Replaced => format!("retry: {REPLACED_RETRY_MILLIS}\n: resumed elsewhere\n\n"),
        Said::Ending => ": the gate ends\n\n".to_owned(),
    };
    [Some(text.into()), None]
}
