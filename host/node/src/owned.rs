//! The shards that this node owns: claimed in the store when it starts, so that whoever owned them
//! before can write no more, and the one way by which it writes object data.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Instant,
};

use tokio::sync::watch;
use wasmverse_core::{CallError, Epoch, ErrorKind, ShardCount, ShardId, Version};
use wasmverse_store::{self as store, Commit, Effect, Owner, Store};

use crate::{host::Host, node::Node};

const FENCED: &str = "another process has claimed this store: only one node may use it without a \
                      cluster; stop this one";

/// What this node owns.
pub(crate) struct Owned {
    /// By shard.
    epochs: Box<[Epoch]>,
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
        let mut epochs = vec![Epoch(0); usize::from(shards.get())].into_boxed_slice();
        for (shard, epoch) in store.claim(owner, all).await? {
            epochs[usize::from(shard.0)] = epoch;
        }
        Ok(Self { epochs, is_fenced: AtomicBool::default(), fenced: watch::Sender::default() })
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
        self.owned.epochs[usize::from(shard.0)]
    }

    /// Writes what one turn changed, together with what others write meanwhile.
    pub(crate) async fn write(&self, commit: Commit) -> Result<Version, store::Error> {
        let began = Instant::now();
        let (sends, reminds) =
            (commit.effects.iter().any(is_of_sends), commit.effects.iter().any(is_of_reminders));
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
                self.note_fence(error);
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
    pub(crate) fn note_fence(&self, error: &store::Error) {
        if !matches!(error, store::Error::Fenced(_)) {
            return;
        }
        if !self.owned.is_fenced.swap(true, Ordering::Relaxed) {
            tracing::error!("{FENCED}");
            self.owned.fenced.send_replace(Some(FENCED.to_owned()));
        }
    }

    /// What memory holds may be old once somebody else is the owner.
    ///
    /// # Errors
    /// `unavailable`: somebody is.
    pub(crate) fn check_owner(&self) -> Result<(), CallError> {
        match self.owned.is_fenced.load(Ordering::Relaxed) {
            false => Ok(()),
            true => Err(CallError::new(ErrorKind::Unavailable, FENCED)),
        }
    }
}
