//! All that is stored: counted, read, and filled in.

use sqlx::{Connection as _, PgConnection};

use super::{connections::Connections, failure, jsonb};
use crate::dump::{Status, tables::tables};

tables!(PgConnection, failure::of, "state_json::text AS state_json", "$7::jsonb");

pub(super) async fn status(connection: &mut PgConnection) -> Result<Status, Error> {
    let counted = async {
        let (cluster_id, shards): (String, i64) =
            sqlx::query_as("SELECT cluster_id, shards FROM meta")
                .fetch_one(&mut *connection)
                .await?;
        let schema = sqlx::query_scalar("SELECT max(version) FROM _sqlx_migrations")
            .fetch_one(&mut *connection)
            .await?;
        let objects: Vec<(String, i64)> = sqlx::query_as(
            "SELECT type, count(*) FROM objects WHERE NOT deleted GROUP BY type ORDER BY type",
        )
        .fetch_all(&mut *connection)
        .await?;
        let (claimed, storage_keys, bytes): (i64, i64, i64) = sqlx::query_as(
            "SELECT (SELECT count(*) FROM shards), (SELECT count(*) FROM storage), \
             (SELECT sum(pg_total_relation_size(name))::bigint FROM \
              (VALUES ('objects'), ('storage'), ('storage_counts'), ('shards'), ('components'), \
              ('revisions')) AS t (name))",
        )
        .fetch_one(&mut *connection)
        .await?;
        let objects = objects.into_iter().map(|(name, count)| (name, count.unsigned_abs()));
        Ok(Status {
            database: "postgresql",
            cluster_id,
            shards: u16::try_from(shards).map_err(|error| sqlx::Error::Decode(error.into()))?,
            schema,
            claimed: claimed.unsigned_abs(),
            objects: objects.collect(),
            storage_keys: storage_keys.unsigned_abs(),
            bytes: bytes.unsigned_abs(),
        })
    };
    counted.await.map_err(|error: sqlx::Error| failure::of(&error))
}

pub(super) async fn dump(
    connections: &Connections,
    into: mpsc::Sender<Result<Record, Error>>,
) -> Result<(), Error> {
    let failed = |error: sqlx::Error| failure::of(&error);
    let mut lent = connections.acquire_at_length().await?;
    // As of one moment.
    let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
    let mut transaction = lent.connection.begin_with(begin).await.map_err(failed)?;
    match send_all(&mut transaction, &into).await {
        Ok(()) | Err(Stop::Gone) => Ok(()),
        Err(stop) => Err(stop.error(failure::of)),
    }
}

pub(super) async fn restore(
    connections: &Connections,
    from: mpsc::Receiver<Record>,
    shards: u16,
) -> Result<(), Error> {
    let failed = |error: sqlx::Error| failure::of(&error);
    let mut lent = connections.acquire_at_length().await?;
    let mut transaction = lent.connection.begin().await.map_err(failed)?;
    // Nobody else writes before all is in.
    sqlx::query("LOCK TABLE objects, storage, storage_counts, shards, components, revisions, meta")
        .execute(&mut *transaction)
        .await
        .map_err(failed)?;
    if !is_empty(&mut transaction).await.map_err(failed)? {
        return Err(Error::NotOurs("this store is not empty: import into a new one".to_owned()));
    }
    take_all(&mut transaction, from, shards, jsonb::holds).await?;
    transaction.commit().await.map_err(|error| failure::of_write(&error).error())
}
