//! Records of what is kept beside objects.

use serde::{Deserialize, Serialize};

use super::base64_text;

/// What a keyed call was answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResultRecord {
    /// Of which type.
    #[serde(rename = "type")]
    pub type_name: String,
    /// Of which object.
    pub id: String,
    /// Who chose the key.
    pub origin: String,
    /// The key.
    pub key: String,
    /// A digest of what was asked, in hex.
    pub asked: String,
    /// The answer.
    #[serde(with = "base64_text")]
    pub answer: Vec<u8>,
    /// When it was kept, in microseconds since 1970.
    pub kept_at: i64,
}

/// A send that has not arrived.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SendRecord {
    /// The sender's shard.
    pub shard: u16,
    /// The sender's type.
    #[serde(rename = "type")]
    pub type_name: String,
    /// The sender's id.
    pub id: String,
    /// Its number: of the sender's row.
    pub version: u64,
    /// And among what that commit sent.
    pub place: u64,
    /// To which type.
    pub to_type: String,
    /// To which object.
    pub to_id: String,
    /// The method.
    pub method: String,
    /// Its argument.
    #[serde(with = "base64_text")]
    pub payload: Vec<u8>,
    /// When it was committed, in microseconds since 1970.
    pub sent_at: i64,
}

/// A reminder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReminderRecord {
    /// The shard of its object.
    pub shard: u16,
    /// Of which type.
    #[serde(rename = "type")]
    pub type_name: String,
    /// Of which object.
    pub id: String,
    /// Its name.
    pub name: String,
    /// When it fires, in words.
    pub when: String,
    /// The method.
    pub method: String,
    /// Its argument.
    #[serde(with = "base64_text")]
    pub payload: Vec<u8>,
    /// When it fires next, in microseconds since 1970.
    pub due_at: i64,
}

/// A send or a firing that was given up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetterRecord {
    /// Its number.
    pub number: u64,
    /// The sender's shard.
    pub shard: u16,
    /// The sender's type.
    #[serde(rename = "type")]
    pub type_name: String,
    /// The sender's id.
    pub id: String,
    /// Of a send: its number.
    pub version: Option<u64>,
    /// Of a send: the rest of its number.
    pub place: Option<u64>,
    /// Of a firing: the name of the reminder.
    pub reminder: Option<String>,
    /// To which type.
    pub to_type: String,
    /// To which object.
    pub to_id: String,
    /// The method.
    pub method: String,
    /// Its argument.
    #[serde(with = "base64_text")]
    pub payload: Vec<u8>,
    /// Why it was given up.
    pub reason: String,
    /// When it was sent, or due, in microseconds since 1970.
    pub sent_at: i64,
    /// When it was given up, in microseconds since 1970.
    pub died_at: i64,
}
