//! The embedded store: one SQLite database, locked by one process.
//!
//! One task owns the only writing connection: it takes whatever writes have gathered and commits
//! them together, so that many callers share one flush to disk. Reads go through a small pool and
//! see what has been committed.

mod claims;
mod commit;
mod dead_letters;
mod dump;
mod effects;
mod failure;
mod lock;
mod open;
mod outbox;
mod reads;
mod reminders;
mod results;
mod revisions;
mod statements;
mod storage;
mod work;
mod writer;

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures_util::FutureExt as _;
use sqlx::SqlitePool;
use tokio::sync::{mpsc, oneshot};
use tokio_util::task::TaskTracker;
use wasmverse_core::{Epoch, ObjectId, RevisionNumber, ShardId, TypeName, Version};

use crate::{
    Answer, Claimed, Commit, DeadLetter, Error, KeptResult, NewRevision, Owner, Page, Raised,
    ResultKey, RevisionRecord, SendId, Shards, StoragePage, Store, StoredObject, StoredReminder,
    StoredSend,
    claim::{Bids, Wanted},
    components,
    dump::{Record, Status},
    metrics,
    prepared::{Prepared, is_json},
};
use work::{Command, Done, Work};

/// Writes that may wait for the writer; beyond that callers wait to be let in.
const QUEUE_LENGTH: usize = 1024;

/// Where a database lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// In this file, which is made if it is not there.
    File(PathBuf),
    /// In memory, until the store is closed.
    Memory,
}

/// A store in SQLite.
#[derive(Debug)]
pub struct SqliteStore {
    reads: SqlitePool,
    /// The writer's own connection, for what is too long to be told.
    writes: SqlitePool,
    writer: mpsc::Sender<Command>,
    tasks: TaskTracker,
    cluster_id: String,
    shards: u16,
}

impl SqliteStore {
    /// Opens a database, or makes it.
    ///
    /// # Errors
    /// As [`crate::open`].
    pub async fn open(place: Place, shards: u16) -> Result<Self, Error> {
        Ok(Self::of(open::open(&place, shards).await?, shards))
    }

    fn of(opened: open::Opened, shards: u16) -> Self {
        let (writer, commands) = mpsc::channel(QUEUE_LENGTH);
        let tasks = TaskTracker::new();
        let (reads, writes) = (opened.reads.clone(), opened.writes.clone());
        let cluster_id = opened.cluster_id.clone();
        tasks.spawn(writer::run(opened, commands));
        tasks.close();
        Self { reads, writes, writer, tasks, cluster_id, shards }
    }

    async fn write(&self, work: Work) -> Result<Done, Error> {
        let (answer, answered) = oneshot::channel();
        let sent = self.writer.send(Command::Write { work, answer }).await;
        sent.map_err(|_| failure::closed())?;
        let done =
            answered.await.unwrap_or_else(|_| Err(Error::Unknown("the writer ended".to_owned())));
        done.inspect_err(metrics::failed)
    }

    fn write_rows(&self, rows: Vec<Prepared>) -> Answer<'_, Vec<Result<Version, Error>>> {
        async move {
            if rows.is_empty() {
                return Ok(Vec::new());
            }
            let (begun, length) = (Instant::now(), rows.len());
            let answers = self.write(Work::Commit(rows)).await?.committed();
            metrics::saved(length, begun);
            answers.iter().filter_map(|row| row.as_ref().err()).for_each(metrics::failed);
            Ok(answers)
        }
        .boxed()
    }
}

impl Store for SqliteStore {
    fn cluster_id(&self) -> &str {
        &self.cluster_id
    }

