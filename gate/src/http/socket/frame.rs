//! The frames of a WebSocket, as JSON.

use std::sync::Arc;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::Bytes;
use futures_util::{TryFutureExt as _, future::BoxFuture};
use serde::{
    Deserialize, Deserializer,
    de::{Error as _, IgnoredAny},
};
use serde_json::{Value, json, value::RawValue};
use wasmverse_core::{CallError, Encoding, ErrorKind, ObjectId, Reply};

use crate::{
    call::{Desk, Terms},
    deadline,
    http::error::shown,
    sessions::{Client, Event},
};

/// The longest id of a call, as it is written.
const ID_BYTES_MAX: usize = 256;

/// What a client asks for.
pub(super) enum Asked<'a> {
    /// How its session begins.
    Opening(Opening),
    /// Something of an object.
    Call(Asking<'a>),
}

/// How a session begins.
pub(super) enum Opening {
    New,
    Resume { token: String, seq: u64 },
}

/// The name of a call: a string or a number, as the client wrote it.
#[derive(Clone, Debug)]
pub(super) struct Id(Box<str>);

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <&RawValue>::deserialize(deserializer)?.get();
        let begins = |b: &u8| matches!(b, b'"' | b'-' | b'0'..=b'9');
        if !text.as_bytes().first().is_some_and(begins) || text.len() > ID_BYTES_MAX {
            return Err(D::Error::custom(format!(
                "an id is a string or a number of up to {ID_BYTES_MAX} bytes"
            )));
        }
        Ok(Self(text.into()))
    }
}

#[derive(Deserialize)]
struct Frame<'a> {
    op: String,
    id: Option<Id>,
    #[serde(rename = "type")]
    type_name: Option<String>,
    object: Option<String>,
    method: Option<String>,
    /// An argument that is `null` is one.
    #[serde(borrow, default, deserialize_with = "present")]
    payload: Option<&'a RawValue>,
    key: Option<String>,
    timeout: Option<Value>,
    session: Option<String>,
    seq: Option<u64>,
}

fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

/// What is left of a frame that makes no sense.
#[derive(Deserialize)]
struct Named {
    id: Option<Id>,
}

impl<'a> Asked<'a> {
    /// # Errors
    /// `invalid-argument`, and whose fault it is, if that can be read.
    pub(super) fn read(text: &'a str) -> Result<Self, (Option<Id>, CallError)> {
        let frame: Frame<'_> = serde_json::from_str(text).map_err(|error| {
            let id = serde_json::from_str(text).ok().and_then(|Named { id }| id);
            // What stands in the frame may be secret.
            let problem = format!("the frame cannot be read (column {})", error.column());
            (id, refused(&problem))
        })?;
        match frame.op.as_str() {
            "call" => Ok(Self::Call(Asking(frame))),
            "open" => Ok(Self::Opening(Opening::New)),
            "resume" => {
                let token = frame.session.unwrap_or_default();
                let seq = frame.seq.unwrap_or_default();
                Ok(Self::Opening(Opening::Resume { token, seq }))
            }
            _ => Err((frame.id, refused("`op` is `call`, or first of all `open` or `resume`"))),
        }
    }
}

/// A call on its way, and how its payloads are written.
type Queued = (Encoding, BoxFuture<'static, Result<Bytes, CallError>>);

/// A call, as a client asks for it.
pub(super) struct Asking<'a>(Frame<'a>);

impl Asking<'_> {
    pub(super) fn id(&self) -> Option<Id> {
        self.0.id.clone()
    }

    /// Gives it its place among all calls.
    pub(super) fn queue(self, desk: &Desk, client: Client) -> Result<Queued, CallError> {
        let frame = self.0;
        let wanted = |field: Option<String>, name| {
            field.ok_or_else(|| refused(&format!("a call has the field `{name}`")))
        };
        let type_name = wanted(frame.type_name, "type")?;
        let object = ObjectId::parse(&type_name, &wanted(frame.object, "object")?)?;
        let method = wanted(frame.method, "method")?;
        let encoding = desk.catalog.encoding(object.type_name())?;
        let payload = argument(encoding, frame.payload)?;
        let asked = frame.timeout.map(|timeout| match timeout {
            Value::String(words) => deadline::from_words(&words),
            other => deadline::from_words(&other.to_string()),
        });
        let deadline = desk.timeouts.deadline(asked.transpose()?);
        let action = desk.invocation(&method, payload, frame.key.as_deref())?;
        let terms = Terms { deadline, traceparent: None, client: Some(client) };
        let answering = desk.ask(object, action, terms);
        Ok((encoding, Box::pin(answering.map_ok(Reply::into_payload))))
    }
}

fn argument(encoding: Encoding, payload: Option<&RawValue>) -> Result<Bytes, CallError> {
    let Some(payload) = payload else { return Ok(Bytes::new()) };
    if encoding == Encoding::Json {
        return Ok(Bytes::copy_from_slice(payload.get().as_bytes()));
    }
    if payload.get() == "null" {
        return Ok(Bytes::new());
    }
    let text = serde_json::from_str::<String>(payload.get()).ok();
    let bytes = text.and_then(|text| BASE64_STANDARD.decode(text).ok());
    bytes.map(Into::into).ok_or_else(|| refused("this type's payload is a string of base64"))
}

/// What became of a frame.
#[derive(Debug)]
pub(super) enum Answer {
    Reply { id: Option<Id>, encoding: Encoding, payload: Bytes },
    Failure { id: Option<Id>, error: CallError },
}

impl Answer {
    /// As a frame.
    pub(super) fn written(self) -> String {
        match self {
            Self::Reply { id, encoding, payload } => {
                let (id, payload) = (written(id.as_ref()), shape(encoding, &payload));
                format!(r#"{{"op":"reply","id":{id},"payload":{payload}}}"#)
            }
            Self::Failure { id, error } => failure(id.as_ref(), &error),
        }
    }
}

fn written(id: Option<&Id>) -> &str {
    id.map_or("null", |id| &id.0)
}

/// A result in a frame: as it is from a type that speaks JSON, else as base64.
fn shape(encoding: Encoding, payload: &Bytes) -> std::borrow::Cow<'_, str> {
    if payload.is_empty() {
        return "null".into();
    }
    let is_json = || serde_json::from_slice::<IgnoredAny>(payload).is_ok();
    match std::str::from_utf8(payload) {
        Ok(text) if encoding == Encoding::Json && is_json() => text.into(),
        Ok(_) | Err(_) => format!("\"{}\"", BASE64_STANDARD.encode(payload)).into(),
    }
}

pub(super) fn session(client: &Arc<str>, token: &str, seq: u64) -> String {
    json!({ "op": "session", "client_id": client, "session": token, "seq": seq }).to_string()
}

pub(super) fn push(seq: u64, event: &Event) -> String {
    let name = Value::from(&*event.name);
    format!(r#"{{"op":"push","seq":{seq},"event":{name},"payload":{}}}"#, event.json())
}

pub(super) fn gap(seq: u64, missed: Option<u64>) -> String {
    json!({ "op": "gap", "seq": seq, "missed": missed }).to_string()
}

pub(super) fn heartbeat(seq: u64) -> String {
    json!({ "op": "heartbeat", "seq": seq }).to_string()
}

pub(super) fn failure(id: Option<&Id>, error: &CallError) -> String {
    let shape = serde_json::to_string(&shown(error)).unwrap_or_default();
    format!(r#"{{"op":"error","id":{},"error":{shape}}}"#, written(id))
}

pub(super) fn refused(problem: &str) -> CallError {
    CallError::new(ErrorKind::InvalidArgument, problem)
}
