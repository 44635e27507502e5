//! Operations over HTTP: dead letters, to look at, to send again, to forget; and reminders.

use std::{future::Future, sync::Arc};

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, StatusCode, Uri},
    response::{IntoResponse as _, Response},
};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde::{Deserialize, Serialize};
use serde_json::{Value, value::RawValue};
use wasmverse_core::{CallError, ErrorKind, ObjectId};
use wasmverse_proto::{
    admin::{DeadLetter, Reminder, dead_letter::Kind},
    gate::ObjectRef,
};

use super::{error::Refusal, names, query::parameters, terms::terms, time::rfc3339};
use crate::{
    call::Desk,
    metrics::{Operation, Surface},
};

const LETTERS: &str = "/v1/admin/dead-letters/";
const OBJECTS: &str = "/v1/admin/objects/";

type Answer = Result<Response, Refusal>;

/// `GET /v1/admin/dead-letters`
pub(crate) async fn list(State(desk): State<Arc<Desk>>, uri: Uri, headers: HeaderMap) -> Answer {
    let page = measured(&desk, page(&desk, &uri, &headers)).await?;
    let letters: Vec<_> = page.letters.iter().map(letter_shape).collect();
    let next_after = (page.next_after > 0).then_some(page.next_after);
    Ok(Json(Letters { dead_letters: letters, next_after }).into_response())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Parameters {
    #[serde(default)]
    r#type: String,
    #[serde(default)]
    id: String,
    #[serde(default)]
    after: u64,
    limit: Option<u32>,
}

async fn page(
    desk: &Desk,
    uri: &Uri,
    headers: &HeaderMap,
) -> Result<wasmverse_proto::admin::ListDeadLettersResponse, CallError> {
    let Parameters { r#type, id, after, limit } = parameters(uri)?;
    if limit == Some(0) {
        return Err(CallError::new(ErrorKind::InvalidArgument, "`limit` is at least 1"));
    }
    let from = match (r#type.as_str(), id.as_str()) {
        ("", "") => None,
        ("", _) | (_, "") => {
            let message = "name a sender by both `type` and `id`, or by neither: all";
            return Err(CallError::new(ErrorKind::InvalidArgument, message));
        }
        (type_name, id) => Some(ObjectId::parse(type_name, id)?),
    };
    let deadline = terms(desk, headers)?.deadline.into();
    desk.control.dead_letters(from.as_ref(), after, limit.unwrap_or_default(), deadline).await
}

/// `GET /v1/admin/dead-letters/{number}`
pub(crate) async fn get(State(desk): State<Arc<Desk>>, uri: Uri, headers: HeaderMap) -> Answer {
    let found = measured(&desk, async {
        let number = names::number(uri.path(), LETTERS)?;
        let deadline = terms(&desk, &headers)?.deadline.into();
        desk.control.dead_letter(number, deadline).await
    });
    Ok(Json(letter_shape(&found.await?)).into_response())
}

/// `POST /v1/admin/dead-letters/{number}/retry`
pub(crate) async fn retry(State(desk): State<Arc<Desk>>, uri: Uri, headers: HeaderMap) -> Answer {
    let retried = measured(&desk, async {
        let number = names::number(uri.path(), LETTERS)?;
        let deadline = terms(&desk, &headers)?.deadline.into();
        desk.control.retry_dead_letter(number, deadline).await
    });
    retried.await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// `DELETE /v1/admin/dead-letters/{number}`
pub(crate) async fn drop(State(desk): State<Arc<Desk>>, uri: Uri, headers: HeaderMap) -> Answer {
    let dropped = measured(&desk, async {
        let number = names::number(uri.path(), LETTERS)?;
        let deadline = terms(&desk, &headers)?.deadline.into();
        desk.control.drop_dead_letter(number, deadline).await
    });
    dropped.await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// `GET /v1/admin/objects/{type}/{id}/reminders`
pub(crate) async fn reminders(
    State(desk): State<Arc<Desk>>,
    uri: Uri,
    headers: HeaderMap,
) -> Answer {
    let found = measured(&desk, async {
        let object = names::object(uri.path(), OBJECTS)?;
        let deadline = terms(&desk, &headers)?.deadline.into();
        desk.control.reminders(&object, deadline).await
    });
    let found = found.await?;
    let reminders = found.iter().map(reminder_shape).collect();
    Ok(Json(Reminders { reminders }).into_response())
}

async fn measured<T>(
    desk: &Desk,
    work: impl Future<Output = Result<T, CallError>>,
) -> Result<T, Refusal> {
    let measure = desk.meter.begin(Surface::Http, Operation::Admin);
    let result = work.await;
    measure.end(&result);
    Ok(result?)
}

#[derive(Serialize)]
struct Letters<'a> {
    dead_letters: Vec<LetterShape<'a>>,
    next_after: Option<u64>,
}

/// A dead letter, as HTTP shows it.
#[derive(Serialize)]
struct LetterShape<'a> {
    number: u64,
    kind: &'static str,
    from: String,
    to: String,
    method: &'a str,
    #[serde(flatten)]
    payload: Payload<'a>,
    reason: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    send: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reminder: Option<&'a str>,
    sent_at: String,
    died_at: String,
}

fn letter_shape(letter: &DeadLetter) -> LetterShape<'_> {
    let (kind, send, reminder) = match &letter.kind {
        Some(Kind::Send(number)) => ("send", Some(number.as_str()), None),
        Some(Kind::Reminder(name)) => ("firing", None, Some(name.as_str())),
        None => ("send", None, None),
    };
    LetterShape {
        number: letter.number,
        kind,
        from: name(letter.from.as_ref()),
        to: name(letter.to.as_ref()),
        method: &letter.method,
        payload: Payload::of(&letter.payload),
        reason: &letter.reason,
        send,
        reminder,
        sent_at: rfc3339(letter.sent_at_micros),
        died_at: rfc3339(letter.died_at_micros),
    }
}

#[derive(Serialize)]
struct Reminders<'a> {
    reminders: Vec<ReminderShape<'a>>,
}

