//! Claims about conditional ownership: a shard is raised from the epoch that is expected, or it is not,
//! and then nobody notices.

use futures_util::{
    FutureExt as _,
    future::{BoxFuture, join_all},
};
use wasmverse_core::{Epoch, ShardId};

use super::{
    Case, Verdict, Violation, case, commit_one, ensure,
    fences::{A, B, nothing_after, of, told},
    object, owner,
};
use crate::{Error, Raised, Store};

pub(super) const CASES: &[Case] = &[
    case!("a raise does something only where the epoch is the expected one", conditional),
    case!(
        "what is no shard, or no epoch, or there twice is refused, and nothing is raised",
        refused
    ),
    case!("claims and raises follow each other", with_claims),
    case!("a commit of the epoch before a raise is refused", fences),
    case!("a raise that expects another epoch fences nobody", fences_nobody),
    case!("of two that expect the same epoch, one raises it", one_winner),
    case!("once a raise is answered, nothing of the older epoch is written", excludes),
];

async fn raise(
    store: &dyn Store,
    who: &str,
    shards: &[(ShardId, u64)],
) -> Result<Vec<Raised>, Violation> {
    let shards = shards.iter().map(|(shard, epoch)| (*shard, Epoch(*epoch))).collect();
    Ok(store.raise(owner(who), shards).await?)
}

fn to(epoch: u64) -> Raised {
    Raised::To(Epoch(epoch))
}

fn has(epoch: u64) -> Raised {
    Raised::Has(Epoch(epoch))
}

async fn is_owned(store: &dyn Store, wanted: &[(ShardId, u64, &str)]) -> Verdict {
    let found: Vec<(_, _, _)> = store.epochs().await?.into_iter().map(told).collect();
    let right = found.iter().map(|(shard, epoch, who)| (*shard, *epoch, who.as_str()));
    ensure!(right.eq(wanted.iter().copied()), "the store has {found:?}, not {wanted:?}");
    Ok(())
}

async fn conditional(store: &dyn Store) -> Verdict {
    let found = raise(store, "none", &[]).await?;
    ensure!(found.is_empty(), "a raise of nothing gets {found:?}");
    for (step, (who, asked, right, owned)) in [
        // Nobody had them: that, too, is to be expected.
        ("one", &[(B, 1), (A, 5)][..], &[has(0), has(0)][..], &[][..]),
        ("one", &[(B, 0), (A, 1)], &[to(1), has(0)], &[(B, 1, "one")]),
        // Each for itself, in the order in which they were asked for.
        ("two", &[(B, 0), (A, 0)], &[has(1), to(1)], &[(A, 1, "two"), (B, 1, "one")]),
        ("two", &[(B, 2), (A, 0)], &[has(1), has(1)], &[(A, 1, "two"), (B, 1, "one")]),
        ("two", &[(B, 1), (A, 1)], &[to(2), to(2)], &[(A, 2, "two"), (B, 2, "two")]),
        ("one", &[(A, 1), (B, 2)], &[has(2), to(3)], &[(A, 2, "two"), (B, 3, "one")]),
    ]
    .into_iter()
    .enumerate()
    {
        let found = raise(store, who, asked).await?;
        ensure!(found == right, "step {step}: {asked:?} got {found:?}, not {right:?}");
        is_owned(store, owned).await?;
    }
    Ok(())
}

async fn refused(store: &dyn Store) -> Verdict {
    raise(store, "one", &[(A, 0)]).await?;
    for wrong in [
        vec![(A, 1), (ShardId(u16::MAX), 0)],
        vec![(A, 1), (B, u64::MAX)],
        vec![(A, 1), (B, 1 << 63)],
        vec![(A, 1), (B, i64::MAX.unsigned_abs())],
        vec![(A, 1), (B, 0), (A, 2)],
        vec![(A, 0), (A, 1)],
        vec![(B, 0), (B, 0)],
    ] {
        let shards = wrong.iter().map(|(shard, epoch)| (*shard, Epoch(*epoch))).collect();
        let answer = store.raise(owner("two"), shards).await;
        ensure!(matches!(answer, Err(Error::Refused(_))), "{wrong:?} got {answer:?}");
    }
    is_owned(store, &[(A, 1, "one")]).await
}

