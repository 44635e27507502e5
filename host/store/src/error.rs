//! What can go wrong with a store, by what the caller may do now.

/// Why a store did not do as asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// There is no such thing.
    #[error("there is no {0}")]
    NotFound(String),
    /// The row changed since it was read.
    #[error("the row of {0} changed since it was read")]
    Conflict(String),
    /// The shard belongs to another: it was claimed since with a higher epoch. Not to be tried
    /// again.
    #[error("the shard of {0} was claimed by another")]
    Fenced(String),
    /// What is to be done once was done before: a send that has arrived, a firing that has fired.
    #[error("it was done before: {0}")]
    Repeated(String),
    /// The store will never take this: it is too large, or breaks a rule of the database.
    #[error("the store refuses it: {0}")]
    Refused(String),
    /// The database cannot be reached or has no room now; nothing was written. Try again later.
    #[error("the store cannot be reached now: {0}")]
    Unavailable(String),
    /// The connection broke while writing: it may have been written.
    #[error("the store may or may not have written: {0}")]
    Unknown(String),
    /// A database that belongs to one process at a time belongs to another one now.
    #[error(
        "{database} is in use by {holder}: stop that one, or give this one a data directory of its \
         own (--data-dir)"
    )]
    InUse {
        /// Which one.
        database: String,
        /// As far as it is known.
        holder: String,
    },
    /// The store belongs to another cluster or a newer program.
    #[error("{0}")]
    NotOurs(String),
    /// What is stored cannot be read.
    #[error("the store is damaged: {0}")]
    Damaged(String),
}
