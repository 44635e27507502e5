//! Epochs of shards: claimed by the writer, read by anyone.

use sqlx::{SqliteConnection, SqlitePool};
use wasmverse_core::{Epoch, ShardId};

use super::failure;
use crate::{
    Claimed, Error, Owner, Raised,
    claim::{Bids, Wanted},
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

/// The new epochs of shards, or, below zero, the ones that they have.
pub(super) async fn raise(
    connection: &mut SqliteConnection,
    owner: &Owner,
    bids: &Bids,
    now_micros: i64,
) -> Result<Result<Vec<Raised>, Error>, sqlx::Error> {
    let pairs: Vec<(i64, i64)> = bids.shards().zip(bids.expected()).collect();
    let had: Vec<i64> = sqlx::query_scalar(
        "SELECT coalesce(shards.epoch, 0) FROM json_each(?) AS bid \
         LEFT JOIN shards ON shards.shard = bid.value ->> 0 ORDER BY bid.key",
    )
    .bind(serde_json::to_string(&pairs).expect("numbers are JSON"))
    .fetch_all(&mut *connection)
    .await?;
    // Nobody else writes: what was read stays so until this transaction ends.
    let pairs = pairs.into_iter().zip(&had).filter(|((_, expected), had)| expected == *had);
    let taken: Vec<(i64, i64)> = pairs.map(|(pair, _)| pair).collect();
    sqlx::query(
        "INSERT INTO shards (shard, epoch, node, incarnation, claimed_at) \
         SELECT value ->> 0, (value ->> 1) + 1, ?, ?, ? FROM json_each(?) WHERE true \
         ON CONFLICT (shard) DO UPDATE SET epoch = excluded.epoch, \
         node = excluded.node, incarnation = excluded.incarnation, \
         claimed_at = excluded.claimed_at",
    )
    .bind(&owner.node)
    .bind(&owner.incarnation)
    .bind(now_micros)
    .bind(serde_json::to_string(&taken).expect("numbers are JSON"))
    .execute(connection)
    .await?;
    let told = bids.expected().zip(had);
    let told = told.map(|(expected, had)| if expected == had { had + 1 } else { -had.abs() });
    Ok(bids.answered(&told.collect::<Vec<_>>()))
}

pub(super) async fn epochs(pool: &SqlitePool) -> Result<Vec<Claimed>, Error> {
    let rows: Vec<ClaimedRow> =
        sqlx::query_as(shards_query!()).fetch_all(pool).await.map_err(|e| failure::of(&e))?;
    rows.into_iter().map(ClaimedRow::claimed).collect()
}
