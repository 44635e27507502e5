//! All that is stored: counted, read, and filled in.

use sqlx::{Connection as _, SqliteConnection};

use super::{SqliteStore, failure, results};
use crate::{
    dump::{Status, effect_tables::effect_tables, tables::tables},
    prepared::is_json,
};

tables!(SqliteConnection, failure::of, "state_json", "$7");
effect_tables!(SqliteConnection, "kept_at, place", into_results);

async fn into_results(connection: &mut SqliteConnection) -> Result<(String, i64), sqlx::Error> {
    let (span, chunk) = results::place_now(connection).await?;
    let insert = format!(
        "INSERT INTO results_{span} (chunk, hash, type, id, origin, key, asked, answer, kept_at) "
    );
    Ok((insert, chunk))
}

/// How many there are of seven kinds of things.
type Counts = (i64, i64, i64, i64, i64, i64, i64);

pub(super) async fn status(store: &SqliteStore) -> Result<Status, Error> {
    let counted = async {
        let mut transaction = store.reads.begin().await?;
        let (cluster_id, shards): (String, i64) =
            sqlx::query_as("SELECT cluster_id, shards FROM meta")
                .fetch_one(&mut *transaction)
                .await?;
        let schema = sqlx::query_scalar("SELECT max(version) FROM _sqlx_migrations")
            .fetch_one(&mut *transaction)
            .await?;
        let objects: Vec<(String, i64)> = sqlx::query_as(
            "SELECT type, count(*) FROM objects WHERE deleted = 0 GROUP BY type ORDER BY type",
        )
        .fetch_all(&mut *transaction)
        .await?;
        let (claimed, storage_keys, results, sends, reminders, dead_letters, bytes): Counts =
            sqlx::query_as(
                "SELECT (SELECT count(*) FROM shards), (SELECT count(*) FROM storage), \
             (SELECT count(*) FROM results), (SELECT count(*) FROM outbox), \
             (SELECT count(*) FROM reminders), (SELECT count(*) FROM dead_letters), \
             (SELECT page_count * page_size FROM pragma_page_count, pragma_page_size)",
            )
            .fetch_one(&mut *transaction)
            .await?;
        let objects = objects.into_iter().map(|(name, count)| (name, count.unsigned_abs()));
        Ok(Status {
            database: "sqlite",
            cluster_id,
            shards: u16::try_from(shards).map_err(|error| sqlx::Error::Decode(error.into()))?,
            schema,
            claimed: claimed.unsigned_abs(),
            objects: objects.collect(),
            storage_keys: storage_keys.unsigned_abs(),
            results: results.unsigned_abs(),
            sends: sends.unsigned_abs(),
            reminders: reminders.unsigned_abs(),
            dead_letters: dead_letters.unsigned_abs(),
            bytes: bytes.unsigned_abs(),
        })
    };
    counted.await.map_err(|error: sqlx::Error| failure::of(&error))
}

pub(super) async fn dump(
    store: &SqliteStore,
    into: mpsc::Sender<Result<Record, Error>>,
) -> Result<(), Error> {
    let transaction = store.reads.begin().await;
    let mut transaction = transaction.map_err(|error| failure::of(&error))?;
    match send_all(&mut transaction, &into).await {
        Ok(()) | Err(Stop::Gone) => Ok(()),
        Err(stop) => Err(stop.error(failure::of)),
    }
}

/// On the writer's own connection: whatever else is to be written waits.
pub(super) async fn restore(
    store: &SqliteStore,
    from: mpsc::Receiver<Record>,
) -> Result<(), Error> {
    let failed = |error: sqlx::Error| failure::of(&error);
    let mut connection = store.writes.acquire().await.map_err(failed)?;
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await.map_err(failed)?;
    if !is_empty(&mut transaction).await.map_err(failed)? {
        return Err(Error::NotOurs("this store is not empty: import into a new one".to_owned()));
    }
    take_all(&mut transaction, from, store.shards, is_json).await?;
    sqlx::query(
        "INSERT INTO storage_counts (type, id, keys) \
         SELECT type, id, count(*) FROM storage GROUP BY type, id",
    )
    .execute(&mut *transaction)
    .await
    .map_err(failed)?;
    transaction.commit().await.map_err(|error| failure::of_commit(&error))
}
