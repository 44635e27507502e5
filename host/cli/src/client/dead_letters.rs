//! Dead letters and reminders, over either side.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use reqwest::Method;
use serde_json::{Value, value::RawValue};
use wasmverse_core::ObjectId;
use wasmverse_proto::{
    admin::{
        self, DropDeadLetterRequest, GetDeadLetterRequest, ListDeadLettersRequest,
        ListRemindersRequest, RetryDeadLetterRequest, dead_letter::Kind,
    },
    convert::object_to_ref,
    gate::ObjectRef,
};

use super::{
    Client, Patience,
    grpc::answered,
    http::{escaped, segments},
};
use crate::{
    answers::{DeadLetter, DeadLetters, Reminder, Reminders, timestamp},
    failure::Result,
};

const LETTERS: &str = "/v1/admin/dead-letters";

impl Client {
    /// A page of dead letters, of this sender or of all, by number.
    pub(crate) async fn dead_letters(
        &mut self,
        from: Option<&ObjectId>,
        after: u64,
        limit: u32,
    ) -> Result<DeadLetters> {
        match self {
            Self::Http(http) => {
                let mut path = format!("{LETTERS}?after={after}&limit={limit}");
                if let Some(from) = from {
                    path += &format!("&type={}&id={}", from.type_name(), escaped(from.id()));
                }
                http.json(http.request(Method::GET, &path), Patience::READ).await
            }
            Self::Grpc(grpc) => {
                let object = from.map(object_to_ref);
                let message = grpc.signed(ListDeadLettersRequest { object, after, limit });
                let asking = grpc.admin.list_dead_letters(message);
                let answer = answered(&grpc.endpoint, Patience::READ, asking).await?;
                Ok(DeadLetters {
                    dead_letters: answer.letters.into_iter().map(dead_letter).collect(),
                    next_after: Some(answer.next_after).filter(|after| *after > 0),
                })
            }
        }
    }

    pub(crate) async fn dead_letter(&mut self, number: u64) -> Result<DeadLetter> {
        match self {
            Self::Http(http) => {
                let asking = http.request(Method::GET, &format!("{LETTERS}/{number}"));
                http.json(asking, Patience::READ).await
            }
            Self::Grpc(grpc) => {
                let message = grpc.signed(GetDeadLetterRequest { number });
                let asking = grpc.admin.get_dead_letter(message);
                answered(&grpc.endpoint, Patience::READ, asking).await.map(dead_letter)
            }
        }
    }

    /// Sends a dead letter again.
    pub(crate) async fn retry_dead_letter(&mut self, number: u64) -> Result<()> {
        match self {
            Self::Http(http) => {
                let asking = http.request(Method::POST, &format!("{LETTERS}/{number}/retry"));
                http.send(asking, Patience::WRITE).await.map(drop)
            }
            Self::Grpc(grpc) => {
                let message = grpc.signed(RetryDeadLetterRequest { number });
                let asking = grpc.admin.retry_dead_letter(message);
                answered(&grpc.endpoint, Patience::WRITE, asking).await.map(drop)
            }
        }
    }

    /// Forgets a dead letter.
    pub(crate) async fn drop_dead_letter(&mut self, number: u64) -> Result<()> {
        match self {
            Self::Http(http) => {
                let asking = http.request(Method::DELETE, &format!("{LETTERS}/{number}"));
                http.send(asking, Patience::WRITE).await.map(drop)
            }
            Self::Grpc(grpc) => {
                let message = grpc.signed(DropDeadLetterRequest { number });
                let asking = grpc.admin.drop_dead_letter(message);
                answered(&grpc.endpoint, Patience::WRITE, asking).await.map(drop)
            }
        }
    }

