//! Saving and deleting objects: many rows in one statement, each with its own answer.

use std::{collections::HashMap, sync::Arc};

use sqlx::{AssertSqlSafe, Row as _, SqliteConnection};
use wasmverse_core::{Encoding, ObjectId, Version};

use super::failure;
use crate::{Error, Save};

/// Rows per statement, largest first. Few sizes, so that the prepared statements are used again.
const SIZES: [usize; 4] = [128, 32, 8, 1];
/// State in one statement, in bytes; a row with more goes alone.
const STATEMENT_BYTES: usize = 8 << 20;

/// A row to be written.
pub(super) struct Row {
    save: Save,
    /// Whether the state is kept as text.
    json: bool,
}

impl From<Save> for Row {
    fn from(save: Save) -> Self {
        let json = save.encoding == Encoding::Json
            && save.state.as_ref().is_some_and(|state| is_json(&state.data));
        Self { save, json }
    }
}

impl Row {
    fn bytes(&self) -> usize {
        self.save.state.as_ref().map_or(0, |state| state.data.len())
    }

    fn name(&self) -> (&str, &str) {
        (self.save.object.type_name().as_str(), self.save.object.id())
    }

    fn conflict(&self) -> Error {
        Error::Conflict(self.save.object.to_string())
    }

    /// The version that the row must have, as the database has it; `Err`: no row can have it.
    fn expected(&self) -> Result<Option<i64>, Error> {
        match self.save.expected {
            None => Ok(None),
            Some(Version(0)) => Err(self.conflict()),
            Some(Version(version)) => match i64::try_from(version) {
                Ok(version) if version < i64::MAX => Ok(Some(version)),
                _ => Err(self.conflict()),
            },
        }
    }
}

/// Whether the database can look into it.
fn is_json(data: &[u8]) -> bool {
    let text = std::str::from_utf8(data);
    text.is_ok_and(|text| serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok())
}

/// Whether rows are there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// None, or a tombstone.
    New,
    /// Of the expected version.
    Changed,
}

/// The statements of every kind and size.
pub(super) struct Statements {
    new: [Arc<str>; SIZES.len()],
    changed: [Arc<str>; SIZES.len()],
}

impl Statements {
    pub(super) fn new() -> Self {
        Self {
            new: SIZES.map(|rows| insert(rows).into()),
            changed: SIZES.map(|rows| update(rows).into()),
        }
    }

    /// The statement for the most rows that `rows` fill.
    fn fitting(&self, kind: Kind, rows: usize) -> (Arc<str>, usize) {
        let fits = SIZES.iter().position(|size| *size <= rows).expect("one row always fits");
        let statements = match kind {
            Kind::New => &self.new,
            Kind::Changed => &self.changed,
        };
        (Arc::clone(&statements[fits]), SIZES[fits])
    }
}

fn insert(rows: usize) -> String {
    format!(
        "INSERT INTO objects (type, id, shard, state_json, state_bytes, schema, encoding, \
         durability, revision, created_at, updated_at, version, deleted) VALUES {} \
         ON CONFLICT (type, id) DO UPDATE SET shard = excluded.shard, \
         version = objects.version + 1, state_json = excluded.state_json, \
         state_bytes = excluded.state_bytes, schema = excluded.schema, \
         encoding = excluded.encoding, durability = excluded.durability, \
         revision = excluded.revision, created_at = excluded.created_at, \
         updated_at = excluded.updated_at, deleted = 0 WHERE objects.deleted = 1 \
         RETURNING type, id, version",
        vec!["(?,?,?,?,?,?,?,?,?,?,?,1,0)"; rows].join(",")
    )
}

fn update(rows: usize) -> String {
    format!(
        "UPDATE objects SET shard = v.column3, version = objects.version + 1, \
         state_json = v.column4, state_bytes = v.column5, schema = v.column6, \
         encoding = v.column7, durability = v.column8, revision = v.column9, \
         updated_at = v.column10 FROM (VALUES {}) AS v \
         WHERE objects.type = v.column1 AND objects.id = v.column2 \
         AND objects.version = v.column11 AND objects.deleted = 0 \
         RETURNING type, id, version",
        vec!["(?,?,?,?,?,?,?,?,?,?,?)"; rows].join(",")
    )
}

