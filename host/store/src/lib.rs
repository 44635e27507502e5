//! What survives: types with their revisions, and the state of objects.
//!
//! One trait, [`Store`], proven by one suite ([`contract`]) that every implementation passes:
//! SQLite, the embedded default, and PostgreSQL, which many nodes share. Nothing here knows that
//! calls cross a network.

mod claim;
mod commit;
mod components;
pub mod contract;
pub mod dump;
mod effect;
mod error;
mod group;
mod limits;
mod metrics;
mod open;
mod pass_on;
pub mod postgres;
mod prepared;
mod records;
mod rows;
mod shares;
pub mod sqlite;

use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use tokio::sync::mpsc;
use wasmverse_core::{Epoch, ObjectId, RevisionNumber, ShardId, TypeName, Version};

pub use claim::Raised;
pub use commit::{Change, Claimed, Commit, Expected, Owner, STORAGE_KEY_BYTES_MAX, StateDigest};
pub use effect::{
    DeadLetter, DeadSource, Effect, KeptResult, NewReminder, NewSend, ResultKey, SendId, Shards,
    StoredReminder, StoredSend,
};
pub use error::Error;
pub use open::{Config, Location, exists, locate, open};
#[doc(hidden)]
pub use pass_on::names;
pub use records::{NewRevision, Page, RevisionRecord, StoragePage, StoredObject, StoredSummary};
pub use shares::shares;

/// The most keys of results that are answered at once.
pub const RESULT_KEYS_MAX: u32 = 100_000;

/// What every method of a store answers.
pub type Answer<'a, T> = BoxFuture<'a, Result<T, Error>>;

/// The longest page of a list.
pub const LIST_LIMIT_MAX: u32 = 1000;
/// The largest page of keyed storage, in bytes of keys and values, unless one row alone has more.
pub const STORAGE_PAGE_BYTES: usize = 1 << 20;

