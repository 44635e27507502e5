//! What goes with rows: first it is found out what is not there any more that was to be, and once the
//! rows are written, the rest.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::AssertSqlSafe;

use super::{commit::Part, dead_letters, reminders, results, statements::Deed};
use crate::{Change, Effect, SendId, prepared::Prepared};

impl Part<'_> {
    /// Answers those rows that want something to be there that is not, and takes them out.
    pub(super) async fn refuse_repeated(
        &mut self,
        rows: &mut Vec<&Prepared>,
    ) -> Result<(), sqlx::Error> {
        if rows.iter().all(|row| row.commit.effects.is_empty()) {
            return Ok(());
        }
        let mut lacking = self.lacking_sends(rows).await?;
        for (at, row) in rows.iter().enumerate() {
            for effect in &row.commit.effects {
                let is_there = match effect {
                    Effect::Fired { name, due_micros, .. } => {
                        reminders::is_due(self.connection, row.name(), name, *due_micros).await?
                    }
                    Effect::Revive(number) | Effect::Forget(number) => {
                        dead_letters::is_there(self.connection, row.name(), *number).await?
                    }
                    _ => true,
                };
                if !is_there {
                    lacking.insert(at);
                }
            }
        }
        for at in lacking.into_iter().rev() {
            let row = rows.remove(at);
            self.answers[self.places[&row.name()]] = Err(row.repeated());
        }
        Ok(())
    }

    /// Which of the rows settle a send that is in no outbox.
    async fn lacking_sends(&mut self, rows: &[&Prepared]) -> Result<BTreeSet<usize>, sqlx::Error> {
        let settled = settled(rows);
        let mut wanted: BTreeMap<usize, i64> = BTreeMap::new();
        for (at, _) in &settled {
            *wanted.entry(*at).or_default() += 1;
        }
        let mut left = settled.as_slice();
        while !left.is_empty() {
            let (sql, size, padded) =
                self.statements.fitting(Deed::Find, left.iter().map(|(_, send)| weight(send)));
            let (now, later) = left.split_at(size);
            left = later;
            let mut query = sqlx::query_scalar(AssertSqlSafe(sql));
            for (at, send) in now {
                query = query
                    .bind(i64::try_from(*at).expect("a part has few rows"))
                    .bind(send.shard.0)
                    .bind(send.from.type_name().as_str())
                    .bind(send.from.id())
                    .bind(signed(send.number.version.0))
                    .bind(signed(send.number.place));
            }
            for _ in 0..padded * Deed::Find.padding().unwrap_or_default() {
                query = query.bind(None::<i64>);
            }
            let found: Vec<i64> = query.fetch_all(&mut *self.connection).await?;
            for at in found {
                let at = usize::try_from(at).map_err(|error| sqlx::Error::Decode(error.into()))?;
                *wanted.entry(at).or_default() -= 1;
            }
        }
        Ok(wanted.into_iter().filter(|(_, lack)| *lack > 0).map(|(at, _)| at).collect())
    }

    /// Of the rows that were written, what goes with them.
    pub(super) async fn write_effects(&mut self, rows: &[&Prepared]) -> Result<(), sqlx::Error> {
        let mut written: Vec<&Prepared> = rows.to_vec();
        written.retain(|row| self.answers[self.places[&row.name()]].is_ok());
        for row in &written {
            let buried = row.commit.change == Change::Delete;
            if row.commit.effects.is_empty() && !buried {
                continue;
            }
            for effect in &row.commit.effects {
                match effect {
                    Effect::Dead { send, reason } => {
                        dead_letters::bury(self.connection, send, reason, self.now_micros).await?;
                    }
                    Effect::Revive(number) => {
                        let now = self.now_micros;
                        dead_letters::revive(self.connection, row, *number, now).await?;
                        dead_letters::forget(self.connection, *number).await?;
                    }
                    Effect::Forget(number) => {
                        dead_letters::forget(self.connection, *number).await?;
                    }
                    _ => {}
                }
            }
            reminders::write(self.connection, row, self.now_micros, buried).await?;
        }
        self.settle(&settled(&written)).await?;
        self.send(&written).await?;
        self.keep_results(&written).await
    }

    async fn settle(&mut self, mut settled: &[(usize, &SendId)]) -> Result<(), sqlx::Error> {
        while !settled.is_empty() {
            let weights = settled.iter().map(|(_, send)| weight(send));
            let (sql, size, padded) = self.statements.fitting(Deed::Settle, weights);
            let (now, later) = settled.split_at(size);
            settled = later;
            let mut query = sqlx::query(AssertSqlSafe(sql));
            for (_, send) in now {
                query = query
                    .bind(send.shard.0)
                    .bind(send.from.type_name().as_str())
                    .bind(send.from.id())
                    .bind(signed(send.number.version.0))
                    .bind(signed(send.number.place));
            }
            for _ in 0..padded * Deed::Settle.padding().unwrap_or_default() {
                query = query.bind(None::<i64>);
            }
            query.execute(&mut *self.connection).await?;
        }
        Ok(())
    }

    async fn send(&mut self, rows: &[&Prepared]) -> Result<(), sqlx::Error> {
        let sends = rows.iter().flat_map(|row| {
            let sends = row.commit.effects.iter().filter_map(|effect| match effect {
                Effect::Send(send) => Some(send),
                _ => None,
            });
            (0_i64..).zip(sends).map(|(place, send)| (*row, place, send))
        });
        let sends: Vec<_> = sends.collect();
        let mut left = sends.as_slice();
        while !left.is_empty() {
            let weights = left.iter().map(|(.., send)| send.payload.len());
            let (sql, size, padded) = self.statements.fitting(Deed::Send, weights);
            let (now, later) = left.split_at(size);
            left = later;
            let mut query = sqlx::query(AssertSqlSafe(sql));
            for (row, place, send) in now {
                let (type_name, id) = row.name();
                let version = self.answers[self.places[&row.name()]].as_ref();
                query = query
                    .bind(row.commit.shard.0)
                    .bind(type_name)
                    .bind(id)
                    .bind(signed(version.map_or(0, |version| version.0)))
                    .bind(*place)
                    .bind(send.to.type_name().as_str())
                    .bind(send.to.id())
                    .bind(&*send.method)
                    .bind(&*send.payload)
                    .bind(self.now_micros);
            }
            for _ in 0..padded * Deed::Send.padding().unwrap_or_default() {
                query = query.bind(None::<i64>);
            }
            query.execute(&mut *self.connection).await?;
        }
        Ok(())
    }

    async fn keep_results(&mut self, rows: &[&Prepared]) -> Result<(), sqlx::Error> {
        let kept = rows.iter().flat_map(|row| {
            let kept = row.commit.effects.iter().filter_map(|effect| match effect {
                Effect::Result(kept) => Some(kept),
                _ => None,
            });
            kept.zip(&row.hashes).map(|(kept, hash)| (row.name(), *hash, kept))
        });
        let kept: Vec<_> = kept.collect();
        if kept.is_empty() {
            return Ok(());
        }
        let (span, chunk) = results::place_now(self.connection).await?;
        let mut left = kept.as_slice();
        while !left.is_empty() {
            let weights = left.iter().map(|(.., kept)| kept.answer.len());
            let (sql, size, padded) = self.statements.fitting(Deed::Keep(span), weights);
            let (now, later) = left.split_at(size);
            left = later;
            let mut query = sqlx::query(AssertSqlSafe(sql));
            for ((type_name, id), hash, kept) in now {
                query = query
                    .bind(chunk)
                    .bind(*hash)
                    .bind(*type_name)
                    .bind(*id)
                    .bind(&kept.key.origin)
                    .bind(&kept.key.key)
                    .bind(kept.asked.as_slice())
                    .bind(&*kept.answer)
                    .bind(self.now_micros);
            }
            for _ in 0..padded * Deed::Keep(span).padding().unwrap_or_default() {
                query = query.bind(None::<i64>);
            }
            query.execute(&mut *self.connection).await?;
        }
        Ok(())
    }
}

/// The sends that are to leave the outbox, each with which of the rows wants it.
fn settled<'a>(rows: &[&'a Prepared]) -> Vec<(usize, &'a SendId)> {
    let settled = rows.iter().enumerate();
    settled.flat_map(|(at, row)| row.settles().map(move |send| (at, send))).collect()
}

fn weight(send: &SendId) -> usize {
    send.from.id().len()
}

/// A number that is none of the database's is nowhere in it.
fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(-1)
}
