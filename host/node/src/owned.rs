//! The shards that this node owns: claimed in the store when it starts, so that whoever owned them
//! before can write no more, and the one way by which it writes object data.

use std::{
    sync::Arc,
    sync::atomic::{AtomicBool, Ordering},
    time::Instant,
};

use tokio::sync::watch;
use wasmverse_core::{CallError, Epoch, ErrorKind, ObjectId, ShardCount, ShardId, Version};
use wasmverse_store::{self as store, Commit, Effect, Owner, Store};

use crate::{host::Host, node::Node, shards::Shards};

const FENCED: &str = "another process has claimed this store: only one node may use it without a \
                      cluster; stop this one";

/// What this node owns.
pub(crate) struct Owned {
    pub(crate) shards: Arc<Shards>,
    /// The same in short, for every call to look at.
    is_fenced: AtomicBool,
    /// Why it writes no more: somebody else has claimed what it owns.
    fenced: watch::Sender<Option<String>>,
}

impl Owned {
    /// Claims all shards, with higher epochs than anybody had before.
    ///
    /// # Errors
    /// As the store.
    pub(crate) async fn claim(
        store: &dyn Store,
        node: &str,
        shards: ShardCount,
    ) -> Result<Self, store::Error> {
        let incarnation = format!("{:032x}", rand::random::<u128>());
        let owner = Owner { node: node.to_owned(), incarnation };
        let all = (0..shards.get()).map(|shard| (ShardId(shard), Epoch(0))).collect();
        let this = Self::nothing(shards);
        this.shards.open_all(store.claim(owner, all).await?);
        Ok(this)
    }

    /// Owns nothing yet: the cluster says what.
    pub(crate) fn nothing(shards: ShardCount) -> Self {
        let (is_fenced, fenced) = (AtomicBool::default(), watch::Sender::default());
        Self { shards: Shards::new(shards), is_fenced, fenced }
    }
}

/// Whether sends may have to leave because of it.
fn is_of_sends(effect: &Effect) -> bool {
    matches!(effect, Effect::Send(_) | Effect::Revive(_))
}

/// Whether reminders are due at other times because of it.
fn is_of_reminders(effect: &Effect) -> bool {
    matches!(effect, Effect::Remind(_) | Effect::Cancel(_) | Effect::Fired { .. })
}

impl Node {
    /// Why this node writes no more: somebody else has claimed its shards; none: it does.
    pub fn fenced(&self) -> watch::Receiver<Option<String>> {
        self.0.owned.fenced.subscribe()
    }
}

impl Host {
    /// The epoch in which this node owns a shard.
    pub(crate) fn epoch(&self, shard: ShardId) -> Epoch {
        self.owned.shards.epoch(shard)
    }

    /// Writes what one turn changed, together with what others write meanwhile.
    pub(crate) async fn write(&self, commit: Commit) -> Result<Version, store::Error> {
        let began = Instant::now();
        let (sends, reminds) =
            (commit.effects.iter().any(is_of_sends), commit.effects.iter().any(is_of_reminders));
        let (shard, epoch) = (commit.shard, commit.epoch);
        let answers = self.store.commit(vec![commit]).await;
        self.metrics.commit_time.record(began.elapsed());
        let answer = answers.and_then(|answers| {
            let own = answers.into_iter().next();
            own.unwrap_or_else(|| Err(store::Error::Unknown("no answer came".to_owned())))
        });
        self.saver.tell_of(answer.as_ref().map(|_| ()));
        match &answer {
            Ok(_) => self.metrics.commits.increment(1),
            Err(error) => {
                self.metrics.commits_failed.increment(1);
                self.note_fence(error, shard, epoch);
                // What it would have set off begins all the same, if it was done.
                let is_unknown = matches!(error, store::Error::Unknown(_));
                if is_unknown && sends {
                    self.sends.doubt();
                }
                if is_unknown && reminds {
                    self.reminders.doubt();
                }
            }
        }
        answer
    }

    /// Being fenced once is enough to know that somebody else is the owner.
    pub(crate) fn note_fence(&self, error: &store::Error, shard: ShardId, epoch: Epoch) {
        if !matches!(error, store::Error::Fenced(_)) {
            return;
        }
        if self.joined().is_some() {
            // In a cluster that is of one shard alone.
            return self.owned.shards.note_outrun(shard, epoch);
        }
        if !self.owned.is_fenced.swap(true, Ordering::Relaxed) {
            tracing::error!("{FENCED}");
            self.owned.fenced.send_replace(Some(FENCED.to_owned()));
        }
    }

    /// What memory holds may be old once somebody else is the owner, or may be.
    ///
    /// # Errors
    /// `unavailable`: somebody is; or the object is elsewhere, for all that is known.
    pub(crate) fn check_owner(&self, object: &ObjectId) -> Result<(), CallError> {
        if self.owned.is_fenced.load(Ordering::Relaxed) {
            return Err(CallError::new(ErrorKind::Unavailable, FENCED));
        }
        let Some(joined) = self.joined() else { return Ok(()) };
        let (holds_lease, shard) = (joined.cluster.lease().is_held(), self.shard_of(object));
        let problem = "the node has lost its registration, and waits for another";
        match shard {
            // Also after it was lost and is held again: what waited since before is not ours to run.
            Some(shard) if !holds_lease || self.owned.shards.is_shut(shard) => {
                Err(CallError::elsewhere(shard, self.epoch(shard)))
            }
            None if !holds_lease => Err(CallError::new(ErrorKind::Unavailable, problem)),
            Some(_) | None => Ok(()),
        }
    }
}