/// A reminder, as HTTP shows it.
#[derive(Serialize)]
struct ReminderShape<'a> {
    name: &'a str,
    when: &'a str,
    method: &'a str,
    #[serde(flatten)]
    payload: Payload<'a>,
    due_at: String,
}

fn reminder_shape(reminder: &Reminder) -> ReminderShape<'_> {
    ReminderShape {
        name: &reminder.name,
        when: &reminder.when,
        method: &reminder.method,
        payload: Payload::of(&reminder.payload),
        due_at: rfc3339(reminder.due_micros),
    }
}

/// An argument: as it is where it is JSON, else in Base64; nothing where there is none.
#[derive(Serialize)]
struct Payload<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload_base64: Option<String>,
}

impl<'a> Payload<'a> {
    fn of(bytes: &'a [u8]) -> Self {
        // It passes to the letter, but only what others can read, too: a guest wrote it.
        let readable = serde_json::from_slice::<Value>(bytes).is_ok();
        let payload = serde_json::from_slice(bytes).ok().filter(|_| readable);
        let is_binary = payload.is_none() && !bytes.is_empty();
        Self { payload, payload_base64: is_binary.then(|| BASE64_STANDARD.encode(bytes)) }
    }
}

fn name(object: Option<&ObjectRef>) -> String {
    object.map(|object| format!("{}/{}", object.r#type, object.id)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn object(id: &str) -> Option<ObjectRef> {
        Some(ObjectRef { r#type: "BankAccount".into(), id: id.into() })
    }

    #[track_caller]
    fn check(payload: &[u8], expected: &str) {
        assert_eq!(serde_json::to_string(&Payload::of(payload)).unwrap(), expected);
    }

    #[test]
    fn a_payload_is_shown_to_the_letter_where_it_is_json() {
        check(b"", "{}");
        check(b" 30 ", r#"{"payload":30}"#);
        check(b"null", r#"{"payload":null}"#);
        check(
            br#"{"z":12345678901234567890123,"a":1}"#,
            r#"{"payload":{"z":12345678901234567890123,"a":1}}"#,
        );
        check(b"{nope", r#"{"payload_base64":"e25vcGU="}"#);
        check(&[0xff, 0xfe], r#"{"payload_base64":"//4="}"#);
        // What no reader takes would spoil the whole list for them.
        let deep = "[".repeat(1000) + &"]".repeat(1000);
        let shown = serde_json::to_value(Payload::of(deep.as_bytes())).unwrap();
        assert!(shown["payload"].is_null() && shown["payload_base64"].is_string());
    }

    #[test]
    fn a_send_shows_its_number_and_a_firing_its_reminder() {
        let sent = DeadLetter {
            number: 7,
            from: object("alice"),
            to: object("a/b"),
            method: "deposit".into(),
            payload: "30".into(),
            reason: "application (overflow): the balance would not fit".into(),
            kind: Some(Kind::Send("12.0".into())),
            sent_at_micros: 1_500_000_000_123_456,
            died_at_micros: 1_500_000_001_000_000,
        };
        let expected = json!({"number": 7, "kind": "send", "from": "BankAccount/alice",
            "to": "BankAccount/a/b", "method": "deposit", "payload": 30,
            "reason": "application (overflow): the balance would not fit", "send": "12.0",
            "sent_at": "2017-07-14T02:40:00.123456Z", "died_at": "2017-07-14T02:40:01.000000Z"});
        assert_eq!(serde_json::to_value(letter_shape(&sent)).unwrap(), expected);
        let kind = Some(Kind::Reminder("close".into()));
        let fired = DeadLetter { kind, payload: bytes::Bytes::new(), ..sent };
        let shape = serde_json::to_value(letter_shape(&fired)).unwrap();
        assert_eq!((&shape["kind"], &shape["reminder"]), (&json!("firing"), &json!("close")));
        assert!(["send", "payload", "payload_base64"].iter().all(|key| shape.get(key).is_none()));
    }
}
