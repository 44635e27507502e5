//! The store that many nodes share: a PostgreSQL database.
//!
//! One task gathers the commits of a node and writes them in groups, each group by one statement
//! that commits by itself, so that a node that is stopped in the middle holds no lock. Reads and
//! all else go through a pool.

mod commit;
mod connections;
mod dead_letters;
mod doubt;
mod dump;
mod effects;
mod failure;
mod jsonb;
mod open;
mod outbox;
mod pool;
mod reads;
mod reminders;
mod results;
mod revisions;
mod rows;
mod writer;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures_util::FutureExt as _;
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
    prepared::Prepared,
};
use connections::Connections;
pub use connections::Limits;
use writer::Command;

/// Commits that may wait for the writer; beyond that callers wait to be let in.
const QUEUE_LENGTH: usize = 1024;

/// A store in PostgreSQL.
#[derive(Debug)]
pub struct PostgresStore {
    connections: Arc<Connections>,
    writer: mpsc::Sender<Command>,
    tasks: TaskTracker,
    cluster_id: String,
    shards: u16,
}

impl PostgresStore {
    /// Opens a database, and fills it with tables if it is empty. At most `connections_max`
    /// connections are held at once.
    ///
    /// # Errors
    /// As [`crate::open`].
    pub async fn open(url: &str, connections_max: u32, shards: u16) -> Result<Self, Error> {
        Self::open_within(url, connections_max, shards, Limits::default()).await
    }

    /// The same, with other limits.
    ///
    /// # Errors
    /// As [`crate::open`].
    pub async fn open_within(
        url: &str,
        connections_max: u32,
        shards: u16,
        limits: Limits,
    ) -> Result<Self, Error> {
        let connections = Connections::new(url, connections_max, limits)?;
        let cluster_id = open::prepare(&connections, shards).await?;
        let connections = Arc::new(connections);
        let (writer, commands) = mpsc::channel(QUEUE_LENGTH);
        let tasks = TaskTracker::new();
        tasks.spawn(writer::run(Arc::clone(&connections), commands));
        tasks.close();
        Ok(Self { connections, writer, tasks, cluster_id, shards })
    }

    /// Whether there is a store in a database.
    ///
    /// # Errors
    /// As [`crate::open`].
    pub async fn exists(url: &str) -> Result<bool, Error> {
        open::exists(&Connections::new(url, 1, Limits::default())?).await
    }

    fn write_rows(&self, rows: Vec<Prepared>) -> Answer<'_, Vec<Result<Version, Error>>> {
        async move {
            if rows.is_empty() {
                return Ok(Vec::new());
            }
            let (begun, length) = (Instant::now(), rows.len());
            let (answer, answered) = oneshot::channel();
            let sent = self.writer.send(Command::Commit { rows, answer }).await;
            sent.map_err(|_| failure::closed())?;
            let unknown = |_| Err(Error::Unknown("the writer ended".to_owned()));
            let answers = answered.await.unwrap_or_else(unknown).inspect_err(metrics::failed)?;
            metrics::saved(length, begun);
            answers.iter().filter_map(|row| row.as_ref().err()).for_each(metrics::failed);
            Ok(answers)
        }
        .boxed()
    }
}

impl Store for PostgresStore {
    fn cluster_id(&self) -> &str {
        &self.cluster_id
    }

