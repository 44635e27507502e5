//! Reminders: read by anyone, set, cancelled and advanced by the writer.

use sqlx::{SqliteConnection, SqlitePool};
use wasmverse_core::ObjectId;

use super::failure;
use crate::{
    Effect, Error, LIST_LIMIT_MAX, STORAGE_PAGE_BYTES, Shards, StoredReminder,
    limits::kept_reason,
    prepared::Prepared,
    rows::{cursors::DueCursor, effects::ReminderRow},
};

pub(super) async fn of_object(
    pool: &SqlitePool,
    object: &ObjectId,
) -> Result<Vec<StoredReminder>, Error> {
    let query = "SELECT type, id, name, shard, schedule, method, payload, due_at FROM reminders \
                 WHERE type = ? AND id = ? ORDER BY name";
    let found: Vec<ReminderRow> = sqlx::query_as(query)
        .bind(object.type_name().as_str())
        .bind(object.id())
        .fetch_all(pool)
        .await
        .map_err(|error| failure::of(&error))?;
    found.into_iter().map(ReminderRow::reminder).collect()
}

/// A page: the sizes first, which are known without reading the payloads.
pub(super) const DUE: &str = "\
     WITH sizes AS ( \
         SELECT due_at, type, id, name, octet_length(payload) AS size FROM reminders \
         WHERE (due_at, type, id, name) > (?1, ?2, ?3, ?4) AND due_at <= ?5 \
         AND shard BETWEEN ?6 AND ?7 ORDER BY due_at, type, id, name LIMIT ?8), \
     sums AS ( \
         SELECT due_at, type, id, name, sum(size) OVER ( \
             ORDER BY due_at, type, id, name ROWS UNBOUNDED PRECEDING) - size AS before \
         FROM sizes) \
     SELECT r.type, r.id, r.name, r.shard, r.schedule, r.method, r.payload, r.due_at \
         FROM sums CROSS JOIN reminders AS r \
         ON r.type = sums.type AND r.id = sums.id AND r.name = sums.name \
     WHERE sums.before < ?9 ORDER BY r.due_at, r.type, r.id, r.name";

pub(super) async fn due(
    pool: &SqlitePool,
    shards: &Shards,
    until_micros: i64,
    after: Option<&StoredReminder>,
    limit: u32,
) -> Result<Vec<StoredReminder>, Error> {
    let begin = DueCursor::new(after);
    let found: Vec<ReminderRow> = sqlx::query_as(DUE)
        .bind(begin.due_at)
        .bind(begin.type_name)
        .bind(begin.id)
        .bind(begin.name)
        .bind(until_micros)
        .bind(shards.start().0)
        .bind(shards.end().0)
        .bind(limit.min(LIST_LIMIT_MAX))
        .bind(i64::try_from(STORAGE_PAGE_BYTES).expect("a mebibyte"))
        .fetch_all(pool)
        .await
        .map_err(|error| failure::of(&error))?;
    found.into_iter().map(ReminderRow::reminder).collect()
}

/// Whether there is a reminder of that name that is due then.
pub(super) async fn is_due(
    connection: &mut SqliteConnection,
    (type_name, id): (&str, &str),
    name: &str,
    due_micros: i64,
) -> Result<bool, sqlx::Error> {
    let query = "SELECT 1 FROM reminders WHERE type = ? AND id = ? AND name = ? AND due_at = ?";
    let found: Option<i64> = sqlx::query_scalar(query)
        .bind(type_name)
        .bind(id)
        .bind(name)
        .bind(due_micros)
        .fetch_optional(connection)
        .await?;
    Ok(found.is_some())
}

/// Writes what a row says of reminders, once the row is written: what has fired, then what is gone
/// with the object, then what was set and cancelled.
pub(super) async fn write(
    connection: &mut SqliteConnection,
    row: &Prepared,
    now_micros: i64,
    buried: bool,
) -> Result<(), sqlx::Error> {
    for effect in &row.commit.effects {
        if let Effect::Fired { name, next_micros, dead, .. } = effect {
            let dead = dead.as_deref();
            fire(connection, row.name(), name, *next_micros, dead, now_micros).await?;
        }
    }
    let (type_name, id) = row.name();
    if buried {
        let forget = "DELETE FROM reminders WHERE type = ? AND id = ?";
        sqlx::query(forget).bind(type_name).bind(id).execute(&mut *connection).await?;
    }
    for effect in row.reminders() {
        let query = match effect {
            Effect::Remind(new) => sqlx::query(
                "INSERT INTO reminders (type, id, name, shard, schedule, method, payload, due_at) \
                 VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (type, id, name) DO UPDATE SET \
                 shard = excluded.shard, schedule = excluded.schedule, \
                 method = excluded.method, payload = excluded.payload, due_at = excluded.due_at",
            )
            .bind(type_name)
            .bind(id)
            .bind(&*new.name)
            .bind(row.commit.shard.0)
            .bind(&*new.when)
            .bind(&*new.method)
            .bind(&*new.payload)
            .bind(new.due_micros),
            Effect::Cancel(name) => {
                sqlx::query("DELETE FROM reminders WHERE type = ? AND id = ? AND name = ?")
                    .bind(type_name)
                    .bind(id)
                    .bind(&**name)
            }
            _ => continue,
        };
        query.execute(&mut *connection).await?;
    }
    Ok(())
}

async fn fire(
    connection: &mut SqliteConnection,
    (type_name, id): (&str, &str),
    name: &str,
    next_micros: Option<i64>,
    dead: Option<&str>,
    now_micros: i64,
) -> Result<(), sqlx::Error> {
    if let Some(reason) = dead {
        sqlx::query(
            "INSERT INTO dead_letters (shard, type, id, reminder, to_type, to_id, method, payload, \
             reason, sent_at, died_at) \
             SELECT shard, type, id, name, type, id, method, payload, ?, due_at, ? \
             FROM reminders WHERE type = ? AND id = ? AND name = ?",
        )
        .bind(kept_reason(reason))
        .bind(now_micros)
        .bind(type_name)
        .bind(id)
        .bind(name)
        .execute(&mut *connection)
        .await?;
    }
    let query = match next_micros {
        Some(next) => {
            sqlx::query("UPDATE reminders SET due_at = ? WHERE type = ? AND id = ? AND name = ?")
                .bind(next)
        }
        None => sqlx::query("DELETE FROM reminders WHERE type = ? AND id = ? AND name = ?"),
    };
    query.bind(type_name).bind(id).bind(name).execute(connection).await.map(|_| ())
}
