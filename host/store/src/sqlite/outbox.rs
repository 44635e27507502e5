//! Sends that have not arrived: listed by anyone.

use sqlx::SqlitePool;

use super::failure;
use crate::{
    Error, LIST_LIMIT_MAX, STORAGE_PAGE_BYTES, SendId, Shards, StoredSend,
    rows::{cursors::SendCursor, effects::SentRow},
};

/// A page: the sizes first, which are known without reading the payloads.
pub(super) const SENDS: &str = "\
     WITH sizes AS ( \
         SELECT shard, type, id, version, place, octet_length(payload) AS size FROM outbox \
         WHERE (shard, type, id, version, place) > (?1, ?2, ?3, ?4, ?5) AND shard <= ?6 \
         ORDER BY shard, type, id, version, place LIMIT ?7), \
     sums AS ( \
         SELECT shard, type, id, version, place, sum(size) OVER ( \
             ORDER BY shard, type, id, version, place ROWS UNBOUNDED PRECEDING) - size AS before \
         FROM sizes) \
     SELECT o.shard, o.type, o.id, o.version, o.place, o.to_type, o.to_id, o.method, o.payload, \
         o.sent_at FROM sums CROSS JOIN outbox AS o \
         ON o.shard = sums.shard AND o.type = sums.type AND o.id = sums.id \
         AND o.version = sums.version AND o.place = sums.place \
     WHERE sums.before < ?8 ORDER BY o.shard, o.type, o.id, o.version, o.place";

pub(super) async fn sends(
    pool: &SqlitePool,
    shards: &Shards,
    after: Option<&SendId>,
    limit: u32,
) -> Result<Vec<StoredSend>, Error> {
    let begin = SendCursor::new(shards, after);
    let found: Vec<SentRow> = sqlx::query_as(SENDS)
        .bind(begin.shard)
        .bind(begin.type_name)
        .bind(begin.id)
        .bind(begin.version)
        .bind(begin.place)
        .bind(shards.end().0)
        .bind(limit.min(LIST_LIMIT_MAX))
        .bind(i64::try_from(STORAGE_PAGE_BYTES).expect("a mebibyte"))
        .fetch_all(pool)
        .await
        .map_err(|error| failure::of(&error))?;
    found.into_iter().map(SentRow::send).collect()
}
