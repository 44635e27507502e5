//! What every store must do, as a suite that each implementation runs.
//!
//! Named cases for what is easily got wrong, and random histories held against a model. Violations
//! are values, not panics: the suite is run against stores that are broken on purpose, too.

mod beside;
mod beside_pages;
mod commits;
mod dead_letters;
mod dice;
mod dumps;
mod effects;
mod fences;
mod history;
mod lists;
mod model;
mod objects;
mod raises;
mod random_effects;
mod random_reads;
mod random_rows;
mod reminders;
mod results;
mod revisions;
mod sends;
mod storage;
mod unknown;
mod unsure;

use std::{fmt, sync::Arc};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use wasmverse_core::{
    Durability, Encoding, Epoch, ObjectId, RevisionNumber, ShardId, State, Version,
};

use crate::{Change, Commit, Error, Expected, Owner, Store, StoredObject};
pub use unsure::Unsure;

/// A kind of store.
pub trait Subject: Sync {
    /// Opens the database of that name, and makes it if there is none.
    fn open<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Arc<dyn Store>, Error>>;

    /// Whether a database that was closed can be opened again, with all that it held.
    fn survives(&self) -> bool;

    /// Whether a store always says what became of a commit.
    fn sure(&self) -> bool {
        true
    }
}

/// How a store breaks the contract.
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

/// A claim about a store, and how it is tried.
struct Case {
    claim: &'static str,
    holds: for<'a> fn(&'a dyn Store) -> BoxFuture<'a, Verdict>,
}

/// A case of an async function.
macro_rules! case {
    ($claim:literal, $holds:path) => {
        $crate::contract::Case { claim: $claim, holds: |store| Box::pin($holds(store)) }
    };
}
use case;

/// Tries every named case, each on a database of its own.
///
/// # Errors
/// The first violation, after its claim.
pub async fn check_cases(subject: &dyn Subject) -> Verdict {
    for (group, cases) in [
        ("object", objects::CASES),
        ("commit", commits::CASES),
        ("storage", storage::CASES),
        ("result", results::CASES),
        ("send", sends::CASES),
        ("letter", dead_letters::CASES),
        ("reminder", reminders::CASES),
        ("beside", beside_pages::CASES),
        ("fence", fences::CASES),
        ("raise", raises::CASES),
        ("list", lists::CASES),
        ("type", revisions::CASES),
        ("dump", dumps::CASES),
    ] {
        for (index, Case { claim, holds }) in cases.iter().enumerate() {
            let told = |violation| Violation(format!("{claim}: {violation}"));
            let store = subject.open(&format!("{group}-{index}")).await.map_err(Violation::from);
            let store = store.map_err(told)?;
            if !matches!(group, "dump" | "fence" | "raise") {
                claim_shard(&*store).await.map_err(told)?;
            }
            holds(&*store).await.map_err(told)?;
            closes(&*store).await.map_err(told)?;
        }
    }
    dumps::moves(subject).await?;
    if subject.survives() { objects::survives(subject).await } else { Ok(()) }
}

/// Plays random histories of `steps` steps, one per seed, and holds each against a model.
///
/// # Errors
/// The first violation, with its seed and step.
pub async fn check_histories(
    subject: &dyn Subject,
    seeds: impl IntoIterator<Item = u64>,
    steps: usize,
) -> Verdict {
    for seed in seeds {
        history::play(subject, seed, steps).await?;
    }
    Ok(())
}

/// A closed store says so, and may be closed again.
async fn closes(store: &dyn Store) -> Verdict {
    store.close().await?;
    store.close().await?;
    let object = object("T", "a");
    for answer in [
        store.load(&object).await.err(),
        store.commit(vec![put(&object, None, "1")]).await.err(),
        store.claim(owner("late"), vec![(SHARD, Epoch(0))]).await.err(),
        store.raise(owner("late"), vec![(SHARD, Epoch(0))]).await.err(),
        store.epochs().await.err(),
        store.storage_get(&object, "key").await.err(),
        store.storage_scan(&object, "", None, 1).await.err(),
        store.list(None, "", None, 1).await.err(),
        store.active_revisions().await.err(),
        store.status().await.err(),
        store.result(&object, &effects::key("", "k")).await.err(),
        store.result_keys(&object, 1).await.err(),
        store.forget_results(std::time::Duration::ZERO).await.err(),
        store.sends(effects::EVERYWHERE, None, 1).await.err(),
        store.reminders(&object).await.err(),
        store.due(effects::EVERYWHERE, 0, None, 1).await.err(),
        store.dead_letters(None, 0, 1).await.err(),
        store.dead_letter(1).await.err(),
    ] {
        ensure!(matches!(answer, Some(Error::Unavailable(_))), "a closed store answers {answer:?}");
    }
    Ok(())
}

