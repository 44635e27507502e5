//! What every coordination service must do, as a suite that each implementation runs.
//!
//! Named cases for what is easily got wrong, and random histories of several writers whose watches
//! are held against a model. Violations are values, not panics.

mod commits;
mod history;
mod leases;
mod watches;

use std::{fmt, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::{StreamExt as _, future::BoxFuture, stream::BoxStream};

use crate::{Batch, Coordination, Error, Guard, LeaseId, Op};

/// A kind of coordination service.
pub trait Subject: Sync {
    /// The service, as seen under a prefix.
    fn open<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<Arc<dyn Coordination>, Error>>;

    /// Makes it forget what happened up to a revision.
    fn compact(&self, revision: u64) -> BoxFuture<'_, Result<(), Error>>;
}

/// How a service breaks the contract.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation(String);

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Violation {}

impl From<Error> for Violation {
    fn from(error: Error) -> Self {
        Self(format!("it failed: {error}"))
    }
}

/// What a claim answers.
type Verdict = Result<(), Violation>;

/// Fails the claim, in words, unless the condition holds.
macro_rules! ensure {
    ($condition:expr, $($told:tt)+) => {
        if !$condition {
            return Err($crate::contract::Violation(format!($($told)+)));
        }
    };
}
pub(crate) use ensure;

/// A place to try a claim at: nobody else uses its prefix.
struct Place<'a> {
    service: Arc<dyn Coordination>,
    subject: &'a dyn Subject,
    prefix: String,
}

/// A claim about a service, and how it is tried.
struct Case {
    claim: &'static str,
    holds: for<'a> fn(Place<'a>) -> BoxFuture<'a, Verdict>,
}

/// Claims about one thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// Commits and reads.
    Commits,
    /// Watches.
    Watches,
    /// Leases.
    Leases,
}

impl Group {
    /// Every group there is.
    pub const ALL: [Self; 3] = [Self::Commits, Self::Watches, Self::Leases];

    fn cases(self) -> &'static [Case] {
        match self {
            Self::Commits => commits::CASES,
            Self::Watches => watches::CASES,
            Self::Leases => leases::CASES,
        }
    }
}

/// A case of an async function.
macro_rules! case {
    ($claim:literal, $holds:path) => {
        $crate::contract::Case { claim: $claim, holds: |place| Box::pin($holds(place)) }
    };
}
use case;

/// Tries every named case, each under a prefix of its own.
///
/// # Errors
/// The first violation, after its claim.
pub async fn check_cases(subject: &dyn Subject) -> Result<(), Violation> {
    for group in Group::ALL {
        check_group(subject, group).await?;
    }
    Ok(())
}

/// Tries the cases about one thing.
///
/// # Errors
/// The first violation, after its claim.
pub async fn check_group(subject: &dyn Subject, group: Group) -> Result<(), Violation> {
    for (index, Case { claim, holds }) in group.cases().iter().enumerate() {
        let told = |violation: Violation| Violation(format!("{claim}: {violation}"));
        let prefix = format!("/{group:?}-{index}").to_lowercase();
        let service = subject.open(&prefix).await.map_err(|error| told(error.into()))?;
        holds(Place { service, subject, prefix }).await.map_err(told)?;
    }
    Ok(())
}

/// Plays random histories of several writers, one per seed, and holds what watches tell of each
/// against what was answered.
///
/// # Errors
/// The first violation, with its seed.
pub async fn check_histories(
    subject: &dyn Subject,
    seeds: impl IntoIterator<Item = u64>,
    steps: usize,
) -> Result<(), Violation> {
    for seed in seeds {
        let told = |violation| Violation(format!("seed {seed}: {violation}"));
        let service = subject.open(&format!("/history-{seed}")).await;
        let service = service.map_err(|error| told(error.into()))?;
        history::play(service, seed, steps).await.map_err(told)?;
    }
    Ok(())
}

fn put(key: &str, value: &str) -> Op {
    put_leased(key, value, None)
}

fn put_leased(key: &str, value: &str, lease: Option<LeaseId>) -> Op {
    Op::Put { key: key.to_owned(), value: Bytes::copy_from_slice(value.as_bytes()), lease }
}

fn delete(key: &str) -> Op {
    Op::Delete(key.to_owned())
}

fn absent(key: &str) -> Guard {
    Guard::Absent(key.to_owned())
}

fn written_at(key: &str, revision: u64) -> Guard {
    Guard::Revision(key.to_owned(), revision)
}

/// A commit that must be done.
async fn commit(
    service: &dyn Coordination,
    guards: &[Guard],
    ops: &[Op],
) -> Result<u64, Violation> {
    let done = service.commit(guards.to_vec(), ops.to_vec()).await?;
    done.ok_or_else(|| Violation(format!("{ops:?} is refused, though {guards:?} hold")))
}

/// The next batch, which must come soon.
async fn next(
    watch: &mut BoxStream<'static, Result<Batch, Error>>,
) -> Result<Result<Batch, Error>, Violation> {
    let batch = tokio::time::timeout(Duration::from_secs(20), watch.next()).await;
    let batch = batch.map_err(|_| Violation("a watch tells nothing".to_owned()))?;
    batch.ok_or_else(|| Violation("a watch ended without a word".to_owned()))
}
