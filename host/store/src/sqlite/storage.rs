//! Keyed storage: read by anyone, written and counted by the writer.

use std::collections::BTreeMap;

use bytes::Bytes;
use sqlx::{AssertSqlSafe, Row as _, SqliteConnection, SqlitePool};
use wasmverse_core::ObjectId;

use super::{
    failure,
    statements::{Deed, Statements},
};
use crate::{
    Error, LIST_LIMIT_MAX, STORAGE_PAGE_BYTES, StoragePage, metrics,
    rows::{Begin, ScannedRow, beyond, storage_page},
};

pub(super) async fn get(
    pool: &SqlitePool,
    object: &ObjectId,
    key: &str,
) -> Result<Option<Bytes>, Error> {
    let query = "SELECT value FROM storage WHERE type = ? AND id = ? AND key = ?";
    let found: Option<Vec<u8>> = sqlx::query_scalar(query)
        .bind(object.type_name().as_str())
        .bind(object.id())
        .bind(key)
        .fetch_optional(pool)
        .await
        .map_err(|error| failure::of(&error))?;
    metrics::storage_read(1);
    Ok(found.map(Bytes::from))
}

pub(super) async fn keys(pool: &SqlitePool, object: &ObjectId) -> Result<u64, Error> {
    let query = "SELECT keys FROM storage_counts WHERE type = ? AND id = ?";
    let found: Option<i64> = sqlx::query_scalar(query)
        .bind(object.type_name().as_str())
        .bind(object.id())
        .fetch_optional(pool)
        .await
        .map_err(|error| failure::of(&error))?;
    Ok(found.map_or(0, i64::unsigned_abs))
}

/// The query for a page: the sizes first, which are known without reading the values.
macro_rules! scan_query {
    ($begin:literal) => {
        concat!(
            "WITH sizes AS ( \
                 SELECT rowid AS at, key, octet_length(key) + octet_length(value) AS size \
                 FROM storage WHERE type = ?1 AND id = ?2 AND key ",
            $begin,
            " ?3 AND key < ?4 ORDER BY key LIMIT ?5 + 0), \
             sums AS ( \
                 SELECT at, sum(size) OVER (ORDER BY key ROWS UNBOUNDED PRECEDING) - size \
                 AS before, count(*) OVER () AS total FROM sizes) \
             SELECT s.key, s.value, sums.total FROM sums \
             CROSS JOIN storage AS s ON s.rowid = sums.at WHERE sums.before < ?6 ORDER BY s.key"
        )
    };
}
pub(super) const SCAN_AT: &str = scan_query!(">=");
pub(super) const SCAN_AFTER: &str = scan_query!(">");

pub(super) async fn scan(
    pool: &SqlitePool,
    object: &ObjectId,
    prefix: &str,
    after: Option<&str>,
    limit: u32,
) -> Result<StoragePage, Error> {
    let limit = limit.min(LIST_LIMIT_MAX);
    let (query, begin) = match Begin::new(prefix, after) {
        Begin::At(begin) => (SCAN_AT, begin),
        Begin::After(begin) => (SCAN_AFTER, begin),
    };
    let found: Vec<ScannedRow> = sqlx::query_as(query)
        .bind(object.type_name().as_str())
        .bind(object.id())
        .bind(begin)
        .bind(beyond(prefix))
        .bind(i64::from(limit) + 1)
        .bind(i64::try_from(STORAGE_PAGE_BYTES).expect("a mebibyte"))
        .fetch_all(pool)
        .await
        .map_err(|error| failure::of(&error))?;
    metrics::storage_read(found.len());
    Ok(storage_page(found, limit))
}

/// New keys get the next rowids, one after the other, and old ones keep theirs: so the new ones are
/// counted without asking of each whether it was there.
pub(super) const COUNT_NEW: &str = "INSERT INTO storage_counts (type, id, keys) \
     SELECT type, id, count(*) FROM storage NOT INDEXED WHERE rowid > ? GROUP BY type, id \
     ON CONFLICT (type, id) DO UPDATE SET keys = storage_counts.keys + excluded.keys";

/// Sets keys of objects: type, id, key and value; each key once.
pub(super) async fn set_keys(
    connection: &mut SqliteConnection,
    statements: &Statements,
    mut set: &[(&str, &str, &str, &[u8])],
) -> Result<(), sqlx::Error> {
    if set.is_empty() {
        return Ok(());
    }
    let last: i64 = sqlx::query_scalar("SELECT coalesce(max(rowid), 0) FROM storage")
        .fetch_one(&mut *connection)
        .await?;
    while !set.is_empty() {
        let weights = set.iter().map(|(_, _, key, value)| key.len() + value.len());
        let (sql, size, _) = statements.fitting(Deed::Set, weights);
        let mut query = sqlx::query(AssertSqlSafe(sql));
        for (type_name, id, key, value) in &set[..size] {
            query = query.bind(*type_name).bind(*id).bind(*key).bind(*value);
        }
        query.execute(&mut *connection).await?;
        set = &set[size..];
    }
    sqlx::query(COUNT_NEW).bind(last).execute(connection).await?;
    Ok(())
}

/// Removes keys of objects, as far as they are there.
pub(super) async fn unset_keys(
    connection: &mut SqliteConnection,
    statements: &Statements,
    mut unset: &[(&str, &str, &str)],
) -> Result<(), sqlx::Error> {
    let mut gone: BTreeMap<(String, String), i64> = BTreeMap::new();
    while !unset.is_empty() {
        let weights = unset.iter().map(|(_, _, key)| key.len());
        let (sql, size, _) = statements.fitting(Deed::Unset, weights);
        let mut query = sqlx::query(AssertSqlSafe(sql));
        for (type_name, id, key) in &unset[..size] {
            query = query.bind(*type_name).bind(*id).bind(*key);
        }
        for row in query.fetch_all(&mut *connection).await? {
            *gone.entry((row.try_get("type")?, row.try_get("id")?)).or_default() += 1;
        }
        unset = &unset[size..];
    }
    for ((type_name, id), keys) in gone {
        let count = "UPDATE storage_counts SET keys = keys - ? WHERE type = ? AND id = ?";
        let counted = sqlx::query(count).bind(keys).bind(type_name).bind(id);
        counted.execute(&mut *connection).await?;
    }
    Ok(())
}