    /// The reminders of an object, by name.
    pub(crate) async fn reminders(&mut self, object: &ObjectId) -> Result<Reminders> {
        match self {
            Self::Http(http) => {
                let path = format!("/v1/admin/objects/{}/reminders", segments(object)?);
                http.json(http.request(Method::GET, &path), Patience::READ).await
            }
            Self::Grpc(grpc) => {
                let object = Some(object_to_ref(object));
                let message = grpc.signed(ListRemindersRequest { object });
                let asking = grpc.admin.list_reminders(message);
                let answer = answered(&grpc.endpoint, Patience::READ, asking).await?;
                Ok(Reminders { reminders: answer.reminders.into_iter().map(reminder).collect() })
            }
        }
    }
}

fn dead_letter(letter: admin::DeadLetter) -> DeadLetter {
    let (kind, send, reminder) = match letter.kind {
        Some(Kind::Send(number)) => ("send", Some(number), None),
        Some(Kind::Reminder(name)) => ("firing", None, Some(name)),
        None => ("send", None, None),
    };
    let (payload, payload_base64) = payload(&letter.payload);
    DeadLetter {
        number: letter.number,
        kind: kind.to_owned(),
        from: name(letter.from),
        to: name(letter.to),
        method: letter.method,
        payload,
        payload_base64,
        reason: letter.reason,
        send,
        reminder,
        sent_at: timestamp(letter.sent_at_micros),
        died_at: timestamp(letter.died_at_micros),
    }
}

fn reminder(reminder: admin::Reminder) -> Reminder {
    let (payload, payload_base64) = payload(&reminder.payload);
    Reminder {
        name: reminder.name,
        when: reminder.when,
        method: reminder.method,
        payload,
        payload_base64,
        due_at: timestamp(reminder.due_micros),
    }
}

/// An argument as the HTTP side shows it: as it is where it is JSON, else in Base64.
fn payload(bytes: &[u8]) -> (Option<Box<RawValue>>, Option<String>) {
    if bytes.is_empty() {
        return (None, None);
    }
    let readable = serde_json::from_slice::<Value>(bytes).is_ok();
    match serde_json::from_slice(bytes) {
        Ok(json) if readable => (Some(json), None),
        Ok(_) | Err(_) => (None, Some(BASE64_STANDARD.encode(bytes))),
    }
}

fn name(object: Option<ObjectRef>) -> String {
    object.map(|object| format!("{}/{}", object.r#type, object.id)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dead_letter_is_shown_as_the_http_side_shows_it() {
        let object = |id: &str| Some(ObjectRef { r#type: "BankAccount".into(), id: id.into() });
        let letter = admin::DeadLetter {
            number: 7,
            from: object("a"),
            to: object("b/c"),
            method: "deposit".into(),
            payload: " 30".into(),
            reason: "application (overflow): it would not fit".into(),
            kind: Some(Kind::Send("12.0".into())),
            sent_at_micros: 1_500_000_000_123_456,
            died_at_micros: 1_500_000_001_000_000,
        };
        let expected = r#"{"number":7,"kind":"send","from":"BankAccount/a","to":"BankAccount/b/c","method":"deposit","payload":30,"reason":"application (overflow): it would not fit","send":"12.0","sent_at":"2017-07-14T02:40:00.123456Z","died_at":"2017-07-14T02:40:01.000000Z"}"#;
        assert_eq!(serde_json::to_string(&dead_letter(letter)).unwrap(), expected);
    }

    #[test]
    fn a_payload_is_json_or_base64_or_none() {
        let shown = |bytes: &[u8]| {
            let (json, base64) = payload(bytes);
            (json.map(|json| json.get().to_owned()), base64)
        };
        assert_eq!(shown(b""), (None, None));
        assert_eq!(shown(b"{\"b\":1,\"a\":2}"), (Some(r#"{"b":1,"a":2}"#.into()), None));
        assert_eq!(shown(b"{"), (None, Some("ew==".into())));
        assert_eq!(shown(b"1e999"), (None, Some("MWU5OTk=".into())));
    }
}
