//! What one turn changed, as a row that a store takes whole or not at all, and who may write it.

use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use wasmverse_core::{
    Durability, Encoding, Epoch, ObjectId, RevisionNumber, ShardId, State, Version,
};

use crate::Effect;

/// The longest key of keyed storage, in bytes: what fits into an index of every database.
pub const STORAGE_KEY_BYTES_MAX: usize = 1024;

/// All that one turn changed of one object. A store takes all of it or nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commit {
    /// Whose.
    pub object: ObjectId,
    /// Its shard.
    pub shard: ShardId,
    /// The epoch of the shard that the writer claimed; of another one the store refuses it
    /// ([`Error::Fenced`](crate::Error::Fenced)). A shard that nobody claimed has epoch 0, which is nobody's.
    pub epoch: Epoch,
    /// What the row must be.
    pub expected: Expected,
    /// What becomes of the row.
    pub change: Change,
    /// Keys of its storage and what they hold from now on; none: nothing. Each key at most once.
    /// A delete takes all keys with it, whatever stands here.
    pub storage: Vec<(String, Option<Bytes>)>,
    /// What goes with it, beside the row.
    pub effects: Vec<Effect>,
}

/// What a row must be, to be changed; if it is not: [`Error::Conflict`](crate::Error::Conflict).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// There is no row, or a tombstone.
    Absent,
    /// There is a row of this version, and no tombstone.
    Version(Version),
    /// Whatever is there. Nothing protects such a commit from coming late: one whose outcome is
    /// unknown may still be under way when later ones are done.
    Any,
}

/// What becomes of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// It is there, with this state.
    Put {
        /// None: it exists, and has no state yet.
        state: Option<State>,
        /// How the state is written.
        encoding: Encoding,
        /// When the type saves; kept for those who look at the rows.
        durability: Durability,
        /// The revision that wrote it.
        revision: RevisionNumber,
    },
    /// It stays as it is but for its version; what changes is storage. There must be one: with
    /// [`Expected::Any`] and no row, and always with [`Expected::Absent`], it is a conflict.
    Touch,
    /// State, storage and reminders are gone; the version lives on. If there is none, and none is
    /// expected, nothing is written, and the answer is version 0; but with a send among the effects
    /// a tombstone is made, whose version numbers it.
    Delete,
    /// It stays as it is, and so does its version: what is to be written are the effects, and none
    /// of them is a send. Whatever is expected; the answer is version 0.
    Nothing,
}

/// Who claims shards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The node.
    pub node: String,
    /// Its registration.
    pub incarnation: String,
}

/// A shard that was claimed at some time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claimed {
    /// Which one.
    pub shard: ShardId,
    /// By the latest claim.
    pub epoch: Epoch,
    /// Who claimed it.
    pub owner: Owner,
    /// When, in microseconds since 1970.
    pub claimed_at_micros: i64,
}

/// What state was when it was saved: a database may give it back in other words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct StateDigest(pub [u8; 16]);

impl StateDigest {
    /// The first half of the SHA-256 over schema (four bytes, little end first) and data.
    pub fn of(state: &State) -> Self {
        let hash = Sha256::new().chain_update(state.schema.to_le_bytes());
        let hash: [u8; 32] = hash.chain_update(&state.data).finalize().into();
        let (half, _) = hash.split_first_chunk().expect("32 bytes are more than 16");
        Self(*half)
    }
}

impl Commit {
    /// About how many bytes it brings.
    pub(crate) fn bytes(&self) -> usize {
        let state = match &self.change {
            Change::Put { state, .. } => state.as_ref().map_or(0, |state| state.data.len()),
            Change::Touch | Change::Delete | Change::Nothing => 0,
        };
        let held = |(key, value): &(String, Option<Bytes>)| {
            key.len() + value.as_ref().map_or(0, Bytes::len)
        };
        let storage: usize = self.storage.iter().map(held).sum();
        state + storage + self.effects.iter().map(Effect::bytes).sum::<usize>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Stored: if this fails, the code is wrong, not the test.
    #[test]
    fn a_digest_is_golden_and_knows_the_schema() {
        let state = |schema| State { schema, data: Bytes::from_static(b"{\"value\":1}") };
        let digest = |schema| hex::encode(StateDigest::of(&state(schema)).0);
        assert_eq!(digest(1), "fdad05432efbcc3884af91dd9a1a862c");
        assert_ne!(digest(1), digest(2));
    }
}
