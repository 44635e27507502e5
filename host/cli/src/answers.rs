//! What the cluster answers, in the words of its HTTP side, which `--json` repeats.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};

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
