//! Reading: one object, lists of them, types.

use bytes::Bytes;
use sqlx::{SqliteConnection, SqlitePool};
use wasmverse_core::{ObjectId, RevisionNumber, TypeName};

use super::failure;
use crate::{
    Error, LIST_LIMIT_MAX, Page, RevisionRecord, StoredObject, components,
    rows::{Begin, ListedRow, LoadedRow, RevisionRow, beyond},
};

/// A query for revisions, as [`RevisionRow`] reads them.
macro_rules! revision_query {
    ($rest:literal) => {
        concat!(
            "SELECT type, number, digest, description, author, created_at, active FROM revisions ",
            $rest
        )
    };
}
pub(super) use revision_query;

pub(super) async fn load(
    pool: &SqlitePool,
    object: &ObjectId,
) -> Result<Option<StoredObject>, Error> {
    let found: Result<Option<LoadedRow>, _> = sqlx::query_as(
        "SELECT state_json, state_bytes, digest, schema, version, revision, created_at, \
         updated_at FROM objects WHERE type = ? AND id = ? AND deleted = 0",
    )
    .bind(object.type_name().as_str())
    .bind(object.id())
    .fetch_optional(pool)
    .await;
    found.map_err(|error| failure::of(&error))?.map(|row| row.object(object)).transpose()
}

pub(super) async fn list(
    pool: &SqlitePool,
    type_name: Option<&TypeName>,
    prefix: &str,
    after: Option<&ObjectId>,
    limit: u32,
) -> Result<Page, Error> {
    let limit = usize::try_from(limit.min(LIST_LIMIT_MAX)).expect("at most a thousand");
    let listed = async {
        // One snapshot for all of the page.
        let mut transaction = pool.begin().await?;
        let mut objects = Vec::new();
        let mut of_type = match (type_name, after) {
            (Some(wanted), _) => Some(wanted.as_str().to_owned()),
            (None, Some(after)) => Some(after.type_name().as_str().to_owned()),
            (None, None) => next_type(&mut transaction, "").await?,
        };
        while let Some(current) = of_type.take() {
            let after = after.and_then(|after| {
                (after.type_name().as_str() >= current.as_str()).then_some(after)
            });
            // Beyond a type, whatever its ids, or within it.
            if after.is_none_or(|after| after.type_name().as_str() == current) {
                let (begin, end) = (Begin::new(prefix, after.map(ObjectId::id)), beyond(prefix));
                let room = limit + 1 - objects.len();
                objects.extend(list_type(&mut transaction, &current, begin, end, room).await?);
            }
            if type_name.is_none() && objects.len() <= limit {
                of_type = next_type(&mut transaction, &current).await?;
            }
        }
        Ok(objects)
    };
    let rows = listed.await.map_err(|error: sqlx::Error| failure::of(&error))?;
    let more = rows.len() > limit;
    let objects = rows.into_iter().take(limit).map(ListedRow::summary).collect::<Result<_, _>>()?;
    Ok(Page { objects, more })
}

/// The first type after `name` that has objects.
async fn next_type(
    connection: &mut SqliteConnection,
    name: &str,
) -> Result<Option<String>, sqlx::Error> {
    sqlx::query_scalar(
        "SELECT type FROM objects WHERE deleted = 0 AND type > ? ORDER BY type LIMIT 1",
    )
    .bind(name)
    .fetch_optional(connection)
    .await
}

/// The query for a part of a list that is of one type. `+ 0`: SQLite plans by the value of a bare
/// `LIMIT ?`, so it prepares the statement anew whenever another one is bound, which for a large
/// statement takes longer than to run it.
macro_rules! list_query {
    ($begin:literal) => {
        concat!(
            "SELECT type, id, revision, updated_at FROM objects \
             WHERE deleted = 0 AND type = ? AND id ",
            $begin,
            " ? AND id < ? ORDER BY id LIMIT ? + 0"
        )
    };
}
pub(super) const LIST_AT: &str = list_query!(">=");
pub(super) const LIST_AFTER: &str = list_query!(">");

async fn list_type(
    connection: &mut SqliteConnection,
    type_name: &str,
    begin: Begin<'_>,
    end: String,
    room: usize,
) -> Result<Vec<ListedRow>, sqlx::Error> {
    let (query, begin) = match begin {
        Begin::At(begin) => (LIST_AT, begin),
        Begin::After(begin) => (LIST_AFTER, begin),
    };
    sqlx::query_as(query)
        .bind(type_name)
        .bind(begin)
        .bind(end)
        .bind(i64::try_from(room).expect("a little more than a thousand"))
        .fetch_all(connection)
        .await
}

pub(super) async fn active_revisions(pool: &SqlitePool) -> Result<Vec<RevisionRecord>, Error> {
    let query = revision_query!("WHERE active = 1 ORDER BY type");
    let rows: Vec<RevisionRow> =
        sqlx::query_as(query).fetch_all(pool).await.map_err(|error| failure::of(&error))?;
    rows.into_iter().map(RevisionRow::record).collect()
}

pub(super) async fn revision(
    pool: &SqlitePool,
    type_name: &TypeName,
    number: RevisionNumber,
) -> Result<Option<RevisionRecord>, Error> {
    let row: Result<Option<RevisionRow>, _> =
        sqlx::query_as(revision_query!("WHERE type = ? AND number = ?"))
            .bind(type_name.as_str())
            .bind(number.0)
            .fetch_optional(pool)
            .await;
    row.map_err(|error| failure::of(&error))?.map(RevisionRow::record).transpose()
}

/// A component, if it still is what its digest says.
pub(super) async fn component(pool: &SqlitePool, digest: [u8; 32]) -> Result<Option<Bytes>, Error> {
    let found: Option<Vec<u8>> =
        sqlx::query_scalar("SELECT bytes FROM components WHERE digest = ?")
            .bind(digest.as_slice())
            .fetch_optional(pool)
            .await
            .map_err(|error| failure::of(&error))?;
    let Some(bytes) = found.map(Bytes::from) else { return Ok(None) };
    components::verify(bytes.clone(), digest)
        .await
        .map_err(|problem| Error::Damaged(format!("a component has changed: {problem}")))?;
    Ok(Some(bytes))
}
