//! Commits, claims and raises: each is one call of a procedure of the database.

use sqlx::PgConnection;
use wasmverse_core::{Epoch, ShardId, Version};

use super::{
    effects::EffectColumns,
    failure::{Failed, of_write},
};
use crate::{
    Change, Error, Owner, Raised,
    claim::{Bids, Wanted},
    prepared::{Kind, Prepared},
};

/// Claims shards.
pub(super) async fn claim(
    connection: &mut PgConnection,
    (owner, wanted): &(Owner, Wanted),
) -> Result<Vec<(ShardId, Epoch)>, Failed> {
    let answer: Vec<(Vec<i64>,)> = sqlx::query_as("CALL claim_shards($1, $2, $3, $4, NULL)")
        .bind(&owner.node)
        .bind(&owner.incarnation)
        .bind(wanted.shards().collect::<Vec<i64>>())
        .bind(wanted.floors().collect::<Vec<i64>>())
        .fetch_all(connection)
        .await
        .map_err(|error| of_write(&error))?;
    let epochs = answer.into_iter().next().map(|(epochs,)| epochs).unwrap_or_default();
    wanted.answered(wanted.shards().zip(epochs)).map_err(Failed::NotDone)
}

/// Raises the epochs of shards that have the expected ones.
pub(super) async fn raise(
    connection: &mut PgConnection,
    (owner, bids): &(Owner, Bids),
) -> Result<Vec<Raised>, Failed> {
    let answer: Vec<(Vec<i64>,)> = sqlx::query_as("CALL raise_shards($1, $2, $3, $4, NULL)")
        .bind(&owner.node)
        .bind(&owner.incarnation)
        .bind(bids.shards().collect::<Vec<i64>>())
        .bind(bids.expected().collect::<Vec<i64>>())
        .fetch_all(connection)
        .await
        .map_err(|error| of_write(&error))?;
    let told = answer.into_iter().next().map(|(told,)| told).unwrap_or_default();
    bids.answered(&told).map_err(Failed::NotDone)
}

/// What a procedure takes: a column for each property of the rows.
#[derive(Default)]
struct Columns<'a> {
    types: Vec<&'a str>,
    ids: Vec<&'a str>,
    shards: Vec<i64>,
    epochs: Vec<i64>,
    kinds: Vec<i64>,
    expected: Vec<Option<i64>>,
    jsons: Vec<Option<&'a str>>,
    bytes: Vec<Option<&'a [u8]>>,
    digests: Vec<Option<&'a [u8]>>,
    schemas: Vec<Option<i64>>,
    encodings: Vec<Option<&'static str>>,
    durabilities: Vec<Option<&'static str>>,
    revisions: Vec<Option<i64>>,
    storage_places: Vec<i64>,
    storage_keys: Vec<&'a str>,
    storage_values: Vec<Option<&'a [u8]>>,
    effects: EffectColumns<'a>,
}

