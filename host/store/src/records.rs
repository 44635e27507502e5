//! The rows of a store, as its callers see them.

use bytes::Bytes;
use wasmverse_core::{ObjectId, RevisionNumber, State, TypeName, Version};

use crate::StateDigest;

/// A component to be kept.
#[derive(Clone, Debug)]
pub struct NewRevision {
    /// Of which type.
    pub type_name: TypeName,
    /// The SHA-256 of `component`.
    pub digest: [u8; 32],
    /// Its bytes.
    pub component: Bytes,
    /// Its description (JSON).
    pub description: String,
    /// Who uploaded it.
    pub author: String,
}

/// A revision of a type, without its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RevisionRecord {
    /// Of which type.
    pub type_name: TypeName,
    /// Its number: 1, 2, 3 …
    pub number: RevisionNumber,
    /// The SHA-256 of its component.
    pub digest: [u8; 32],
    /// Its description (JSON).
    pub description: String,
    /// Who uploaded it.
    pub author: String,
    /// When, in microseconds since 1970.
    pub created_at_micros: i64,
    /// Whether it is the type's active one.
    pub active: bool,
}

/// An object as it was last saved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredObject {
    /// None: it was created and never saved since.
    pub state: Option<State>,
    /// Of the state as it was saved, which a database may give back in other words (JSON); none:
    /// there is no state.
    pub digest: Option<StateDigest>,
    /// Of its row.
    pub version: Version,
    /// The revision that wrote it.
    pub revision: RevisionNumber,
    /// In microseconds since 1970.
    pub created_at_micros: i64,
    /// In microseconds since 1970.
    pub updated_at_micros: i64,
}

/// An object in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredSummary {
    /// Which one.
    pub object: ObjectId,
    /// The revision that wrote it.
    pub revision: RevisionNumber,
    /// In microseconds since 1970.
    pub updated_at_micros: i64,
}

/// Part of a list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// In order of type and id.
    pub objects: Vec<StoredSummary>,
    /// There may be more after the last one.
    pub more: bool,
}

/// Part of an object's storage.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoragePage {
    /// Keys and values, in the order of the bytes of the keys.
    pub rows: Vec<(String, Bytes)>,
    /// There may be more after the last one.
    pub more: bool,
}
