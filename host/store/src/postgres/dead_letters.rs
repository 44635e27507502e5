//! Dead letters.

use sqlx::PgConnection;
use wasmverse_core::ObjectId;

use super::failure;
use crate::{DeadLetter, Error, LIST_LIMIT_MAX, STORAGE_PAGE_BYTES, rows::effects::LetterRow};

/// The query for [`LetterRow`]s: the sizes are known without reading the payloads.
macro_rules! letters_query {
    ($of:literal) => {
        concat!(
            "SELECT number, shard, type, id, version, place, reminder, to_type, to_id, method, \
                 payload, reason, sent_at, died_at FROM ( \
                 SELECT *, sum(size) OVER (ORDER BY number ROWS UNBOUNDED PRECEDING) - size \
                     AS before \
                 FROM (SELECT *, octet_length(payload) AS size FROM dead_letters \
                     WHERE number > $1",
            $of,
            " ORDER BY number LIMIT $2) sized) summed WHERE before < $3 ORDER BY number"
        )
    };
}

/// What is asked of dead letters.
pub(super) struct Letters {
    pub(super) from: Option<ObjectId>,
    pub(super) after: u64,
    pub(super) limit: u32,
}

pub(super) async fn page(
    connection: &mut PgConnection,
    wanted: &Letters,
) -> Result<Vec<DeadLetter>, Error> {
    let query = match &wanted.from {
        None => sqlx::query_as(letters_query!("")),
        Some(_) => sqlx::query_as(letters_query!(" AND type = $4 AND id = $5")),
    };
    let mut query = query
        .bind(i64::try_from(wanted.after).unwrap_or(i64::MAX))
        .bind(i64::from(wanted.limit.min(LIST_LIMIT_MAX)))
        .bind(i64::try_from(STORAGE_PAGE_BYTES).expect("a mebibyte"));
    if let Some(from) = &wanted.from {
        query = query.bind(from.type_name().as_str()).bind(from.id());
    }
    let found: Vec<LetterRow> =
        query.fetch_all(connection).await.map_err(|error| failure::of(&error))?;
    found.into_iter().map(LetterRow::letter).collect()
}