impl<'a> Columns<'a> {
    /// `as_bytes`: no state is kept as JSONB.
    fn push(&mut self, row: &'a Prepared, as_bytes: bool) {
        let (type_name, id) = row.name();
        self.types.push(type_name);
        self.ids.push(id);
        self.shards.push(i64::from(row.commit.shard.0));
        // An epoch that no shard can have is none's.
        let epoch = i64::try_from(row.commit.epoch.0).unwrap_or(0);
        self.epochs.push(epoch);
        let (kind, expected) = match row.kind {
            Some(Kind::New) => (0, None),
            Some(Kind::Changed(version)) => (1, Some(version)),
            Some(Kind::Over) => (2, None),
            Some(Kind::Touched(version)) => (3, version),
            Some(Kind::Deleted(version)) => (4, version),
            Some(Kind::NeverThere) => (5, None),
            Some(Kind::Left) => (6, None),
            Some(Kind::NeverThereBuried) => (7, None),
            Some(Kind::Buried) => (8, None),
            Some(Kind::LeftAlive) => (9, None),
            None => (-1, None),
        };
        self.kinds.push(kind);
        self.expected.push(expected);
        let data = row.state().map(|state| &*state.data);
        let json = data.filter(|_| row.json && !as_bytes);
        let json = json.and_then(|data| std::str::from_utf8(data).ok());
        self.jsons.push(json);
        self.bytes.push(data.filter(|_| json.is_none()));
        self.digests.push(row.digest.as_ref().map(|digest| digest.0.as_slice()));
        self.schemas.push(row.state().map(|state| i64::from(state.schema)));
        let written = match &row.commit.change {
            Change::Put { encoding, durability, revision, .. } => {
                Some((encoding.as_str(), durability.as_str(), i64::from(revision.0)))
            }
            Change::Touch | Change::Delete | Change::Nothing => None,
        };
        self.encodings.push(written.map(|(encoding, ..)| encoding));
        self.durabilities.push(written.map(|(_, durability, _)| durability));
        self.revisions.push(written.map(|(.., revision)| revision));
        let place = i64::try_from(self.types.len()).expect("a statement has few rows");
        self.effects.push(place, row);
        if row.commit.change != Change::Delete {
            for (key, value) in &row.commit.storage {
                self.storage_places.push(place);
                self.storage_keys.push(key);
                self.storage_values.push(value.as_deref());
            }
        }
    }
}

/// Commits rows, each of another object, all of a kind.
pub(super) async fn commit(
    connection: &mut PgConnection,
    (rows, as_bytes): &(Vec<&Prepared>, bool),
) -> Result<Vec<Result<Version, Error>>, Failed> {
    let mut columns = Columns::default();
    for row in rows {
        columns.push(row, *as_bytes);
    }
    let effects = columns.effects;
    let ([texts_1, texts_2, texts_3], [numbers_1, numbers_2, numbers_3]) =
        (effects.texts, effects.numbers);
    wasmverse_failpoint::pass("store-writes");
    let answer: Vec<(Vec<i64>,)> = sqlx::query_as(
        "CALL commit_turns($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, \
         $16, $17, $18, $19, $20, $21, $22, $23, $24, $25, $26, $27, $28, NULL)",
    )
    .bind(columns.types)
    .bind(columns.ids)
    .bind(columns.shards)
    .bind(columns.epochs)
    .bind(columns.kinds)
    .bind(columns.expected)
    .bind(columns.jsons)
    .bind(columns.bytes)
    .bind(columns.digests)
    .bind(columns.schemas)
    .bind(columns.encodings)
    .bind(columns.durabilities)
    .bind(columns.revisions)
    .bind(columns.storage_places)
    .bind(columns.storage_keys)
    .bind(columns.storage_values)
    .bind(effects.places)
    .bind(effects.kinds)
    .bind(effects.types)
    .bind(effects.ids)
    .bind(texts_1)
    .bind(texts_2)
    .bind(texts_3)
    .bind(numbers_1)
    .bind(numbers_2)
    .bind(numbers_3)
    .bind(effects.askeds)
    .bind(effects.values)
    // To the end: only then is it known that all went well.
    .fetch_all(connection)
    .await
    .map_err(|error| of_write(&error))?;
    wasmverse_failpoint::pass("store-wrote");
    let verdicts = answer.into_iter().next().map(|(verdicts,)| verdicts).unwrap_or_default();
    if verdicts.len() != rows.len() {
        let told = format!("{} rows got {} verdicts", rows.len(), verdicts.len());
        return Err(Failed::Unknown(Error::Unknown(told)));
    }
    let told = |(row, verdict): (&&Prepared, i64)| match u64::try_from(verdict) {
        Ok(version) => Ok(Version(version)),
        Err(_) if verdict == -2 => Err(row.fenced_off()),
        Err(_) if verdict == -3 => Err(row.repeated()),
        Err(_) => Err(row.unless.clone()),
    };
    Ok(rows.iter().zip(verdicts).map(told).collect())
}
