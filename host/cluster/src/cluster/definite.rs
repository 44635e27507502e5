//! Commits whose outcome is known in the end.
//!
//! A commit that was not answered is made again. As each rests on revisions that it replaces itself,
//! it is done at most once; if it is refused then, the keys say whether it was done before.

use tracing::warn;

use super::{Shared, pause::Pause};
use crate::{Error, Guard, Op, Row};

/// What became of a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It was done, at this revision.
    Done(u64),
    /// It was refused at the first answer: it was surely not done.
    Refused,
    /// It was refused, but before that it may have been done: the keys have to be looked at.
    RefusedLater,
}

impl Shared {
    /// Tries until there is an answer.
    pub(super) async fn settle(&self, guards: &[Guard], ops: &[Op]) -> Outcome {
        let mut pause = Pause::new();
        let mut may_be_done = false;
        loop {
            let error = match self.commit(guards.to_vec(), ops.to_vec()).await {
                Ok(Some(revision)) => return Outcome::Done(revision),
                Ok(None) if may_be_done => return Outcome::RefusedLater,
                Ok(None) => return Outcome::Refused,
                Err(error) => error,
            };
            may_be_done |= matches!(error, Error::Unknown(_));
            warn!(%error, "a write is not answered: trying again");
            pause.wait().await;
        }
    }

    /// What a key holds. Tries until there is an answer.
    pub(super) async fn read(&self, key: &str) -> Option<Row> {
        let mut pause = Pause::new();
        loop {
            match self.coordination.get(key).await {
                Ok((_, row)) => return row,
                Err(error) => warn!(%error, "a key cannot be read: trying again"),
            }
            pause.wait().await;
        }
    }
}
