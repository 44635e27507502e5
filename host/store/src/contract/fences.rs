//! Claims about ownership: every claim has an epoch of its own, and only the last one's writes.

use futures_util::{
    FutureExt as _,
    future::{BoxFuture, join, join_all},
};
use wasmverse_core::{Epoch, ShardId};

use super::{Case, Verdict, Violation, case, commit_one, ensure, object, owner, put};
use crate::{Claimed, Commit, Error, Store};

pub(super) const CASES: &[Case] = &[
    case!("each claim raises the epoch above the store's and the given one", raises),
    case!("what is no shard, or no epoch, is refused, and nothing is claimed", no_shard),
    case!("a shard that nobody claimed takes no commits", unclaimed),
    case!("an older epoch is refused, and so is one that nobody has yet", fences),
    case!("rows of a batch are fenced each by its own shard", each_by_its_own),
    case!("no two claims get the same epoch", one_holder),
    case!("once a claim is answered, nothing of the older epoch is written", excludes),
];

pub(super) const A: ShardId = ShardId(1);
pub(super) const B: ShardId = ShardId(2);

pub(super) fn of(shard: ShardId, epoch: u64, id: &str) -> Commit {
    Commit { shard, epoch: Epoch(epoch), ..put(&object("T", id), None, "1") }
}

async fn raises(store: &dyn Store) -> Verdict {
    ensure!(store.epochs().await?.is_empty(), "somebody was here");
    let claim = async |who: &str, shards: &[(ShardId, u64)]| {
        let shards = shards.iter().map(|(shard, epoch)| (*shard, Epoch(*epoch))).collect();
        store.claim(owner(who), shards).await
    };
    let first = claim("one", &[(B, 0), (A, 4)]).await?;
    ensure!(first == [(B, Epoch(1)), (A, Epoch(5))], "the first claim gets {first:?}");
    let second = claim("two", &[(A, 3), (B, 9), (A, 0)]).await?;
    let wanted = [(A, Epoch(6)), (B, Epoch(10)), (A, Epoch(6))];
    ensure!(second == wanted, "the second claim gets {second:?}");
    let third = claim("two", &[(B, 10)]).await?;
    ensure!(third == [(B, Epoch(11))], "who claims again gets {third:?}");
    ensure!(claim("none", &[]).await?.is_empty(), "a claim of nothing gets something");
    let found: Vec<(_, _, _)> = store.epochs().await?.into_iter().map(told).collect();
    let wanted = [(A, 6, "two".to_owned()), (B, 11, "two".to_owned())];
    ensure!(found == wanted, "the store has {found:?}");
    Ok(())
}

pub(super) fn told(claimed: Claimed) -> (ShardId, u64, String) {
    (claimed.shard, claimed.epoch.0, claimed.owner.incarnation)
}

async fn no_shard(store: &dyn Store) -> Verdict {
    for wrong in [(ShardId(u16::MAX), Epoch(0)), (B, Epoch(u64::MAX)), (B, Epoch(1 << 63))] {
        let answer = store.claim(owner("one"), vec![(A, Epoch(0)), wrong]).await;
        ensure!(matches!(answer, Err(Error::Refused(_))), "{wrong:?} got {answer:?}");
    }
    let found = store.epochs().await?;
    ensure!(found.is_empty(), "half a claim was written: {found:?}");
    Ok(())
}

async fn unclaimed(store: &dyn Store) -> Verdict {
    for epoch in [0, 1] {
        let answer = commit_one(store, of(A, epoch, "a")).await?;
        ensure!(matches!(answer, Err(Error::Fenced(_))), "epoch {epoch} got {answer:?}");
    }
    Ok(())
}

async fn fences(store: &dyn Store) -> Verdict {
    store.claim(owner("one"), vec![(A, Epoch(0))]).await?;
    commit_one(store, of(A, 1, "a")).await??;
    store.claim(owner("two"), vec![(A, Epoch(0))]).await?;
    for epoch in [0, 1, 3, u64::MAX] {
        let answer = commit_one(store, of(A, epoch, "b")).await?;
        ensure!(matches!(answer, Err(Error::Fenced(_))), "epoch {epoch} got {answer:?}");
        ensure!(store.load(&object("T", "b")).await?.is_none(), "and yet it was written");
    }
    commit_one(store, of(A, 2, "b")).await??;
    Ok(())
}

