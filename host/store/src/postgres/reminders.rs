//! Reminders: those of an object, and those that are due.

use sqlx::PgConnection;
use wasmverse_core::ObjectId;

use super::failure;
use crate::{
    Error, LIST_LIMIT_MAX, STORAGE_PAGE_BYTES, Shards, StoredReminder,
    rows::{cursors::DueCursor, effects::ReminderRow},
};

pub(super) async fn of_object(
    connection: &mut PgConnection,
    object: &ObjectId,
) -> Result<Vec<StoredReminder>, Error> {
    let found: Vec<ReminderRow> = sqlx::query_as(
        "SELECT type, id, name, shard, schedule, method, payload, due_at FROM reminders \
         WHERE type = $1 AND id = $2 ORDER BY name",
    )
    .bind(object.type_name().as_str())
    .bind(object.id())
    .fetch_all(connection)
    .await
    .map_err(|error| failure::of(&error))?;
    found.into_iter().map(ReminderRow::reminder).collect()
}

/// What is asked of reminders.
pub(super) struct Due {
    pub(super) shards: Shards,
    pub(super) until_micros: i64,
    pub(super) after: Option<StoredReminder>,
    pub(super) limit: u32,
}

pub(super) async fn due(
    connection: &mut PgConnection,
    wanted: &Due,
) -> Result<Vec<StoredReminder>, Error> {
    let begin = DueCursor::new(wanted.after.as_ref());
    // The sizes are known without reading the payloads.
    let found: Vec<ReminderRow> = sqlx::query_as(
        "SELECT type, id, name, shard, schedule, method, payload, due_at FROM ( \
             SELECT *, sum(size) OVER ( \
                 ORDER BY due_at, type, id, name ROWS UNBOUNDED PRECEDING) - size AS before \
             FROM (SELECT *, octet_length(payload) AS size FROM reminders \
                 WHERE (due_at, type, id, name) > ($1, $2, $3, $4) AND due_at <= $5 \
                     AND shard BETWEEN $6 AND $7 \
                 ORDER BY due_at, type, id, name LIMIT $8) sized) summed \
         WHERE before < $9 ORDER BY due_at, type, id, name",
    )
    .bind(begin.due_at)
    .bind(begin.type_name)
    .bind(begin.id)
    .bind(begin.name)
    .bind(wanted.until_micros)
    .bind(i64::from(wanted.shards.start().0))
    .bind(i64::from(wanted.shards.end().0))
    .bind(i64::from(wanted.limit.min(LIST_LIMIT_MAX)))
    .bind(i64::try_from(STORAGE_PAGE_BYTES).expect("a mebibyte"))
    .fetch_all(connection)
    .await
    .map_err(|error| failure::of(&error))?;
    found.into_iter().map(ReminderRow::reminder).collect()
}
