//! Claims about commits: what is expected, what changes, all of it or nothing.

use bytes::Bytes;
use futures_util::future::join_all;
use wasmverse_core::{ObjectId, Version};

use super::{Case, EPOCH, Verdict, case, commit_one, delete, ensure, load, object, put, touch};
use crate::{Change, Commit, Error, Expected, STORAGE_KEY_BYTES_MAX, Store};

pub(super) const CASES: &[Case] = &[
    case!("what is expected decides, and a version counts the writes", expectations),
    case!("a touched row is what it was but for its version", touches),
    case!("a row without a living object cannot be touched", touches_nothing),
    case!("what is not there can be deleted, and that writes nothing", deletes_nothing),
    case!("an object may stand in a batch more than once, in order", twice),
    case!("a row that is refused changes neither state nor storage", all_or_nothing),
    case!("what expects anything is never a conflict, however many write at once", at_once),
    case!("rows that the store refuses harm no other of their batch", refused_alone),
    case!("an object that is made again begins with nothing", made_again),
];

fn of(object: &ObjectId, expected: Expected, change: Change) -> Commit {
    Commit { expected, change, ..put(object, None, "") }
}

fn put_over(object: &ObjectId, expected: Expected, json: &str) -> Commit {
    Commit { expected, ..put(object, None, json) }
}

/// Whether an answer is the version (or, for none, a conflict).
fn is(answer: &Result<Version, Error>, version: Option<u64>) -> bool {
    match (answer, version) {
        (Ok(found), Some(version)) => *found == Version(version),
        (Err(Error::Conflict(_)), None) => true,
        _ => false,
    }
}

async fn expectations(store: &dyn Store) -> Verdict {
    let object = object("T", "a");
    let v = |version| Expected::Version(Version(version));
    let put = |expected| put_over(&object, expected, "1");
    let gone = |expected| of(&object, expected, Change::Delete);
    let touched = |expected| of(&object, expected, Change::Touch);
    let steps = [
        (put(v(1)), None),
        (put(Expected::Any), Some(1)),
        (put(Expected::Absent), None),
        (put(Expected::Any), Some(2)),
        (put(v(2)), Some(3)),
        (put(v(2)), None),
        (touched(v(2)), None),
        (touched(v(3)), Some(4)),
        (touched(Expected::Any), Some(5)),
        (touched(Expected::Absent), None),
        (gone(v(4)), None),
        (gone(Expected::Absent), None),
        (gone(v(5)), Some(6)),
        (gone(v(6)), None),
        (gone(Expected::Any), Some(0)),
        (gone(Expected::Absent), Some(0)),
        (put(v(6)), None),
        (touched(v(6)), None),
        (put(Expected::Any), Some(7)),
        (gone(Expected::Any), Some(8)),
        (put(Expected::Absent), Some(9)),
        (put(v(u64::MAX)), None),
        (gone(v(u64::MAX)), None),
        (touched(v(0)), None),
    ];
    for (n, (row, wanted)) in steps.into_iter().enumerate() {
        let told = format!("{:?} with {:?}", row.expected, row.change);
        let answer = commit_one(store, row).await?;
        ensure!(is(&answer, wanted), "step {n}: {told} got {answer:?}, not {wanted:?}");
    }
    Ok(())
}

async fn touches(store: &dyn Store) -> Verdict {
    let object = object("T", "a");
    commit_one(store, put(&object, None, "[1]")).await??;
    let before = load(store, &object).await?;
    commit_one(store, touch(&object, &[("k", Some("v"))])).await??;
    let after = load(store, &object).await?;
    ensure!(after.version == Version(2), "it is of {:?}", after.version);
    let same = after.state == before.state
        && after.digest == before.digest
        && after.revision == before.revision
        && after.created_at_micros == before.created_at_micros
        && after.updated_at_micros >= before.updated_at_micros;
    ensure!(same, "{before:?} became {after:?}");
    Ok(())
}

async fn touches_nothing(store: &dyn Store) -> Verdict {
    let object = object("T", "a");
    for _ in 0..2 {
        let answer = commit_one(store, touch(&object, &[("k", Some("v"))])).await?;
        ensure!(matches!(answer, Err(Error::Conflict(_))), "it answers {answer:?}");
        ensure!(store.storage_get(&object, "k").await?.is_none(), "and yet it wrote storage");
        ensure!(store.load(&object).await?.is_none(), "and yet it made an object");
        commit_one(store, put(&object, None, "1")).await??;
        delete(store, &object).await?;
    }
    Ok(())
}

async fn deletes_nothing(store: &dyn Store) -> Verdict {
    let object = object("T", "a");
    ensure!(!delete(store, &object).await?, "a stranger was deleted");
    let first = commit_one(store, put(&object, None, "1")).await??;
    ensure!(first == Version(1), "to delete nothing has written something: {first:?}");
    Ok(())
}

