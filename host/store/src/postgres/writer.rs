//! The task that commits: takes what has gathered, writes it, answers. What turns out to take long
//! is set aside, and written while others are.

use std::{
    collections::{HashSet, VecDeque},
    sync::Arc,
    time::Instant,
};

use futures_util::{StreamExt as _, stream::FuturesUnordered};
use tokio::sync::{mpsc, oneshot};
use wasmverse_core::Version;

use super::{
    connections::Connections,
    failure,
    rows::{Told, write_again, write_rows},
};
use crate::{
    Error,
    group::{Gathering, Weighs, Weight},
    metrics,
    prepared::{Prepared, distinct},
};

/// Groups under way at once, each on a connection of its own. Measured against one: as fast with 64
/// callers, a quarter more rows a second with 256.
pub(super) const IN_FLIGHT: u32 = 2;
/// The most that one statement writes; a row with more bytes goes alone.
const STATEMENT_ROWS: usize = 512;
const STATEMENT_BYTES: usize = 8 << 20;
/// The most commands that are set aside; beyond that they are given up.
const SLOW_MAX: usize = 16;

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
    let in_flight = usize::try_from(IN_FLIGHT).expect("a few");
    let mut commands = Gathering::new(commands);
    let (mut groups, mut waiting) = (FuturesUnordered::new(), VecDeque::new());
    // One at a time: the other connection is for whatever comes.
    let mut slow = FuturesUnordered::new();
    let mut open = true;
    while open || !groups.is_empty() || !slow.is_empty() {
        if slow.is_empty()
            && groups.len() < in_flight
            && let Some(next) = waiting.pop_front()
        {
            slow.push(write_slow(&connections, next));
        }
        let room = open && groups.len() + slow.len() < in_flight;
        tokio::select! {
            Some(set_aside) = groups.next() => waiting.extend(set_aside),
            Some(()) = slow.next() => {}
            group = commands.next(), if room => match group {
                None => open = false,
                Some(group) => {
                    let (works, closing) = sorted(group);
                    open = !closing;
                    groups.push(write_group(&connections, works));
                }
            },
        }
        let keep = if open { SLOW_MAX } else { 0 };
        waiting.drain(keep.min(waiting.len())..).for_each(Slow::give_up);
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

/// Writes a group, and answers; what takes long is left.
async fn write_group(connections: &Connections, works: Vec<Work>) -> Vec<Slow> {
    let begun = Instant::now();
    let rows: Vec<&Prepared> = works.iter().flat_map(|(rows, _)| rows).collect();
    let mut answers: Vec<Told> = Vec::with_capacity(rows.len());
    let mut slow = HashSet::new();
    while answers.len() < rows.len() {
        let length = statement_length(&rows, answers.len());
        let now = &rows[answers.len()..answers.len() + length];
        // What is to be done to an object waits for what was to be done before.
        let ready: Vec<_> = now.iter().copied().filter(|row| !slow.contains(&row.name())).collect();
        let mut written = write_rows(connections, &ready).await.into_iter();
        for row in now {
            let answer = if slow.contains(&row.name()) { None } else { written.next().flatten() };
            if answer.is_none() {
                slow.insert(row.name());
            }
            answers.push(answer);
        }
    }
    drop(slow);
    metrics::committed(works.len(), begun);
    let mut answers = answers.into_iter();
    let mut left = Vec::new();
    for (rows, answer) in works {
        let own: Vec<Told> = answers.by_ref().take(rows.len()).collect();
        if own.iter().all(Option::is_some) {
            // Nobody waits for it any more: it is done all the same.
            let _ = answer.send(together(own.into_iter().flatten().collect()));
        } else {
            left.push(Slow { rows, answer, own, since: Instant::now() });
        }
    }
    left
}

/// A command with rows that take long.
struct Slow {
    rows: Vec<Prepared>,
    answer: oneshot::Sender<Result<Answers, Error>>,
    /// What its rows are answered, as far as they were written.
    own: Vec<Told>,
    since: Instant,
}

impl Slow {
    /// Answers; what was not written is given up.
    fn give_up(self) {
        let too_long = || Err(Error::Unavailable("it takes too long".to_owned()));
        let own = self.own.into_iter().map(|answer| answer.unwrap_or_else(too_long));
        let _ = self.answer.send(together(own.collect()));
    }
}

/// Writes what is left, row by row. If one is too slow even so, what comes after it is not tried,
/// and nothing is if it has waited for long.
async fn write_slow(connections: &Connections, mut slow: Slow) {
    let limit = connections.limits.slow;
    if slow.since.elapsed() < limit {
        metrics::repeated("slow");
        for (row, answer) in slow.rows.iter().zip(&mut slow.own) {
            if answer.is_none() {
                *answer = write_again(connections, limit, row).await;
                if answer.is_none() {
                    break;
                }
            }
        }
    }
    slow.give_up();
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
