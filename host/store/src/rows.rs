//! Rows as both databases give them, and what they mean. Numbers are signed and of 64 bits in both.

pub(crate) mod cursors;
pub(crate) mod effects;

use bytes::Bytes;
use sqlx::FromRow;
use wasmverse_core::{Epoch, ObjectId, RevisionNumber, ShardId, State, TypeName, Version};

use crate::{
    Claimed, Error, Owner, RevisionRecord, STORAGE_KEY_BYTES_MAX, StateDigest, StoragePage,
    StoredObject, StoredSummary,
    dump::{ObjectRecord, RevisionLine, ShardRecord},
};

/// An object as it is loaded.
#[derive(FromRow)]
pub(crate) struct LoadedRow {
    state_json: Option<String>,
    state_bytes: Option<Vec<u8>>,
    digest: Option<Vec<u8>>,
    schema: Option<i64>,
    version: i64,
    revision: i64,
    created_at: i64,
    updated_at: i64,
}

impl LoadedRow {
    pub(crate) fn object(self, object: &ObjectId) -> Result<StoredObject, Error> {
        let damaged = |told: &str| Error::Damaged(format!("the row of {object}: {told}"));
        let text = self.state_json.map(Bytes::from);
        let data = text.or(self.state_bytes.map(Bytes::from));
        let state = match (self.schema, data) {
            (None, _) => None,
            (Some(_), None) => return Err(damaged("no state")),
            (Some(schema), Some(data)) => {
                let schema = u32::try_from(schema).map_err(|_| damaged("no schema"))?;
                Some(State { schema, data })
            }
        };
        let digest = match (&state, self.digest) {
            (None, _) => None,
            (Some(state), None) => Some(StateDigest::of(state)),
            (Some(_), Some(digest)) => {
                let digest = digest.try_into().map_err(|_| damaged("no digest"))?;
                Some(StateDigest(digest))
            }
        };
        Ok(StoredObject {
            state,
            digest,
            version: Version(self.version.unsigned_abs()),
            revision: revision(self.revision)?,
            created_at_micros: self.created_at,
            updated_at_micros: self.updated_at,
        })
    }
}

/// An object in a list.
#[derive(FromRow)]
pub(crate) struct ListedRow {
    r#type: String,
    id: String,
    revision: i64,
    updated_at: i64,
}

impl ListedRow {
    pub(crate) fn summary(self) -> Result<StoredSummary, Error> {
        let object = ObjectId::parse(&self.r#type, &self.id);
        Ok(StoredSummary {
            object: object.map_err(|error| Error::Damaged(error.to_string()))?,
            revision: revision(self.revision)?,
            updated_at_micros: self.updated_at,
        })
    }
}

/// A revision of a type.
#[derive(FromRow)]
pub(crate) struct RevisionRow {
    r#type: String,
    number: i64,
    digest: Vec<u8>,
    description: String,
    author: String,
    created_at: i64,
    active: bool,
}

impl RevisionRow {
    pub(crate) fn record(self) -> Result<RevisionRecord, Error> {
        let type_name = TypeName::new(&self.r#type);
        let digest = self.digest.try_into();
        Ok(RevisionRecord {
            type_name: type_name.map_err(|error| Error::Damaged(error.to_string()))?,
            number: revision(self.number)?,
            digest: digest.map_err(|_| Error::Damaged("a short digest".to_owned()))?,
            description: self.description,
            author: self.author,
            created_at_micros: self.created_at,
            active: self.active,
        })
    }

    pub(crate) fn line(self) -> Result<RevisionLine, Error> {
        Ok(RevisionLine {
            number: revision(self.number)?.0,
            type_name: self.r#type,
            digest: hex::encode(self.digest),
            description: self.description,
            author: self.author,
            created_at: self.created_at,
            active: self.active,
        })
    }
}

/// The query for [`ClaimedRow`]s.
macro_rules! shards_query {
    () => {
        "SELECT shard, epoch, node, incarnation, claimed_at FROM shards ORDER BY shard"
    };
}
pub(crate) use shards_query;

/// Who claimed a shard.
#[derive(FromRow)]
pub(crate) struct ClaimedRow {
    shard: i64,
    epoch: i64,
    node: String,
    incarnation: String,
    claimed_at: i64,
}

impl ClaimedRow {
    pub(crate) fn claimed(self) -> Result<Claimed, Error> {
        let damaged = || Error::Damaged(format!("shard {} has epoch {}", self.shard, self.epoch));
        Ok(Claimed {
            shard: ShardId(u16::try_from(self.shard).map_err(|_| damaged())?),
            epoch: Epoch(u64::try_from(self.epoch).map_err(|_| damaged())?),
            owner: Owner { node: self.node, incarnation: self.incarnation },
            claimed_at_micros: self.claimed_at,
        })
    }

