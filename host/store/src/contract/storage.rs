//! Claims about keyed storage: it holds what was last set, in the order of bytes.

use std::collections::BTreeMap;

use bytes::Bytes;
use wasmverse_core::ObjectId;

use super::{Case, Verdict, Violation, case, commit_one, delete, ensure, object, put, touch};
use crate::{Change, Commit, Expected, STORAGE_PAGE_BYTES, Store};

pub(super) const CASES: &[Case] = &[
    case!("a key holds what was last set, and nothing once it is unset", holds),
    case!("storage is its object's own", own),
    case!("any key is a key, and pages together are all of them in the order of bytes", scans),
    case!("a page is bounded by bytes, and has at least one row", bounded),
    case!("many keys in one commit are all set, and all unset", many),
    case!("a deleted object has no storage", deleted),
    case!("keys are counted, whatever a batch does to them", counted),
    case!("much storage goes with its object, and harms no other of its batch", much),
];

fn keyed(object: &ObjectId, storage: Vec<(String, Option<Bytes>)>) -> Commit {
    Commit { storage, ..touch(object, &[]) }
}

async fn holds(store: &dyn Store) -> Verdict {
    let object = object("T", "a");
    ensure!(store.storage_get(&object, "k").await?.is_none(), "a stranger has storage");
    let first = Commit { storage: vec![("k".into(), Some("1".into()))], ..put(&object, None, "1") };
    commit_one(store, first).await??;
    for (value, wanted) in [
        (None, Some("1")),
        (Some(Some("2")), Some("2")),
        (Some(Some("")), Some("")),
        (Some(None), None),
    ] {
        let keys: Vec<_> = value.map(|value| ("k", value)).into_iter().collect();
        commit_one(store, touch(&object, &keys)).await??;
        let found = store.storage_get(&object, "k").await?;
        ensure!(found == wanted.map(Bytes::from), "{value:?} became {found:?}");
    }
    Ok(())
}

async fn own(store: &dyn Store) -> Verdict {
    let objects = [object("T", "a"), object("T", "aa"), object("U", "a"), object("T", "A")];
    for (n, object) in objects.iter().enumerate() {
        commit_one(store, put(object, None, "1")).await??;
        let value = Some(Bytes::from(n.to_string()));
        commit_one(store, keyed(object, vec![("k".into(), value)])).await??;
    }
    commit_one(store, touch(&objects[1], &[("k", None)])).await??;
    ensure!(delete(store, &objects[2]).await?, "it was there");
    for (n, object) in objects.iter().enumerate() {
        let found = store.storage_get(object, "k").await?;
        let wanted = (n % 3 == 0).then(|| Bytes::from(n.to_string()));
        ensure!(found == wanted, "{object} holds {found:?}");
        let page = store.storage_scan(object, "", None, 9).await?;
        ensure!(page.rows.len() == usize::from(n % 3 == 0), "{object} lists {page:?}");
    }
    Ok(())
}

const KEYS: [&str; 21] = [
    "",
    " ",
    "%",
    "'",
    "A",
    "Z",
    "\\",
    "_",
    "a",
    "a\u{1}",
    "a%",
    "a/b",
    "a_",
    "a_b",
    "aa",
    "b",
    "é",
    "\u{d7ff}",
    "\u{e000}",
    "😀",
    "\u{10ffff}\u{10ffff}",
];

/// All pages of a scan.
async fn walk(
    store: &dyn Store,
    object: &ObjectId,
    prefix: &str,
    limit: u32,
) -> Result<Vec<(String, Bytes)>, Violation> {
    let mut found: Vec<(String, Bytes)> = Vec::new();
    loop {
        let after = found.last().map(|(key, _)| key.clone());
        let page = store.storage_scan(object, prefix, after.as_deref(), limit).await?;
        ensure!(page.rows.len() <= limit as usize, "a page of {limit}: {}", page.rows.len());
        ensure!(!page.more || !page.rows.is_empty(), "an empty page is not the last");
        found.extend(page.rows);
        if !page.more {
            return Ok(found);
        }
    }
}

fn listed(rows: &[(String, Bytes)]) -> Vec<(&str, &Bytes)> {
    rows.iter().map(|(key, value)| (key.as_str(), value)).collect()
}

