//! Committing rows: many in one statement, each with its own answer, within a transaction.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use sqlx::{AssertSqlSafe, Row as _, SqliteConnection};
use wasmverse_core::Version;

use super::{
    failure,
    statements::{Deed, Statements},
    storage::{set_keys, unset_keys},
};
use crate::{
    Change, Error,
    prepared::{Kind, Prepared, distinct},
};

/// How the rows of a transaction are kept from harming each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Care {
    /// Not at all: one that the database refuses spoils the transaction.
    Together,
    /// Each can be undone by itself.
    Each,
}

/// Writes rows; the outer error leaves the transaction of no use.
pub(super) async fn commit(
    connection: &mut SqliteConnection,
    statements: &Statements,
    rows: &[&Prepared],
    care: Care,
    now_micros: i64,
) -> Result<Vec<Result<Version, Error>>, sqlx::Error> {
    let epochs = epochs(connection, rows).await?;
    let mut answers: Vec<_> = rows.iter().map(|row| Err(row.unless.clone())).collect();
    let mut begin = 0;
    while begin < rows.len() {
        let length = match care {
            Care::Together => distinct(rows, begin),
            Care::Each => 1,
        };
        let mut places = HashMap::with_capacity(length);
        for place in begin..begin + length {
            let row = rows[place];
            let epoch = epochs.get(&i64::from(row.commit.shard.0)).copied().unwrap_or(0);
            if epoch == 0 || row.commit.epoch.0 != epoch {
                answers[place] = Err(row.fenced_off());
            } else {
                places.insert(row.name(), place);
            }
        }
        begin += length;
        let mut part =
            Part { connection, statements, rows, places, answers: &mut answers, now_micros };
        match care {
            Care::Together => part.write().await?,
            Care::Each => part.write_or_undo().await?,
        }
    }
    Ok(answers)
}

/// The epochs of the rows' shards.
async fn epochs(
    connection: &mut SqliteConnection,
    rows: &[&Prepared],
) -> Result<BTreeMap<i64, u64>, sqlx::Error> {
    let shards: BTreeSet<u16> = rows.iter().map(|row| row.commit.shard.0).collect();
    let query = "SELECT shard, epoch FROM shards WHERE shard IN (SELECT value FROM json_each(?))";
    let asked = serde_json::to_string(&shards).expect("numbers are JSON");
    let found: Vec<(i64, i64)> = sqlx::query_as(query).bind(asked).fetch_all(connection).await?;
    Ok(found.into_iter().map(|(shard, epoch)| (shard, epoch.unsigned_abs())).collect())
}

/// Rows of one batch, each of another object and of other sends.
pub(super) struct Part<'a> {
    pub(super) connection: &'a mut SqliteConnection,
    pub(super) statements: &'a Statements,
    rows: &'a [&'a Prepared],
    /// Of those that may be written.
    pub(super) places: HashMap<(&'a str, &'a str), usize>,
    pub(super) answers: &'a mut [Result<Version, Error>],
    pub(super) now_micros: i64,
}

impl<'a> Part<'a> {
    async fn write(&mut self) -> Result<(), sqlx::Error> {
        let mut places: Vec<usize> = self.places.values().copied().collect();
        places.sort_unstable();
        let mut rows: Vec<&'a Prepared> =
            places.into_iter().map(|place| self.rows[place]).collect();
        rows.retain(|row| row.kind.is_some());
        self.refuse_repeated(&mut rows).await?;
        for deed in [Deed::New, Deed::Changed, Deed::Over, Deed::Touched] {
            let of_deed: Vec<_> =
                rows.iter().copied().filter(|row| Deed::of(row) == Some(deed)).collect();
            self.write_objects(deed, &of_deed).await?;
        }
        for row in &rows {
            match row.kind {
                Some(Kind::Deleted(version)) => self.delete(row, version).await?,
                Some(Kind::Buried) => {
                    self.delete(row, None).await?;
                    if self.answers[self.places[&row.name()]] == Ok(Version(0)) {
                        self.bury(row).await?;
                    }
                }
                Some(Kind::NeverThere) => self.leave(row, false).await?,
                Some(Kind::NeverThereBuried) => self.bury(row).await?,
                Some(Kind::Left) => self.answers[self.places[&row.name()]] = Ok(Version(0)),
                Some(Kind::LeftAlive) => self.leave(row, true).await?,
                Some(Kind::New | Kind::Changed(_) | Kind::Over | Kind::Touched(_)) | None => {}
            }
        }
        self.write_storage(&rows).await?;
        self.write_effects(&rows).await
    }

    /// One that the database refuses leaves nothing behind.
    async fn write_or_undo(&mut self) -> Result<(), sqlx::Error> {
        sqlx::query("SAVEPOINT alone").execute(&mut *self.connection).await?;
        if let Err(error) = self.write().await {
            let refused = failure::refused(&error).ok_or(error)?;
            sqlx::query("ROLLBACK TO alone").execute(&mut *self.connection).await?;
            for place in self.places.values() {
                self.answers[*place] = Err(refused.clone());
            }
        }
        sqlx::query("RELEASE alone").execute(&mut *self.connection).await.map(|_| ())
    }

