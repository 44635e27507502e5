//! Results of keyed calls: looked up and forgotten.

use std::time::Duration;

use sqlx::PgConnection;
use wasmverse_core::ObjectId;

use super::failure::{self, Failed, of_write};
use crate::{
    Error, KeptResult, RESULT_KEYS_MAX, ResultKey,
    rows::effects::{KeptRow, result_keys},
};

pub(super) async fn get(
    connection: &mut PgConnection,
    (object, key): &(ObjectId, ResultKey),
) -> Result<Option<KeptResult>, Error> {
    if key.origin.contains('\0') || key.key.contains('\0') {
        // It cannot even be asked for.
        return Ok(None);
    }
    let found: Option<KeptRow> = sqlx::query_as(
        "SELECT asked, answer FROM results WHERE hash = $1 AND type = $2 AND id = $3 \
         AND origin = $4 AND key = $5 ORDER BY kept_at LIMIT 1",
    )
    .bind(key.hash_of(object))
    .bind(object.type_name().as_str())
    .bind(object.id())
    .bind(&key.origin)
    .bind(&key.key)
    .fetch_optional(connection)
    .await
    .map_err(|error| failure::of(&error))?;
    found.map(|row| row.kept(object, key.clone())).transpose()
}

pub(super) async fn keys(
    connection: &mut PgConnection,
    (object, limit): &(ObjectId, u32),
) -> Result<(Vec<ResultKey>, bool), Error> {
    let limit = (*limit).min(RESULT_KEYS_MAX);
    let (first, last) = ResultKey::hashes_of(object);
    let found: Vec<(String, String)> = sqlx::query_as(
        "SELECT origin, key FROM results WHERE hash BETWEEN $1 AND $2 AND type = $3 AND id = $4 \
         LIMIT $5",
    )
    .bind(first)
    .bind(last)
    .bind(object.type_name().as_str())
    .bind(object.id())
    .bind(i64::from(limit) + 1)
    .fetch_all(connection)
    .await
    .map_err(|error| failure::of(&error))?;
    Ok(result_keys(found, usize::try_from(limit).expect("a hundred thousand")))
}

/// Begins the next span, if it may, and forgets what it holds.
pub(super) async fn forget(connection: &mut PgConnection, kept: &Duration) -> Result<bool, Failed> {
    sqlx::query_scalar("SELECT forget_results($1)")
        .bind(i64::try_from(kept.as_micros()).unwrap_or(i64::MAX))
        .fetch_one(connection)
        .await
        .map_err(|error| of_write(&error))
}
