//! What a commit writes beside the object's row: results under their keys, sends, reminders, and
//! what becomes of them.

use std::{ops::RangeInclusive, sync::Arc};

use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use wasmverse_core::{ObjectId, SendNumber, ShardId};

/// Shards, from the first to the last.
pub type Shards = RangeInclusive<ShardId>;

/// Something that a commit writes beside the row: with it, or not at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Keeps what a keyed call of this object was answered. One that is kept already stays as it is,
    /// as long as it is kept.
    Result(KeptResult),
    /// Puts a send of this object into its outbox. Its number is the version that the commit makes,
    /// and its place among the sends of this commit, in order, from 0.
    Send(NewSend),
    /// A send, of this or another object, has arrived: it leaves the outbox. If it is not there (nor
    /// was before the batch): [`Error::Repeated`](crate::Error::Repeated).
    Arrived(SendId),
    /// A send is given up: it leaves the outbox and becomes a dead letter. If it is not in the
    /// outbox: [`Error::Repeated`](crate::Error::Repeated).
    Dead {
        /// Which one.
        send: SendId,
        /// Why, in words.
        reason: String,
    },
    /// A reminder of this object is set, over one of that name.
    Remind(NewReminder),
    /// A reminder of this object is cancelled, if it is there.
    Cancel(Arc<str>),
    /// A reminder of this object has fired. If there is none of that name and due time:
    /// [`Error::Repeated`](crate::Error::Repeated). What stands here is done before
    /// [`Effect::Remind`] and [`Effect::Cancel`] of the same commit, whatever their order.
    Fired {
        /// Its name.
        name: Arc<str>,
        /// When it was due, in microseconds since 1970.
        due_micros: i64,
        /// When it is due next; none: it is gone.
        next_micros: Option<i64>,
        /// It is given up, and why: this firing becomes a dead letter.
        dead: Option<String>,
    },
    /// A dead letter of this object is sent again: it leaves the dead letters and is in the outbox,
    /// with a number of its own. If it is not there: [`Error::Repeated`](crate::Error::Repeated).
    Revive(u64),
    /// A dead letter of this object is forgotten. If it is not there:
    /// [`Error::Repeated`](crate::Error::Repeated).
    Forget(u64),
}

/// Under what a result is kept, of one object.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ResultKey {
    /// Who chose the key: an object (`Type/id`), an authenticated principal, or (empty) anybody.
    pub origin: String,
    /// The key.
    pub key: String,
}

/// What a keyed call was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptResult {
    /// Under what.
    pub key: ResultKey,
    /// A digest of method and argument: another call under the same key is a mistake.
    pub asked: [u8; 16],
    /// The answer, as the owner writes it.
    pub answer: Bytes,
}

/// A send that leaves with a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewSend {
    /// To whom.
    pub to: ObjectId,
    /// Which method.
    pub method: Arc<str>,
    /// Its argument.
    pub payload: Bytes,
}

/// Which send.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SendId {
    /// The sender's shard.
    pub shard: ShardId,
    /// The sender.
    pub from: ObjectId,
    /// Which one of the sender's.
    pub number: SendNumber,
}

/// A send in an outbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredSend {
    /// Which one.
    pub id: SendId,
    /// What it is.
    pub send: NewSend,
    /// When it was committed, in microseconds since 1970.
    pub sent_at_micros: i64,
}

/// A reminder as it is set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewReminder {
    /// Its name among those of its object.
    pub name: Arc<str>,
    /// When it fires, in the words in which it was set.
    pub when: Arc<str>,
    /// The method that it calls.
    pub method: Arc<str>,
    /// The argument of that call.
    pub payload: Bytes,
    /// When it fires next, in microseconds since 1970.
    pub due_micros: i64,
}

/// A reminder that is set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredReminder {
    /// Whose.
    pub object: ObjectId,
    /// Of that object.
    pub shard: ShardId,
    /// What it is.
    pub reminder: NewReminder,
}

/// A send or a firing that was given up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// Unique in the store: 1, 2, 3 …
    pub number: u64,
    /// Who sent it; of a firing, whose reminder it was.
    pub from: ObjectId,
    /// The shard of that one.
    pub shard: ShardId,
    /// What was given up.
    pub source: DeadSource,
    /// What it asked for: of a firing, a method of the object itself.
    pub send: NewSend,
    /// Why it was given up.
    pub reason: String,
    /// When it was sent, or due, in microseconds since 1970.
    pub sent_at_micros: i64,
    /// When it was given up, in microseconds since 1970.
    pub died_at_micros: i64,
}

/// What was given up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeadSource {
    /// A send.
    Send(SendNumber),
    /// The firing of the reminder of that name; it was due when it was "sent".
    Firing(Arc<str>),
}

impl Effect {
    /// About how many bytes it brings.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Result(kept) => {
                kept.key.origin.len() + kept.key.key.len() + kept.asked.len() + kept.answer.len()
            }
            Self::Send(send) => send.method.len() + send.payload.len(),
            Self::Remind(reminder) => {
                let words = reminder.name.len() + reminder.when.len() + reminder.method.len();
                words + reminder.payload.len()
            }
            Self::Dead { reason, .. } | Self::Fired { dead: Some(reason), .. } => reason.len(),
            Self::Arrived(_)
            | Self::Cancel(_)
            | Self::Fired { dead: None, .. }
            | Self::Revive(_)
            | Self::Forget(_) => 0,
        }
    }
}

impl ResultKey {
    /// By what results of an object are found: the first and the last.
    pub(crate) fn hashes_of(object: &ObjectId) -> (i64, i64) {
        let (lowest, _) = hash(&[object.type_name().as_str(), object.id()]);
        let upper = i64::from(lowest) << 32;
        (upper, upper | i64::from(u32::MAX))
    }

    /// By what the result of an object under this key is found: the object is the upper half.
    pub(crate) fn hash_of(&self, object: &ObjectId) -> i64 {
        let (first, _) = Self::hashes_of(object);
        let (_, lower) = hash(&[&self.origin, &self.key]);
        first | i64::from(lower)
    }
}

/// The first four bytes of the SHA-256 over texts, a zero byte after each: with a sign, and without.
fn hash(texts: &[&str]) -> (i32, u32) {
    let mut sha = Sha256::new();
    for text in texts {
        sha.update(text);
        sha.update([0]);
    }
    let hash: [u8; 32] = sha.finalize().into();
    let (four, _) = hash.split_first_chunk().expect("32 bytes are more than four");
    (i32::from_be_bytes(*four), u32::from_be_bytes(*four))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Stored: if this fails, the code is wrong, not the test.
    #[test]
    fn hashes_are_golden_and_those_of_an_object_lie_together() {
        let object = |id| ObjectId::parse("Counter", id).expect("a name");
        let key = |origin: &str, key: &str| ResultKey { origin: origin.into(), key: key.into() };
        assert_eq!(key("me", "1").hash_of(&object("a")), 6_149_567_420_557_188_044);
        assert_ne!(key("m", "e1").hash_of(&object("a")), key("me", "1").hash_of(&object("a")));
        for id in ["a", "b", "c", "d"] {
            let (first, last) = ResultKey::hashes_of(&object(id));
            for n in 0..100 {
                let hash = key("", &n.to_string()).hash_of(&object(id));
                assert!((first..=last).contains(&hash), "{first} {hash} {last}");
            }
        }
    }
}
