//! Writes owner keys: claims and releases, many in one commit, each with a definite answer.
//!
//! A commit that is refused says nothing of the single keys in it: so it is halved, and halved again,
//! until it is known for each.

mod batch;

use futures_util::{FutureExt as _, StreamExt as _, future::BoxFuture, stream};
use wasmverse_core::{
    Epoch, NodeId, ShardId,
    cluster::{
        Incarnation, View,
        owner::{Bid, Held, Unreleased},
    },
};

use super::{
    Cluster, Shared, Who,
    definite::Outcome,
    keys::{Key, OwnerValue, decode, encode},
};
use crate::{Guard, Op, Row};
use batch::batches;

/// So many commits are under way at once.
const COMMITS_MAX: usize = 8;

/// A claim to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyClaim {
    /// Of this shard.
    pub shard: ShardId,
    /// What it rests on.
    pub bid: Bid,
    /// The epoch that the store gave.
    pub epoch: Epoch,
}

/// An owner key to be emptied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRelease {
    /// Of this shard.
    pub shard: ShardId,
    /// As which it is ours.
    pub held: Held,
    /// The revision of the target that it rests on; none: on none.
    pub target: Option<u64>,
}

/// One key to be written: what it rests on, and what it is to hold.
#[derive(Clone, Debug)]
struct Write {
    key: String,
    guards: Vec<Guard>,
    value: OwnerValue,
}

impl Write {
    fn op(&self) -> Op {
        Op::Put { key: self.key.clone(), value: encode(&self.value), lease: None }
    }

    /// Only with guards that never hold again once they do not. The commit that was not answered may
    /// be under way still, so its refusal is final only if it is by one of them. What the others
    /// assert, that a registration is gone, stays true: none comes back under its incarnation.
    fn lasting(mut self) -> Self {
        self.guards.retain(|guard| match guard {
            Guard::Absent(key) => *key == self.key,
            Guard::Revision(..) => true,
        });
        self
    }

    /// Whether a key holds exactly this. No two writes are the same: epochs are never used twice.
    fn is_in(&self, row: &Row) -> bool {
        decode::<OwnerValue>(&row.value).is_ok_and(|found| found == self.value)
    }
}

impl Cluster {
    /// Writes claims. The answer to each is definite: the revision that wrote its owner key, or none
    /// if that was surely not written. While the coordination service cannot be reached, it waits.
    pub async fn claim(&self, claims: Vec<KeyClaim>) -> Vec<Option<u64>> {
        let Who::Node { id, .. } = &self.shared.settings.who else {
            return vec![None; claims.len()];
        };
        let view = self.view.borrow().clone();
        let registration = self.shared.registered();
        let write = |claim: &KeyClaim| {
            let ours = registration.as_ref()?;
            let is_ours = ours.incarnation == claim.bid.incarnation;
            is_ours.then(|| claim_write(id, ours.revision, claim, &view)).flatten()
        };
        self.shared.write(claims.iter().map(write).collect()).await
    }

    /// Whether what claims would rest on still holds, for the coordination service itself and not only
    /// in the view. `false`, too, if it does not say.
    pub async fn holds(&self, bids: Vec<(ShardId, Bid)>) -> Vec<bool> {
        let Who::Node { id, .. } = &self.shared.settings.who else {
            return vec![false; bids.len()];
        };
        let view = self.view.borrow().clone();
        let registration = self.shared.registered();
        let asked = bids.into_iter().map(|(shard, bid)| {
            let ours = registration.as_ref().filter(|it| it.incarnation == bid.incarnation)?;
            let claim = KeyClaim { shard, bid, epoch: Epoch(0) };
            claim_write(id, ours.revision, &claim, &view).map(|write| write.guards)
        });
        let asked: Vec<Option<Vec<Guard>>> = asked.collect();
        let answers = asked.into_iter().map(|guards| async move {
            let Some(guards) = guards else { return false };
            matches!(self.shared.commit(guards, Vec::new()).await, Ok(Some(_)))
        });
        stream::iter(answers).buffered(COMMITS_MAX).collect().await
    }

    /// Empties owner keys, keeping their epochs. The answer to each is definite. While the
    /// coordination service cannot be reached, it waits.
    pub async fn release(&self, releases: Vec<KeyRelease>) -> Vec<Result<u64, Unreleased>> {
        let writes = releases.iter().map(|release| Some(release_write(release))).collect();
        let written = self.shared.write(writes).await;
        let answers = releases.into_iter().zip(written).map(|(release, written)| async move {
            match written {
                Some(revision) => Ok(revision),
                None => Err(self.why_unreleased(&release).await),
            }
        });
        stream::iter(answers).buffered(COMMITS_MAX).collect().await
    }