async fn with_claims(store: &dyn Store) -> Verdict {
    store.claim(owner("one"), vec![(A, Epoch(6))]).await?;
    let found = raise(store, "two", &[(A, 6)]).await?;
    ensure!(found == [has(7)], "epoch 6 of 7 got {found:?}");
    let found = raise(store, "two", &[(A, 7)]).await?;
    ensure!(found == [to(8)], "epoch 7 of 7 got {found:?}");
    let claimed = store.claim(owner("one"), vec![(A, Epoch(0))]).await?;
    ensure!(claimed == [(A, Epoch(9))], "then a claim gets {claimed:?}");
    is_owned(store, &[(A, 9, "one")]).await
}

async fn fences(store: &dyn Store) -> Verdict {
    raise(store, "one", &[(A, 0), (B, 0)]).await?;
    commit_one(store, of(A, 1, "a")).await??;
    // To itself, too: what it began before it knew is of the epoch before.
    for (epoch, who) in [(1, "two"), (2, "two")] {
        raise(store, who, &[(A, epoch)]).await?;
        for wrong in [0, epoch, epoch + 2] {
            let answer = commit_one(store, of(A, wrong, "b")).await?;
            ensure!(matches!(answer, Err(Error::Fenced(_))), "epoch {wrong} got {answer:?}");
            ensure!(store.load(&object("T", "b")).await?.is_none(), "and yet it was written");
        }
    }
    commit_one(store, of(A, 3, "b")).await??;
    commit_one(store, of(B, 1, "c")).await??;
    Ok(())
}

async fn fences_nobody(store: &dyn Store) -> Verdict {
    raise(store, "one", &[(A, 0)]).await?;
    for (n, expected) in [0, 2, 9].into_iter().enumerate() {
        let found = raise(store, "two", &[(A, expected), (B, 7)]).await?;
        ensure!(found == [has(1), has(0)], "{expected} of 1 got {found:?}");
        commit_one(store, of(A, 1, &n.to_string())).await??;
    }
    is_owned(store, &[(A, 1, "one")]).await
}

async fn one_winner(store: &dyn Store) -> Verdict {
    for epoch in 0..5 {
        let names: Vec<String> = (0..8).map(|n| n.to_string()).collect();
        let bids = names.iter().enumerate().map(|(n, who)| async move {
            let shards = if n % 2 == 0 { [A, B] } else { [B, A] };
            let found = raise(store, who, &shards.map(|shard| (shard, epoch))).await?;
            ensure!(found.len() == 2, "two shards got {found:?}");
            Ok(shards.into_iter().zip(found).map(|(shard, raised)| (shard, raised, who.as_str())))
        });
        let found = join_all(bids).await.into_iter().collect::<Result<Vec<_>, _>>()?;
        let found: Vec<_> = found.into_iter().flatten().collect();
        let mut owned = Vec::new();
        for of in [A, B] {
            let mut won =
                found.iter().filter(|(shard, raised, _)| *shard == of && *raised == to(epoch + 1));
            let Some((_, _, who)) = won.next() else {
                return Err(Violation(format!("nobody raised {of} from {epoch}: {found:?}")));
            };
            ensure!(won.next().is_none(), "more than one raised {of} from {epoch}: {found:?}");
            owned.push((of, epoch + 1, *who));
        }
        let lost = found.iter().filter(|(_, raised, _)| *raised == has(epoch + 1)).count();
        ensure!(lost == found.len() - 2, "who raised nothing got something else: {found:?}");
        is_owned(store, &owned).await?;
    }
    Ok(())
}

async fn excludes(store: &dyn Store) -> Verdict {
    nothing_after(store, raised_from).await
}

fn raised_from<'a>(
    store: &'a dyn Store,
    who: &'static str,
    epoch: u64,
) -> BoxFuture<'a, Result<u64, Violation>> {
    async move {
        match raise(store, who, &[(A, epoch)]).await?.as_slice() {
            [Raised::To(Epoch(epoch))] => Ok(*epoch),
            found => Err(Violation(format!("epoch {epoch} got {found:?}"))),
        }
    }
    .boxed()
}