async fn each_by_its_own(store: &dyn Store) -> Verdict {
    store.claim(owner("one"), vec![(A, Epoch(0)), (B, Epoch(0))]).await?;
    store.claim(owner("two"), vec![(B, Epoch(0))]).await?;
    let batch = vec![of(A, 1, "a"), of(B, 1, "b"), of(B, 2, "c"), of(A, 2, "d")];
    let answers = store.commit(batch).await?;
    let right =
        matches!(answers.as_slice(), [Ok(_), Err(Error::Fenced(_)), Ok(_), Err(Error::Fenced(_))]);
    ensure!(right, "they got {answers:?}");
    Ok(())
}

async fn one_holder(store: &dyn Store) -> Verdict {
    let claims = (0..12).map(|n| {
        let shards = if n % 2 == 0 { [A, B] } else { [B, A] };
        let shards = shards.map(|shard| (shard, Epoch(0))).to_vec();
        store.claim(owner(&n.to_string()), shards)
    });
    let claims = join_all(claims).await.into_iter().collect::<Result<Vec<_>, _>>()?;
    for shard in [A, B] {
        let of_shard = claims.iter().flatten().filter(|(claimed, _)| *claimed == shard);
        let mut epochs: Vec<u64> = of_shard.map(|(_, epoch)| epoch.0).collect();
        epochs.sort_unstable();
        ensure!(epochs.iter().copied().eq(1..=12), "the epochs are {epochs:?}");
    }
    Ok(())
}

async fn excludes(store: &dyn Store) -> Verdict {
    let claim: Take = |store, who, epoch| {
        let claimed = store.claim(owner(who), vec![(A, Epoch(0))]);
        async move { Ok(claimed.await?.first().map_or(epoch, |(_, epoch)| epoch.0)) }.boxed()
    };
    nothing_after(store, claim).await
}

/// How a shard is taken that has some epoch, and by whom; answers its new one.
type Take = for<'a> fn(&'a dyn Store, &'static str, u64) -> BoxFuture<'a, Result<u64, Violation>>;

/// Whoever takes a shard while others write sees all that they will ever have written.
pub(super) async fn nothing_after(store: &dyn Store, take: Take) -> Verdict {
    let mut epoch = 0;
    for round in 0..10 {
        epoch = take(store, "old", epoch).await?;
        let writers = join_all((0..20).map(|n| {
            let batch = (0..5).map(|m| of(A, epoch, &format!("{round}-{n}-{m}"))).collect();
            store.commit(batch)
        }));
        let claim = async {
            tokio::task::yield_now().await;
            let taken = take(store, "new", epoch).await?;
            // Whatever was written was written before.
            let listed = store.list(None, "", None, 1000).await?;
            Ok::<_, Violation>((taken, listed.objects.len()))
        };
        let (written, claimed) = join(writers, claim).await;
        let (mut wrote, (taken, seen)) = (0, claimed?);
        for answer in written {
            wrote += answer?.iter().filter(|row| row.is_ok()).count();
        }
        let after = store.list(None, "", None, 1000).await?.objects;
        ensure!(after.len() == seen, "{} rows after the claim, and then {}", seen, after.len());
        ensure!(wrote <= seen, "{wrote} rows were answered, and {seen} are there");
        for summary in after {
            super::commit_one(store, gone(&summary.object, taken)).await??;
        }
        epoch = taken;
    }
    Ok(())
}

fn gone(object: &wasmverse_core::ObjectId, epoch: u64) -> Commit {
    let (expected, change) = (crate::Expected::Any, crate::Change::Delete);
    Commit { shard: A, epoch: Epoch(epoch), expected, change, ..put(object, None, "") }
}