async fn twice(store: &dyn Store) -> Verdict {
    let [a, b] = ["a", "b"].map(|id| object("T", id));
    let v = |version| Expected::Version(Version(version));
    let batch = vec![
        put(&a, None, "1"),
        put(&b, None, "1"),
        put_over(&a, v(1), "2"),
        put_over(&a, v(1), "3"),
        touch(&a, &[("k", Some("1"))]),
        of(&a, v(3), Change::Delete),
        put(&a, None, "4"),
        touch(&b, &[("k", Some("2"))]),
        touch(&b, &[("k", None), ("l", Some("3"))]),
    ];
    let answers = store.commit(batch).await?;
    let versions: Vec<_> = answers.iter().map(|a| a.as_ref().ok().map(|v| v.0)).collect();
    let wanted = [1, 1, 2, 0, 3, 4, 5, 2, 3].map(|n| (n > 0).then_some(n));
    ensure!(versions == wanted, "it answers {answers:?}");
    let data = load(store, &a).await?.state.map(|state| state.data);
    ensure!(data == Some("4".into()), "the last one is {data:?}");
    ensure!(store.storage_get(&a, "k").await?.is_none(), "it holds what was deleted");
    ensure!(store.storage_get(&b, "k").await?.is_none(), "the last one unset it");
    ensure!(store.storage_get(&b, "l").await?.is_some(), "the last one set it");
    Ok(())
}

async fn at_once(store: &dyn Store) -> Verdict {
    for round in 0..10 {
        let object = object("T", &round.to_string());
        let writers = (0..8).map(|_| store.commit(vec![put_over(&object, Expected::Any, "1")]));
        let mut versions = Vec::new();
        for answer in join_all(writers).await {
            versions.push(answer?.remove(0)?.0);
        }
        versions.sort_unstable();
        ensure!(versions.iter().copied().eq(1..=8), "they got the versions {versions:?}");
    }
    Ok(())
}

async fn all_or_nothing(store: &dyn Store) -> Verdict {
    let object = object("T", "a");
    let with = |row: Commit, value: &'static str| {
        let storage = vec![("k".to_owned(), Some(Bytes::from(value)))];
        Commit { storage, ..row }
    };
    commit_one(store, with(put(&object, None, "1"), "1")).await??;
    let fenced = Commit { epoch: wasmverse_core::Epoch(EPOCH.0 + 1), ..put(&object, None, "2") };
    let wrong = [
        put(&object, None, "2"),
        put(&object, Some(Version(2)), "2"),
        Commit { expected: Expected::Any, ..fenced },
        of(&object, Expected::Version(Version(2)), Change::Touch),
    ];
    for row in wrong {
        let told = format!("{row:?}");
        let answer = commit_one(store, with(row, "2")).await?;
        ensure!(answer.is_err(), "{told} got {answer:?}");
        let value = store.storage_get(&object, "k").await?;
        let data = load(store, &object).await?.state.map(|state| state.data);
        let untouched = value == Some("1".into()) && data == Some("1".into());
        ensure!(untouched, "{told} left {data:?} and {value:?}");
    }
    Ok(())
}

async fn refused_alone(store: &dyn Store) -> Verdict {
    let keyed = |n: usize, key: String| {
        let storage = vec![("good".to_owned(), Some("1".into())), (key, Some("2".into()))];
        Commit { storage, ..put(&object("T", &n.to_string()), None, "1") }
    };
    let long = "k".repeat(STORAGE_KEY_BYTES_MAX);
    let bad = [(3, "\0".to_owned()), (50, format!("{long}k")), (51, "good".to_owned())];
    let rows = (0..60).map(|n| {
        let of_row = bad.iter().find(|(at, _)| *at == n);
        keyed(n, of_row.map_or_else(|| long.clone(), |(_, key)| key.clone()))
    });
    let answers = store.commit(rows.collect()).await?;
    for (n, answer) in answers.iter().enumerate() {
        let object = object("T", &n.to_string());
        let is_bad = bad.iter().any(|(at, _)| *at == n);
        let right = if is_bad { matches!(answer, Err(Error::Refused(_))) } else { answer.is_ok() };
        ensure!(right, "row {n} got {answer:?}");
        let there = store.load(&object).await?.is_some();
        let kept = store.storage_get(&object, "good").await?.is_some();
        ensure!(there != is_bad && kept != is_bad, "row {n}: {there}, its storage: {kept}");
    }
    Ok(())
}

async fn made_again(store: &dyn Store) -> Verdict {
    let object = object("T", "a");
    for _ in 0..3 {
        commit_one(store, put(&object, None, "1")).await??;
        commit_one(store, touch(&object, &[("a", Some("1")), ("b", Some("2"))])).await??;
        ensure!(delete(store, &object).await?, "it was there");
        ensure!(store.storage_get(&object, "a").await?.is_none(), "storage outlived its object");
        let made = commit_one(store, put(&object, None, "2")).await??;
        let page = store.storage_scan(&object, "", None, 10).await?;
        ensure!(page.rows.is_empty(), "{made:?} was born with {page:?}");
        ensure!(delete(store, &object).await?, "it was there");
    }
    Ok(())
}