async fn scans(store: &dyn Store) -> Verdict {
    let object = object("T", "a");
    commit_one(store, put(&object, None, "1")).await??;
    let all: BTreeMap<String, Bytes> =
        KEYS.iter().map(|key| ((*key).to_owned(), Bytes::from(format!("of {key}")))).collect();
    let set = all.iter().rev().map(|(key, value)| (key.clone(), Some(value.clone())));
    commit_one(store, keyed(&object, set.collect())).await??;
    for prefix in ["", "a", "a_", "\u{10ffff}", "é", "nobody's", "%"] {
        let wanted = all.iter().filter(|(key, _)| key.starts_with(prefix));
        let wanted: Vec<_> = wanted.map(|(key, value)| (key.as_str(), value)).collect();
        for limit in [1, 2, 5, 20, 21, 22, u32::MAX] {
            let found = walk(store, &object, prefix, limit).await?;
            ensure!(listed(&found) == wanted, "`{prefix}` by {limit}: {found:?}");
        }
        for after in KEYS.into_iter().chain(["a!", "zz", "\u{10ffff}"]) {
            let page = store.storage_scan(&object, prefix, Some(after), 100).await?;
            let beyond = wanted.partition_point(|(key, _)| *key <= after);
            let right = listed(&page.rows) == wanted[beyond..];
            ensure!(right && !page.more, "`{prefix}` after `{after}`: {page:?}");
        }
    }
    for key in KEYS {
        ensure!(store.storage_get(&object, key).await? == all.get(key).cloned(), "`{key}`");
    }
    let none = store.storage_scan(&object, "", None, 0).await?;
    ensure!(none.rows.is_empty() && none.more, "a page of nothing has {none:?}");
    Ok(())
}

async fn bounded(store: &dyn Store) -> Verdict {
    let object = object("T", "a");
    commit_one(store, put(&object, None, "1")).await??;
    let large = Bytes::from(vec![7; STORAGE_PAGE_BYTES / 4]);
    let huge = Bytes::from(vec![8; STORAGE_PAGE_BYTES * 2]);
    let set = (0..12).map(|n| {
        let value = if n == 6 { &huge } else { &large };
        (format!("{n:02}"), Some(value.clone()))
    });
    commit_one(store, keyed(&object, set.collect())).await??;
    let first = store.storage_scan(&object, "", None, 100).await?;
    ensure!((3..=6).contains(&first.rows.len()) && first.more, "it has {}", first.rows.len());
    let found = walk(store, &object, "", 100).await?;
    let right = found.iter().enumerate().all(|(n, (key, value))| {
        *key == format!("{n:02}") && *value == if n == 6 { &huge } else { &large }
    });
    ensure!(right && found.len() == 12, "pages together have {}", found.len());
    let page = store.storage_scan(&object, "06", None, 100).await?;
    ensure!(page.rows.len() == 1 && !page.more, "a huge row alone: {}", page.rows.len());
    Ok(())
}

async fn many(store: &dyn Store) -> Verdict {
    let object = object("T", "a");
    commit_one(store, put(&object, None, "1")).await??;
    let set = (0..1100).map(|n| (format!("{n:04}"), Some(Bytes::from(n.to_string()))));
    commit_one(store, keyed(&object, set.collect())).await??;
    let counted = store.storage_keys(&object).await?;
    ensure!(counted == 1100, "{counted} are counted");
    let page = store.storage_scan(&object, "", None, u32::MAX).await?;
    ensure!(page.rows.len() == 1000 && page.more, "a page has {}", page.rows.len());
    ensure!(walk(store, &object, "", 300).await?.len() == 1100, "not all were set");
    let change = (0..1100).map(|n| (format!("{n:04}"), (n % 2 == 0).then(|| Bytes::from("x"))));
    commit_one(store, keyed(&object, change.collect())).await??;
    let found = walk(store, &object, "", 300).await?;
    let right = found.len() == 550 && found.iter().all(|(_, value)| value == "x");
    ensure!(right, "{} are left", found.len());
    let counted = store.storage_keys(&object).await?;
    ensure!(counted == 550, "{counted} are counted");
    Ok(())
}

