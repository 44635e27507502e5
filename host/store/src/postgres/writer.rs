//! The task that commits: takes what has gathered, writes it, answers.

use std::{sync::Arc, time::Instant};

use futures_util::{FutureExt as _, StreamExt as _, future::BoxFuture, stream::FuturesUnordered};
use tokio::sync::{mpsc, oneshot};
use wasmverse_core::Version;

use super::{commit::commit, connections::Connections, failure};
use crate::{
    Error,
    group::{Gathering, Weighs, Weight},
    metrics,
    prepared::{Kind, Prepared, distinct},
};

/// Groups under way at once, each on a connection of its own. Measured against one: as fast with 64
/// callers, a quarter more rows a second with 256.
pub(super) const IN_FLIGHT: u32 = 2;
/// The most that one statement writes; a row with more bytes goes alone.
const STATEMENT_ROWS: usize = 512;
const STATEMENT_BYTES: usize = 8 << 20;
/// How often a row that was overtaken is tried again.
const ATTEMPTS: u32 = 5;

type Answers = Vec<Result<Version, Error>>;

/// What the writer is told.
pub(super) enum Command {
    /// Write these.
    Commit { rows: Vec<Prepared>, answer: oneshot::Sender<Result<Answers, Error>> },
    /// End, after what was told before.
    Close,
}

impl Weighs for Command {
    fn weight(&self) -> Weight {
        match self {
            Self::Commit { rows, .. } => {
                let bytes = rows.iter().map(|row| row.commit.bytes()).sum();
                Weight { rows: rows.len(), bytes }
            }
            Self::Close => Weight::default(),
        }
    }
}

/// Writes until it is told to close, or nobody is left to tell it anything.
pub(super) async fn run(connections: Arc<Connections>, commands: mpsc::Receiver<Command>) {
    let mut commands = Gathering::new(commands);
    let mut under_way = FuturesUnordered::new();
    let mut open = true;
    while open || !under_way.is_empty() {
        let room = open && under_way.len() < usize::try_from(IN_FLIGHT).expect("a few");
        tokio::select! {
            Some(()) = under_way.next() => {}
            group = commands.next(), if room => match group {
                None => open = false,
                Some(group) => {
                    let (works, closing) = sorted(group);
                    open = !closing;
                    under_way.push(write_group(&connections, works));
                }
            },
        }
    }
    commands.close();
    while let Some(rest) = commands.next().await {
        refuse(rest);
    }
}

type Work = (Vec<Prepared>, oneshot::Sender<Result<Answers, Error>>);

/// What is to be written of a group, and whether it is the last.
fn sorted(group: Vec<Command>) -> (Vec<Work>, bool) {
    let mut works = Vec::with_capacity(group.len());
    let mut commands = group.into_iter();
    for command in commands.by_ref() {
        match command {
            Command::Commit { rows, answer } => works.push((rows, answer)),
            Command::Close => {
                refuse(commands.collect());
                return (works, true);
            }
        }
    }
    (works, false)
}

fn refuse(commands: Vec<Command>) {
    for command in commands {
        if let Command::Commit { answer, .. } = command {
            let _ = answer.send(Err(failure::closed()));
        }
    }
}

async fn write_group(connections: &Connections, works: Vec<Work>) {
    let begun = Instant::now();
    let rows: Vec<&Prepared> = works.iter().flat_map(|(rows, _)| rows).collect();
    let mut answers = Vec::with_capacity(rows.len());
    while answers.len() < rows.len() {
        let length = statement_length(&rows, answers.len());
        let now = &rows[answers.len()..answers.len() + length];
        answers.extend(write_rows(connections, now).await);
    }
    metrics::committed(works.len(), begun);
    let mut answers = answers.into_iter();
    for (rows, answer) in works {
        let own: Answers = answers.by_ref().take(rows.len()).collect();
        // Nobody waits for it any more: it is done all the same.
        let _ = answer.send(together(own));
    }
}

/// How many rows from `begin` on go into one statement.
fn statement_length(rows: &[&Prepared], begin: usize) -> usize {
    let mut bytes = 0;
    let within = rows[begin..].iter().take(STATEMENT_ROWS).take_while(|row| {
        bytes += row.commit.bytes();
        bytes <= STATEMENT_BYTES
    });
    let fit = within.count().max(1);
    distinct(&rows[..begin + fit], begin)
}

/// If none of the rows was written, or nobody knows of any: one error for all.
fn together(answers: Answers) -> Result<Answers, Error> {
    let as_a_whole =
        |answer: &Result<_, _>| matches!(answer, Err(Error::Unavailable(_) | Error::Unknown(_)));
    if answers.iter().all(as_a_whole) {
        let unknown = answers.iter().find(|answer| matches!(answer, Err(Error::Unknown(_))));
        if let Some(Err(error)) = unknown.or_else(|| answers.first()) {
            return Err(error.clone());
        }
    }
    Ok(answers)
}

/// Writes rows by one statement; if the database refuses some row, halves them until it is alone.
fn write_rows<'a>(
    connections: &'a Connections,
    rows: &'a [&'a Prepared],
) -> BoxFuture<'a, Answers> {
    async move {
        let failed = match write_at_once(connections, rows, false).await {
            Ok(answers) => return answers,
            Err(failed) => failed,
        };
        match (&failed, rows) {
            // JSON that JSONB does not hold after all is kept as bytes.
            (Error::Refused(_), [row]) if row.json => {
                let again = write_at_once(connections, rows, true).await;
                again.unwrap_or_else(|error| vec![Err(error)])
            }
            (Error::Refused(_), [_, _, ..]) => {
                metrics::repeated("refused");
                let (left, right) = rows.split_at(rows.len() / 2);
                let mut answers = write_rows(connections, left).await;
                answers.extend(write_rows(connections, right).await);
                answers
            }
            _ => rows.iter().map(|_| Err(failed.clone())).collect(),
        }
    }
    .boxed()
}

async fn write_at_once(
    connections: &Connections,
    rows: &[&Prepared],
    as_bytes: bool,
) -> Result<Answers, Error> {
    let writable: Vec<&Prepared> = rows.iter().copied().filter(|row| row.kind.is_some()).collect();
    let mut written = Vec::new();
    if !writable.is_empty() {
        written = write_writable(connections, writable, as_bytes).await?;
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
    rows: Vec<&Prepared>,
    as_bytes: bool,
) -> Result<Answers, Error> {
    let told = (rows, as_bytes);
    let mut answers = connections.commit(&told, |c, told| commit(c, told).boxed()).await?;
    for (row, answer) in told.0.iter().zip(&mut answers) {
        // One that expects anything was overtaken by another group, which made the row under it.
        let anything = matches!(row.kind, Some(Kind::Over | Kind::Deleted(None)));
        for _ in 0..ATTEMPTS {
            if !anything || !matches!(answer, Err(Error::Conflict(_))) {
                break;
            }
            metrics::repeated("overtaken");
            let told = (vec![*row], as_bytes);
            let again = connections.commit(&told, |c, told| commit(c, told).boxed()).await;
            *answer = again.and_then(|mut answers| answers.remove(0));
        }
    }
    Ok(answers)
}
