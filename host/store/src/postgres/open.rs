//! Opening a database: tables, whose it is.

use futures_util::FutureExt as _;
use sqlx::{PgConnection, migrate::Migrator};

use super::{connections::Connections, failure};
use crate::Error;

static MIGRATIONS: Migrator = sqlx::migrate!("migrations/postgres");

/// The oldest server that knows all that is asked of it.
const SERVER_VERSION_MIN: i32 = 140_000;

/// Brings the tables up to date; answers the cluster's id. Many may do it at once: the migrations
/// are guarded by a lock of the database.
pub(super) async fn prepare(connections: &Connections, shards: u16) -> Result<String, Error> {
    let name = &connections.name;
    let asked = (name.clone(), shards);
    // Migrations take as long as tables are large, and wait for those of others.
    let prepared = connections.read_at_length(asked, |c, asked| migrate(c, asked).boxed());
    prepared.await.map_err(|error| failure::named(error, name))
}

/// Whether there are tables.
pub(super) async fn exists(connections: &Connections) -> Result<bool, Error> {
    let asked = connections.read((), |c, ()| {
        let query = sqlx::query_scalar("SELECT to_regclass('meta') IS NOT NULL");
        async move { query.fetch_one(c).await.map_err(|error| failure::of(&error)) }.boxed()
    });
    asked.await.map_err(|error| failure::named(error, &connections.name))
}

async fn migrate(
    connection: &mut PgConnection,
    (name, shards): &(String, u16),
) -> Result<String, Error> {
    let failed = |error: sqlx::Error| failure::of(&error);
    let (version, encoding): (i32, String) = sqlx::query_as(
        "SELECT current_setting('server_version_num')::int, current_setting('server_encoding')",
    )
    .fetch_one(&mut *connection)
    .await
    .map_err(failed)?;
    if version < SERVER_VERSION_MIN {
        return Err(Error::NotOurs(format!(
            "the server is PostgreSQL {}: {} is the oldest that will do",
            version / 10_000,
            SERVER_VERSION_MIN / 10_000
        )));
    }
    if encoding != "UTF8" {
        return Err(Error::NotOurs(format!(
            "the database is encoded in {encoding}: make one with ENCODING 'UTF8'"
        )));
    }
    let migrated = MIGRATIONS.run_direct(None, &mut *connection, false).await;
    migrated.map_err(|error| failure::of_migration(error, name))?;
    sqlx::query(
        "INSERT INTO meta (one, cluster_id, shards, created_at) \
         VALUES (1, replace(gen_random_uuid()::text, '-', ''), $1, now_micros()) \
         ON CONFLICT DO NOTHING",
    )
    .bind(i64::from(*shards))
    .execute(&mut *connection)
    .await
    .map_err(failed)?;
    let (cluster_id, made_for): (String, i64) =
        sqlx::query_as("SELECT cluster_id, shards FROM meta")
            .fetch_one(connection)
            .await
            .map_err(failed)?;
    if made_for != i64::from(*shards) {
        return Err(Error::NotOurs(format!(
            "{name} was made for {made_for} shards and this cluster has {shards}: set \
             cluster.shards to {made_for}, or use another database"
        )));
    }
    Ok(cluster_id)
}
