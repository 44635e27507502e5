//! Opening a database: lock, connections, tables, whose it is.

use std::{path::Path, time::Duration};

use sqlx::{
    ConnectOptions as _, Row as _, SqlitePool,
    migrate::Migrator,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};

use super::{Place, failure, lock, writer};
use crate::Error;

static MIGRATIONS: Migrator = sqlx::migrate!("migrations/sqlite");

/// Connections that read at once.
const READERS: u32 = 4;
/// Rows that a connection may be ahead of who reads them: what the largest save answers.
const ROW_BUFFER: usize = 256;
/// Statements that a connection keeps prepared: the writer has a few sizes of each.
const STATEMENTS: usize = 256;
/// How long a connection waits for another one's lock (only a checkpoint ever holds one).
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// An open database.
pub(super) struct Opened {
    pub(super) writes: SqlitePool,
    /// In memory there is one connection for all.
    pub(super) reads: SqlitePool,
    pub(super) lock: Option<lock::Lock>,
    pub(super) cluster_id: String,
}

pub(super) async fn open(place: &Place, shards: u16) -> Result<Opened, Error> {
    let (writes, reads, lock, name) = match place {
        Place::Memory => {
            let pool = pool(1, SqliteConnectOptions::new().in_memory(true));
            (pool.clone(), pool, None, "the store in memory".to_owned())
        }
        Place::File(path) => {
            make_directory(path)?;
            let lock = lock::take(path)?;
            let options = SqliteConnectOptions::new()
                .filename(path)
                .create_if_missing(true)
                .journal_mode(SqliteJournalMode::Wal)
                .synchronous(SqliteSynchronous::Full)
                .busy_timeout(BUSY_TIMEOUT);
            let reads = pool(READERS, options.clone().pragma("query_only", "on"));
            (pool(1, options), reads, Some(lock), path.display().to_string())
        }
    };
    match prepare(&writes, shards, &name).await {
        Ok(cluster_id) => Ok(Opened { writes, reads, lock, cluster_id }),
        Err(error) => {
            // Before the lock is dropped.
            writes.close().await;
            Err(error)
        }
    }
}

/// Brings the tables up to date; answers the cluster's id.
async fn prepare(writes: &SqlitePool, shards: u16, name: &str) -> Result<String, Error> {
    let cannot = |error: sqlx::Error| failure::named(failure::of(&error), name);
    // Opens the file, which says best what is wrong with it.
    drop(writes.acquire().await.map_err(cannot)?);
    MIGRATIONS.run(writes).await.map_err(|error| failure::of_migration(error, name))?;
    let made = "INSERT INTO meta (one, cluster_id, shards, created_at) \
                VALUES (1, lower(hex(randomblob(16))), ?, ?) ON CONFLICT DO NOTHING";
    sqlx::query(made)
        .bind(shards)
        .bind(writer::now_micros())
        .execute(writes)
        .await
        .map_err(cannot)?;
    let meta = sqlx::query("SELECT cluster_id, shards FROM meta")
        .fetch_one(writes)
        .await
        .map_err(cannot)?;
    let made_for: i64 = meta.try_get("shards").map_err(cannot)?;
    if made_for != i64::from(shards) {
        return Err(Error::NotOurs(format!(
            "{name} was made for {made_for} shards and this cluster has {shards}: set \
             cluster.shards to {made_for}, or use another data directory"
        )));
    }
    meta.try_get("cluster_id").map_err(cannot)
}

/// Connections that are kept for good: in memory, the database is its connection.
fn pool(connections: u32, options: SqliteConnectOptions) -> SqlitePool {
    SqlitePoolOptions::new()
        .max_connections(connections)
        .idle_timeout(None)
        .max_lifetime(None)
        .test_before_acquire(false)
        .connect_lazy_with(
            options
                .row_buffer_size(ROW_BUFFER)
                .statement_cache_capacity(STATEMENTS)
                .disable_statement_logging(),
        )
}

fn make_directory(database: &Path) -> Result<(), Error> {
    let Some(directory) = database.parent().filter(|path| !path.as_os_str().is_empty()) else {
        return Ok(());
    };
    std::fs::create_dir_all(directory).map_err(|error| {
        Error::Unavailable(format!(
            "failed to make the data directory {}: {error}",
            directory.display()
        ))
    })
}
