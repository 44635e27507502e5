//! Rows of results, sends, reminders and dead letters, and what they mean.

use bytes::Bytes;
use sqlx::FromRow;
use wasmverse_core::{ObjectId, SendNumber, ShardId, Version};

use crate::{
    DeadLetter, DeadSource, Error, KeptResult, NewReminder, NewSend, ResultKey, SendId,
    StoredReminder, StoredSend,
    dump::{DeadLetterRecord, ReminderRecord, ResultRecord, SendRecord},
};

fn damaged(what: &str, whose: (&str, &str)) -> Error {
    Error::Damaged(format!("{what} of {}/{}", whose.0, whose.1))
}

fn object(what: &str, type_name: &str, id: &str) -> Result<ObjectId, Error> {
    ObjectId::parse(type_name, id)
        .map_err(|error| Error::Damaged(format!("{what} of {type_name}/{id}: {error}")))
}

fn shard(what: &str, number: i64, whose: (&str, &str)) -> Result<ShardId, Error> {
    u16::try_from(number).map(ShardId).map_err(|_| damaged(what, whose))
}

fn send_number(version: i64, place: i64) -> Option<SendNumber> {
    let version = Version(u64::try_from(version).ok()?);
    Some(SendNumber { version, place: u64::try_from(place).ok()? })
}

/// A result that was looked up.
#[derive(FromRow)]
pub(crate) struct KeptRow {
    asked: Vec<u8>,
    answer: Vec<u8>,
}

impl KeptRow {
    pub(crate) fn kept(self, object: &ObjectId, key: ResultKey) -> Result<KeptResult, Error> {
        let asked = self.asked.try_into();
        let asked = asked.map_err(|_| Error::Damaged(format!("a result of {object}")))?;
        Ok(KeptResult { key, asked, answer: self.answer.into() })
    }
}

/// The keys of results that were found: each once. More than `limit` were looked for.
pub(crate) fn result_keys(found: Vec<(String, String)>, limit: usize) -> (Vec<ResultKey>, bool) {
    let whole = found.len() <= limit;
    let mut keys: Vec<ResultKey> =
        found.into_iter().map(|(origin, key)| ResultKey { origin, key }).collect();
    // One that was forgotten in between may be there twice.
    keys.sort_unstable();
    keys.dedup();
    keys.truncate(limit);
    (keys, whole)
}

/// All of a result.
#[derive(FromRow)]
pub(crate) struct ResultRow {
    r#type: String,
    id: String,
    origin: String,
    key: String,
    asked: Vec<u8>,
    answer: Vec<u8>,
    kept_at: i64,
}

impl ResultRow {
    pub(crate) fn record(self) -> ResultRecord {
        ResultRecord {
            type_name: self.r#type,
            id: self.id,
            origin: self.origin,
            key: self.key,
            asked: hex::encode(self.asked),
            answer: self.answer,
            kept_at: self.kept_at,
        }
    }
}

/// A send in an outbox.
#[derive(FromRow)]
pub(crate) struct SentRow {
    pub(crate) shard: i64,
    pub(crate) r#type: String,
    pub(crate) id: String,
    pub(crate) version: i64,
    pub(crate) place: i64,
    to_type: String,
    to_id: String,
    method: String,
    payload: Vec<u8>,
    sent_at: i64,
}