    fn add_revision(&self, new: NewRevision) -> Answer<'_, RevisionRecord> {
        async move {
            components::verify(new.component.clone(), new.digest)
                .await
                .map_err(|problem| Error::Refused(format!("a component: {problem}")))?;
            self.write(Work::AddRevision(Box::new(new))).await?.revision()
        }
        .boxed()
    }

    fn activate_revision(
        &self,
        type_name: &TypeName,
        number: RevisionNumber,
    ) -> Answer<'_, RevisionRecord> {
        let work = Work::ActivateRevision(type_name.clone(), number);
        async move { self.write(work).await?.revision() }.boxed()
    }

    fn active_revisions(&self) -> Answer<'_, Vec<RevisionRecord>> {
        async { reads::active_revisions(&self.reads).await.inspect_err(metrics::failed) }.boxed()
    }

    fn revision(
        &self,
        type_name: &TypeName,
        number: RevisionNumber,
    ) -> Answer<'_, Option<RevisionRecord>> {
        let type_name = type_name.clone();
        async move {
            let found = reads::revision(&self.reads, &type_name, number).await;
            found.inspect_err(metrics::failed)
        }
        .boxed()
    }

    fn component(&self, digest: [u8; 32]) -> Answer<'_, Option<Bytes>> {
        async move { reads::component(&self.reads, digest).await.inspect_err(metrics::failed) }
            .boxed()
    }

    fn load(&self, object: &ObjectId) -> Answer<'_, Option<StoredObject>> {
        let object = object.clone();
        async move {
            let begun = Instant::now();
            let loaded = reads::load(&self.reads, &object).await.inspect_err(metrics::failed);
            metrics::loaded(begun);
            loaded
        }
        .boxed()
    }

    fn commit(&self, batch: Vec<Commit>) -> Answer<'_, Vec<Result<Version, Error>>> {
        let rows = batch.into_iter().map(|commit| Prepared::new(commit, is_json)).collect();
        self.write_rows(rows)
    }

    fn settle(&self) -> Answer<'_, ()> {
        // Whatever failed has ended: the database is within this process.
        async { Ok(()) }.boxed()
    }

    fn claim(
        &self,
        owner: Owner,
        shards: Vec<(ShardId, Epoch)>,
    ) -> Answer<'_, Vec<(ShardId, Epoch)>> {
        async move {
            let wanted = Wanted::new(shards, self.shards)?;
            if wanted.is_empty() {
                return Ok(Vec::new());
            }
            self.write(Work::Claim(owner, wanted)).await?.claimed()
        }
        .boxed()
    }

    fn raise(&self, owner: Owner, shards: Vec<(ShardId, Epoch)>) -> Answer<'_, Vec<Raised>> {
        async move {
            let bids = Bids::new(shards, self.shards)?;
            if bids.is_empty() {
                return Ok(Vec::new());
            }
            self.write(Work::Raise(owner, bids)).await?.raised()
        }
        .boxed()
    }

    fn epochs(&self) -> Answer<'_, Vec<Claimed>> {
        async { claims::epochs(&self.reads).await.inspect_err(metrics::failed) }.boxed()
    }

    fn storage_get(&self, object: &ObjectId, key: &str) -> Answer<'_, Option<Bytes>> {
        let (object, key) = (object.clone(), key.to_owned());
        async move {
            let found = storage::get(&self.reads, &object, &key).await;
            found.inspect_err(metrics::failed)
        }
        .boxed()
    }

    fn storage_keys(&self, object: &ObjectId) -> Answer<'_, u64> {
        let object = object.clone();
        async move { storage::keys(&self.reads, &object).await.inspect_err(metrics::failed) }
            .boxed()
    }

    fn storage_scan(
        &self,
        object: &ObjectId,
        prefix: &str,
        after: Option<&str>,
        limit: u32,
    ) -> Answer<'_, StoragePage> {
        let (object, prefix) = (object.clone(), prefix.to_owned());
        let after = after.map(ToOwned::to_owned);
        async move {
            let page = storage::scan(&self.reads, &object, &prefix, after.as_deref(), limit).await;
            page.inspect_err(metrics::failed)
        }
        .boxed()
    }

    fn result(&self, object: &ObjectId, key: &ResultKey) -> Answer<'_, Option<KeptResult>> {
        let (object, key) = (object.clone(), key.clone());
        async move { results::get(&self.reads, &object, key).await.inspect_err(metrics::failed) }
            .boxed()
    }

    fn result_keys(&self, object: &ObjectId, limit: u32) -> Answer<'_, (Vec<ResultKey>, bool)> {
        let object = object.clone();
        async move { results::keys(&self.reads, &object, limit).await.inspect_err(metrics::failed) }
            .boxed()
    }

    fn forget_results(&self, kept: Duration) -> Answer<'_, bool> {
        async move {
            let kept = i64::try_from(kept.as_micros()).unwrap_or(i64::MAX);
            let can = results::can_forget(&self.reads, kept, writer::now_micros()).await;
            if !can.inspect_err(metrics::failed)? {
                return Ok(false);
            }
            Ok(self.write(Work::ForgetResults(kept)).await?.forgot())
        }
        .boxed()
    }

    fn sends(
        &self,
        shards: Shards,
        after: Option<&SendId>,
        limit: u32,
    ) -> Answer<'_, Vec<StoredSend>> {
        let after = after.cloned();
        async move {
            let page = outbox::sends(&self.reads, &shards, after.as_ref(), limit).await;
            page.inspect_err(metrics::failed)
        }
        .boxed()
    }

    fn reminders(&self, object: &ObjectId) -> Answer<'_, Vec<StoredReminder>> {
        let object = object.clone();
        async move { reminders::of_object(&self.reads, &object).await.inspect_err(metrics::failed) }
            .boxed()
    }

    fn due(
        &self,
        shards: Shards,
        until_micros: i64,
        after: Option<&StoredReminder>,
        limit: u32,
    ) -> Answer<'_, Vec<StoredReminder>> {
        let after = after.cloned();
        async move {
            let page = reminders::due(&self.reads, &shards, until_micros, after.as_ref(), limit);
            page.await.inspect_err(metrics::failed)
        }
        .boxed()
    }

    fn dead_letters(
        &self,
        from: Option<&ObjectId>,
        after: u64,
        limit: u32,
    ) -> Answer<'_, Vec<DeadLetter>> {
        let from = from.cloned();
        async move {
            let page = dead_letters::page(&self.reads, from.as_ref(), after, limit).await;
            page.inspect_err(metrics::failed)
        }
        .boxed()
    }

    fn dead_letter(&self, number: u64) -> Answer<'_, Option<DeadLetter>> {
        async move {
            let Some(before) = number.checked_sub(1) else { return Ok(None) };
            let page = dead_letters::page(&self.reads, None, before, 1).await;
            let letter = page.inspect_err(metrics::failed)?.pop();
            Ok(letter.filter(|letter| letter.number == number))
        }
        .boxed()
    }

    fn status(&self) -> Answer<'_, Status> {
        async { dump::status(self).await.inspect_err(metrics::failed) }.boxed()
    }

    fn dump(&self, into: mpsc::Sender<Result<Record, Error>>) -> Answer<'_, ()> {
        async move { dump::dump(self, into).await.inspect_err(metrics::failed) }.boxed()
    }

    fn restore(&self, from: mpsc::Receiver<Record>) -> Answer<'_, ()> {
        async move { dump::restore(self, from).await.inspect_err(metrics::failed) }.boxed()
    }

    fn list(
        &self,
        type_name: Option<&TypeName>,
        prefix: &str,
        after: Option<&ObjectId>,
        limit: u32,
    ) -> Answer<'_, Page> {
        let (type_name, after) = (type_name.cloned(), after.cloned());
        let prefix = prefix.to_owned();
        async move {
            let page =
                reads::list(&self.reads, type_name.as_ref(), &prefix, after.as_ref(), limit).await;
            page.inspect_err(metrics::failed)
        }
        .boxed()
    }

    fn close(&self) -> Answer<'_, ()> {
        async move {
            // An error: it is closed or closing already.
            let _ = self.writer.send(Command::Close).await;
            self.tasks.wait().await;
            Ok(())
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests;
