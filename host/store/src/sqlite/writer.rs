//! The one task that writes: takes what has gathered, does it in one transaction, answers.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use sqlx::{Sqlite, SqliteConnection, pool::PoolConnection};
use tokio::sync::{mpsc, oneshot};

use super::{
    claims,
    commit::{Care, commit},
    failure,
    open::Opened,
    results, revisions,
    statements::Statements,
    work::{Command, Done, Work},
};
use crate::{Error, group::Gathering, metrics, prepared::Prepared};

/// Not sqlx's transactions: those count how deep they are, and the count stays wrong for good once
/// SQLite has rolled back by itself.
const BEGIN: &str = "BEGIN IMMEDIATE";
const COMMIT: &str = "COMMIT";
const ROLLBACK: &str = "ROLLBACK";

/// Writes until it is told to close, or nobody is left to tell it anything; then closes the
/// database, and lets go of the lock last.
pub(super) async fn run(opened: Opened, commands: mpsc::Receiver<Command>) {
    let statements = Statements::new();
    let mut commands = Gathering::new(commands);
    let mut open = true;
    while open && let Some(group) = commands.next().await {
        let mut works = Vec::with_capacity(group.len());
        let mut answers = Vec::with_capacity(group.len());
        for command in group {
            match command {
                Command::Write { work, answer } if open => {
                    works.push(work);
                    answers.push(answer);
                }
                Command::Write { answer, .. } => refuse(answer),
                Command::Close => open = false,
            }
        }
        let begun = Instant::now();
        let done = write(&opened, &statements, &works).await;
        metrics::committed(works.len(), begun);
        for (answer, done) in answers.into_iter().zip(done) {
            // Nobody waits for it any more: it is done all the same.
            let _ = answer.send(done);
        }
    }
    commands.close();
    while let Some(rest) = commands.next().await {
        for command in rest {
            if let Command::Write { answer, .. } = command {
                refuse(answer);
            }
        }
    }
    opened.reads.close().await;
    opened.writes.close().await;
    drop(opened.lock);
}

/// Microseconds since 1970.
pub(super) fn now_micros() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

fn refuse(answer: oneshot::Sender<Result<Done, Error>>) {
    let _ = answer.send(Err(failure::closed()));
}

/// Does all of it in one transaction. If the database refuses some row: again, with care. If that
/// fails, each by itself, so that none harms another.
async fn write(
    opened: &Opened,
    statements: &Statements,
    works: &[Work],
) -> Vec<Result<Done, Error>> {
    if works.is_empty() {
        return Vec::new();
    }
    let mut failed = match attempt(opened, statements, works, Care::Together).await {
        Ok(done) => return done,
        Err(failed) => failed,
    };
    if let Failed::Within(Error::Refused(_)) = failed {
        failed = match attempt(opened, statements, works, Care::Each).await {
            Ok(done) => return done,
            Err(failed) => failed,
        };
    }
    match failed {
        Failed::Within(_) if works.len() > 1 => {
            let mut all = Vec::with_capacity(works.len());
            for work in works {
                let alone = Box::pin(write(opened, statements, std::slice::from_ref(work)));
                all.extend(alone.await);
            }
            all
        }
        Failed::Within(error) | Failed::Whole(error) => {
            works.iter().map(|_| Err(error.clone())).collect()
        }
    }
}

async fn attempt(
    opened: &Opened,
    statements: &Statements,
    works: &[Work],
    care: Care,
) -> Result<Vec<Result<Done, Error>>, Failed> {
    let connection = opened.writes.acquire().await;
    let mut connection = connection.map_err(|error| Failed::Whole(failure::of(&error)))?;
    match transaction(&mut connection, statements, works, care).await {
        Ok(done) => Ok(done.into_iter().map(Ok).collect()),
        Err(failed) => {
            clean(opened, connection).await;
            Err(failed)
        }
    }
}

/// After a failure: ends the transaction, or the connection if that cannot be. Of some failures
/// (no room, no memory, a broken disk) SQLite may roll back by itself, and then refuses to.
async fn clean(opened: &Opened, mut connection: PoolConnection<Sqlite>) {
    if run_sql(&mut connection, ROLLBACK).await.is_ok() {
        return;
    }
    // If there is none that is open, one can be opened.
    if run_sql(&mut connection, BEGIN).await.is_ok()
        && run_sql(&mut connection, ROLLBACK).await.is_ok()
    {
        return;
    }
    // In memory, the database is its connection.
    if opened.lock.is_some() {
        tracing::warn!("opening the database anew: a write failed and cannot be rolled back");
        if let Err(error) = connection.close().await {
            tracing::warn!(%error, "failed to close a connection to the database");
        }
    }
}

async fn run_sql(connection: &mut SqliteConnection, sql: &'static str) -> Result<(), sqlx::Error> {
    sqlx::query(sql).execute(connection).await.map(|_| ())
}

/// How a transaction failed.
enum Failed {
    /// Some command is to blame, and nothing was written.
    Within(Error),
    /// It could not begin, or nobody knows how it ended: not to be tried again.
    Whole(Error),
}

impl From<sqlx::Error> for Failed {
    fn from(error: sqlx::Error) -> Self {
        Self::Within(failure::of(&error))
    }
}

/// One that fails may be left open.
async fn transaction(
    connection: &mut SqliteConnection,
    statements: &Statements,
    works: &[Work],
    care: Care,
) -> Result<Vec<Done>, Failed> {
    let now_micros = now_micros();
    let begun = run_sql(connection, BEGIN).await;
    begun.map_err(|error| Failed::Whole(failure::of(&error)))?;
    let mut done = Vec::with_capacity(works.len());
    while let Some(work) = works.get(done.len()) {
        match work {
            Work::Commit(_) => {
                // With the commits right behind it: one statement for the rows of many callers.
                let batches = works[done.len()..].iter().map_while(Work::rows);
                let rows: Vec<&Prepared> = batches.clone().flatten().collect();
                let answers = commit(connection, statements, &rows, care, now_micros).await?;
                let mut answers = answers.into_iter();
                let own = |batch: &[Prepared]| answers.by_ref().take(batch.len()).collect();
                done.extend(batches.map(own).map(Done::Committed));
            }
            Work::Claim(owner, wanted) => {
                let claimed = claims::claim(connection, owner, wanted, now_micros).await?;
                done.push(Done::Claimed(claimed));
            }
            Work::Raise(owner, bids) => {
                let raised = claims::raise(connection, owner, bids, now_micros).await?;
                done.push(Done::Raised(raised));
            }
            Work::AddRevision(new) => {
                let added = revisions::add(connection, new, now_micros).await?;
                done.push(Done::Revision(added));
            }
            Work::ActivateRevision(name, number) => {
                let activated = revisions::activate(connection, name, *number).await?;
                done.push(Done::Revision(activated));
            }
            Work::ForgetResults(kept_micros) => {
                let forgot = results::forget(connection, *kept_micros, now_micros).await?;
                done.push(Done::Forgot(forgot));
            }
        }
    }
    failpoint("store-writes", works);
    match run_sql(connection, COMMIT).await {
        Ok(()) => {
            failpoint("store-wrote", works);
            Ok(done)
        }
        Err(error) => Err(match failure::of_commit(&error) {
            unknown @ Error::Unknown(_) => Failed::Whole(unknown),
            error => Failed::Within(error),
        }),
    }
}

/// Passes a step of what object data is written by.
fn failpoint(name: &'static str, works: &[Work]) {
    if works.iter().any(|work| work.rows().is_some()) {
        wasmverse_failpoint::pass(name);
    }
}
