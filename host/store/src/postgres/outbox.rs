//! Sends that have not arrived.

use sqlx::PgConnection;

use super::failure;
use crate::{
    Error, LIST_LIMIT_MAX, STORAGE_PAGE_BYTES, SendId, Shards, StoredSend,
    rows::{cursors::SendCursor, effects::SentRow},
};

/// What is asked of outboxes.
pub(super) struct Sends {
    pub(super) shards: Shards,
    pub(super) after: Option<SendId>,
    pub(super) limit: u32,
}

pub(super) async fn sends(
    connection: &mut PgConnection,
    wanted: &Sends,
) -> Result<Vec<StoredSend>, Error> {
    let begin = SendCursor::new(&wanted.shards, wanted.after.as_ref());
    // The sizes are known without reading the payloads.
    let found: Vec<SentRow> = sqlx::query_as(
        "SELECT shard, type, id, version, place, to_type, to_id, method, payload, sent_at FROM ( \
             SELECT *, sum(size) OVER ( \
                 ORDER BY shard, type, id, version, place ROWS UNBOUNDED PRECEDING) - size \
                 AS before \
             FROM (SELECT *, octet_length(payload) AS size FROM outbox \
                 WHERE (shard, type, id, version, place) > ($1, $2, $3, $4, $5) AND shard <= $6 \
                 ORDER BY shard, type, id, version, place LIMIT $7) sized) summed \
         WHERE before < $8 ORDER BY shard, type, id, version, place",
    )
    .bind(begin.shard)
    .bind(begin.type_name)
    .bind(begin.id)
    .bind(begin.version)
    .bind(begin.place)
    .bind(i64::from(wanted.shards.end().0))
    .bind(i64::from(wanted.limit.min(LIST_LIMIT_MAX)))
    .bind(i64::try_from(STORAGE_PAGE_BYTES).expect("a mebibyte"))
    .fetch_all(connection)
    .await
    .map_err(|error| failure::of(&error))?;
    found.into_iter().map(SentRow::send).collect()
}
