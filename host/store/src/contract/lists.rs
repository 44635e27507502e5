//! Claims about lists: in order, whole, and literal.

use wasmverse_core::{ObjectId, TypeName};

use super::{Case, Verdict, case, commit_one, delete, ensure, object, put};
use crate::{Error, Page, Store};

pub(super) const CASES: &[Case] = &[
    case!("pages together are the whole list, in the order of bytes", pages),
    case!("a prefix is taken at its word", prefixes),
    case!("a list goes on after any object, there or not", after_anything),
    case!("a page has a thousand objects at most", long_page),
];

/// Ids in the order of bytes, with all that is special to some database.
const IDS: [&str; 20] = [
    "%",
    "A",
    "Z",
    "_",
    "a",
    "a%",
    "a%b",
    "a*",
    "aX",
    "a[",
    "a\\",
    "a_",
    "a_b",
    "aa",
    "b'",
    "é",
    "\u{d7ff}",
    "\u{e000}",
    "😀",
    "\u{10ffff}z",
];
const TYPES: [&str; 4] = ["B", "T", "T-1", "a"];

async fn fill(store: &dyn Store) -> Result<Vec<ObjectId>, super::Violation> {
    let all = TYPES.iter().flat_map(|t| IDS.iter().map(|id| object(t, id)));
    let all: Vec<ObjectId> = all.collect();
    // Neither in order, nor without gaps.
    let rows = all.iter().rev().map(|object| put(object, None, "0"));
    for answer in store.commit(rows.collect()).await? {
        answer?;
    }
    for (type_name, id) in [("A", "a"), ("T", "a!"), ("T", "zz"), ("b", "a")] {
        let gone = object(type_name, id);
        commit_one(store, put(&gone, None, "0")).await??;
        delete(store, &gone).await?;
    }
    Ok(all)
}

/// All pages of a list.
async fn walk(
    store: &dyn Store,
    type_name: Option<&TypeName>,
    prefix: &str,
    limit: u32,
) -> Result<Vec<ObjectId>, super::Violation> {
    let mut found: Vec<ObjectId> = Vec::new();
    loop {
        let page = store.list(type_name, prefix, found.last(), limit).await?;
        let (length, more) = (page.objects.len(), page.more);
        ensure!(length <= limit as usize, "a page of {limit} has {length}");
        ensure!(!more || length == limit as usize, "a page of {length} of {limit} is not the last");
        found.extend(names(page));
        if !more {
            return Ok(found);
        }
    }
}

fn names(page: Page) -> Vec<ObjectId> {
    page.objects.into_iter().map(|summary| summary.object).collect()
}

async fn pages(store: &dyn Store) -> Verdict {
    let empty = store.list(None, "", None, 10).await?;
    ensure!(empty == Page::default(), "an empty store lists {empty:?}");
    let all = fill(store).await?;
    for limit in [1, 2, 3, 7, 19, 20, 21, 79, 80, 81, 1000] {
        let found = walk(store, None, "", limit).await?;
        ensure!(found == all, "by pages of {limit}: {found:?}, not {all:?}");
    }
    for name in TYPES {
        let type_name = TypeName::new(name).expect("a type's name");
        let of_type: Vec<_> = all.iter().filter(|o| *o.type_name() == type_name).collect();
        for limit in [1, 3, 20] {
            let found = walk(store, Some(&type_name), "", limit).await?;
            ensure!(found.iter().eq(of_type.iter().copied()), "{name} by {limit}: {found:?}");
        }
    }
    let stranger = TypeName::new("Stranger").expect("a type's name");
    let found = walk(store, Some(&stranger), "", 5).await?;
    ensure!(found.is_empty(), "a stranger's list has {found:?}");
    let none = store.list(None, "", None, 0).await?;
    ensure!(none.objects.is_empty() && none.more, "a page of nothing has {none:?}");
    Ok(())
}

async fn prefixes(store: &dyn Store) -> Verdict {
    let all = fill(store).await?;
    let type_name = TypeName::new("T").expect("a type's name");
    let others = ["", "a\u{10ffff}", "\u{10ffff}", "\u{10ffff}zz", "nobody", "*", "[", "\\"];
    for prefix in IDS.into_iter().chain(others) {
        for limit in [2, 1000] {
            let wanted = all.iter().filter(|object| object.id().starts_with(prefix));
            let found = walk(store, None, prefix, limit).await?;
            ensure!(found.iter().eq(wanted.clone()), "all with `{prefix}`: {found:?}");
            let wanted = wanted.filter(|object| *object.type_name() == type_name);
            let found = walk(store, Some(&type_name), prefix, limit).await?;
            ensure!(found.iter().eq(wanted), "T with `{prefix}`: {found:?}");
        }
    }
    Ok(())
}

async fn after_anything(store: &dyn Store) -> Verdict {
    let all = fill(store).await?;
    let type_name = TypeName::new("T").expect("a type's name");
    let strangers = [("A", "x"), ("T", "a!"), ("T", "aZ"), ("T", "zzz"), ("Z", "a"), ("z", "z")];
    let strangers = strangers.map(|(type_name, id)| object(type_name, id));
    for after in all.iter().chain(&strangers) {
        let wanted = all.iter().filter(|object| *object > after);
        let found = names(store.list(None, "", Some(after), 1000).await?);
        ensure!(found.iter().eq(wanted.clone()), "after {after}: {found:?}");
        let wanted = wanted.filter(|object| *object.type_name() == type_name);
        let found = names(store.list(Some(&type_name), "", Some(after), 1000).await?);
        ensure!(found.iter().eq(wanted), "of T, after {after}: {found:?}");
    }
    Ok(())
}

async fn long_page(store: &dyn Store) -> Verdict {
    let rows = (0..1001).map(|n| put(&object("T", &format!("{n:04}")), None, "0"));
    store.commit(rows.collect()).await?.into_iter().collect::<Result<Vec<_>, Error>>()?;
    for limit in [1000, 1001, u32::MAX] {
        let page = store.list(None, "", None, limit).await?;
        let length = page.objects.len();
        ensure!(length == 1000 && page.more, "a page of {limit} has {length}, {}", page.more);
    }
    delete(store, &object("T", "0500")).await?;
    let page = store.list(None, "", None, 1000).await?;
    ensure!(page.objects.len() == 1000 && !page.more, "there is no more than this page");
    Ok(())
}
