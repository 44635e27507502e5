//! Writing types: components by digest, their revisions by number.

use sqlx::SqliteConnection;
use wasmverse_core::{RevisionNumber, TypeName};

use super::reads::revision_query;
use crate::{Error, NewRevision, RevisionRecord, rows::RevisionRow};

pub(super) async fn add(
    connection: &mut SqliteConnection,
    new: &NewRevision,
    now_micros: i64,
) -> Result<Result<RevisionRecord, Error>, sqlx::Error> {
    let (type_name, digest) = (new.type_name.as_str(), new.digest.as_slice());
    sqlx::query("INSERT INTO components (digest, bytes) VALUES (?, ?) ON CONFLICT DO NOTHING")
        .bind(digest)
        .bind(&*new.component)
        .execute(&mut *connection)
        .await?;
    sqlx::query(
        "INSERT INTO revisions (type, number, digest, description, author, created_at) \
         SELECT ?1, COALESCE(MAX(number), 0) + 1, ?2, ?3, ?4, ?5 FROM revisions WHERE type = ?1 \
         ON CONFLICT (type, digest) DO NOTHING",
    )
    .bind(type_name)
    .bind(digest)
    .bind(&new.description)
    .bind(&new.author)
    .bind(now_micros)
    .execute(&mut *connection)
    .await?;
    let row: RevisionRow = sqlx::query_as(revision_query!("WHERE type = ? AND digest = ?"))
        .bind(type_name)
        .bind(digest)
        .fetch_one(connection)
        .await?;
    Ok(row.record())
}

pub(super) async fn activate(
    connection: &mut SqliteConnection,
    type_name: &TypeName,
    number: RevisionNumber,
) -> Result<Result<RevisionRecord, Error>, sqlx::Error> {
    let found: Option<RevisionRow> =
        sqlx::query_as(revision_query!("WHERE type = ? AND number = ?"))
            .bind(type_name.as_str())
            .bind(number.0)
            .fetch_optional(&mut *connection)
            .await?;
    let Some(row) = found else {
        return Ok(Err(Error::NotFound(format!("revision {number} of {type_name}"))));
    };
    // One after the other: the index allows one active revision at any time.
    for active in [false, true] {
        sqlx::query(
            "UPDATE revisions SET active = ?1 \
             WHERE type = ?2 AND CASE WHEN ?1 THEN number = ?3 ELSE active END",
        )
        .bind(active)
        .bind(type_name.as_str())
        .bind(number.0)
        .execute(&mut *connection)
        .await?;
    }
    Ok(row.record().map(|record| RevisionRecord { active: true, ..record }))
}
