//! The one task that writes: takes what has gathered, does it in one transaction, answers.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use sqlx::{Sqlite, SqliteConnection, pool::PoolConnection};
use tokio::sync::{mpsc, oneshot};
use wasmverse_core::{ObjectId, RevisionNumber, TypeName, Version};

use super::{failure, open::Opened, revisions, save};
use crate::{Error, NewRevision, RevisionRecord, metrics};

/// Commands in one transaction.
const GROUP_LENGTH: usize = 256;

/// Not sqlx's transactions: those count how deep they are, and the count stays wrong for good once
/// SQLite has rolled back by itself.
const BEGIN: &str = "BEGIN IMMEDIATE";
const COMMIT: &str = "COMMIT";
const ROLLBACK: &str = "ROLLBACK";

/// What the writer is told.
pub(super) enum Command {
    /// Do this.
    Write { work: Work, answer: oneshot::Sender<Result<Done, Error>> },
    /// End, after what was told before.
    Close,
}

/// Something to be written.
pub(super) enum Work {
    Save(Vec<save::Row>),
    Delete(ObjectId),
    AddRevision(Box<NewRevision>),
    ActivateRevision(TypeName, RevisionNumber),
}

impl Work {
    fn rows(&self) -> Option<&[save::Row]> {
        match self {
            Self::Save(rows) => Some(rows),
            Self::Delete(_) | Self::AddRevision(_) | Self::ActivateRevision(..) => None,
        }
    }
}

/// What came of it.
pub(super) enum Done {
    Saved(Vec<Result<Version, Error>>),
    Deleted(bool),
    Revision(Result<RevisionRecord, Error>),
}

impl Done {
    pub(super) fn saved(self) -> Vec<Result<Version, Error>> {
        match self {
            Self::Saved(rows) => rows,
            Self::Deleted(_) | Self::Revision(_) => unreachable!("a save is answered by Saved"),
        }
    }

    pub(super) fn deleted(self) -> bool {
        match self {
            Self::Deleted(was_there) => was_there,
            Self::Saved(_) | Self::Revision(_) => unreachable!("a delete is answered by Deleted"),
        }
    }

    pub(super) fn revision(self) -> Result<RevisionRecord, Error> {
        match self {
            Self::Revision(record) => record,
            Self::Saved(_) | Self::Deleted(_) => unreachable!("answered by Revision"),
        }
    }
}

/// Writes until it is told to close, or nobody is left to tell it anything; then closes the
/// database, and lets go of the lock last.
pub(super) async fn run(opened: Opened, mut commands: mpsc::Receiver<Command>) {
    let statements = save::Statements::new();
    let mut group = Vec::with_capacity(GROUP_LENGTH);
    let mut open = true;
    while open && commands.recv_many(&mut group, GROUP_LENGTH).await > 0 {
        let mut works = Vec::with_capacity(group.len());
        let mut answers = Vec::with_capacity(group.len());
        for command in group.drain(..) {
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
    while let Some(command) = commands.recv().await {
        if let Command::Write { answer, .. } = command {
            refuse(answer);
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

/// Does all of it in one transaction; if that fails, each by itself, so that none harms another.
async fn write(
    opened: &Opened,
    statements: &save::Statements,
    works: &[Work],
) -> Vec<Result<Done, Error>> {
    let fail = |error: Error| works.iter().map(|_| Err(error.clone())).collect();
    if works.is_empty() {
        return Vec::new();
    }
    let mut connection = match opened.writes.acquire().await {
        Ok(connection) => connection,
        Err(error) => return fail(failure::of(&error)),
    };
    let done = transaction(&mut connection, statements, works).await;
    if done.is_err() {
        clean(opened, connection).await;
    }
    match done {
        Ok(done) => done.into_iter().map(Ok).collect(),
        Err(Failed::Whole(error)) => fail(error),
        Err(Failed::Within(error)) if works.len() == 1 => fail(error),
        Err(Failed::Within(_)) => {
            let mut all = Vec::with_capacity(works.len());
            for work in works {
                let alone = Box::pin(write(opened, statements, std::slice::from_ref(work)));
                all.extend(alone.await);
            }
            all
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
    statements: &save::Statements,
    works: &[Work],
) -> Result<Vec<Done>, Failed> {
    let now_micros = now_micros();
    let begun = run_sql(connection, BEGIN).await;
    begun.map_err(|error| Failed::Whole(failure::of(&error)))?;
    let mut done = Vec::with_capacity(works.len());
    while let Some(work) = works.get(done.len()) {
        match work {
            Work::Save(_) => {
                // With the saves right behind it: one statement for the rows of many callers.
                let batches = works[done.len()..].iter().map_while(Work::rows);
                let rows: Vec<&save::Row> = batches.clone().flatten().collect();
                let saved = save::save(connection, statements, &rows, now_micros).await?;
                let mut saved = saved.into_iter();
                let own = |batch: &[save::Row]| saved.by_ref().take(batch.len()).collect();
                done.extend(batches.map(own).map(Done::Saved));
            }
            Work::Delete(object) => {
                let deleted = save::delete(connection, object, now_micros).await?;
                done.push(Done::Deleted(deleted));
            }
            Work::AddRevision(new) => {
                let added = revisions::add(connection, new, now_micros).await?;
                done.push(Done::Revision(added));
            }
            Work::ActivateRevision(name, number) => {
                let activated = revisions::activate(connection, name, *number).await?;
                done.push(Done::Revision(activated));
            }
        }
    }
    match run_sql(connection, COMMIT).await {
        Ok(()) => Ok(done),
        Err(error) => Err(match failure::of_commit(&error) {
            unknown @ Error::Unknown(_) => Failed::Whole(unknown),
            error => Failed::Within(error),
        }),
    }
}
