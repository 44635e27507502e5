//! What the cluster answers, in the words of its HTTP side, which `--json` repeats.

mod cluster;

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

pub(crate) use cluster::{
    ClusterStatus, GateStatus, Moved, NodeStatus, ShardCounts, ShardInfo, ShardMove, ShardPin,
    Shards,
};

/// An object, as far as the cluster knows it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct ObjectInfo {
    #[serde(rename = "type")]
    pub(crate) type_name: String,
    pub(crate) id: String,
    pub(crate) state: String,
    pub(crate) node: Option<String>,
    pub(crate) revision: u32,
    pub(crate) updated_at: Option<String>,
}

/// One page of a list.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Page {
    pub(crate) objects: Vec<ObjectInfo>,
    pub(crate) next_page: Option<String>,
}

/// What became of an upload.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Uploaded {
    #[serde(rename = "type")]
    pub(crate) type_name: String,
    pub(crate) revision: u32,
    pub(crate) digest: String,
    pub(crate) active: bool,
}

/// How far a deploy has come.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Rollout {
    #[serde(rename = "type")]
    pub(crate) type_name: String,
    pub(crate) revision: u32,
    pub(crate) live: u32,
    pub(crate) moved: u32,
    pub(crate) gone: u32,
    /// The first of those that stay on their old revision.
    pub(crate) refused: Vec<Refusal>,
    pub(crate) refused_total: u32,
    pub(crate) done: bool,
}

impl Rollout {
    /// How many stay on their old revision.
    pub(crate) fn staying(&self) -> u64 {
        u64::from(self.refused_total).max(self.refused.len() as u64)
    }
}

/// An object that stays on its old revision.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Refusal {
    pub(crate) id: String,
    pub(crate) reason: String,
}

/// A line of an object's log.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct LogLine {
    pub(crate) at: String,
    #[serde(rename = "type")]
    pub(crate) type_name: String,
    pub(crate) id: String,
    pub(crate) level: String,
    pub(crate) message: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) fields: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) turn: String,
    #[serde(skip_serializing_if = "is_zero")]
    pub(crate) missed: u64,
}

/// A send, or the firing of a reminder, that was given up.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct DeadLetter {
    pub(crate) number: u64,
    /// `send` or `firing`.
    pub(crate) kind: String,
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) method: String,
    /// The argument, where it is JSON.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub(crate) payload: Option<Box<RawValue>>,
    /// The argument, where it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) payload_base64: Option<String>,
    pub(crate) reason: String,
    /// Of a send: its number among those of its sender.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) send: Option<String>,
    /// Of a firing: the name of the reminder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reminder: Option<String>,
    /// Of a firing: when it was due.
    pub(crate) sent_at: String,
    pub(crate) died_at: String,
}

/// One page of dead letters.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct DeadLetters {
    pub(crate) dead_letters: Vec<DeadLetter>,
    pub(crate) next_after: Option<u64>,
}

/// A reminder that is set.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Reminder {
    pub(crate) name: String,
    pub(crate) when: String,
    pub(crate) method: String,
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub(crate) payload: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) payload_base64: Option<String>,
    pub(crate) due_at: String,
}

/// The reminders of an object.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Reminders {
    pub(crate) reminders: Vec<Reminder>,
}

/// What is there is something, also where it is `null`.
fn present<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Box<RawValue>>, D::Error> {
    Box::deserialize(from).map(Some)
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// Microseconds since 1970 as RFC 3339 in UTC.
pub(crate) fn timestamp(micros: i64) -> String {
    let since = Duration::from_micros(u64::try_from(micros).unwrap_or(0));
    // Beyond the year 9999 there is no such text.
    let last = Duration::from_secs(253_402_300_799);
    humantime::format_rfc3339_micros(std::time::UNIX_EPOCH + since.min(last)).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_comes_through_as_it_is() {
        for payload in ["null", "30", r#"{"z":12345678901234567890123,"a":[]}"#] {
            let text = format!(
                r#"{{"number":3,"kind":"send","from":"A/a","to":"A/b","method":"m","payload":{payload},"reason":"r","send":"1.0","sent_at":"s","died_at":"d"}}"#
            );
            let letter: DeadLetter = serde_json::from_str(&text).unwrap();
            assert_eq!(serde_json::to_string(&letter).unwrap(), text);
        }
        let none: Reminder = serde_json::from_str(r#"{"name":"poll"}"#).unwrap();
        assert!(none.payload.is_none());
    }
}
