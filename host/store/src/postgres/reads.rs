//! Reading: one object and its storage, lists of objects, types, epochs.

use bytes::Bytes;
use sqlx::PgConnection;
use wasmverse_core::{ObjectId, RevisionNumber, TypeName};

use super::failure;
use crate::{
    Claimed, Error, LIST_LIMIT_MAX, Page, RevisionRecord, STORAGE_PAGE_BYTES, StoragePage,
    StoredObject, metrics,
    rows::{
        Begin, ClaimedRow, ListedRow, LoadedRow, RevisionRow, ScannedRow, beyond, shards_query,
        storage_page,
    },
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

#[expect(clippy::needless_pass_by_value, reason = "it is passed to `map_err`")]
fn failed(error: sqlx::Error) -> Error {
    failure::of(&error)
}

pub(super) async fn load(
    connection: &mut PgConnection,
    object: &ObjectId,
) -> Result<Option<StoredObject>, Error> {
    let found: Option<LoadedRow> = sqlx::query_as(
        "SELECT state_json::text AS state_json, state_bytes, digest, schema, version, revision, \
         created_at, updated_at FROM objects WHERE type = $1 AND id = $2 AND NOT deleted",
    )
    .bind(object.type_name().as_str())
    .bind(object.id())
    .fetch_optional(connection)
    .await
    .map_err(failed)?;
    found.map(|row| row.object(object)).transpose()
}

/// The query for a part of a list that is of one type.
macro_rules! list_query {
    ($begin:literal) => {
        concat!(
            "SELECT type, id, revision, updated_at FROM objects \
             WHERE NOT deleted AND type = $1 AND id ",
            $begin,
            " $2 AND id < $3 ORDER BY id LIMIT $4"
        )
    };
}

/// What is asked of a list.
pub(super) struct List {
    pub(super) type_name: Option<TypeName>,
    pub(super) prefix: String,
    pub(super) after: Option<ObjectId>,
    pub(super) limit: u32,
}

pub(super) async fn list(connection: &mut PgConnection, wanted: &List) -> Result<Page, Error> {
    let limit = usize::try_from(wanted.limit.min(LIST_LIMIT_MAX)).expect("at most a thousand");
    let List { type_name, prefix, after, .. } = wanted;
    let mut objects: Vec<ListedRow> = Vec::new();
    let mut of_type = match (type_name, after) {
        (Some(wanted), _) => Some(wanted.as_str().to_owned()),
        (None, Some(after)) => Some(after.type_name().as_str().to_owned()),
        (None, None) => next_type(connection, "").await?,
    };
    while let Some(current) = of_type.take() {
        let after = after.as_ref().filter(|after| after.type_name().as_str() >= current.as_str());
        // Beyond a type, whatever its ids, or within it.
        if after.is_none_or(|after| after.type_name().as_str() == current) {
            let room = i64::try_from(limit + 1 - objects.len()).expect("about a thousand");
            let (query, begin) = match Begin::new(prefix, after.map(ObjectId::id)) {
                Begin::At(begin) => (list_query!(">="), begin),
                Begin::After(begin) => (list_query!(">"), begin),
            };
            let rows: Vec<ListedRow> = sqlx::query_as(query)
                .bind(&current)
                .bind(begin)
                .bind(beyond(prefix))
                .bind(room)
                .fetch_all(&mut *connection)
                .await
                .map_err(failed)?;
            objects.extend(rows);
        }
        if type_name.is_none() && objects.len() <= limit {
            of_type = next_type(connection, &current).await?;
        }
    }
    let more = objects.len() > limit;
    let objects = objects.into_iter().take(limit).map(ListedRow::summary);
    Ok(Page { objects: objects.collect::<Result<_, _>>()?, more })
}

/// The first type after `name` that has objects.
async fn next_type(connection: &mut PgConnection, name: &str) -> Result<Option<String>, Error> {
    sqlx::query_scalar(
        "SELECT type FROM objects WHERE NOT deleted AND type > $1 ORDER BY type LIMIT 1",
    )
    .bind(name)
    .fetch_optional(connection)
    .await
    .map_err(failed)
}

pub(super) async fn get(
    connection: &mut PgConnection,
    (object, key): &(ObjectId, String),
) -> Result<Option<Bytes>, Error> {
    if key.contains('\0') {
        // It cannot even be asked for.
        return Ok(None);
    }
    let query = "SELECT value FROM storage WHERE type = $1 AND id = $2 AND key = $3";
    let found: Option<Vec<u8>> = sqlx::query_scalar(query)
        .bind(object.type_name().as_str())
        .bind(object.id())
        .bind(key)
        .fetch_optional(connection)
        .await
        .map_err(failed)?;
    metrics::storage_read(1);
    Ok(found.map(Bytes::from))
}

pub(super) async fn keys(connection: &mut PgConnection, object: &ObjectId) -> Result<u64, Error> {
    let query = "SELECT keys FROM storage_counts WHERE type = $1 AND id = $2";
    let found: Option<i64> = sqlx::query_scalar(query)
        .bind(object.type_name().as_str())
        .bind(object.id())
        .fetch_optional(connection)
        .await
        .map_err(failed)?;
    Ok(found.map_or(0, i64::unsigned_abs))
}

/// The query for a page: the sizes are known without reading the values.
macro_rules! scan_query {
    ($begin:literal) => {
        concat!(
            "SELECT key, value, total FROM ( \
                 SELECT key, value, count(*) OVER () AS total, \
                     sum(size) OVER (ORDER BY key ROWS UNBOUNDED PRECEDING) - size AS before \
                 FROM (SELECT key, value, octet_length(key) + octet_length(value) AS size \
                     FROM storage WHERE type = $1 AND id = $2 AND key ",
            $begin,
            " $3 AND key < $4 ORDER BY key LIMIT $5) sized) summed \
             WHERE before < $6 ORDER BY key"
        )
    };
}

/// What is asked of a storage.
pub(super) struct Scan {
    pub(super) object: ObjectId,
    pub(super) prefix: String,
    pub(super) after: Option<String>,
    pub(super) limit: u32,
}

pub(super) async fn scan(
    connection: &mut PgConnection,
    wanted: &Scan,
) -> Result<StoragePage, Error> {
    let limit = wanted.limit.min(LIST_LIMIT_MAX);
    let (query, begin) = match Begin::new(&wanted.prefix, wanted.after.as_deref()) {
        Begin::At(begin) => (scan_query!(">="), begin),
        Begin::After(begin) => (scan_query!(">"), begin),
    };
    let found: Vec<ScannedRow> = sqlx::query_as(query)
        .bind(wanted.object.type_name().as_str())
        .bind(wanted.object.id())
        .bind(begin)
        .bind(beyond(&wanted.prefix))
        .bind(i64::from(limit) + 1)
        .bind(i64::try_from(STORAGE_PAGE_BYTES).expect("a mebibyte"))
        .fetch_all(connection)
        .await
        .map_err(failed)?;
    metrics::storage_read(found.len());
    Ok(storage_page(found, limit))
}

pub(super) async fn epochs(connection: &mut PgConnection) -> Result<Vec<Claimed>, Error> {
    let rows: Vec<ClaimedRow> =
        sqlx::query_as(shards_query!()).fetch_all(connection).await.map_err(failed)?;
    rows.into_iter().map(ClaimedRow::claimed).collect()
}

pub(super) async fn active_revisions(
    connection: &mut PgConnection,
) -> Result<Vec<RevisionRecord>, Error> {
    let query = revision_query!("WHERE active ORDER BY type");
    let rows: Vec<RevisionRow> =
        sqlx::query_as(query).fetch_all(connection).await.map_err(failed)?;
    rows.into_iter().map(RevisionRow::record).collect()
}

pub(super) async fn revision(
    connection: &mut PgConnection,
    (type_name, number): &(TypeName, RevisionNumber),
) -> Result<Option<RevisionRecord>, Error> {
    let row: Option<RevisionRow> =
        sqlx::query_as(revision_query!("WHERE type = $1 AND number = $2"))
            .bind(type_name.as_str())
            .bind(i64::from(number.0))
            .fetch_optional(connection)
            .await
            .map_err(failed)?;
    row.map(RevisionRow::record).transpose()
}

pub(super) async fn component(
    connection: &mut PgConnection,
    digest: &[u8; 32],
) -> Result<Option<Bytes>, Error> {
    let found: Option<Vec<u8>> =
        sqlx::query_scalar("SELECT bytes FROM components WHERE digest = $1")
            .bind(digest.as_slice())
            .fetch_optional(connection)
            .await
            .map_err(failed)?;
    Ok(found.map(Bytes::from))
}