async fn deleted(store: &dyn Store) -> Verdict {
    let object = object("T", "a");
    commit_one(store, put(&object, None, "1")).await??;
    commit_one(store, touch(&object, &[("a", Some("1"))])).await??;
    let storage = vec![("b".to_owned(), Some(Bytes::from("2")))];
    let (expected, change) = (Expected::Any, Change::Delete);
    let row = Commit { expected, change, storage, ..put(&object, None, "") };
    commit_one(store, row).await??;
    for key in ["a", "b"] {
        ensure!(store.storage_get(&object, key).await?.is_none(), "`{key}` outlived its object");
    }
    commit_one(store, put(&object, None, "1")).await??;
    let counted = store.storage_keys(&object).await?;
    ensure!(counted == 0, "a new one has {counted} keys");
    Ok(())
}

async fn counted(store: &dyn Store) -> Verdict {
    let [a, b, c] = ["a", "b", "c"].map(|id| object("T", id));
    let new = |object: &ObjectId, keys: &[(&str, Option<&'static str>)]| {
        let storage = touch(object, keys).storage;
        Commit { storage, ..put(object, None, "1") }
    };
    let gone = |object: &ObjectId| Commit { change: Change::Delete, ..touch(object, &[]) };
    let (one, none) = (Some("1"), None);
    let steps = [
        (vec![new(&a, &[("x", one), ("y", one)]), new(&b, &[("x", one)])], [2, 1, 0]),
        // Some that are there, some that are not; and one that is not written at all.
        (
            vec![touch(&a, &[("x", one), ("z", one), ("no", none)]), touch(&c, &[("x", one)])],
            [3, 1, 0],
        ),
        (vec![touch(&b, &[("x", none), ("y", none), ("z", one)]), new(&c, &[])], [3, 1, 0]),
        // The last key that was made goes, and others are made in its stead.
        (vec![touch(&b, &[("z", none)]), touch(&a, &[("y", none)])], [2, 0, 0]),
        (vec![touch(&c, &[("1", one), ("2", one)]), touch(&b, &[("3", one)])], [2, 1, 2]),
        // An object more than once.
        (
            vec![touch(&c, &[("2", none)]), touch(&a, &[("x", none)]), touch(&c, &[("3", one)])],
            [1, 1, 2],
        ),
        (vec![gone(&a), gone(&c), new(&a, &[("k", one)]), touch(&b, &[("4", one)])], [1, 2, 0]),
        (vec![gone(&a), gone(&b)], [0, 0, 0]),
    ];
    for (n, (batch, wanted)) in steps.into_iter().enumerate() {
        store.commit(batch).await?;
        for (object, wanted) in [&a, &b, &c].into_iter().zip(wanted) {
            let counted = store.storage_keys(object).await?;
            let found = store.storage_scan(object, "", None, 9).await?.rows.len();
            let right = counted == wanted && found as u64 == wanted;
            ensure!(right, "step {n}: {object} has {found} keys, and {counted} are counted");
        }
    }
    Ok(())
}

async fn much(store: &dyn Store) -> Verdict {
    let large = object("T", "large");
    let small = |n: usize| object("T", &n.to_string());
    let key = |n: usize| (format!("{n:05}"), Some(Bytes::from("x")));
    let mut batch: Vec<Commit> = (0..20).map(|n| put(&small(n), None, "1")).collect();
    batch[7] = Commit { storage: (0..3000).map(key).collect(), ..put(&large, None, "1") };
    for answer in store.commit(batch).await? {
        answer?;
    }
    let counted = store.storage_keys(&large).await?;
    ensure!(counted == 3000, "{counted} are counted");
    let mut batch: Vec<Commit> = (0..20).map(|n| touch(&small(n), &[("k", Some("v"))])).collect();
    batch[7] = Commit { change: Change::Delete, ..touch(&large, &[]) };
    for answer in store.commit(batch).await? {
        answer?;
    }
    let (counted, found) = (store.storage_keys(&large).await?, walk(store, &large, "", 9).await?);
    ensure!(counted == 0 && found.is_empty(), "{counted} are counted, and {} left", found.len());
    for n in (0..20).filter(|n| *n != 7) {
        ensure!(store.storage_get(&small(n), "k").await?.is_some(), "row {n} was not written");
    }
    Ok(())
}
