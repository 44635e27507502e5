//! Claims about commits and reads.

use super::{
    Case, Place, Verdict, absent, case, commit, delete, ensure, put, put_leased, written_at,
};
use crate::{Error, LeaseId, TRANSACTION_MAX};

pub(super) const CASES: &[Case] = &[
    case!("a key is read as it was written, with the revision that wrote it", reads),
    case!("a commit is done only if all its guards hold", guards),
    case!("a commit is done whole or not at all, at one revision", whole),
    case!("a snapshot holds every key of the prefix in order, however many there are", many),
    case!("other prefixes are never seen, even if they begin alike", prefixes),
    case!("the largest commit fits", largest),
    case!("a key cannot be leased by a lease that is not there", no_such_lease),
];

async fn reads(place: Place<'_>) -> Verdict {
    let service = &*place.service;
    let (before, nothing) = service.get("a/b").await?;
    ensure!(nothing.is_none(), "there is {nothing:?}");
    let revision = commit(service, &[], &[put("a/b", "x\u{0}y")]).await?;
    ensure!(revision > before, "revision {revision} comes after {before}");
    let (now, row) = service.get("a/b").await?;
    let row = row.filter(|row| row.revision == revision && row.value == "x\u{0}y");
    ensure!(row.is_some_and(|row| row.key == "a/b" && row.lease.is_none()), "it is not there");
    ensure!(now >= revision, "it is read at {now}");
    commit(service, &[], &[delete("a/b")]).await?;
    ensure!(service.get("a/b").await?.1.is_none(), "it is there after it was deleted");
    let deleted = service.commit(vec![], vec![delete("a/b")]).await?;
    ensure!(deleted.is_some(), "what is not there cannot be deleted");
    Ok(())
}

async fn guards(place: Place<'_>) -> Verdict {
    let service = &*place.service;
    let first = commit(service, &[absent("a")], &[put("a", "1")]).await?;
    let second = commit(service, &[written_at("a", first)], &[put("a", "2")]).await?;
    for wrong in [
        vec![absent("a")],
        vec![written_at("a", first)],
        vec![written_at("b", first)],
        vec![written_at("a", second), written_at("b", second)],
        vec![absent("b"), absent("a")],
    ] {
        let done = service.commit(wrong.clone(), vec![put("c", "")]).await?;
        ensure!(done.is_none(), "{wrong:?} held");
    }
    let right = vec![written_at("a", second), absent("b")];
    ensure!(service.commit(right, vec![put("c", "")]).await?.is_some(), "nothing held");
    commit(service, &[], &[delete("a")]).await?;
    let gone = service.commit(vec![written_at("a", second)], vec![put("d", "")]).await?;
    ensure!(gone.is_none(), "a key that is gone was last written by its last revision");
    Ok(())
}

async fn whole(place: Place<'_>) -> Verdict {
    let service = &*place.service;
    let first = commit(service, &[], &[put("a", "1"), put("b", "1")]).await?;
    let next = [put("a", "2"), delete("b"), put("c", "2")];
    ensure!(service.commit(vec![absent("a")], next.to_vec()).await?.is_none(), "it was done");
    let snapshot = service.snapshot().await?;
    let keys: Vec<_> = snapshot.rows.iter().map(|row| (&*row.key, row.revision)).collect();
    ensure!(keys == [("a", first), ("b", first)], "a refused commit leaves {keys:?}");
    let second = commit(service, &[], &next).await?;
    let snapshot = service.snapshot().await?;
    let keys: Vec<_> = snapshot.rows.iter().map(|row| (&*row.key, row.revision)).collect();
    ensure!(keys == [("a", second), ("c", second)], "a commit leaves {keys:?}");
    ensure!(snapshot.revision >= second, "the snapshot is as of {}", snapshot.revision);
    Ok(())
}

async fn many(place: Place<'_>) -> Verdict {
    let service = &*place.service;
    let keys: Vec<_> = (0..9_000).map(|key| format!("owners/{key:05}")).collect();
    for some in keys.chunks(TRANSACTION_MAX) {
        let ops: Vec<_> = some.iter().map(|key| put(key, key)).collect();
        commit(service, &[], &ops).await?;
    }
    let snapshot = service.snapshot().await?;
    ensure!(snapshot.rows.len() == keys.len(), "there are {} keys", snapshot.rows.len());
    let are_same = snapshot.rows.iter().zip(&keys).all(|(row, key)| {
        row.key == *key && row.value == *key && row.revision <= snapshot.revision
    });
    ensure!(are_same, "they are others");
    Ok(())
}

async fn prefixes(place: Place<'_>) -> Verdict {
    let prefix = &place.prefix;
    let service = &*place.service;
    commit(service, &[], &[put("a", "ours")]).await?;
    for other in [format!("{prefix}b"), format!("{prefix}0"), "/".to_owned() + &prefix[2..]] {
        let other = place.subject.open(&other).await?;
        ensure!(other.snapshot().await?.rows.is_empty(), "another prefix sees ours");
        commit(&*other, &[absent("a")], &[put("a", "theirs"), put("b", "")]).await?;
    }
    let again = place.subject.open(&format!("{prefix}/")).await?;
    for service in [service, &*again] {
        let rows = service.snapshot().await?.rows;
        ensure!(rows.len() == 1 && rows[0].value == "ours", "we see {rows:?}");
    }
    Ok(())
}

async fn largest(place: Place<'_>) -> Verdict {
    let service = &*place.service;
    let keys: Vec<_> = (0..TRANSACTION_MAX).map(|key| format!("targets/{key}")).collect();
    let guards: Vec<_> = keys.iter().map(|key| absent(key)).collect();
    let ops: Vec<_> = keys.iter().map(|key| put(key, &"x".repeat(200))).collect();
    commit(service, &guards, &ops).await?;
    let refused = service.commit(guards, ops).await?;
    ensure!(refused.is_none(), "it was done twice");
    Ok(())
}

async fn no_such_lease(place: Place<'_>) -> Verdict {
    let service = &*place.service;
    let ops = vec![put("a", ""), put_leased("b", "", Some(LeaseId(4711)))];
    let answer = service.commit(vec![], ops).await;
    ensure!(answer == Err(Error::LeaseGone), "it answers {answer:?}");
    ensure!(service.snapshot().await?.rows.is_empty(), "something was written");
    Ok(())
}
