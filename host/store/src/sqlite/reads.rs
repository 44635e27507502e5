//! Reading: one object, lists of them, types.

use bytes::Bytes;
use sqlx::{Row as _, SqliteConnection, SqlitePool, sqlite::SqliteRow};
use wasmverse_core::{ObjectId, RevisionNumber, State, TypeName, Version};

use super::{failure, revisions};
use crate::{
    Error, LIST_LIMIT_MAX, Page, RevisionRecord, StateDigest, StoredObject, StoredSummary,
};

/// A query for revisions, as [`revision_record`] reads them.
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
    let found = sqlx::query(
        "SELECT state_json, state_bytes, schema, version, revision, created_at, updated_at \
         FROM objects WHERE type = ? AND id = ? AND deleted = 0",
    )
    .bind(object.type_name().as_str())
    .bind(object.id())
    .fetch_optional(pool)
    .await;
    let Some(row) = found.map_err(|error| failure::of(&error))? else { return Ok(None) };
    stored_object(&row).map(Some).map_err(|error| match failure::of(&error) {
        Error::Damaged(told) => Error::Damaged(format!("the row of {object}: {told}")),
        other => other,
    })
}

fn stored_object(row: &SqliteRow) -> Result<StoredObject, sqlx::Error> {
    let version: i64 = row.try_get("version")?;
    let state = match row.try_get("schema")? {
        None => None,
        Some(schema) => {
            let text = row.try_get::<Option<String>, _>("state_json")?.map(Bytes::from);
            let bytes = row.try_get::<Option<Vec<u8>>, _>("state_bytes")?.map(Bytes::from);
            let data = text.or(bytes).ok_or_else(|| sqlx::Error::Decode("no state".into()))?;
            Some(State { schema, data })
        }
    };
    Ok(StoredObject {
        digest: state.as_ref().map(StateDigest::of),
        state,
        version: Version(version.unsigned_abs()),
        revision: RevisionNumber(row.try_get("revision")?),
        created_at_micros: row.try_get("created_at")?,
        updated_at_micros: row.try_get("updated_at")?,
    })
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
                let after = after.map_or("", ObjectId::id);
                let room = limit + 1 - objects.len();
                list_type(&mut transaction, &current, prefix, after, room, &mut objects).await?;
            }
            if type_name.is_none() && objects.len() <= limit {
                of_type = next_type(&mut transaction, &current).await?;
            }
        }
        Ok(objects)
    };
    let rows = listed.await.map_err(|error: sqlx::Error| failure::of(&error))?;
    let more = rows.len() > limit;
    let objects = rows.iter().take(limit).map(summary).collect::<Result<_, _>>()?;
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

async fn list_type(
    connection: &mut SqliteConnection,
    type_name: &str,
    prefix: &str,
    after: &str,
    room: usize,
    objects: &mut Vec<SqliteRow>,
) -> Result<(), sqlx::Error> {
    // A blob is greater than every text.
    let query = "SELECT type, id, revision, updated_at FROM objects \
                 WHERE deleted = 0 AND type = ? AND id > ? AND id >= ? AND id < COALESCE(?, x'') \
                 ORDER BY id LIMIT ?";
    let rows = sqlx::query(query)
        .bind(type_name)
        .bind(after)
        .bind(prefix)
        .bind(beyond(prefix))
        .bind(i64::try_from(room).expect("a little more than a thousand"))
        .fetch_all(connection)
        .await?;
    objects.extend(rows);
    Ok(())
}

/// The least text that is greater than all that begin with `prefix`; none: there is no such text.
fn beyond(prefix: &str) -> Option<String> {
    let mut chars: Vec<char> = prefix.chars().collect();
    while let Some(last) = chars.pop() {
        // The range steps over the surrogates, and the order of bytes is that of characters.
        if let Some(next) = (last..=char::MAX).nth(1) {
            chars.push(next);
            return Some(chars.into_iter().collect());
        }
    }
    None
}

fn summary(row: &SqliteRow) -> Result<StoredSummary, Error> {
    let read = || -> Result<_, sqlx::Error> {
        let (type_name, id): (&str, &str) = (row.try_get("type")?, row.try_get("id")?);
        let object = ObjectId::parse(type_name, id).map_err(|e| sqlx::Error::Decode(e.into()))?;
        Ok(StoredSummary {
            object,
            revision: RevisionNumber(row.try_get("revision")?),
            updated_at_micros: row.try_get("updated_at")?,
        })
    };
    read().map_err(|error| failure::of(&error))
}

pub(super) async fn active_revisions(pool: &SqlitePool) -> Result<Vec<RevisionRecord>, Error> {
    let rows = sqlx::query(revision_query!("WHERE active = 1 ORDER BY type")).fetch_all(pool).await;
    rows.map_err(|error| failure::of(&error))?.iter().map(revision_record).collect()
}

pub(super) async fn revision(
    pool: &SqlitePool,
    type_name: &TypeName,
    number: RevisionNumber,
) -> Result<Option<RevisionRecord>, Error> {
    let row = sqlx::query(revision_query!("WHERE type = ? AND number = ?"))
        .bind(type_name.as_str())
        .bind(number.0)
        .fetch_optional(pool)
        .await;
    row.map_err(|error| failure::of(&error))?.as_ref().map(revision_record).transpose()
}

pub(super) fn revision_record(row: &SqliteRow) -> Result<RevisionRecord, Error> {
    let read = || -> Result<_, sqlx::Error> {
        let type_name = TypeName::new(row.try_get("type")?);
        let digest: &[u8] = row.try_get("digest")?;
        Ok(RevisionRecord {
            type_name: type_name.map_err(|error| sqlx::Error::Decode(error.into()))?,
            number: RevisionNumber(row.try_get("number")?),
            digest: digest.try_into().map_err(|_| sqlx::Error::Decode("a short digest".into()))?,
            description: row.try_get("description")?,
            author: row.try_get("author")?,
            created_at_micros: row.try_get("created_at")?,
            active: row.try_get("active")?,
        })
    };
    read().map_err(|error| failure::of(&error))
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
    revisions::verify(bytes.clone(), digest)
        .await
        .map_err(|problem| Error::Damaged(format!("a component has changed: {problem}")))?;
    Ok(Some(bytes))
}
