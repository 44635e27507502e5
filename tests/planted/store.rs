//! A store that breaks what it promises of commits, in one of three ways.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::FutureExt as _;
use tokio::sync::mpsc;
use tokio_util::task::TaskTracker;
use wasmverse_core::{ObjectId, RevisionNumber, ShardId, TypeName, Version};
use wasmverse_store::{
    Answer, Change, Claimed, Commit, Error, Expected, NewRevision, Owner, Page, RevisionRecord,
    StoragePage, Store, StoredObject,
    dump::{Record, Status},
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
}

/// Commits that are answered and not yet written.
const QUEUE_LENGTH: usize = 1024;
/// Between the two parts of a commit.
const APART: Duration = Duration::from_millis(5);

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
        let next = |row: &Commit| match row.expected {
            Expected::Version(version) => Version(version.0 + 1),
            Expected::Absent | Expected::Any => Version(1),
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
        let state = Commit { storage: Vec::new(), ..row.clone() };
        let version = match self.one(state).await? {
            Ok(version) => version,
            refused => return Ok(refused),
        };
        tokio::time::sleep(APART).await;
        let expected = Expected::Version(version);
        self.one(Commit { expected, change: Change::Touch, ..row }).await
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

    fn add_revision(&self, new: NewRevision) -> Answer<'_, RevisionRecord> {
        self.inner.add_revision(new)
    }

    fn activate_revision(
        &self,
        type_name: &TypeName,
        number: RevisionNumber,
    ) -> Answer<'_, RevisionRecord> {
        self.inner.activate_revision(type_name, number)
    }

    fn active_revisions(&self) -> Answer<'_, Vec<RevisionRecord>> {
        self.inner.active_revisions()
    }

    fn revision(
        &self,
        type_name: &TypeName,
        number: RevisionNumber,
    ) -> Answer<'_, Option<RevisionRecord>> {
        self.inner.revision(type_name, number)
    }

    fn component(&self, digest: [u8; 32]) -> Answer<'_, Option<Bytes>> {
        self.inner.component(digest)
    }

    fn load(&self, object: &ObjectId) -> Answer<'_, Option<StoredObject>> {
        self.inner.load(object)
    }

    fn settle(&self) -> Answer<'_, ()> {
        self.inner.settle()
    }

    fn claim(
        &self,
        owner: Owner,
        shards: Vec<(ShardId, wasmverse_core::Epoch)>,
    ) -> Answer<'_, Vec<(ShardId, wasmverse_core::Epoch)>> {
        self.inner.claim(owner, shards)
    }

    fn epochs(&self) -> Answer<'_, Vec<Claimed>> {
        self.inner.epochs()
    }

    fn storage_get(&self, object: &ObjectId, key: &str) -> Answer<'_, Option<Bytes>> {
        self.inner.storage_get(object, key)
    }

    fn storage_keys(&self, object: &ObjectId) -> Answer<'_, u64> {
        self.inner.storage_keys(object)
    }

    fn storage_scan(
        &self,
        object: &ObjectId,
        prefix: &str,
        after: Option<&str>,
        limit: u32,
    ) -> Answer<'_, StoragePage> {
        self.inner.storage_scan(object, prefix, after, limit)
    }

    fn status(&self) -> Answer<'_, Status> {
        self.inner.status()
    }

    fn dump(&self, into: mpsc::Sender<Result<Record, Error>>) -> Answer<'_, ()> {
        self.inner.dump(into)
    }

    fn restore(&self, from: mpsc::Receiver<Record>) -> Answer<'_, ()> {
        self.inner.restore(from)
    }

    fn list(
        &self,
        type_name: Option<&TypeName>,
        prefix: &str,
        after: Option<&ObjectId>,
        limit: u32,
    ) -> Answer<'_, Page> {
        self.inner.list(type_name, prefix, after, limit)
    }

    fn close(&self) -> Answer<'_, ()> {
        self.inner.close()
    }
}
