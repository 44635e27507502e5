//! Reading keyed storage.

use bytes::Bytes;
use sqlx::SqlitePool;
use wasmverse_core::ObjectId;

use super::failure;
use crate::{
    Error, LIST_LIMIT_MAX, STORAGE_PAGE_BYTES, StoragePage, metrics,
    rows::{ScannedRow, beyond, storage_page},
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
    let query = "SELECT storage_keys FROM objects WHERE type = ? AND id = ?";
    let found: Option<i64> = sqlx::query_scalar(query)
        .bind(object.type_name().as_str())
        .bind(object.id())
        .fetch_optional(pool)
        .await
        .map_err(|error| failure::of(&error))?;
    Ok(found.map_or(0, i64::unsigned_abs))
}

pub(super) async fn scan(
    pool: &SqlitePool,
    object: &ObjectId,
    prefix: &str,
    after: Option<&str>,
    limit: u32,
) -> Result<StoragePage, Error> {
    let limit = limit.min(LIST_LIMIT_MAX);
    // The sizes first, which are known without reading the values. A blob is greater than every
    // text and than none.
    let query = "WITH sizes AS ( \
             SELECT rowid AS at, key, octet_length(key) + octet_length(value) AS size \
             FROM storage WHERE type = ?1 AND id = ?2 AND key >= ?3 AND key < COALESCE(?4, x'') \
             AND (?5 IS NULL OR key > ?5) ORDER BY key LIMIT ?6), \
         sums AS ( \
             SELECT at, sum(size) OVER (ORDER BY key ROWS UNBOUNDED PRECEDING) - size AS before, \
             count(*) OVER () AS total FROM sizes) \
         SELECT s.key, s.value, sums.total FROM sums CROSS JOIN storage AS s ON s.rowid = sums.at \
         WHERE sums.before < ?7 ORDER BY s.key";
    let found: Vec<ScannedRow> = sqlx::query_as(query)
        .bind(object.type_name().as_str())
        .bind(object.id())
        .bind(prefix)
        .bind(beyond(prefix))
        .bind(after)
        .bind(i64::from(limit) + 1)
        .bind(i64::try_from(STORAGE_PAGE_BYTES).expect("a mebibyte"))
        .fetch_all(pool)
        .await
        .map_err(|error| failure::of(&error))?;
    metrics::storage_read(found.len());
    Ok(storage_page(found, limit))
}
