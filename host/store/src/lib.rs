//! What survives: types with their revisions, and the state of objects.
//!
//! One trait, [`Store`], proven by one suite ([`contract`]) that every implementation passes.
//! SQLite is the embedded default. Nothing here knows that calls cross a network.

pub mod contract;
mod error;
mod metrics;
mod open;
mod records;
pub mod sqlite;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use wasmverse_core::{ObjectId, RevisionNumber, TypeName, Version};

pub use error::Error;
pub use open::{Config, open};
pub use records::{NewRevision, Page, RevisionRecord, Save, StoredObject, StoredSummary};

/// What every method of a store answers.
pub type Answer<'a, T> = BoxFuture<'a, Result<T, Error>>;

/// The longest page of a list.
pub const LIST_LIMIT_MAX: u32 = 1000;

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

    /// Saves objects in one transaction. Each answers for itself, in order: its row's new version,
    /// or why not ([`Error::Conflict`]: the row's version is not the expected one;
    /// [`Error::Refused`]: it cannot be stored). The outer error means that nothing was saved, or
    /// ([`Error::Unknown`]) that nobody knows.
    fn save(&self, batch: Vec<Save>) -> Answer<'_, Vec<Result<Version, Error>>>;

    /// Removes an object with its state; `true` if there was one. Its version lives on.
    fn delete(&self, object: &ObjectId) -> Answer<'_, bool>;

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
