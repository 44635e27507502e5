//! A store that breaks what it promises of commits, in one of several ways.

use std::{collections::BTreeMap, future::ready, sync::Arc, time::Duration};

use futures_util::FutureExt as _;
use tokio::sync::mpsc;
use tokio_util::task::TaskTracker;
use wasmverse_core::{ObjectId, Version};
use wasmverse_store::{
    Answer, Change, Commit, Effect, Error, Expected, KeptResult, ResultKey, Store,
};

/// What it does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Bug {
    /// Commits are answered before they are written.
    RepliesFirst,
    /// Whoever claimed a shard once may write for good.
    ChecksNoEpoch,
    /// State is committed, and storage some time later.
    CommitsApart,
    /// What keyed calls were answered is not kept: whoever makes one again makes it without a key.
    ForgetsResults,
    /// That a send has arrived is committed some time before what it did.
    MarksFirst,
    /// That a reminder has fired is committed some time before what its turn did.
    AdvancesFirst,
}

/// Commits that are answered and not yet written.
const QUEUE_LENGTH: usize = 1024;
/// Between the two parts of a commit, and between a mark and what it stands for.
const APART: Duration = Duration::from_millis(5);
const AHEAD: Duration = Duration::from_millis(40);

type Answers = Vec<Result<Version, Error>>;

/// A store with a bug.
pub(crate) struct Planted {
    inner: Arc<dyn Store>,
    bug: Bug,
    later: mpsc::Sender<Vec<Commit>>,
}

impl Planted {
    pub(crate) fn new(inner: Arc<dyn Store>, bug: Bug) -> Self {
        let (later, mut answered) = mpsc::channel(QUEUE_LENGTH);
        let writing = Arc::clone(&inner);
        TaskTracker::new().spawn(async move {
            while let Some(batch) = answered.recv().await {
                // Nobody asks any more.
                drop(writing.commit(batch).await);
            }
        });
        Self { inner, bug, later }
    }

    async fn reply_first(&self, batch: Vec<Commit>) -> Result<Answers, Error> {
        let next = |row: &Commit| match (&row.change, row.expected) {
            (Change::Nothing, _) => Version(0),
            (_, Expected::Version(version)) => Version(version.0 + 1),
            (_, Expected::Absent | Expected::Any) => Version(1),
        };
        let answers = batch.iter().map(|row| Ok(next(row))).collect();
        self.later.send(batch).await.map_err(|_| Error::Unavailable("it has ended".to_owned()))?;
        Ok(answers)
    }

    async fn check_no_epoch(&self, mut batch: Vec<Commit>) -> Result<Answers, Error> {
        let epochs = self.inner.epochs().await?;
        for row in &mut batch {
            let now = epochs.iter().find(|claimed| claimed.shard == row.shard);
            row.epoch = now.map_or(row.epoch, |claimed| claimed.epoch);
        }
        self.inner.commit(batch).await
    }

    async fn commit_apart(&self, row: Commit) -> Result<Result<Version, Error>, Error> {
        if !matches!(row.change, Change::Put { .. }) || row.storage.is_empty() {
            return self.one(row).await;
        }
        // Sends have their numbers of the commit that is answered.
        let state = Commit { storage: Vec::new(), effects: Vec::new(), ..row.clone() };
        let version = match self.one(state).await? {
            Ok(version) => version,
            refused => return Ok(refused),
        };
        tokio::time::sleep(APART).await;
        let expected = Expected::Version(version);
        self.one(Commit { expected, change: Change::Touch, ..row }).await
    }

    async fn forget_results(&self, mut batch: Vec<Commit>) -> Result<Answers, Error> {
        for row in &mut batch {
            row.effects.retain(|effect| !matches!(effect, Effect::Result(_)));
        }
        self.inner.commit(batch).await
    }

    /// The marks of a batch are committed, and all else some time later.
    async fn mark_first(
        &self,
        mut batch: Vec<Commit>,
        is_mark: fn(&Effect) -> bool,
    ) -> Result<Answers, Error> {
        let (mut places, mut marks) = (Vec::new(), Vec::new());
        for (place, row) in batch.iter_mut().enumerate() {
            let effects = row.effects.extract_if(.., |effect| is_mark(effect)).collect::<Vec<_>>();
            if !effects.is_empty() {
                places.push(place);
                let (expected, change, storage) = (Expected::Any, Change::Nothing, Vec::new());
                marks.push(Commit { expected, change, storage, effects, ..row.clone() });
            }
        }
        if marks.is_empty() {
            return self.inner.commit(batch).await;
        }
        let marked = self.inner.commit(marks).await?;
        let refused = places.into_iter().zip(marked).filter(|(_, answer)| answer.is_err());
        let refused: BTreeMap<usize, _> = refused.collect();
        tokio::time::sleep(AHEAD).await;
        let mut place = 0..;
        batch.retain(|_| !refused.contains_key(&place.next().expect("there is no end to it")));
        let mut answers = self.inner.commit(batch).await?;
        // In order: each is where it was.
        refused.into_iter().for_each(|(place, answer)| answers.insert(place, answer));
        Ok(answers)
    }

    async fn one(&self, row: Commit) -> Result<Result<Version, Error>, Error> {
        Ok(self.inner.commit(vec![row]).await?.remove(0))
    }
}

impl Store for Planted {
    fn commit(&self, batch: Vec<Commit>) -> Answer<'_, Answers> {
        match self.bug {
            Bug::RepliesFirst => self.reply_first(batch).boxed(),
            Bug::ChecksNoEpoch => self.check_no_epoch(batch).boxed(),
            Bug::ForgetsResults => self.forget_results(batch).boxed(),
            Bug::MarksFirst => {
                self.mark_first(batch, |effect| matches!(effect, Effect::Arrived(_))).boxed()
            }
            Bug::AdvancesFirst => {
                let has_fired =
                    |effect: &Effect| matches!(effect, Effect::Fired { dead: None, .. });
                self.mark_first(batch, has_fired).boxed()
            }
            Bug::CommitsApart => async move {
                let mut answers = Vec::with_capacity(batch.len());
                for row in batch {
                    answers.push(self.commit_apart(row).await?);
                }
                Ok(answers)
            }
            .boxed(),
        }
    }

    fn result(&self, object: &ObjectId, key: &ResultKey) -> Answer<'_, Option<KeptResult>> {
        match self.bug {
            Bug::ForgetsResults => ready(Ok(None)).boxed(),
            _ => self.inner.result(object, key),
        }
    }

    fn result_keys(&self, object: &ObjectId, limit: u32) -> Answer<'_, (Vec<ResultKey>, bool)> {
        match self.bug {
            Bug::ForgetsResults => ready(Ok((Vec::new(), true))).boxed(),
            _ => self.inner.result_keys(object, limit),
        }
    }

    wasmverse_store::pass_on! {
        inner: cluster_id, forget_results, sends, reminders, due, dead_letters, dead_letter, add_revision, activate_revision, active_revisions, revision, component, load, settle, claim, raise, epochs, storage_get, storage_keys, storage_scan, status, dump, restore, list, close
    }
}