impl SentRow {
    pub(crate) fn send(self) -> Result<StoredSend, Error> {
        let whose = (self.r#type.as_str(), self.id.as_str());
        let number = send_number(self.version, self.place);
        Ok(StoredSend {
            id: SendId {
                shard: shard("the shard of a send", self.shard, whose)?,
                from: object("a send", whose.0, whose.1)?,
                number: number.ok_or_else(|| damaged("the number of a send", whose))?,
            },
            send: NewSend {
                to: object("the target of a send", &self.to_type, &self.to_id)?,
                method: self.method.into(),
                payload: self.payload.into(),
            },
            sent_at_micros: self.sent_at,
        })
    }

    pub(crate) fn record(self) -> Result<SendRecord, Error> {
        let whose = (self.r#type.as_str(), self.id.as_str());
        let number = send_number(self.version, self.place);
        let number = number.ok_or_else(|| damaged("the number of a send", whose))?;
        Ok(SendRecord {
            shard: shard("the shard of a send", self.shard, whose)?.0,
            version: number.version.0,
            place: number.place,
            type_name: self.r#type,
            id: self.id,
            to_type: self.to_type,
            to_id: self.to_id,
            method: self.method,
            payload: self.payload,
            sent_at: self.sent_at,
        })
    }
}

/// A reminder.
#[derive(FromRow)]
pub(crate) struct ReminderRow {
    pub(crate) r#type: String,
    pub(crate) id: String,
    pub(crate) name: String,
    shard: i64,
    schedule: String,
    method: String,
    payload: Vec<u8>,
    due_at: i64,
}

impl ReminderRow {
    pub(crate) fn reminder(self) -> Result<StoredReminder, Error> {
        let whose = (self.r#type.as_str(), self.id.as_str());
        Ok(StoredReminder {
            object: object("a reminder", whose.0, whose.1)?,
            shard: shard("the shard of a reminder", self.shard, whose)?,
            reminder: NewReminder {
                name: self.name.into(),
                when: self.schedule.into(),
                method: self.method.into(),
                payload: self.payload.into(),
                due_micros: self.due_at,
            },
        })
    }

    pub(crate) fn record(self) -> Result<ReminderRecord, Error> {
        let whose = (self.r#type.as_str(), self.id.as_str());
        Ok(ReminderRecord {
            shard: shard("the shard of a reminder", self.shard, whose)?.0,
            type_name: self.r#type,
            id: self.id,
            name: self.name,
            when: self.schedule,
            method: self.method,
            payload: self.payload,
            due_at: self.due_at,
        })
    }
}

/// A dead letter.
#[derive(FromRow)]
pub(crate) struct LetterRow {
    pub(crate) number: i64,
    shard: i64,
    r#type: String,
    id: String,
    version: Option<i64>,
    place: Option<i64>,
    reminder: Option<String>,
    to_type: String,
    to_id: String,
    method: String,
    payload: Vec<u8>,
    reason: String,
    sent_at: i64,
    died_at: i64,
}

impl LetterRow {
    fn source(&self) -> Result<DeadSource, Error> {
        let source = match (self.version, self.place, &self.reminder) {
            (Some(version), Some(place), None) => send_number(version, place).map(DeadSource::Send),
            (None, None, Some(name)) => Some(DeadSource::Firing(name.as_str().into())),
            _ => None,
        };
        source.ok_or_else(|| self.wrong("what was given up"))
    }

    fn wrong(&self, what: &str) -> Error {
        Error::Damaged(format!("the dead letter {}: {what}", self.number))
    }

    pub(crate) fn letter(self) -> Result<DeadLetter, Error> {
        let whose = (self.r#type.as_str(), self.id.as_str());
        Ok(DeadLetter {
            number: u64::try_from(self.number).map_err(|_| self.wrong("its number"))?,
            source: self.source()?,
            from: object("a dead letter", whose.0, whose.1)?,
            shard: shard("the shard of a dead letter", self.shard, whose)?,
            send: NewSend {
                to: object("the target of a dead letter", &self.to_type, &self.to_id)?,
                method: self.method.into(),
                payload: Bytes::from(self.payload),
            },
            reason: self.reason,
            sent_at_micros: self.sent_at,
            died_at_micros: self.died_at,
        })
    }

    pub(crate) fn record(self) -> Result<DeadLetterRecord, Error> {
        let whose = (self.r#type.as_str(), self.id.as_str());
        let (number, firing) = match self.source()? {
            DeadSource::Send(number) => (Some(number), None),
            DeadSource::Firing(name) => (None, Some(name.to_string())),
        };
        Ok(DeadLetterRecord {
            number: u64::try_from(self.number).map_err(|_| self.wrong("its number"))?,
            shard: shard("the shard of a dead letter", self.shard, whose)?.0,
            version: number.map(|number| number.version.0),
            place: number.map(|number| number.place),
            reminder: firing,
            type_name: self.r#type,
            id: self.id,
            to_type: self.to_type,
            to_id: self.to_id,
            method: self.method,
            payload: self.payload,
            reason: self.reason,
            sent_at: self.sent_at,
            died_at: self.died_at,
        })
    }
}
