//! Reading and filling all tables, the same way in every database: a macro, because sqlx's types of
//! two databases have nothing in common but their names.

/// Functions for one database: its connection, what its failures mean, a text of JSON state as it
/// reads it (`$read`) and takes it (`$take`).
macro_rules! tables {
    ($connection:ty, $failure:path, $read:literal, $take:literal) => {
        use tokio::sync::mpsc;

        use $crate::{
            Error,
            dump::{
                ComponentRecord, ObjectRecord, Origin, Record, ShardRecord, StorageRecord,
                batch::Batch,
                tables::{Order, Stop, from_hex, send, signed},
            },
            rows::{ClaimedRow, ObjectRow, RevisionRow, StorageRow, shards_query},
        };

        /// Rows that are read at once.
        const PAGE: i64 = 64;

        /// Sends what the tables hold, within a transaction of the caller.
        pub(super) async fn send_all(
            connection: &mut $connection,
            into: &mpsc::Sender<Result<Record, Error>>,
        ) -> Result<(), Stop> {
            let (cluster_id, shards): (String, i64) =
                sqlx::query_as("SELECT cluster_id, shards FROM meta")
                    .fetch_one(&mut *connection)
                    .await?;
            let shards = u16::try_from(shards);
            let shards = shards.map_err(|error| sqlx::Error::Decode(error.into()))?;
            send(into, Ok(Record::Store(Origin { cluster_id, shards }))).await?;
            let shards: Vec<ClaimedRow> =
                sqlx::query_as(shards_query!()).fetch_all(&mut *connection).await?;
            for row in shards {
                send(into, row.record().map(Record::Shard)).await?;
            }
            let digests: Vec<Vec<u8>> =
                sqlx::query_scalar("SELECT digest FROM components ORDER BY digest")
                    .fetch_all(&mut *connection)
                    .await?;
            for digest in digests {
                let bytes: Vec<u8> =
                    sqlx::query_scalar("SELECT bytes FROM components WHERE digest = $1")
                        .bind(&digest)
                        .fetch_one(&mut *connection)
                        .await?;
                let digest = hex::encode(digest);
                send(into, Ok(Record::Component(ComponentRecord { digest, bytes }))).await?;
            }
            let revisions: Vec<RevisionRow> = sqlx::query_as(
                "SELECT type, number, digest, description, author, created_at, active \
                 FROM revisions ORDER BY type, number",
            )
            .fetch_all(&mut *connection)
            .await?;
            for row in revisions {
                send(into, row.line().map(Record::Revision)).await?;
            }
            send_objects(connection, into).await?;
            send_storage(connection, into).await?;
            send_effects(connection, into).await?;
            send(into, Ok(Record::End)).await
        }

        async fn send_objects(
            connection: &mut $connection,
            into: &mpsc::Sender<Result<Record, Error>>,
        ) -> Result<(), Stop> {
            let mut after = (String::new(), String::new());
            loop {
                let page: Vec<ObjectRow> = sqlx::query_as(concat!(
                    "SELECT type, id, shard, version, deleted, schema, ",
                    $read,
                    ", state_bytes, digest, encoding, durability, revision, created_at, \
                     updated_at FROM objects WHERE (type, id) > ($1, $2) \
                     ORDER BY type, id LIMIT $3"
                ))
                .bind(&after.0)
                .bind(&after.1)
                .bind(PAGE)
                .fetch_all(&mut *connection)
                .await?;
                let Some(last) = page.last() else { return Ok(()) };
                after = (last.r#type.clone(), last.id.clone());
                for row in page {
                    send(into, row.record().map(Record::Object)).await?;
                }
            }
        }

        async fn send_storage(
            connection: &mut $connection,
            into: &mpsc::Sender<Result<Record, Error>>,
        ) -> Result<(), Stop> {
            // No type's name is empty: every key comes after this one.
            let mut after = (String::new(), String::new(), String::new());
            loop {
                let page: Vec<StorageRow> = sqlx::query_as(
                    "SELECT type, id, key, value FROM storage \
                     WHERE (type, id, key) > ($1, $2, $3) ORDER BY type, id, key LIMIT $4",
                )
                .bind(&after.0)
                .bind(&after.1)
                .bind(&after.2)
                .bind(PAGE)
                .fetch_all(&mut *connection)
                .await?;
                let Some(last) = page.last() else { return Ok(()) };
                after = (last.r#type.clone(), last.id.clone(), last.key.clone());
                for StorageRow { r#type, id, key, value } in page {
                    let record = StorageRecord { type_name: r#type, id, key, value };
                    send(into, Ok(Record::Storage(record))).await?;
                }
            }
        }

        /// Fills the tables, within a transaction of the caller.
        pub(super) async fn take_all(
            connection: &mut $connection,
            mut from: mpsc::Receiver<Record>,
            shards: u16,
            is_json: fn(&[u8]) -> bool,
        ) -> Result<(), Error> {
            let failed = |stop: Stop| stop.error($failure);
            let mut order = Order::default();
            let mut batch = Batch::default();
            while let Some(record) = from.recv().await {
                order.check(&record, shards)?;
                let Some(other) = batch.push(record) else { continue };
                take_rows(connection, batch.take()).await.map_err(failed)?;
                match batch.push(other) {
                    None => {}
                    Some(Record::End) => return Ok(()),
                    Some(other) => take(connection, other, is_json).await.map_err(failed)?,
                }
            }
            Err(Error::Damaged("the dump was cut short".to_owned()))
        }

        async fn take(
            connection: &mut $connection,
            record: Record,
            is_json: fn(&[u8]) -> bool,
        ) -> Result<(), Stop> {
            let query = match record {
                Record::End => return Ok(()),
                Record::Store(Origin { cluster_id, .. }) => {
                    sqlx::query("UPDATE meta SET cluster_id = $1").bind(cluster_id)
                }
                Record::Shard(ShardRecord { shard, epoch, node, incarnation, claimed_at }) => {
                    sqlx::query(
                        "INSERT INTO shards (shard, epoch, node, incarnation, claimed_at) \
                         VALUES ($1, $2, $3, $4, $5)",
                    )
                    .bind(i64::from(shard))
                    .bind(signed(epoch)?)
                    .bind(node)
                    .bind(incarnation)
                    .bind(claimed_at)
                }
                Record::Component(ComponentRecord { digest, bytes }) => {
                    sqlx::query("INSERT INTO components (digest, bytes) VALUES ($1, $2)")
                        .bind(from_hex(&digest)?)
                        .bind(bytes)
                }
                Record::Revision(line) => sqlx::query(
                    "INSERT INTO revisions (type, number, digest, description, author, \
                     created_at, active) VALUES ($1, $2, $3, $4, $5, $6, $7)",
                )
                .bind(line.type_name)
                .bind(i64::from(line.number))
                .bind(from_hex(&line.digest)?)
                .bind(line.description)
                .bind(line.author)
                .bind(line.created_at)
                .bind(line.active),
                Record::Object(object) => return take_object(connection, object, is_json).await,
                _ => unreachable!("it is written with others"),
            };
            query.execute(connection).await?;
            Ok(())
        }

        async fn take_object(
            connection: &mut $connection,
            object: ObjectRecord,
            is_json: fn(&[u8]) -> bool,
        ) -> Result<(), Stop> {
            let data = object.json.map(String::into_bytes).or(object.bytes);
            let json = object.encoding == "json";
            let json = json && data.as_ref().is_some_and(|data| is_json(data));
            let (text, bytes) = match (json, data) {
                (true, Some(data)) => (String::from_utf8(data).ok(), None),
                (_, data) => (None, data),
            };
            let digest = object.digest.as_deref().map(from_hex).transpose()?;
            sqlx::query(concat!(
                "INSERT INTO objects (type, id, shard, version, deleted, schema, \
                 state_json, state_bytes, digest, encoding, durability, revision, \
                 created_at, updated_at) VALUES ($1, $2, $3, $4, $5, $6, ",
                $take,
                ", $8, $9, $10, $11, $12, $13, $14)"
            ))
            .bind(object.type_name)
            .bind(object.id)
            .bind(i64::from(object.shard))
            .bind(signed(object.version)?)
            .bind(object.deleted)
            .bind(object.schema.map(i64::from))
            .bind(text)
            .bind(bytes)
            .bind(digest)
            .bind(object.encoding)
            .bind(object.durability)
            .bind(i64::from(object.revision))
            .bind(object.created_at)
            .bind(object.updated_at)
            .execute(connection)
            .await?;
            Ok(())
        }

        /// Whether nothing was ever stored.
        pub(super) async fn is_empty(connection: &mut $connection) -> Result<bool, sqlx::Error> {
            sqlx::query_scalar(
                "SELECT NOT (EXISTS (SELECT 1 FROM objects) OR EXISTS (SELECT 1 FROM shards) \
                 OR EXISTS (SELECT 1 FROM components) OR EXISTS (SELECT 1 FROM revisions) \
                 OR EXISTS (SELECT 1 FROM storage) OR EXISTS (SELECT 1 FROM results) \
                 OR EXISTS (SELECT 1 FROM outbox) OR EXISTS (SELECT 1 FROM reminders) \
                 OR EXISTS (SELECT 1 FROM dead_letters))",
            )
            .fetch_one(connection)
            .await
        }
    };
}
pub(crate) use tables;

use tokio::sync::mpsc;

use super::Record;
use crate::Error;

/// Why the way through the tables ended early.
pub(crate) enum Stop {
    /// Nobody takes any more.
    Gone,
    Failed(sqlx::Error),
    /// A record is not what it should be.
    Wrong(Error),
}

impl From<sqlx::Error> for Stop {
    fn from(error: sqlx::Error) -> Self {
        Self::Failed(error)
    }
}

impl Stop {
    pub(crate) fn error(self, meaning: fn(&sqlx::Error) -> Error) -> Error {
        match self {
            Self::Gone => Error::Unavailable("nobody takes the records".to_owned()),
            Self::Failed(error) => meaning(&error),
            Self::Wrong(error) => error,
        }
    }
}

pub(crate) async fn send(
    into: &mpsc::Sender<Result<Record, Error>>,
    record: Result<Record, Error>,
) -> Result<(), Stop> {
    into.send(record).await.map_err(|_| Stop::Gone)
}

pub(crate) fn signed(number: u64) -> Result<i64, Stop> {
    let wrong = |_| Stop::Wrong(Error::Damaged(format!("the number {number} is too large")));
    i64::try_from(number).map_err(wrong)
}

pub(crate) fn from_hex(text: &str) -> Result<Vec<u8>, Stop> {
    let wrong = |error| Stop::Wrong(Error::Damaged(format!("the digest `{text}`: {error}")));
    hex::decode(text).map_err(wrong)
}

/// Records come in the order of their kinds: a store first, and once.
#[derive(Default)]
pub(crate) struct Order(u8);

impl Order {
    pub(crate) fn check(&mut self, record: &Record, shards: u16) -> Result<(), Error> {
        let rank = match record {
            Record::Store(_) => 1,
            Record::Shard(_) => 2,
            Record::Component(_) => 3,
            Record::Revision(_) => 4,
            Record::Object(_) => 5,
            Record::Storage(_) => 6,
            Record::Result(_) => 7,
            Record::Send(_) => 8,
            Record::Reminder(_) => 9,
            Record::DeadLetter(_) => 10,
            Record::End => 11,
        };
        let begins = self.0 == 0;
        if begins != (rank == 1) || rank < self.0 {
            return Err(Error::Damaged("the dump's records are not in order".to_owned()));
        }
        self.0 = rank;
        match record {
            Record::Store(origin) if origin.shards != shards => Err(Error::NotOurs(format!(
                "the dump is of a store of {} shards, and this one has {shards}",
                origin.shards
            ))),
            _ => Ok(()),
        }
    }
}
