//! What the writer is told, and what it answers.

use tokio::sync::oneshot;
use wasmverse_core::{Epoch, RevisionNumber, ShardId, TypeName, Version};

use crate::{
    Error, NewRevision, Owner, Raised, RevisionRecord,
    claim::{Bids, Wanted},
    group::{Weighs, Weight},
    prepared::Prepared,
};

/// What the writer is told.
pub(super) enum Command {
    /// Do this.
    Write { work: Work, answer: oneshot::Sender<Result<Done, Error>> },
    /// End, after what was told before.
    Close,
}

impl Weighs for Command {
    fn weight(&self) -> Weight {
        match self {
            Self::Write { work: Work::Commit(rows), .. } => {
                let bytes = rows.iter().map(|row| row.commit.bytes()).sum();
                Weight { rows: rows.len(), bytes }
            }
            Self::Write { .. } | Self::Close => Weight { rows: 1, bytes: 0 },
        }
    }
}

/// Something to be written.
pub(super) enum Work {
    Commit(Vec<Prepared>),
    Claim(Owner, Wanted),
    Raise(Owner, Bids),
    AddRevision(Box<NewRevision>),
    ActivateRevision(TypeName, RevisionNumber),
    /// Results that are older than so many microseconds.
    ForgetResults(i64),
}

impl Work {
    pub(super) fn rows(&self) -> Option<&[Prepared]> {
        match self {
            Self::Commit(rows) => Some(rows),
            Self::Claim(..)
            | Self::Raise(..)
            | Self::AddRevision(_)
            | Self::ActivateRevision(..)
            | Self::ForgetResults(_) => None,
        }
    }
}

/// What came of it.
pub(super) enum Done {
    Committed(Vec<Result<Version, Error>>),
    Claimed(Result<Vec<(ShardId, Epoch)>, Error>),
    Raised(Result<Vec<Raised>, Error>),
    Revision(Result<RevisionRecord, Error>),
    Forgot(bool),
}

impl Done {
    pub(super) fn committed(self) -> Vec<Result<Version, Error>> {
        match self {
            Self::Committed(rows) => rows,
            _ => unreachable!("answered by Committed"),
        }
    }

    pub(super) fn claimed(self) -> Result<Vec<(ShardId, Epoch)>, Error> {
        match self {
            Self::Claimed(epochs) => epochs,
            _ => unreachable!("answered by Claimed"),
        }
    }

    pub(super) fn raised(self) -> Result<Vec<Raised>, Error> {
        match self {
            Self::Raised(shards) => shards,
            _ => unreachable!("answered by Raised"),
        }
    }

    pub(super) fn revision(self) -> Result<RevisionRecord, Error> {
        match self {
            Self::Revision(record) => record,
            _ => unreachable!("answered by Revision"),
        }
    }

    pub(super) fn forgot(self) -> bool {
        match self {
            Self::Forgot(forgot) => forgot,
            _ => unreachable!("answered by Forgot"),
        }
    }
}
