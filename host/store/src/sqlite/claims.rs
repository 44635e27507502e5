//! Epochs of shards: claimed by the writer, read by anyone.

use sqlx::{SqliteConnection, SqlitePool};
use wasmverse_core::{Epoch, ShardId};

use super::failure;
use crate::{
    Claimed, Error, Owner,
    claim::Wanted,
    rows::{ClaimedRow, shards_query},
};

pub(super) async fn claim(
    connection: &mut SqliteConnection,
    owner: &Owner,
    wanted: &Wanted,
    now_micros: i64,
) -> Result<Result<Vec<(ShardId, Epoch)>, Error>, sqlx::Error> {
    let pairs: Vec<(i64, i64)> = wanted.shards().zip(wanted.floors()).collect();
    let rows: Vec<(i64, i64)> = sqlx::query_as(
        "INSERT INTO shards (shard, epoch, node, incarnation, claimed_at) \
         SELECT value ->> 0, (value ->> 1) + 1, ?, ?, ? FROM json_each(?) WHERE true \
         ON CONFLICT (shard) DO UPDATE SET epoch = max(shards.epoch + 1, excluded.epoch), \
         node = excluded.node, incarnation = excluded.incarnation, \
         claimed_at = excluded.claimed_at RETURNING shard, epoch",
    )
    .bind(&owner.node)
    .bind(&owner.incarnation)
    .bind(now_micros)
    .bind(serde_json::to_string(&pairs).expect("numbers are JSON"))
    .fetch_all(connection)
    .await?;
    Ok(wanted.answered(rows))
}

pub(super) async fn epochs(pool: &SqlitePool) -> Result<Vec<Claimed>, Error> {
    let rows: Vec<ClaimedRow> =
        sqlx::query_as(shards_query!()).fetch_all(pool).await.map_err(|e| failure::of(&e))?;
    rows.into_iter().map(ClaimedRow::claimed).collect()
}