/// The shard of all objects, unless a case says otherwise, and its epoch.
const SHARD: ShardId = ShardId(7);
const EPOCH: Epoch = Epoch(1);

fn owner(incarnation: &str) -> Owner {
    Owner { node: "node".to_owned(), incarnation: incarnation.to_owned() }
}

/// Claims the shard of all objects.
async fn claim_shard(store: &dyn Store) -> Verdict {
    let claimed = store.claim(owner("suite"), vec![(SHARD, Epoch(0))]).await?;
    ensure!(claimed == [(SHARD, EPOCH)], "the first claim gets {claimed:?}");
    Ok(())
}

/// Claims others, whose epoch is the same then.
async fn claim_shards(store: &dyn Store, shards: &[ShardId]) -> Verdict {
    let wanted = shards.iter().map(|shard| (*shard, Epoch(0))).collect();
    let claimed = store.claim(owner("suite"), wanted).await?;
    ensure!(claimed.iter().all(|(_, epoch)| *epoch == EPOCH), "the first claim gets {claimed:?}");
    Ok(())
}

fn object(type_name: &str, id: &str) -> ObjectId {
    ObjectId::parse(type_name, id).expect("the suite names objects well")
}

/// A row with this state.
fn put_state(
    object: &ObjectId,
    expected: Option<Version>,
    encoding: Encoding,
    state: Option<State>,
) -> Commit {
    Commit {
        object: object.clone(),
        shard: SHARD,
        epoch: EPOCH,
        expected: expected.map_or(Expected::Absent, Expected::Version),
        change: Change::Put {
            state,
            encoding,
            durability: Durability::Durable,
            revision: RevisionNumber(1),
        },
        storage: Vec::new(),
        effects: Vec::new(),
    }
}

/// A row with JSON state; none expected: there must be no row.
fn put(object: &ObjectId, expected: Option<Version>, json: &str) -> Commit {
    let state = State { schema: 1, data: Bytes::copy_from_slice(json.as_bytes()) };
    put_state(object, expected, Encoding::Json, Some(state))
}

/// A row that changes nothing but what is told of storage.
fn touch(object: &ObjectId, storage: &[(&str, Option<&'static str>)]) -> Commit {
    let value = |value: &'static str| Bytes::from_static(value.as_bytes());
    let keys = storage.iter().map(|(key, held)| ((*key).to_owned(), held.map(value)));
    let (expected, change) = (Expected::Any, Change::Touch);
    Commit { expected, change, storage: keys.collect(), ..put(object, None, "") }
}

/// Commits one row.
async fn commit_one(store: &dyn Store, row: Commit) -> Result<Result<Version, Error>, Violation> {
    let mut answers = store.commit(vec![row]).await?;
    ensure!(answers.len() == 1, "one row got {} answers", answers.len());
    Ok(answers.remove(0))
}

/// Deletes an object, whatever its version; answers whether it was there.
async fn delete(store: &dyn Store, object: &ObjectId) -> Result<bool, Violation> {
    let (expected, change) = (Expected::Any, Change::Delete);
    let row = Commit { expected, change, ..put(object, None, "") };
    Ok(commit_one(store, row).await?? != Version(0))
}

async fn load(store: &dyn Store, object: &ObjectId) -> Result<StoredObject, Violation> {
    let found = store.load(object).await?;
    found.ok_or_else(|| Violation(format!("{object} was saved and is not there")))
}

/// JSON may come back in other words, as long as it means the same; all else byte for byte.
fn same(encoding: Encoding, left: Option<&State>, right: Option<&State>) -> bool {
    let json = |state: &State| serde_json::from_slice::<serde_json::Value>(&state.data).ok();
    match (left, right) {
        (Some(left), Some(right)) if encoding == Encoding::Json && left.data != right.data => {
            let (meant, found) = (json(left), json(right));
            left.schema == right.schema && meant.is_some() && meant == found
        }
        _ => left == right,
    }
}

#[cfg(test)]
mod broken;