    fn add_revision(&self, new: NewRevision) -> Answer<'_, RevisionRecord> {
        async move {
            components::verify(new.component.clone(), new.digest)
                .await
                .map_err(|problem| Error::Refused(format!("a component: {problem}")))?;
            let added = self.connections.write(&new, |c, new| revisions::add(c, new).boxed());
            added.await.inspect_err(metrics::failed)
        }
        .boxed()
    }

    fn activate_revision(
        &self,
        type_name: &TypeName,
        number: RevisionNumber,
    ) -> Answer<'_, RevisionRecord> {
        let wanted = (type_name.clone(), number);
        async move {
            let activated =
                self.connections.write(&wanted, |c, wanted| revisions::activate(c, wanted).boxed());
            activated.await.inspect_err(metrics::failed)
        }
        .boxed()
    }

    fn active_revisions(&self) -> Answer<'_, Vec<RevisionRecord>> {
        self.connections.read((), |c, ()| reads::active_revisions(c).boxed())
    }

    fn revision(
        &self,
        type_name: &TypeName,
        number: RevisionNumber,
    ) -> Answer<'_, Option<RevisionRecord>> {
        let wanted = (type_name.clone(), number);
        self.connections.read(wanted, |c, wanted| reads::revision(c, wanted).boxed())
    }

    fn component(&self, digest: [u8; 32]) -> Answer<'_, Option<Bytes>> {
        async move {
            let found =
                self.connections.read(digest, |c, digest| reads::component(c, digest).boxed());
            let Some(bytes) = found.await? else { return Ok(None) };
            let verified = components::verify(bytes.clone(), digest).await;
            verified
                .map_err(|problem| Error::Damaged(format!("a component has changed: {problem}")))
                .inspect_err(metrics::failed)?;
            Ok(Some(bytes))
        }
        .boxed()
    }

    fn load(&self, object: &ObjectId) -> Answer<'_, Option<StoredObject>> {
        let object = object.clone();
        async move {
            let begun = Instant::now();
            let loaded = self.connections.read(object, |c, object| reads::load(c, object).boxed());
            let loaded = loaded.await;
            metrics::loaded(begun);
            loaded
        }
        .boxed()
    }

    fn commit(&self, batch: Vec<Commit>) -> Answer<'_, Vec<Result<Version, Error>>> {
        self.write_rows(batch.into_iter().map(|row| Prepared::new(row, jsonb::holds)).collect())
    }

    fn settle(&self) -> Answer<'_, ()> {
        self.connections.settle().boxed()
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
            let claim = (owner, wanted);
            let claimed =
                self.connections.write(&claim, |c, claim| commit::claim(c, claim).boxed());
            claimed.await.inspect_err(metrics::failed)
        }
        .boxed()
    }

    fn raise(&self, owner: Owner, shards: Vec<(ShardId, Epoch)>) -> Answer<'_, Vec<Raised>> {
        async move {
            let bids = Bids::new(shards, self.shards)?;
            if bids.is_empty() {
                return Ok(Vec::new());
            }
            let raise = (owner, bids);
            let raised = self.connections.write(&raise, |c, raise| commit::raise(c, raise).boxed());
            raised.await.inspect_err(metrics::failed)
        }
        .boxed()
    }

    fn epochs(&self) -> Answer<'_, Vec<Claimed>> {
        self.connections.read((), |c, ()| reads::epochs(c).boxed())
    }

    fn storage_get(&self, object: &ObjectId, key: &str) -> Answer<'_, Option<Bytes>> {
        let wanted = (object.clone(), key.to_owned());
        self.connections.read(wanted, |c, wanted| reads::get(c, wanted).boxed())
    }

    fn storage_keys(&self, object: &ObjectId) -> Answer<'_, u64> {
        self.connections.read(object.clone(), |c, object| reads::keys(c, object).boxed())
    }

    fn storage_scan(
        &self,
        object: &ObjectId,
        prefix: &str,
        after: Option<&str>,
        limit: u32,
    ) -> Answer<'_, StoragePage> {
        let wanted = reads::Scan {
            object: object.clone(),
            prefix: prefix.to_owned(),
            after: after.map(ToOwned::to_owned),
            limit,
        };
        self.connections.read(wanted, |c, wanted| reads::scan(c, wanted).boxed())
    }

    fn result(&self, object: &ObjectId, key: &ResultKey) -> Answer<'_, Option<KeptResult>> {
        let wanted = (object.clone(), key.clone());
        self.connections.read(wanted, |c, wanted| results::get(c, wanted).boxed())
    }

    fn result_keys(&self, object: &ObjectId, limit: u32) -> Answer<'_, (Vec<ResultKey>, bool)> {
        let wanted = (object.clone(), limit);
        self.connections.read(wanted, |c, wanted| results::keys(c, wanted).boxed())
    }

    fn forget_results(&self, kept: Duration) -> Answer<'_, bool> {
        async move {
            let forgot = self.connections.write(&kept, |c, kept| results::forget(c, kept).boxed());
            forgot.await.inspect_err(metrics::failed)
        }
        .boxed()
    }

    fn sends(
        &self,
        shards: Shards,
        after: Option<&SendId>,
        limit: u32,
    ) -> Answer<'_, Vec<StoredSend>> {
        let wanted = outbox::Sends { shards, after: after.cloned(), limit };
        self.connections.read(wanted, |c, wanted| outbox::sends(c, wanted).boxed())
    }

    fn reminders(&self, object: &ObjectId) -> Answer<'_, Vec<StoredReminder>> {
        self.connections.read(object.clone(), |c, object| reminders::of_object(c, object).boxed())
    }

    fn due(
        &self,
        shards: Shards,
        until_micros: i64,
        after: Option<&StoredReminder>,
        limit: u32,
    ) -> Answer<'_, Vec<StoredReminder>> {
        let wanted = reminders::Due { shards, until_micros, after: after.cloned(), limit };
        self.connections.read(wanted, |c, wanted| reminders::due(c, wanted).boxed())
    }

    fn dead_letters(
        &self,
        from: Option<&ObjectId>,
        after: u64,
        limit: u32,
    ) -> Answer<'_, Vec<DeadLetter>> {
        let wanted = dead_letters::Letters { from: from.cloned(), after, limit };
        self.connections.read(wanted, |c, wanted| dead_letters::page(c, wanted).boxed())
    }

    fn dead_letter(&self, number: u64) -> Answer<'_, Option<DeadLetter>> {
        async move {
            let Some(after) = number.checked_sub(1) else { return Ok(None) };
            let wanted = dead_letters::Letters { from: None, after, limit: 1 };
            let page =
                self.connections.read(wanted, |c, wanted| dead_letters::page(c, wanted).boxed());
            Ok(page.await?.pop().filter(|letter| letter.number == number))
        }
        .boxed()
    }

    fn status(&self) -> Answer<'_, Status> {
        self.connections.read_at_length((), |c, ()| dump::status(c).boxed())
    }

    fn dump(&self, into: mpsc::Sender<Result<Record, Error>>) -> Answer<'_, ()> {
        async move { dump::dump(&self.connections, into).await.inspect_err(metrics::failed) }
            .boxed()
    }

    fn restore(&self, from: mpsc::Receiver<Record>) -> Answer<'_, ()> {
        async move {
            let restored = dump::restore(&self.connections, from, self.shards).await;
            restored.inspect_err(metrics::failed)
        }
        .boxed()
    }

    fn list(
        &self,
        type_name: Option<&TypeName>,
        prefix: &str,
        after: Option<&ObjectId>,
        limit: u32,
    ) -> Answer<'_, Page> {
        let wanted = reads::List {
            type_name: type_name.cloned(),
            prefix: prefix.to_owned(),
            after: after.cloned(),
            limit,
        };
        self.connections.read(wanted, |c, wanted| reads::list(c, wanted).boxed())
    }

    fn close(&self) -> Answer<'_, ()> {
        async move {
            // An error: it is closed or closing already.
            let _ = self.writer.send(Command::Close).await;
            self.tasks.wait().await;
            self.connections.close().await;
            Ok(())
        }
        .boxed()
    }
}
