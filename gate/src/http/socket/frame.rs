//! The frames of a WebSocket, as JSON.

use std::{sync::Arc, time::Duration};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::Bytes;
use futures_util::future::{BoxFuture, FutureExt as _, ready};
use serde::{Deserialize, de::IgnoredAny};
use serde_json::{Value, json, value::RawValue};
use wasmverse_core::{CallError, Encoding, ErrorKind, ObjectId};

use crate::{
    call::{Desk, Terms},
    deadline,
    http::error::shown,
    sessions::{Client, Event},
};

/// What a client asks for.
pub(super) struct Asked {
    frame: Result<Frame, CallError>,
    pub(super) heartbeat: bool,
}

#[derive(Deserialize)]
struct Frame {
    op: String,
    id: Option<Value>,
    #[serde(rename = "type")]
    type_name: Option<String>,
    object: Option<String>,
    method: Option<String>,
    payload: Option<Box<RawValue>>,
    key: Option<String>,
    timeout: Option<Value>,
    session: Option<String>,
    seq: Option<u64>,
    #[serde(default)]
    heartbeat: bool,
}

type Answer = BoxFuture<'static, Result<Bytes, CallError>>;

impl Asked {
    pub(super) fn read(text: &[u8]) -> Self {
        let frame = serde_json::from_slice::<Frame>(text)
            .map_err(|error| refused(&format!("the frame cannot be read: {error}")));
        let heartbeat = frame.as_ref().is_ok_and(|frame| frame.heartbeat);
        Self { frame, heartbeat }
    }

    pub(super) fn binary() -> Self {
        Self { frame: Err(refused("frames are JSON text, not binary")), heartbeat: false }
    }

    /// It opens or resumes a session.
    pub(super) fn is_about_session(&self) -> bool {
        self.frame.as_ref().is_ok_and(|frame| frame.op == "open" || frame.op == "resume")
    }

    /// What it resumes.
    pub(super) fn resumed(&self) -> Option<(&str, u64)> {
        let frame = self.frame.as_ref().ok().filter(|frame| frame.op == "resume")?;
        Some((frame.session.as_deref().unwrap_or_default(), frame.seq.unwrap_or_default()))
    }

    /// Queues the call that it asks for: its id, how the answer is written, and the answer.
    pub(super) fn call(self, desk: &Desk, client: Client) -> (Option<Value>, Encoding, Answer) {
        let mut frame = match self.frame {
            Ok(frame) => frame,
            Err(error) => return (None, Encoding::Json, ready(Err(error)).boxed()),
        };
        let id = frame.id.take();
        match frame.queue(desk, client) {
            Ok((encoding, answer)) => (id, encoding, answer),
            Err(error) => (id, Encoding::Json, ready(Err(error)).boxed()),
        }
    }
}

impl Frame {
    fn queue(self, desk: &Desk, client: Client) -> Result<(Encoding, Answer), CallError> {
        match self.op.as_str() {
            "call" => {}
            "open" | "resume" => {
                return Err(refused("a session is opened or resumed by the first frame alone"));
            }
            _ => return Err(refused("`op` is `call`, or first of all `open` or `resume`")),
        }
        let wanted = |field: Option<String>, name| {
            field.ok_or_else(|| refused(&format!("a call has the field `{name}`")))
        };
        let type_name = wanted(self.type_name, "type")?;
        let object = ObjectId::parse(&type_name, &wanted(self.object, "object")?)?;
        let method = wanted(self.method, "method")?;
        let encoding = desk.catalog.encoding(object.type_name())?;
        let payload = argument(encoding, self.payload.as_deref())?;
        let asked = self.timeout.map(|timeout| within(&timeout)).transpose()?;
        let deadline = desk.timeouts.deadline(asked);
        let action = desk.invocation(&method, payload, self.key.as_deref())?;
        let terms = Terms { deadline, traceparent: None, client: Some(client) };
        let answering = desk.ask(object, action, terms);
        Ok((encoding, answering.map(|answer| answer.map(wasmverse_core::Reply::into_payload)).boxed()))
    }
}

fn argument(encoding: Encoding, payload: Option<&RawValue>) -> Result<Bytes, CallError> {
    let Some(payload) = payload else { return Ok(Bytes::new()) };
    if encoding == Encoding::Json {
        return Ok(Bytes::copy_from_slice(payload.get().as_bytes()));
    }
    let text = serde_json::from_str::<String>(payload.get()).ok();
    let bytes = text.and_then(|text| BASE64_STANDARD.decode(text).ok());
    bytes.map(Into::into).ok_or_else(|| refused("this type's payload is a string of base64"))
}

fn within(timeout: &Value) -> Result<Duration, CallError> {
    match timeout {
        Value::String(words) => deadline::from_words(words),
        other => deadline::from_words(&other.to_string()),
    }
}

pub(super) fn session(client: &Arc<str>, token: &str) -> String {
    json!({ "op": "session", "client_id": client, "session": token }).to_string()
}

pub(super) fn push(seq: u64, event: &Event) -> String {
    let name = Value::from(&*event.name);
    format!(r#"{{"op":"push","seq":{seq},"event":{name},"payload":{}}}"#, event.json())
}

pub(super) fn gap(missed: Option<u64>) -> String {
    json!({ "op": "gap", "missed": missed }).to_string()
}

pub(super) fn heartbeat(seq: u64) -> String {
    json!({ "op": "heartbeat", "seq": seq }).to_string()
}

pub(super) fn reply(id: Option<&Value>, encoding: Encoding, payload: &Bytes) -> String {
    let id = id.unwrap_or(&Value::Null);
    let is_json = || serde_json::from_slice::<IgnoredAny>(payload).is_ok();
    let text = std::str::from_utf8(payload).ok();
    match text.filter(|_| encoding == Encoding::Json) {
        _ if payload.is_empty() => format!(r#"{{"op":"reply","id":{id},"payload":null}}"#),
        Some(text) if is_json() => format!(r#"{{"op":"reply","id":{id},"payload":{text}}}"#),
        Some(_) | None => {
            let text = BASE64_STANDARD.encode(payload);
            format!(r#"{{"op":"reply","id":{id},"payload":"{text}"}}"#)
        }
    }
}

pub(super) fn failure(id: Option<&Value>, error: CallError) -> String {
    json!({ "op": "error", "id": id, "error": shown(&error) }).to_string()
}

fn refused(problem: &str) -> CallError {
    CallError::new(ErrorKind::InvalidArgument, problem)
}
