//! All that a store holds, record by record, to be looked over or carried to another database.

pub(crate) mod batch;
pub(crate) mod effect_tables;
mod effects;
mod lines;
pub(crate) mod tables;
mod verify;

use serde::{Deserialize, Serialize};

pub use effects::{DeadLetterRecord, ReminderRecord, ResultRecord, SendRecord};
pub use lines::{export, import};
pub use verify::verify;

/// One thing that a store holds. Records come in the order of the variants.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Record {
    /// Whose store it is; the first record, and once.
    Store(Origin),
    /// A shard that was claimed.
    Shard(ShardRecord),
    /// A component.
    Component(ComponentRecord),
    /// A revision of a type.
    Revision(RevisionLine),
    /// An object, or its tombstone.
    Object(ObjectRecord),
    /// A key of an object's storage.
    Storage(StorageRecord),
    /// What a keyed call was answered.
    Result(ResultRecord),
    /// A send that has not arrived.
    Send(SendRecord),
    /// A reminder.
    Reminder(ReminderRecord),
    /// A send or a firing that was given up.
    DeadLetter(DeadLetterRecord),
    /// There is no more; the last record, and once: a dump without it was cut short.
    End,
}

/// Whose store it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// The name that the cluster was given when the store was made.
    pub cluster_id: String,
    /// How many shards it has.
    pub shards: u16,
}

/// A shard that was claimed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardRecord {
    /// Its number.
    pub shard: u16,
    /// Of the latest claim.
    pub epoch: u64,
    /// Who claimed it.
    pub node: String,
    /// Under which registration.
    pub incarnation: String,
    /// When, in microseconds since 1970.
    pub claimed_at: i64,
}

/// A component.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ComponentRecord {
    /// Its SHA-256, in hex.
    pub digest: String,
    /// Its bytes.
    #[serde(with = "base64_text")]
    pub bytes: Vec<u8>,
}

/// A revision of a type.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RevisionLine {
    /// Of which type.
    #[serde(rename = "type")]
    pub type_name: String,
    /// Its number.
    pub number: u32,
    /// The SHA-256 of its component, in hex.
    pub digest: String,
    /// Its description (JSON).
    pub description: String,
    /// Who uploaded it.
    pub author: String,
    /// When, in microseconds since 1970.
    pub created_at: i64,
    /// Whether it is the type's active one.
    pub active: bool,
}

/// An object, or its tombstone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectRecord {
    /// Of which type.
    #[serde(rename = "type")]
    pub type_name: String,
    /// Which one.
    pub id: String,
    /// Its shard.
    pub shard: u16,
    /// Of its row.
    pub version: u64,
    /// What is left is a tombstone.
    pub deleted: bool,
    /// The schema of its state; none: it has no state.
    pub schema: Option<u32>,
    /// State that the database keeps as JSON, in its words.
    pub json: Option<String>,
    /// State that it keeps as bytes.
    #[serde(with = "base64_text::option")]
    pub bytes: Option<Vec<u8>>,
    /// The digest of the state as it was saved, in hex.
    pub digest: Option<String>,
    /// How the state is written.
    pub encoding: String,
    /// When the type saves.
    pub durability: String,
    /// The revision that wrote it.
    pub revision: u32,
    /// In microseconds since 1970.
    pub created_at: i64,
    /// In microseconds since 1970.
    pub updated_at: i64,
}

/// A key of an object's storage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StorageRecord {
    /// Of which type.
    #[serde(rename = "type")]
    pub type_name: String,
    /// Of which object.
    pub id: String,
    /// The key.
    pub key: String,
    /// What it holds.
    #[serde(with = "base64_text")]
    pub value: Vec<u8>,
}

/// What a store is and holds, in numbers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Status {
    /// The database: `sqlite` or `postgresql`.
    pub database: &'static str,
    /// The name that the cluster was given when the store was made.
    pub cluster_id: String,
    /// How many shards it has.
    pub shards: u16,
    /// The latest migration of its tables.
    pub schema: i64,
    /// How many shards were claimed at some time.
    pub claimed: u64,
    /// By type: how many objects there are.
    pub objects: Vec<(String, u64)>,
    /// How many keys their storages have.
    pub storage_keys: u64,
    /// How many results of keyed calls are kept.
    pub results: u64,
    /// How many sends have not arrived.
    pub sends: u64,
    /// How many reminders are set.
    pub reminders: u64,
    /// How many sends and firings were given up, and wait for somebody to look at them.
    pub dead_letters: u64,
    /// What the database takes, in bytes.
    pub bytes: u64,
}

/// Bytes in JSON.
mod base64_text {
    use base64::{Engine as _, prelude::BASE64_STANDARD};
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&BASE64_STANDARD.encode(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
        BASE64_STANDARD.decode(String::deserialize(from)?).map_err(D::Error::custom)
    }

    /// Bytes that may be missing.
    pub(super) mod option {
        use super::*;

        #[expect(clippy::ref_option, reason = "serde calls it so")]
        pub(in super::super) fn serialize<S: Serializer>(
            bytes: &Option<Vec<u8>>,
            to: S,
        ) -> Result<S::Ok, S::Error> {
            match bytes {
                Some(bytes) => super::serialize(bytes, to),
                None => to.serialize_none(),
            }
        }

        pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
            from: D,
        ) -> Result<Option<Vec<u8>>, D::Error> {
            let text = Option::<String>::deserialize(from)?;
            text.map(|text| BASE64_STANDARD.decode(text).map_err(D::Error::custom)).transpose()
        }
    }
}