    pub(crate) fn record(self) -> Result<ShardRecord, Error> {
        let Claimed { shard, epoch, owner, claimed_at_micros } = self.claimed()?;
        Ok(ShardRecord {
            shard: shard.0,
            epoch: epoch.0,
            node: owner.node,
            incarnation: owner.incarnation,
            claimed_at: claimed_at_micros,
        })
    }
}

/// A key of an object's storage, in a page; `total`: of all candidates for this page.
#[derive(FromRow)]
pub(crate) struct ScannedRow {
    key: String,
    value: Vec<u8>,
    total: i64,
}

/// What was found for a page of `limit` rows.
pub(crate) fn storage_page(mut found: Vec<ScannedRow>, limit: u32) -> StoragePage {
    let total = found.first().map_or(0, |row| row.total);
    found.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    let more = i64::try_from(found.len()).is_ok_and(|length| length < total);
    let rows = found.into_iter().map(|row| (row.key, Bytes::from(row.value))).collect();
    StoragePage { rows, more }
}

/// All of an object's row.
#[derive(FromRow)]
pub(crate) struct ObjectRow {
    pub(crate) r#type: String,
    pub(crate) id: String,
    shard: i64,
    version: i64,
    deleted: bool,
    schema: Option<i64>,
    state_json: Option<String>,
    state_bytes: Option<Vec<u8>>,
    digest: Option<Vec<u8>>,
    encoding: String,
    durability: String,
    revision: i64,
    created_at: i64,
    updated_at: i64,
}

impl ObjectRow {
    pub(crate) fn record(self) -> Result<ObjectRecord, Error> {
        let name = format!("{}/{}", self.r#type, self.id);
        let damaged = |what: &str| Error::Damaged(format!("the row of {name}: its {what}"));
        let schema = self.schema.map(u32::try_from).transpose().map_err(|_| damaged("schema"))?;
        Ok(ObjectRecord {
            shard: u16::try_from(self.shard).map_err(|_| damaged("shard"))?,
            version: u64::try_from(self.version).map_err(|_| damaged("version"))?,
            revision: u32::try_from(self.revision).map_err(|_| damaged("revision"))?,
            type_name: self.r#type,
            id: self.id,
            deleted: self.deleted,
            schema,
            json: self.state_json,
            bytes: self.state_bytes,
            digest: self.digest.map(hex::encode),
            encoding: self.encoding,
            durability: self.durability,
            created_at: self.created_at,
            updated_at: self.updated_at,
        })
    }
}

/// A key of an object's storage, with whose it is.
#[derive(FromRow)]
pub(crate) struct StorageRow {
    pub(crate) r#type: String,
    pub(crate) id: String,
    pub(crate) key: String,
    pub(crate) value: Vec<u8>,
}

fn revision(number: i64) -> Result<RevisionNumber, Error> {
    let number = u32::try_from(number);
    number.map(RevisionNumber).map_err(|_| Error::Damaged("a revision without number".to_owned()))
}

/// Where a page of what begins with a prefix begins: one bound, because a database seeks by one and
/// walks over all that another one excludes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Begin<'a> {
    /// With this one, if it is there.
    At(&'a str),
    /// Behind this one.
    After(&'a str),
}

impl<'a> Begin<'a> {
    pub(crate) fn new(prefix: &'a str, after: Option<&'a str>) -> Self {
        match after {
            Some(after) if after >= prefix => Self::After(after),
            _ => Self::At(prefix),
        }
    }
}

/// A text that is greater than all ids and keys that begin with `prefix`, and not greater than any
/// other that is greater than those.
pub(crate) fn beyond(prefix: &str) -> String {
    let mut chars: Vec<char> = prefix.chars().collect();
    while let Some(last) = chars.pop() {
        // The range steps over the surrogates, and the order of bytes is that of characters.
        if let Some(next) = (last..=char::MAX).nth(1) {
            chars.push(next);
            return chars.into_iter().collect();
        }
    }
    // Longer than any id or key of nothing but the last character.
    char::MAX.to_string().repeat(STORAGE_KEY_BYTES_MAX / char::MAX.len_utf8() + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_has_one_bound_on_either_side() {
        assert_eq!(Begin::new("a", None), Begin::At("a"));
        assert_eq!(Begin::new("b", Some("a")), Begin::At("b"));
        assert_eq!(Begin::new("b", Some("b")), Begin::After("b"));
        assert_eq!(Begin::new("b", Some("ba")), Begin::After("ba"));
        assert_eq!(Begin::new("", Some("")), Begin::After(""));
        assert_eq!(beyond("ab"), "ac");
        assert_eq!(beyond("a\u{10ffff}"), "b");
        assert_eq!(beyond("\u{d7ff}"), "\u{e000}");
        for prefix in ["", "\u{10ffff}"] {
            let greatest = "\u{10ffff}".repeat(STORAGE_KEY_BYTES_MAX / 4);
            assert!(beyond(prefix) > greatest);
        }
    }
}