/// What survives.
pub trait Store: Send + Sync + 'static {
    /// The name of the cluster whose state this is, given when the store was made.
    fn cluster_id(&self) -> &str;

    /// Keeps a revision's component and gives it the type's next number. A digest that the type
    /// has already keeps its number.
    fn add_revision(&self, new: NewRevision) -> Answer<'_, RevisionRecord>;

    /// Makes a revision the type's active one. [`Error::NotFound`] if there is no such revision.
    fn activate_revision(
        &self,
        type_name: &TypeName,
        number: RevisionNumber,
    ) -> Answer<'_, RevisionRecord>;

    /// The active revision of every type, by name.
    fn active_revisions(&self) -> Answer<'_, Vec<RevisionRecord>>;

    /// One revision of a type.
    fn revision(
        &self,
        type_name: &TypeName,
        number: RevisionNumber,
    ) -> Answer<'_, Option<RevisionRecord>>;

    /// The component of a revision, by its SHA-256.
    fn component(&self, digest: [u8; 32]) -> Answer<'_, Option<Bytes>>;

    /// An object as it was last saved; none: it does not exist.
    fn load(&self, object: &ObjectId) -> Answer<'_, Option<StoredObject>>;

    /// Writes what turns changed, each row whole or not at all. Each answers for itself, in order:
    /// its new version, or why not ([`Error::Fenced`]: the shard was claimed with a higher epoch;
    /// [`Error::Conflict`]: the row is not as expected; [`Error::Repeated`]: an effect was had
    /// before; [`Error::Refused`]: it cannot be stored).
    /// An object may stand in a batch more than once, and sees its rows in order. The outer error
    /// means that nothing was written, or ([`Error::Unknown`]) that nobody knows; where a large
    /// batch was written in parts, rows answer so for themselves.
    fn commit(&self, batch: Vec<Commit>) -> Answer<'_, Vec<Result<Version, Error>>>;

    /// Waits until nothing can be written any more of which nobody knew whether it was
    /// ([`Error::Unknown`]): what is read afterwards stays so. [`Error::Unavailable`]: nobody knows.
    fn settle(&self) -> Answer<'_, ()>;

    /// Takes shards for an owner: the epoch of each becomes one more than the higher of the given
    /// one and the store's, for all of them or (an error) for none. Commits of lower epochs that
    /// are under way are awaited, later ones are refused. Answers the new epochs, in order.
    fn claim(
        &self,
        owner: Owner,
        shards: Vec<(ShardId, Epoch)>,
    ) -> Answer<'_, Vec<(ShardId, Epoch)>>;

    /// Takes shards for an owner, each only if its epoch is still the one that is given (0: it never
    /// had one): then it becomes one more. Each shard answers for itself, in order: its new epoch, or
    /// the one that it has. Commits of lower epochs that are under way are awaited, later ones are
    /// refused, as with [`Store::claim`]; who has a shard that is not as expected is neither awaited
    /// nor refused anything. A shard that stands there twice is refused ([`Error::Refused`]). An error
    /// means that nothing was raised, or ([`Error::Unknown`]) that nobody knows: who asks again may
    /// find that the epoch has become its own.
    fn raise(&self, owner: Owner, shards: Vec<(ShardId, Epoch)>) -> Answer<'_, Vec<Raised>>;

    /// All shards that were claimed at some time, in order, by whom and how often.
    fn epochs(&self) -> Answer<'_, Vec<Claimed>>;

    /// What a key of an object's storage holds.
    fn storage_get(&self, object: &ObjectId, key: &str) -> Answer<'_, Option<Bytes>>;

    /// How many keys an object's storage has.
    fn storage_keys(&self, object: &ObjectId) -> Answer<'_, u64>;

    /// Keys of an object's storage that begin with `prefix`, in the order of their bytes, after
    /// `after`: at most `limit` or [`LIST_LIMIT_MAX`], and not much more than
    /// [`STORAGE_PAGE_BYTES`], but at least one.
    fn storage_scan(
        &self,
        object: &ObjectId,
        prefix: &str,
        after: Option<&str>,
        limit: u32,
    ) -> Answer<'_, StoragePage>;

    /// What a keyed call of an object was answered; none: it was never answered, or so long ago that
    /// it is forgotten.
    fn result(&self, object: &ObjectId, key: &ResultKey) -> Answer<'_, Option<KeptResult>>;

    /// The keys under which results of an object are kept, in no order, and whether these are all: at
    /// most `limit` or [`RESULT_KEYS_MAX`].
    fn result_keys(&self, object: &ObjectId, limit: u32) -> Answer<'_, (Vec<ResultKey>, bool)>;

    /// Forgets results that are older than `kept`, many at once and without looking for them, in a
    /// few steps per `kept`: to be called far more often. None is forgotten that may have been kept
    /// since the oldest send that is in an outbox left, or the oldest reminder that waits was due.
    /// Answers whether a step was made.
    fn forget_results(&self, kept: Duration) -> Answer<'_, bool>;

    /// Sends in the outboxes of objects of these shards, by shard, sender (type and id as bytes) and
    /// number, after `after`: at most `limit` or [`LIST_LIMIT_MAX`], and not much more than
    /// [`STORAGE_PAGE_BYTES`] of payloads, but at least one.
    fn sends(
        &self,
        shards: Shards,
        after: Option<&SendId>,
        limit: u32,
    ) -> Answer<'_, Vec<StoredSend>>;

    /// The reminders of an object, by name as bytes.
    fn reminders(&self, object: &ObjectId) -> Answer<'_, Vec<StoredReminder>>;

    /// Reminders of objects of these shards that are due until a time, in microseconds since 1970, by
    /// due time, object (type and id as bytes) and name, after `after` (which need not be there any
    /// more): at most `limit` or [`LIST_LIMIT_MAX`], and not much more than [`STORAGE_PAGE_BYTES`] of
    /// payloads, but at least one.
    fn due(
        &self,
        shards: Shards,
        until_micros: i64,
        after: Option<&StoredReminder>,
        limit: u32,
    ) -> Answer<'_, Vec<StoredReminder>>;

    /// Dead letters, of this object or of all, by number, after `after`: at most `limit` or
    /// [`LIST_LIMIT_MAX`], and not much more than [`STORAGE_PAGE_BYTES`] of payloads, but at least
    /// one.
    fn dead_letters(
        &self,
        from: Option<&ObjectId>,
        after: u64,
        limit: u32,
    ) -> Answer<'_, Vec<DeadLetter>>;

    /// One dead letter.
    fn dead_letter(&self, number: u64) -> Answer<'_, Option<DeadLetter>>;

    /// What the store is and holds, in numbers.
    fn status(&self) -> Answer<'_, dump::Status>;

    /// Sends all that the store holds, as of one moment, in the order of [`dump::Record`]. A row
    /// that cannot be read is sent as an error, and the rest follows. Ends early, and well, if
    /// nobody takes them any more.
    fn dump(&self, into: mpsc::Sender<Result<dump::Record, Error>>) -> Answer<'_, ()>;

    /// Takes all that another store held, all of it or nothing. [`Error::NotOurs`] if this store is
    /// not empty or has another count of shards; [`Error::Damaged`] if the records are not whole.
    fn restore(&self, from: mpsc::Receiver<dump::Record>) -> Answer<'_, ()>;

    /// Objects whose id begins with `prefix`, by type and id as bytes, after `after`, at most
    /// `limit` or [`LIST_LIMIT_MAX`].
    fn list(
        &self,
        type_name: Option<&TypeName>,
        prefix: &str,
        after: Option<&ObjectId>,
        limit: u32,
    ) -> Answer<'_, Page>;

    /// Ends in good order: what was answered is on disk. Afterwards all else answers
    /// [`Error::Unavailable`].
    fn close(&self) -> Answer<'_, ()>;
}
