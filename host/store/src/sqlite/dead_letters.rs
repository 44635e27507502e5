//! Dead letters: read by anyone, written and sent again by the writer.

use sqlx::{SqliteConnection, SqlitePool};
use wasmverse_core::ObjectId;

use super::failure;
use crate::{
    DeadLetter, Error, LIST_LIMIT_MAX, STORAGE_PAGE_BYTES, SendId, limits::kept_reason,
    prepared::Prepared, rows::effects::LetterRow,
};

/// The query for [`LetterRow`]s: the sizes first, which are known without reading the payloads.
macro_rules! letters_query {
    ($of:literal) => {
        concat!(
            "WITH sizes AS ( \
                 SELECT number, octet_length(payload) AS size FROM dead_letters WHERE ",
            $of,
            " AND number > ?3 ORDER BY number LIMIT ?4), \
             sums AS ( \
                 SELECT number, \
                     sum(size) OVER (ORDER BY number ROWS UNBOUNDED PRECEDING) - size AS before \
                 FROM sizes) \
             SELECT d.number, d.shard, d.type, d.id, d.version, d.place, d.reminder, d.to_type, \
                 d.to_id, d.method, d.payload, d.reason, d.sent_at, d.died_at \
             FROM sums CROSS JOIN dead_letters AS d ON d.number = sums.number \
             WHERE sums.before < ?5 ORDER BY d.number"
        )
    };
}
pub(super) const OF_ALL: &str = letters_query!("?1 IS NULL AND ?2 IS NULL");
pub(super) const OF_ONE: &str = letters_query!("type = ?1 AND id = ?2");

pub(super) async fn page(
    pool: &SqlitePool,
    from: Option<&ObjectId>,
    after: u64,
    limit: u32,
) -> Result<Vec<DeadLetter>, Error> {
    let query = if from.is_some() { OF_ONE } else { OF_ALL };
    let found: Vec<LetterRow> = sqlx::query_as(query)
        .bind(from.map(|object| object.type_name().as_str()))
        .bind(from.map(ObjectId::id))
        .bind(i64::try_from(after).unwrap_or(i64::MAX))
        .bind(limit.min(LIST_LIMIT_MAX))
        .bind(i64::try_from(STORAGE_PAGE_BYTES).expect("a mebibyte"))
        .fetch_all(pool)
        .await
        .map_err(|error| failure::of(&error))?;
    found.into_iter().map(LetterRow::letter).collect()
}

/// Whether there is a dead letter of an object.
pub(super) async fn is_there(
    connection: &mut SqliteConnection,
    (type_name, id): (&str, &str),
    number: u64,
) -> Result<bool, sqlx::Error> {
    let query = "SELECT 1 FROM dead_letters WHERE number = ? AND type = ? AND id = ?";
    let found: Option<i64> = sqlx::query_scalar(query)
        .bind(i64::try_from(number).unwrap_or(-1))
        .bind(type_name)
        .bind(id)
        .fetch_optional(connection)
        .await?;
    Ok(found.is_some())
}

/// Makes a dead letter of a send that is in an outbox still.
pub(super) async fn bury(
    connection: &mut SqliteConnection,
    send: &SendId,
    reason: &str,
    now_micros: i64,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO dead_letters (shard, type, id, version, place, to_type, to_id, method, \
         payload, reason, sent_at, died_at) \
         SELECT shard, type, id, version, place, to_type, to_id, method, payload, ?, sent_at, ? \
         FROM outbox WHERE shard = ? AND type = ? AND id = ? AND version = ? AND place = ?",
    )
    .bind(kept_reason(reason))
    .bind(now_micros)
    .bind(send.shard.0)
    .bind(send.from.type_name().as_str())
    .bind(send.from.id())
    .bind(i64::try_from(send.number.version.0).unwrap_or(-1))
    .bind(i64::try_from(send.number.place).unwrap_or(-1))
    .execute(connection)
    .await
    .map(|_| ())
}

/// Puts a dead letter of a row's object into its outbox, under a number that no other send has: the
/// time, or one more than the last. It is to be forgotten then.
pub(super) async fn revive(
    connection: &mut SqliteConnection,
    row: &Prepared,
    number: u64,
    now_micros: i64,
) -> Result<(), sqlx::Error> {
    let (type_name, id) = row.name();
    sqlx::query(
        "INSERT INTO outbox (shard, type, id, version, place, to_type, to_id, method, payload, \
         sent_at) \
         SELECT d.shard, d.type, d.id, v.version, max(?1, coalesce( \
             (SELECT max(o.place) + 1 FROM outbox AS o WHERE o.shard = d.shard \
              AND o.type = d.type AND o.id = d.id AND o.version = v.version), 0)), \
             d.to_type, d.to_id, d.method, d.payload, ?1 \
         FROM dead_letters AS d, (SELECT coalesce(max(version), 0) AS version FROM objects \
             WHERE type = ?2 AND id = ?3) AS v \
         WHERE d.number = ?4",
    )
    .bind(now_micros)
    .bind(type_name)
    .bind(id)
    .bind(i64::try_from(number).unwrap_or(-1))
    .execute(connection)
    .await
    .map(|_| ())
}

/// Removes a dead letter.
pub(super) async fn forget(
    connection: &mut SqliteConnection,
    number: u64,
) -> Result<(), sqlx::Error> {
    sqlx::query("DELETE FROM dead_letters WHERE number = ?")
        .bind(i64::try_from(number).unwrap_or(-1))
        .execute(connection)
        .await
        .map(|_| ())
}