    async fn why_unreleased(&self, release: &KeyRelease) -> Unreleased {
        let row = self.shared.read(&Key::Owner(release.shard).text()).await;
        if row.is_some_and(|row| row.revision == release.held.since) {
            Unreleased::TargetChanged
        } else {
            Unreleased::NotOurs
        }
    }
}

/// None: the view already says that it would be refused.
fn claim_write(id: &NodeId, registered: u64, claim: &KeyClaim, view: &View) -> Option<Write> {
    let KeyClaim { shard, bid, epoch } = claim;
    let key = Key::Owner(*shard).text();
    let mut guards = vec![
        Guard::Revision(Key::Node(id.clone()).text(), registered),
        Guard::Revision(Key::Target(*shard).text(), bid.target_revision),
        match &bid.owner {
            None => Guard::Absent(key.clone()),
            Some(owner) => Guard::Revision(key.clone(), owner.revision),
        },
    ];
    // Whoever had it must be gone. If that were us, it was under another registration.
    if let Some((former, incarnation)) = bid.owner.as_ref().and_then(|it| it.holder.as_ref())
        && former != id
    {
        guards.push(gone(former, incarnation, view)?);
    }
    let (node, incarnation) = (id.to_string(), bid.incarnation.to_string());
    let value = OwnerValue { node, incarnation, epoch: epoch.0 };
    Some(Write { key, guards, value })
}

/// That a registration is gone. None: it is not.
fn gone(node: &NodeId, incarnation: &Incarnation, view: &View) -> Option<Guard> {
    let key = Key::Node(node.clone()).text();
    match view.nodes.get(node) {
        None => Some(Guard::Absent(key)),
        Some(now) if now.incarnation != *incarnation => Some(Guard::Revision(key, now.revision)),
        Some(_) => None,
    }
}

fn release_write(release: &KeyRelease) -> Write {
    let KeyRelease { shard, held, target } = release;
    let key = Key::Owner(*shard).text();
    let mut guards = vec![Guard::Revision(key.clone(), held.since)];
    guards.extend(target.map(|target| Guard::Revision(Key::Target(*shard).text(), target)));
    let value = OwnerValue { node: String::new(), incarnation: String::new(), epoch: held.epoch.0 };
    Write { key, guards, value }
}

impl Shared {
    /// Answers the revision of each that was written.
    async fn write(&self, writes: Vec<Option<Write>>) -> Vec<Option<u64>> {
        let mut answers = vec![None; writes.len()];
        let wanted: Vec<_> =
            writes.into_iter().enumerate().filter_map(|(at, it)| Some((at, it?))).collect();
        let commits = batches(wanted).into_iter().map(|batch| self.write_batch(batch));
        let mut commits = stream::iter(commits).buffer_unordered(COMMITS_MAX);
        while let Some(done) = commits.next().await {
            for (at, revision) in done {
                answers[at] = Some(revision);
            }
        }
        answers
    }

    /// Whether any of it is not a claim, or one under the registration that we have now.
    fn may_write(&self, batch: &[(usize, Write)]) -> bool {
        let registration = self.registered();
        batch.iter().any(|(_, Write { value, .. })| {
            let ours = registration.as_ref().map(|ours| ours.incarnation.as_str());
            value.incarnation.is_empty() || ours == Some(&value.incarnation)
        })
    }

    /// Those that were written, by their places.
    fn write_batch(&self, mut batch: Vec<(usize, Write)>) -> BoxFuture<'_, Vec<(usize, u64)>> {
        async move {
            let (guards, ops) = batch::commit(&batch);
            let mut done = Vec::new();
            match self.settle(&guards, &ops).await {
                Outcome::Done(revision) => {
                    done.extend(batch.into_iter().map(|(at, _)| (at, revision)));
                }
                Outcome::Refused if batch.len() == 1 => {}
                // All of it rests on a registration that is lost.
                Outcome::Refused if !self.may_write(&batch) => {}
                Outcome::Refused => {
                    let second = batch.split_off(batch.len() / 2);
                    done.extend(self.write_batch(batch).await);
                    done.extend(self.write_batch(second).await);
                }
                Outcome::RefusedLater => {
                    for (at, write) in batch {
                        let row = self.read(&write.key).await.filter(|row| write.is_in(row));
                        match row {
                            Some(row) => done.push((at, row.revision)),
                            None => {
                                done.extend(self.write_batch(vec![(at, write.lasting())]).await);
                            }
                        }
                    }
                }
            }
            done
        }
        .boxed()
    }
}