    async fn write_objects(
        &mut self,
        deed: Deed,
        mut rows: &[&Prepared],
    ) -> Result<(), sqlx::Error> {
        while !rows.is_empty() {
            let weights = rows.iter().map(|row| row.state().map_or(0, |state| state.data.len()));
            let (sql, size, padded) = self.statements.fitting(deed, weights);
            let (now, later) = rows.split_at(size);
            rows = later;
            let mut query = sqlx::query(AssertSqlSafe(sql));
            for row in now {
                query = bind(query, row, self.now_micros);
            }
            for _ in 0..padded * deed.padding().unwrap_or_default() {
                query = query.bind(None::<i64>);
            }
            for row in query.fetch_all(&mut *self.connection).await? {
                let name: (&str, &str) = (row.try_get("type")?, row.try_get("id")?);
                let version: i64 = row.try_get("version")?;
                let place = self.places.get(&name).copied().ok_or(sqlx::Error::RowNotFound)?;
                self.answers[place] = Ok(Version(version.unsigned_abs()));
            }
        }
        Ok(())
    }

    /// Removes an object; its row stays, without state, for its version.
    async fn delete(&mut self, row: &Prepared, version: Option<i64>) -> Result<(), sqlx::Error> {
        let (type_name, id) = row.name();
        let deleted: Option<i64> = sqlx::query_scalar(
            "UPDATE objects SET deleted = 1, version = version + 1, state_json = NULL, \
             state_bytes = NULL, digest = NULL, schema = NULL, updated_at = ?1 \
             WHERE type = ?2 AND id = ?3 AND deleted = 0 AND (?4 IS NULL OR version = ?4) \
             RETURNING version",
        )
        .bind(self.now_micros)
        .bind(type_name)
        .bind(id)
        .bind(version)
        .fetch_optional(&mut *self.connection)
        .await?;
        let place = self.places[&row.name()];
        match deleted {
            Some(version) => self.answers[place] = Ok(Version(version.unsigned_abs())),
            None if version.is_none() => self.answers[place] = Ok(Version(0)),
            None => return Ok(()),
        }
        if deleted.is_some() {
            for forget in [
                "DELETE FROM storage WHERE type = ? AND id = ?",
                "DELETE FROM storage_counts WHERE type = ? AND id = ?",
            ] {
                let forgotten = sqlx::query(forget).bind(type_name).bind(id);
                forgotten.execute(&mut *self.connection).await?;
            }
        }
        Ok(())
    }

    /// Makes a tombstone where no object lives, or another one of it.
    async fn bury(&mut self, row: &Prepared) -> Result<(), sqlx::Error> {
        let (type_name, id) = row.name();
        let buried: Option<i64> = sqlx::query_scalar(
            "INSERT INTO objects (type, id, shard, version, encoding, durability, revision, \
             created_at, updated_at, deleted) \
             VALUES (?1, ?2, ?3, 1, 'json', 'durable', 0, ?4, ?4, 1) \
             ON CONFLICT (type, id) DO UPDATE SET shard = excluded.shard, \
             version = version + 1, updated_at = excluded.updated_at WHERE deleted = 1 \
             RETURNING version",
        )
        .bind(type_name)
        .bind(id)
        .bind(row.commit.shard.0)
        .bind(self.now_micros)
        .fetch_optional(&mut *self.connection)
        .await?;
        if let Some(version) = buried {
            self.answers[self.places[&row.name()]] = Ok(Version(version.unsigned_abs()));
        }
        Ok(())
    }

    /// Writes nothing of an object that lives, or does not, as it should.
    async fn leave(&mut self, row: &Prepared, lives: bool) -> Result<(), sqlx::Error> {
        let (type_name, id) = row.name();
        let living: Option<i64> = sqlx::query_scalar(
            "SELECT version FROM objects WHERE type = ? AND id = ? AND deleted = 0",
        )
        .bind(type_name)
        .bind(id)
        .fetch_optional(&mut *self.connection)
        .await?;
        if living.is_some() == lives {
            self.answers[self.places[&row.name()]] = Ok(Version(0));
        }
        Ok(())
    }

    /// Of the rows that were written, what they say of storage.
    async fn write_storage(&mut self, rows: &[&Prepared]) -> Result<(), sqlx::Error> {
        let (mut set, mut unset) = (Vec::new(), Vec::new());
        for row in rows {
            let written = self.answers[self.places[&row.name()]].is_ok();
            if !written || row.commit.change == Change::Delete {
                continue;
            }
            let (type_name, id) = row.name();
            for (key, value) in &row.commit.storage {
                match value {
                    Some(value) => set.push((type_name, id, key.as_str(), &**value)),
                    None => unset.push((type_name, id, key.as_str())),
                }
            }
        }
        set_keys(self.connection, self.statements, &set).await?;
        unset_keys(self.connection, self.statements, &unset).await
    }
}

type Query<'q> = sqlx::query::Query<'q, sqlx::Sqlite, sqlx::sqlite::SqliteArguments>;

/// A row's values, as its deed's statement takes them.
fn bind<'q>(query: Query<'q>, row: &'q Prepared, now_micros: i64) -> Query<'q> {
    let (type_name, id) = row.name();
    let query = query.bind(type_name).bind(id).bind(row.commit.shard.0);
    let Change::Put { state, encoding, durability, revision } = &row.commit.change else {
        let version = match row.kind {
            Some(Kind::Touched(version)) => version,
            _ => None,
        };
        return query.bind(now_micros).bind(version);
    };
    let data = state.as_ref().map(|state| &*state.data);
    let text = data.filter(|_| row.json).and_then(|data| std::str::from_utf8(data).ok());
    query
        .bind(text)
        .bind(data.filter(|_| text.is_none()))
        .bind(row.digest.as_ref().map(|digest| digest.0.as_slice()))
        .bind(state.as_ref().map(|state| state.schema))
        .bind(encoding.as_str())
        .bind(durability.as_str())
        .bind(revision.0)
        .bind(now_micros)
        .bind(match row.kind {
            Some(Kind::Changed(version)) => version,
            _ => now_micros,
        })
}
