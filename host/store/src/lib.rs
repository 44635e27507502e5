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
mod error;
mod group;
mod metrics;
mod open;
pub mod postgres;
mod prepared;
mod records;
mod rows;
pub mod sqlite;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use tokio::sync::mpsc;
use wasmverse_core::{Epoch, ObjectId, RevisionNumber, ShardId, TypeName, Version};

pub use commit::{Change, Claimed, Commit, Expected, Owner, STORAGE_KEY_BYTES_MAX, StateDigest};
pub use error::Error;
pub use open::{Config, Location, exists, locate, open};
pub use records::{NewRevision, Page, RevisionRecord, StoragePage, StoredObject, StoredSummary};

/// What every method of a store answers.
pub type Answer<'a, T> = BoxFuture<'a, Result<T, Error>>;

/// The longest page of a list.
pub const LIST_LIMIT_MAX: u32 = 1000;
/// The largest page of keyed storage, in bytes of keys and values, unless one row alone has more.
pub const STORAGE_PAGE_BYTES: usize = 1 << 20;

/// What survives.
pub trait Store: Send + Sync + 'static {
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
    /// [`Error::Conflict`]: the row is not as expected; [`Error::Refused`]: it cannot be stored).
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
