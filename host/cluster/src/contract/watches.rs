//! Claims about watches.

use std::collections::BTreeMap;

use super::{Case, Place, Verdict, Violation, case, commit, delete, ensure, next, put};
use crate::{Batch, Change, Error};

pub(super) const CASES: &[Case] = &[
    case!("a watch tells what happened since, whole revisions at a time", tells_what_was),
    case!("a watch tells what happens from now on", tells_what_comes),
    case!("a watch goes on where another one ended", goes_on),
    case!("a watch of what is forgotten says so, and a snapshot goes on", compacted),
    case!("a watch sees nothing of other prefixes", sees_its_own),
];

fn told(batch: &Batch) -> Vec<(String, Option<u64>)> {
    let one = |change: &Change| match change {
        Change::Put(row) => (row.key.clone(), Some(row.revision)),
        Change::Deleted { key } => (key.clone(), None),
    };
    batch.changes.iter().map(one).collect()
}

async fn tells_what_was(place: Place<'_>) -> Verdict {
    let service = &*place.service;
    let first = commit(service, &[], &[put("a", "1"), put("b", "1")]).await?;
    let second = commit(service, &[], &[put("b", "2"), delete("a"), put("c", "2")]).await?;
    let mut watch = service.watch(first - 1).await?;
    let mut revisions = BTreeMap::new();
    let mut last = 0;
    while last < second {
        let batch = next(&mut watch).await??;
        ensure!(batch.revision > last, "revision {} comes after {last}", batch.revision);
        last = batch.revision;
        for (key, revision) in told(&batch) {
            revisions.insert(key, revision);
        }
        let is_whole = last >= second || revisions.len() == 2;
        ensure!(is_whole, "a part of a revision is told: {batch:?}");
    }
    let expected = [("a", None), ("b", Some(second)), ("c", Some(second))];
    let expected = expected.map(|(key, revision)| (key.to_owned(), revision)).into();
    ensure!(last == second && revisions == expected, "told are {revisions:?} up to {last}");
    Ok(())
}

async fn tells_what_comes(place: Place<'_>) -> Verdict {
    let service = &*place.service;
    let now = service.snapshot().await?.revision;
    let mut watches = [service.watch(now).await?, service.watch(now).await?];
    for turn in 0..20 {
        let revision = commit(service, &[], &[put("a", &turn.to_string())]).await?;
        for watch in &mut watches {
            let batch = next(watch).await??;
            let expected = [("a".to_owned(), Some(revision))];
            ensure!(told(&batch) == expected, "after {revision} is told {batch:?}");
            ensure!(batch.revision == revision, "{} is not {revision}", batch.revision);
        }
    }
    Ok(())
}

async fn goes_on(place: Place<'_>) -> Verdict {
    let service = &*place.service;
    let mut last = service.snapshot().await?.revision;
    for turn in 0..20 {
        let mut watch = service.watch(last).await?;
        let revision = commit(service, &[], &[put("a", &turn.to_string())]).await?;
        let batch = next(&mut watch).await??;
        ensure!(batch.revision == revision, "{} is not {revision}", batch.revision);
        ensure!(batch.changes.len() == 1, "told is {batch:?}");
        last = batch.revision;
        drop(watch);
        let missed = commit(service, &[], &[put("b", &turn.to_string())]).await?;
        let mut watch = service.watch(last).await?;
        let batch = next(&mut watch).await??;
        let expected = [("b".to_owned(), Some(missed))];
        ensure!(told(&batch) == expected, "missed was {missed}, told is {batch:?}");
        last = batch.revision;
    }
    Ok(())
}

async fn compacted(place: Place<'_>) -> Verdict {
    let service = &*place.service;
    let first = commit(service, &[], &[put("a", "1")]).await?;
    commit(service, &[], &[put("a", "2")]).await?;
    let last = commit(service, &[], &[put("b", "3")]).await?;
    place.subject.compact(last).await?;
    let violation = |what| Violation(format!("a watch of what is forgotten tells {what:?}"));
    match service.watch(first - 1).await {
        Err(Error::Compacted) => {}
        Err(error) => return Err(violation(error.to_string())),
        Ok(mut watch) => match next(&mut watch).await? {
            Err(Error::Compacted) => {}
            other => return Err(violation(format!("{other:?}"))),
        },
    }
    let snapshot = service.snapshot().await?;
    ensure!(snapshot.rows.len() == 2, "left is {:?}", snapshot.rows);
    let mut watch = service.watch(snapshot.revision).await?;
    let revision = commit(service, &[], &[put("c", "4")]).await?;
    ensure!(next(&mut watch).await??.revision == revision, "the watch does not go on");
    Ok(())
}

async fn sees_its_own(place: Place<'_>) -> Verdict {
    let service = &*place.service;
    let other = place.subject.open(&format!("{}b", place.prefix)).await?;
    let now = service.snapshot().await?.revision;
    let mut watch = service.watch(now).await?;
    commit(&*other, &[], &[put("a", "theirs")]).await?;
    let ours = commit(service, &[], &[put("b", "ours")]).await?;
    commit(&*other, &[], &[delete("a")]).await?;
    let batch = next(&mut watch).await??;
    ensure!(told(&batch) == [("b".to_owned(), Some(ours))], "told is {batch:?}");
    Ok(())
}
