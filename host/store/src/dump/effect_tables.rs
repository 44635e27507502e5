//! Reading and filling the tables of what is kept beside objects; see [`super::tables`].

/// Functions for one database: its connection, in which order (`$first`) results of one key are read,
/// and how results are written: a function that answers the beginning of a statement and the first
/// value of each row.
macro_rules! effect_tables {
    ($connection:ty, $first:literal, $results:path) => {
        use futures_util::TryStreamExt as _;
        use sqlx::QueryBuilder;

        use $crate::{
            dump::{
                DeadLetterRecord, ReminderRecord, ResultRecord, SendRecord, batch::Rows,
                effect_tables::hash_of,
            },
            rows::effects::{LetterRow, ReminderRow, ResultRow, SentRow},
        };

        type Database = <$connection as sqlx::Connection>::Database;

        /// Sends what is kept beside objects. All in one order, whatever the keys: each query is
        /// read row by row.
        async fn send_effects(
            connection: &mut $connection,
            into: &mpsc::Sender<Result<Record, Error>>,
        ) -> Result<(), Stop> {
            let query = concat!(
                "SELECT type, id, origin, key, asked, answer, kept_at FROM results \
                 ORDER BY type, id, origin, key, ",
                $first
            );
            let mut results = sqlx::query_as::<_, ResultRow>(query).fetch(&mut *connection);
            while let Some(row) = results.try_next().await? {
                send(into, Ok(Record::Result(row.record()))).await?;
            }
            drop(results);
            let query = "SELECT shard, type, id, version, place, to_type, to_id, method, payload, \
                         sent_at FROM outbox ORDER BY shard, type, id, version, place";
            let mut sends = sqlx::query_as::<_, SentRow>(query).fetch(&mut *connection);
            while let Some(row) = sends.try_next().await? {
                send(into, row.record().map(Record::Send)).await?;
            }
            drop(sends);
            let query = "SELECT type, id, name, shard, schedule, method, payload, due_at \
                         FROM reminders ORDER BY type, id, name";
            let mut reminders = sqlx::query_as::<_, ReminderRow>(query).fetch(&mut *connection);
            while let Some(row) = reminders.try_next().await? {
                send(into, row.record().map(Record::Reminder)).await?;
            }
            drop(reminders);
            let query = "SELECT number, shard, type, id, version, place, reminder, to_type, to_id, \
                         method, payload, reason, sent_at, died_at FROM dead_letters \
                         ORDER BY number";
            let mut letters = sqlx::query_as::<_, LetterRow>(query).fetch(&mut *connection);
            while let Some(row) = letters.try_next().await? {
                send(into, row.record().map(Record::DeadLetter)).await?;
            }
            Ok(())
        }

        /// Writes what waits.
        async fn take_rows(connection: &mut $connection, rows: Rows) -> Result<(), Stop> {
            match rows {
                Rows::None => Ok(()),
                Rows::Storage(rows) => take_keys(connection, rows).await,
                Rows::Results(rows) => take_results(connection, rows).await,
                Rows::Sends(rows) => take_sends(connection, rows).await,
                Rows::Reminders(rows) => take_reminders(connection, rows).await,
                Rows::DeadLetters(rows) => take_letters(connection, rows).await,
            }
        }

        async fn take_keys(
            connection: &mut $connection,
            keys: Vec<StorageRecord>,
        ) -> Result<(), Stop> {
            let insert = "INSERT INTO storage (type, id, key, value) ";
            let mut query = QueryBuilder::<Database>::new(insert);
            query.push_values(keys, |mut row, StorageRecord { type_name, id, key, value }| {
                row.push_bind(type_name).push_bind(id).push_bind(key).push_bind(value);
            });
            query.build().execute(connection).await?;
            Ok(())
        }

        async fn take_results(
            connection: &mut $connection,
            results: Vec<ResultRecord>,
        ) -> Result<(), Stop> {
            let (insert, first) = $results(connection).await?;
            let mut rows = Vec::with_capacity(results.len());
            for result in results {
                rows.push((hash_of(&result)?, from_hex(&result.asked)?, result));
            }
            let mut query = QueryBuilder::<Database>::new(insert);
            query.push_values(rows, |mut row, (hash, asked, result)| {
                row.push_bind(first).push_bind(hash);
                row.push_bind(result.type_name).push_bind(result.id);
                row.push_bind(result.origin).push_bind(result.key);
                row.push_bind(asked).push_bind(result.answer).push_bind(result.kept_at);
            });
            query.build().execute(connection).await?;
            Ok(())
        }

        async fn take_sends(
            connection: &mut $connection,
            sends: Vec<SendRecord>,
        ) -> Result<(), Stop> {
            let mut rows = Vec::with_capacity(sends.len());
            for send in sends {
                rows.push((signed(send.version)?, signed(send.place)?, send));
            }
            let mut query = QueryBuilder::<Database>::new(
                "INSERT INTO outbox (shard, type, id, version, place, to_type, to_id, method, \
                 payload, sent_at) ",
            );
            query.push_values(rows, |mut row, (version, place, send)| {
                row.push_bind(i64::from(send.shard)).push_bind(send.type_name);
                row.push_bind(send.id).push_bind(version).push_bind(place);
                row.push_bind(send.to_type).push_bind(send.to_id).push_bind(send.method);
                row.push_bind(send.payload).push_bind(send.sent_at);
            });
            query.build().execute(connection).await?;
            Ok(())
        }

        async fn take_reminders(
            connection: &mut $connection,
            reminders: Vec<ReminderRecord>,
        ) -> Result<(), Stop> {
            let mut query = QueryBuilder::<Database>::new(
                "INSERT INTO reminders (type, id, name, shard, schedule, method, payload, due_at) ",
            );
            query.push_values(reminders, |mut row, reminder| {
                row.push_bind(reminder.type_name).push_bind(reminder.id);
                row.push_bind(reminder.name).push_bind(i64::from(reminder.shard));
                row.push_bind(reminder.when).push_bind(reminder.method);
                row.push_bind(reminder.payload).push_bind(reminder.due_at);
            });
            query.build().execute(connection).await?;
            Ok(())
        }

        async fn take_letters(
            connection: &mut $connection,
            letters: Vec<DeadLetterRecord>,
        ) -> Result<(), Stop> {
            let mut rows = Vec::with_capacity(letters.len());
            for letter in letters {
                let (version, place) = (letter.version, letter.place);
                let source = (version.map(signed).transpose()?, place.map(signed).transpose()?);
                rows.push((signed(letter.number)?, source, letter));
            }
            let mut query = QueryBuilder::<Database>::new(
                "INSERT INTO dead_letters (number, shard, type, id, version, place, reminder, \
                 to_type, to_id, method, payload, reason, sent_at, died_at) ",
            );
            query.push_values(rows, |mut row, (number, (version, place), letter)| {
                row.push_bind(number).push_bind(i64::from(letter.shard));
                row.push_bind(letter.type_name).push_bind(letter.id);
                row.push_bind(version).push_bind(place).push_bind(letter.reminder);
                row.push_bind(letter.to_type).push_bind(letter.to_id).push_bind(letter.method);
                row.push_bind(letter.payload).push_bind(letter.reason);
                row.push_bind(letter.sent_at).push_bind(letter.died_at);
            });
            query.build().execute(connection).await?;
            Ok(())
        }
    };
}
pub(crate) use effect_tables;

use wasmverse_core::ObjectId;

use super::{ResultRecord, tables::Stop};
use crate::{Error, ResultKey};

/// By what a result is found.
pub(crate) fn hash_of(result: &ResultRecord) -> Result<i64, Stop> {
    let ResultRecord { type_name, id, origin, key, .. } = result;
    let object = ObjectId::parse(type_name, id).map_err(|error| {
        Stop::Wrong(Error::Damaged(format!("a result of {type_name}/{id}: {error}")))
    })?;
    Ok(ResultKey { origin: origin.clone(), key: key.clone() }.hash_of(&object))
}
