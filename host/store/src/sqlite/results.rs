//! Results of keyed calls: looked up by anyone, forgotten by the writer.

use sqlx::{AssertSqlSafe, SqliteConnection, SqlitePool};
use wasmverse_core::ObjectId;

use super::failure;
use crate::{
    Error, KeptResult, RESULT_KEYS_MAX, ResultKey,
    rows::effects::{KeptRow, result_keys},
};

/// So many results are found by the same part of an index: few enough that those which come together
/// share its pages, and enough that not many parts are to be looked into.
macro_rules! chunk {
    () => {
        "16384"
    };
}

/// A query that looks into every part of the index of every span, for hashes from `?1` to `?2`.
macro_rules! everywhere {
    ($columns:literal, $where:literal) => {
        concat!(
            everywhere!(@ $columns, $where, "results_0"), " UNION ALL ",
            everywhere!(@ $columns, $where, "results_1"), " UNION ALL ",
            everywhere!(@ $columns, $where, "results_2"), " UNION ALL ",
            everywhere!(@ $columns, $where, "results_3"), " UNION ALL ",
            everywhere!(@ $columns, $where, "results_4"), " UNION ALL ",
            everywhere!(@ $columns, $where, "results_5"), " UNION ALL ",
            everywhere!(@ $columns, $where, "results_6"), " UNION ALL ",
            everywhere!(@ $columns, $where, "results_7"),
        )
    };
    (@ $columns:literal, $where:literal, $table:literal) => {
        concat!(
            "SELECT ", $columns, " FROM (WITH RECURSIVE chunks (chunk) AS ( \
                 SELECT max(rowid) / ", chunk!(), " FROM ", $table, " UNION ALL \
                 SELECT chunk - 1 FROM chunks WHERE chunk > 0) SELECT chunk FROM chunks) AS c \
             CROSS JOIN ", $table, " AS r ON r.chunk = c.chunk AND r.hash BETWEEN ?1 AND ?2 \
             AND r.type = ?3 AND r.id = ?4 ", $where
        )
    };
}

pub(super) const GET: &str = concat!(
    everywhere!(
        "r.asked AS asked, r.answer AS answer, r.kept_at AS kept_at, r.rowid AS place",
        "AND r.origin = ?5 AND r.key = ?6"
    ),
    // What was kept in the same moment was kept in the same table.
    " ORDER BY kept_at, place LIMIT 1"
);
/// `+ 0`: as in [`super::reads::LIST_AT`].
pub(super) const KEYS: &str =
    concat!(everywhere!("r.origin AS origin, r.key AS key", ""), " LIMIT ?5 + 0");

pub(super) async fn get(
    pool: &SqlitePool,
    object: &ObjectId,
    key: ResultKey,
) -> Result<Option<KeptResult>, Error> {
    let hash = key.hash_of(object);
    let found: Option<KeptRow> = sqlx::query_as(GET)
        .bind(hash)
        .bind(hash)
        .bind(object.type_name().as_str())
        .bind(object.id())
        .bind(&key.origin)
        .bind(&key.key)
        .fetch_optional(pool)
        .await
        .map_err(|error| failure::of(&error))?;
    found.map(|row| row.kept(object, key)).transpose()
}

pub(super) async fn keys(
    pool: &SqlitePool,
    object: &ObjectId,
    limit: u32,
) -> Result<(Vec<ResultKey>, bool), Error> {
    let limit = limit.min(RESULT_KEYS_MAX);
    let (first, last) = ResultKey::hashes_of(object);
    let found: Vec<(String, String)> = sqlx::query_as(KEYS)
        .bind(first)
        .bind(last)
        .bind(object.type_name().as_str())
        .bind(object.id())
        .bind(i64::from(limit) + 1)
        .fetch_all(pool)
        .await
        .map_err(|error| failure::of(&error))?;
    Ok(result_keys(found, usize::try_from(limit).expect("a hundred thousand")))
}

/// The span into which commits write, and the part of its index.
const NOW: &str = concat!(
    "SELECT span, coalesce(CASE span \
     WHEN 0 THEN (SELECT max(rowid) FROM results_0) \
     WHEN 1 THEN (SELECT max(rowid) FROM results_1) \
     WHEN 2 THEN (SELECT max(rowid) FROM results_2) \
     WHEN 3 THEN (SELECT max(rowid) FROM results_3) \
     WHEN 4 THEN (SELECT max(rowid) FROM results_4) \
     WHEN 5 THEN (SELECT max(rowid) FROM results_5) \
     WHEN 6 THEN (SELECT max(rowid) FROM results_6) \
     WHEN 7 THEN (SELECT max(rowid) FROM results_7) END, 0) / ",
    chunk!(),
    " FROM result_spans ORDER BY began_at DESC LIMIT 1"
);

/// Where a result is kept now: the span, and the part of its index.
pub(super) async fn place_now(
    connection: &mut SqliteConnection,
) -> Result<(i64, i64), sqlx::Error> {
    sqlx::query_as(NOW).fetch_one(connection).await
}

/// The span that may begin: the current one has lasted long enough, and what the next one holds from
/// the round before is older than what is to be kept, than each send that has not arrived, and than
/// the time of each reminder that has not fired though it is due (by another clock: a minute more).
const NEXT: &str = "SELECT (now.span + 1) % 8 \
     FROM (SELECT span, began_at FROM result_spans ORDER BY began_at DESC LIMIT 1) AS now \
     JOIN result_spans AS after ON after.span = (now.span + 2) % 8 \
     WHERE ?1 - now.began_at >= ?2 / 6 AND ?1 - after.began_at >= ?2 \
     AND NOT EXISTS (SELECT 1 FROM outbox WHERE sent_at <= after.began_at) \
     AND NOT EXISTS (SELECT 1 FROM reminders WHERE due_at <= min(after.began_at + 60000000, ?1))";

/// Whether the writer would forget anything now: asked of it only if so, because it has better to do.
pub(super) async fn can_forget(
    pool: &SqlitePool,
    kept_micros: i64,
    now_micros: i64,
) -> Result<bool, Error> {
    let next: Option<i64> = sqlx::query_scalar(NEXT)
        .bind(now_micros)
        .bind(kept_micros)
        .fetch_optional(pool)
        .await
        .map_err(|error| failure::of(&error))?;
    Ok(next.is_some())
}

/// Begins the next span, if it may, and forgets what it holds.
pub(super) async fn forget(
    connection: &mut SqliteConnection,
    kept_micros: i64,
    now_micros: i64,
) -> Result<bool, sqlx::Error> {
    let next = sqlx::query_scalar(NEXT).bind(now_micros).bind(kept_micros);
    let next: Option<i64> = next.fetch_optional(&mut *connection).await?;
    let Some(span) = next else { return Ok(false) };
    sqlx::query(AssertSqlSafe(format!("DELETE FROM results_{span}")))
        .execute(&mut *connection)
        .await?;
    sqlx::query(
        "UPDATE result_spans SET began_at = \
         max(?, (SELECT max(began_at) + 1 FROM result_spans)) WHERE span = ?",
    )
    .bind(now_micros)
    .bind(span)
    .execute(connection)
    .await?;
    Ok(true)
}
