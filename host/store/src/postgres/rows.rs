//! Writing rows: together as long as that goes well, else so that none harms another.
//!
//! Rows among which the server refuses one are halved until it is alone. Rows that take too long
//! together are written one by one: halves would each wait for the slow one again.

use std::time::Duration;

use futures_util::{FutureExt as _, future::BoxFuture};
use wasmverse_core::Version;

use super::{commit::commit, connections::Connections, failure::Failed};
use crate::{Error, metrics, prepared::Prepared};

/// How often a row that was overtaken is tried again.
const ATTEMPTS: u32 = 5;
/// So many slow rows in one statement, and it is the database that is slow.
const SLOW_ROWS_MAX: usize = 8;

/// What a row is answered; none: nothing yet, because it takes long. It was not written.
pub(super) type Told = Option<Result<Version, Error>>;

/// Writes rows, each of another object.
pub(super) fn write_rows<'a>(
    connections: &'a Connections,
    rows: &'a [&'a Prepared],
) -> BoxFuture<'a, Vec<Told>> {
    async move {
        let limit = connections.limits.statement;
        let failed = match write_at_once(connections, limit, rows, false).await {
            Ok(answers) => return answers.into_iter().map(Some).collect(),
            Err(failed) => failed,
        };
        match (failed, rows) {
            (Failed::TooLong(_), [_]) => vec![None],
            (Failed::TooLong(error), _) => {
                metrics::repeated("too-long");
                write_apart(connections, rows, &error).await
            }
            (Failed::NotDone(Error::Refused(_)), [row]) if row.json => {
                vec![write_alone(connections, limit, row, true).await]
            }
            (Failed::NotDone(Error::Refused(_)), [_, _, ..]) => {
                metrics::repeated("refused");
                let (left, right) = rows.split_at(rows.len() / 2);
                let mut answers = write_rows(connections, left).await;
                answers.extend(write_rows(connections, right).await);
                answers
            }
            (failed, _) => {
                let error = failed.error();
                rows.iter().map(|_| Some(Err(error.clone()))).collect()
            }
        }
    }
    .boxed()
}

/// Writes each row by itself, and leaves those that take long; of too many of those, the rest is
/// not tried.
async fn write_apart(connections: &Connections, rows: &[&Prepared], too_long: &Error) -> Vec<Told> {
    let (mut answers, mut slow) = (Vec::with_capacity(rows.len()), 0);
    for row in rows {
        if slow == SLOW_ROWS_MAX {
            answers.push(Some(Err(too_long.clone())));
            continue;
        }
        let answer = write_again(connections, connections.limits.apart, row).await;
        slow += usize::from(answer.is_none());
        answers.push(answer);
    }
    answers
}

/// Writes a row that the server did not write in time. It says so of what it had begun to commit,
/// too: what stands in the way now may be this row itself.
pub(super) async fn write_again(
    connections: &Connections,
    limit: Duration,
    row: &Prepared,
) -> Told {
    let answer = write_alone(connections, limit, row, false).await?;
    Some(answer.map_err(|error| match error {
        Error::Conflict(_) | Error::Fenced(_) | Error::Repeated(_) => {
            Error::Unknown(format!("it was tried twice, and then: {error}"))
        }
        other => other,
    }))
}

/// `as_bytes`: its state is not kept as JSONB. JSON that JSONB does not hold is kept so, too.
async fn write_alone(
    connections: &Connections,
    limit: Duration,
    row: &Prepared,
    as_bytes: bool,
) -> Told {
    let mut written = write_at_once(connections, limit, &[row], as_bytes).await;
    if !as_bytes && row.json && matches!(written, Err(Failed::NotDone(Error::Refused(_)))) {
        written = write_at_once(connections, limit, &[row], true).await;
    }
    match written {
        Ok(mut answers) => Some(answers.remove(0)),
        Err(Failed::TooLong(_)) => None,
        Err(failed) => Some(Err(failed.error())),
    }
}

type Answers = Vec<Result<Version, Error>>;

async fn write_at_once(
    connections: &Connections,
    limit: Duration,
    rows: &[&Prepared],
    as_bytes: bool,
) -> Result<Answers, Failed> {
    let writable: Vec<&Prepared> = rows.iter().copied().filter(|row| row.kind.is_some()).collect();
    let mut written = Vec::new();
    if !writable.is_empty() {
        written = write_writable(connections, limit, writable, as_bytes).await?;
    }
    let mut written = written.into_iter();
    let answer = |row: &&Prepared| match row.kind {
        Some(_) => written.next().unwrap_or_else(|| Err(row.unless.clone())),
        None => Err(row.unless.clone()),
    };
    Ok(rows.iter().map(answer).collect())
}

async fn write_writable(
    connections: &Connections,
    limit: Duration,
    rows: Vec<&Prepared>,
    as_bytes: bool,
) -> Result<Answers, Failed> {
    let told = (rows, as_bytes);
    let mut answers = connections.commit(limit, &told, |c, told| commit(c, told).boxed()).await?;
    for (row, answer) in told.0.iter().zip(&mut answers) {
        // One that expects anything was overtaken by another group, which made the row under it.
        let anything = row.takes_anything();
        for _ in 0..ATTEMPTS {
            if !anything || !matches!(answer, Err(Error::Conflict(_))) {
                break;
            }
            metrics::repeated("overtaken");
            let told = (vec![*row], as_bytes);
            let again = connections.commit(limit, &told, |c, told| commit(c, told).boxed()).await;
            *answer = again.map_err(Failed::error).and_then(|mut answers| answers.remove(0));
        }
    }
    Ok(answers)
}
