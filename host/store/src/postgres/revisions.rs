//! Writing types: components by digest, their revisions by number.

use sqlx::PgConnection;
use wasmverse_core::{RevisionNumber, TypeName};

use super::failure::{Failed, of_write};
use crate::{Error, NewRevision, RevisionRecord, rows::RevisionRow};

/// Columns, as [`RevisionRow`] reads them.
macro_rules! revision_from {
    ($function:literal) => {
        concat!(
            "SELECT type, number, digest, description, author, created_at, active FROM ",
            $function
        )
    };
}

pub(super) async fn add(
    connection: &mut PgConnection,
    new: &NewRevision,
) -> Result<RevisionRecord, Failed> {
    let rows: Vec<RevisionRow> = sqlx::query_as(revision_from!("add_revision($1, $2, $3, $4, $5)"))
        .bind(new.type_name.as_str())
        .bind(new.digest.as_slice())
        .bind(&*new.component)
        .bind(&new.description)
        .bind(&new.author)
        .fetch_all(connection)
        .await
        .map_err(|error| of_write(&error))?;
    let row = rows.into_iter().next();
    let row = row.ok_or_else(|| Error::Damaged("a revision was added, and is gone".to_owned()));
    row.and_then(RevisionRow::record).map_err(Failed::NotDone)
}

pub(super) async fn activate(
    connection: &mut PgConnection,
    (type_name, number): &(TypeName, RevisionNumber),
) -> Result<RevisionRecord, Failed> {
    let rows: Vec<RevisionRow> = sqlx::query_as(revision_from!("activate_revision($1, $2)"))
        .bind(type_name.as_str())
        .bind(i64::from(number.0))
        .fetch_all(connection)
        .await
        .map_err(|error| of_write(&error))?;
    let row = rows.into_iter().next();
    let row = row.ok_or_else(|| Error::NotFound(format!("revision {number} of {type_name}")));
    row.and_then(RevisionRow::record).map_err(Failed::NotDone)
}
