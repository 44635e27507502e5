//! All that is stored: counted, read, and filled in.

use sqlx::{Connection as _, PgConnection};

use super::{connections::Connections, failure, jsonb};
use crate::dump::{Status, effect_tables::effect_tables, tables::tables};

tables!(PgConnection, failure::of, "state_json::text AS state_json", "$7::jsonb");
effect_tables!(PgConnection, "kept_at", into_results);

async fn into_results(connection: &mut PgConnection) -> Result<(String, i64), sqlx::Error> {
    let query = "SELECT span FROM result_spans ORDER BY began_at DESC LIMIT 1";
    let span = sqlx::query_scalar(query).fetch_one(connection).await?;
    let insert = "INSERT INTO results (span, hash, type, id, origin, key, asked, answer, kept_at) ";
    Ok((insert.to_owned(), span))
}

/// How many there are of seven kinds of things.
type Counts = (i64, i64, i64, i64, i64, i64, i64);

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
        let (claimed, storage_keys, results, sends, reminders, dead_letters, bytes): Counts =
            sqlx::query_as(
                "SELECT (SELECT count(*) FROM shards), (SELECT count(*) FROM storage), \
             (SELECT count(*) FROM results), (SELECT count(*) FROM outbox), \
             (SELECT count(*) FROM reminders), (SELECT count(*) FROM dead_letters), \
             (SELECT sum(pg_total_relation_size(name))::bigint FROM \
              (VALUES ('objects'::regclass), ('storage'), ('storage_counts'), ('shards'), \
              ('components'), ('revisions'), ('outbox'), ('reminders'), ('dead_letters') \
              UNION ALL SELECT relid FROM pg_partition_tree('results')) AS t (name))",
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
    connections: &Connections,
    into: mpsc::Sender<Result<Record, Error>>,
) -> Result<(), Error> {
    let failed = |error: sqlx::Error| failure::of(&error);
    let mut lent = connections.acquire_at_length().await?;
    // As of one moment.
    let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
    let mut transaction = lent.connection.begin_with(begin).await.map_err(failed)?;
    // Nothing is forgotten in between: to remove all of a table at once is seen by everybody.
    sqlx::query("LOCK TABLE results IN ACCESS SHARE MODE")
        .execute(&mut *transaction)
        .await
        .map_err(failed)?;
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
    sqlx::query(
        "LOCK TABLE objects, storage, storage_counts, shards, components, revisions, meta, \
         result_spans, results, outbox, reminders, dead_letters",
    )
    .execute(&mut *transaction)
    .await
    .map_err(failed)?;
    if !is_empty(&mut transaction).await.map_err(failed)? {
        return Err(Error::NotOurs("this store is not empty: import into a new one".to_owned()));
    }
    take_all(&mut transaction, from, shards, jsonb::holds).await?;
    // Later letters get higher numbers.
    sqlx::query(
        "SELECT setval(pg_get_serial_sequence('dead_letters', 'number'), max(number)) \
         FROM dead_letters HAVING max(number) IS NOT NULL",
    )
    .execute(&mut *transaction)
    .await
    .map_err(failed)?;
    transaction.commit().await.map_err(|error| failure::of_write(&error).error())
}