/// Saves rows; the outer error leaves the transaction of no use.
pub(super) async fn save(
    connection: &mut SqliteConnection,
    statements: &Statements,
    rows: &[&Row],
    now_micros: i64,
) -> Result<Vec<Result<Version, Error>>, sqlx::Error> {
    let mut answers: Vec<_> = rows.iter().map(|row| Err(row.conflict())).collect();
    let mut begin = 0;
    // A statement sees each object once: one that stands in the batch again begins a new part.
    while begin < rows.len() {
        let (mut new, mut changed) = (Vec::new(), Vec::new());
        let mut places = HashMap::new();
        for (place, row) in rows.iter().copied().enumerate().skip(begin) {
            if places.contains_key(&row.name()) {
                break;
            }
            places.insert(row.name(), place);
            match row.expected() {
                Ok(None) => new.push(row),
                Ok(Some(_)) => changed.push(row),
                Err(_) => {}
            }
        }
        begin += places.len();
        let mut part = Part { connection, statements, places, answers: &mut answers, now_micros };
        part.write(Kind::New, &new).await?;
        part.write(Kind::Changed, &changed).await?;
    }
    Ok(answers)
}

/// Rows of one batch, each of another object.
struct Part<'a> {
    connection: &'a mut SqliteConnection,
    statements: &'a Statements,
    places: HashMap<(&'a str, &'a str), usize>,
    answers: &'a mut [Result<Version, Error>],
    now_micros: i64,
}

impl Part<'_> {
    async fn write(&mut self, kind: Kind, mut rows: &[&Row]) -> Result<(), sqlx::Error> {
        while !rows.is_empty() {
            let mut bytes = 0;
            let within = rows.iter().take_while(|row| {
                bytes += row.bytes();
                bytes <= STATEMENT_BYTES
            });
            let (sql, size) = self.statements.fitting(kind, within.count().max(1));
            let (now, later) = rows.split_at(size);
            rows = later;
            match self.run(kind, sql, now).await {
                Err(error) if refused(&error).is_some() => self.each_alone(kind, now).await?,
                ran => ran?,
            }
        }
        Ok(())
    }

    /// A statement that was refused has written nothing: some row of it is to blame.
    async fn each_alone(&mut self, kind: Kind, rows: &[&Row]) -> Result<(), sqlx::Error> {
        for row in rows {
            let (sql, _) = self.statements.fitting(kind, 1);
            if let Err(error) = self.run(kind, sql, &[row]).await {
                let place = self.places[&row.name()];
                self.answers[place] = Err(refused(&error).ok_or(error)?);
            }
        }
        Ok(())
    }

    async fn run(&mut self, kind: Kind, sql: Arc<str>, rows: &[&Row]) -> Result<(), sqlx::Error> {
        // Parameters without numbers: SQLite searches a list for every numbered one.
        let mut query = sqlx::query(AssertSqlSafe(sql));
        for row in rows {
            let Save { object, shard, state, encoding, durability, revision, .. } = &row.save;
            let data = state.as_ref().map(|state| &*state.data);
            let text = data.filter(|_| row.json).and_then(|data| std::str::from_utf8(data).ok());
            query = query
                .bind(object.type_name().as_str())
                .bind(object.id())
                .bind(shard.0)
                .bind(text)
                .bind(data.filter(|_| text.is_none()))
                .bind(state.as_ref().map(|state| state.schema))
                .bind(encoding.as_str())
                .bind(durability.as_str())
                .bind(revision.0)
                .bind(self.now_micros)
                .bind(match kind {
                    Kind::New => Some(self.now_micros),
                    Kind::Changed => row.expected().ok().flatten(),
                });
        }
        for row in query.fetch_all(&mut *self.connection).await? {
            let name: (&str, &str) = (row.try_get("type")?, row.try_get("id")?);
            let version: i64 = row.try_get("version")?;
            let place = self.places.get(&name).copied().ok_or(sqlx::Error::RowNotFound)?;
            self.answers[place] = Ok(Version(version.unsigned_abs()));
        }
        Ok(())
    }
}

fn refused(error: &sqlx::Error) -> Option<Error> {
    match failure::of(error) {
        refused @ Error::Refused(_) => Some(refused),
        Error::NotFound(_)
        | Error::Conflict(_)
        | Error::Fenced(_)
        | Error::Unavailable(_)
        | Error::Unknown(_)
        | Error::NotOurs(_)
        | Error::Damaged(_) => None,
    }
}

/// Removes an object; its row stays, without state, for its version.
pub(super) async fn delete(
    connection: &mut SqliteConnection,
    object: &ObjectId,
    now_micros: i64,
) -> Result<bool, sqlx::Error> {
    let deleted = sqlx::query(
        "UPDATE objects SET deleted = 1, version = version + 1, state_json = NULL, \
         state_bytes = NULL, schema = NULL, updated_at = ? \
         WHERE type = ? AND id = ? AND deleted = 0",
    )
    .bind(now_micros)
    .bind(object.type_name().as_str())
    .bind(object.id())
    .execute(connection)
    .await?;
    Ok(deleted.rows_affected() > 0)
}
