//! Claims about leases. Time passes in them: by the service's own clock.

use std::time::Duration;

use super::{Case, Place, Verdict, Violation, case, commit, ensure, next, put, put_leased};
use crate::{Batch, Change, Error, LeaseId};

pub(super) const CASES: &[Case] = &[
    case!("a lease that is kept alive lasts, and takes its keys along when it lapses", lapses),
    case!("a lease that is revoked takes its keys along at once", is_revoked),
    case!("a key that is written anew goes with its new lease, or with none", is_written_anew),
];

const TTL: Duration = Duration::from_secs(2);

async fn lapses(place: Place<'_>) -> Verdict {
    let service = &*place.service;
    let clock = service.clock();
    let lease = service.grant(TTL).await?;
    let written = commit(service, &[], &[put_leased("a", "", Some(lease)), put("b", "")]).await?;
    ensure!(leased_by(service.get("a").await?.1) == Some(lease), "the row does not say its lease");
    let mut watch = service.watch(written).await?;
    let begin = clock.now();
    let mut last = begin;
    while clock.now() - begin < TTL * 2 {
        tokio::time::sleep(TTL / 4).await;
        last = clock.now();
        service.keep_alive(lease).await?;
    }
    ensure!(service.get("a").await?.1.is_some(), "it went while it was kept alive");
    let gone = deleted(next(&mut watch).await??)?;
    let after = clock.now() - last;
    ensure!(gone == ["a"], "what went with the lease is {gone:?}");
    ensure!(after >= TTL, "it lapsed after {after:?}");
    ensure!(after < TTL * 3, "it lapsed only after {after:?}");
    let answer = service.keep_alive(lease).await;
    ensure!(answer == Err(Error::LeaseGone), "a lapsed lease answers {answer:?}");
    let answer = service.commit(vec![], vec![put_leased("a", "", Some(lease))]).await;
    ensure!(answer == Err(Error::LeaseGone), "a lapsed lease leases: {answer:?}");
    service.revoke(lease).await?;
    Ok(())
}

async fn is_revoked(place: Place<'_>) -> Verdict {
    let service = &*place.service;
    let (lease, other) = (service.grant(TTL * 10).await?, service.grant(TTL * 10).await?);
    ensure!(lease != other, "two leases are one");
    let ops = [
        put_leased("a", "", Some(lease)),
        put_leased("b", "", Some(lease)),
        put_leased("c", "", Some(other)),
    ];
    let written = commit(service, &[], &ops).await?;
    let mut watch = service.watch(written).await?;
    service.revoke(lease).await?;
    let mut gone = deleted(next(&mut watch).await??)?;
    gone.sort();
    ensure!(gone == ["a", "b"], "at one revision went {gone:?}");
    let rows = service.snapshot().await?.rows;
    ensure!(rows.len() == 1 && rows[0].key == "c", "left is {rows:?}");
    let answer = service.keep_alive(lease).await;
    ensure!(answer == Err(Error::LeaseGone), "a revoked lease answers {answer:?}");
    service.revoke(lease).await?;
    service.revoke(other).await?;
    Ok(())
}

async fn is_written_anew(place: Place<'_>) -> Verdict {
    let service = &*place.service;
    let (old, new) = (service.grant(TTL * 10).await?, service.grant(TTL * 10).await?);
    let ops = [put_leased("a", "old", Some(old)), put_leased("b", "old", Some(old))];
    commit(service, &[], &ops).await?;
    commit(service, &[], &[put_leased("a", "new", Some(new)), put("b", "new")]).await?;
    service.revoke(old).await?;
    let rows = service.snapshot().await?.rows;
    let left: Vec<_> = rows.iter().map(|row| (&*row.key, row.lease)).collect();
    ensure!(left == [("a", Some(new)), ("b", None)], "left is {left:?}");
    service.revoke(new).await?;
    let rows = service.snapshot().await?.rows;
    ensure!(rows.len() == 1 && rows[0].key == "b", "left is {rows:?}");
    Ok(())
}

fn leased_by(row: Option<crate::Row>) -> Option<LeaseId> {
    row.and_then(|row| row.lease)
}

fn deleted(batch: Batch) -> Result<Vec<String>, Violation> {
    let key = |change| match change {
        Change::Deleted { key } => Ok(key),
        Change::Put(row) => Err(Violation(format!("{row:?} was written"))),
    };
    batch.changes.into_iter().map(key).collect()
}
