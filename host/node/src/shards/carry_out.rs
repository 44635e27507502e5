//! The actions of the driver that take time, in batches: each is a task that answers it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};

use tokio_util::sync::CancellationToken;
use wasmverse_cluster::{Cluster, KeyClaim, KeyRelease};
use wasmverse_core::{
    CallError, Epoch, NodeId, ObjectId, ShardId,
    cluster::{
        View,
        owner::{Bid, Done, Held, State},
    },
};
use wasmverse_store::{self as store, Owner, Raised};

use super::{
    Parcel, Pass,
    driver::{Answers, Driver},
    pack::CUT_LIMIT,
};
use crate::host::Host;

/// Shards that are claimed in the store at once.
const CLAIMS_MAX: usize = 1024;
/// Before a store that gave some shard no epoch is asked again.
const RAISE_PAUSE: Duration = Duration::from_millis(50);

impl Driver {
    fn spawn(&self, doing: impl Future<Output = ()> + Send + 'static) {
        self.host.background.spawn(doing);
    }

    pub(super) fn raise(&self, mut all: Vec<(ShardId, u64, Bid)>) {
        while !all.is_empty() {
            let some: Vec<_> = all.drain(..all.len().min(CLAIMS_MAX)).collect();
            let (host, answers) = (Arc::clone(&self.host), self.answers.clone());
            let incarnation = some[0].2.incarnation.clone();
            let owner =
                Owner { node: self.me.as_str().to_owned(), incarnation: incarnation.to_string() };
            let cluster = self.cluster.clone();
            self.spawn(async move {
                let bids = some.iter().map(|(shard, _, bid)| (*shard, bid.clone())).collect();
                let raised = raise(&host, &cluster, owner, bids).await;
                if let Err(error) = &raised {
                    tracing::warn!(%error, shards = some.len(), "failed to claim in the store");
                }
                let raised = raised.unwrap_or_default();
                if raised.len() < some.len() {
                    // What it rests on has changed, or the store is away: not at once again.
                    tokio::time::sleep(RAISE_PAUSE).await;
                }
                let mut done = Answers::new();
                for (shard, tag, _) in some {
                    done.push((shard, tag, Done::Raised(raised.get(&shard).copied())));
                }
                let _ = answers.send(done).await;
            });
        }
    }

    pub(super) fn claim(&self, all: Vec<(ShardId, u64, Bid, Epoch)>) {
        if all.is_empty() {
            return;
        }
        let (cluster, answers) = (self.cluster.clone(), self.answers.clone());
        let host = Arc::clone(&self.host);
        let (tags, claims): (Vec<_>, Vec<_>) = all
            .into_iter()
            .map(|(shard, tag, bid, epoch)| ((shard, tag), KeyClaim { shard, bid, epoch }))
            .unzip();
        self.spawn(async move {
            let claimed = cluster.claim(claims).await;
            let mut done = Answers::new();
            for ((shard, tag), claimed) in tags.into_iter().zip(claimed) {
                if claimed.is_none() {
                    host.turn_away(shard);
                }
                done.push((shard, tag, Done::Claimed(claimed)));
            }
            let _ = answers.send(done).await;
        });
    }

    pub(super) fn pack(&mut self, all: Vec<(ShardId, u64)>) {
        // Each is quiet, or its limit has passed.
        let asked: BTreeSet<_> = all.iter().map(|(shard, _)| *shard).collect();
        let mut entries = self.host.entries_of(|shard| asked.contains(&shard));
        let (busy, idle): (Vec<_>, Vec<_>) = all.into_iter().partition(|(shard, _)| {
            entries.contains_key(shard) || self.host.owned.shards.passes(*shard) > 0
        });
        for (shard, tag) in busy {
            let (host, answers) = (Arc::clone(&self.host), self.answers.clone());
            let entries = entries.remove(&shard).unwrap_or_default();
            let ended = CancellationToken::new();
            self.packing.insert(shard, ended.clone());
            self.spawn(async move {
                let _ended = ended.drop_guard();
                let parcel = host.pack(shard, entries, Instant::now()).await;
                let done = host.packed(shard, parcel);
                let _ = answers.send(vec![(shard, tag, done)]).await;
            });
        }
        if !idle.is_empty() {
            let (host, answers) = (Arc::clone(&self.host), self.answers.clone());
            let ended = CancellationToken::new();
            self.packing.extend(idle.iter().map(|(shard, _)| (*shard, ended.clone())));
            self.spawn(async move {
                let _ended = ended.drop_guard();
                let taking = host.gates.until_acknowledged(host.gates.marks());
                if tokio::time::timeout(CUT_LIMIT, taking).await.is_err() {
                    tracing::warn!("a gate has not taken all pushes: shards move without");
                }
                let mut done = Answers::new();
                for (shard, tag) in idle {
                    let epoch = host.owned.shards.epoch(shard);
                    let parcel = Parcel::new(epoch, Vec::new());
                    done.push((shard, tag, host.packed(shard, parcel)));
                }
                let _ = answers.send(done).await;
            });
        }
    }

    pub(super) fn send(&self, shard: ShardId, tag: u64, to: NodeId) {
        let (host, answers) = (Arc::clone(&self.host), self.answers.clone());
        self.spawn(async move {
            let sent = host.hand_over(shard, &to).await;
            let _ = answers.send(vec![(shard, tag, Done::Sent(sent))]).await;
        });
    }

    pub(super) fn release(&self, all: Vec<(ShardId, u64, Held, Option<u64>)>) {
        if all.is_empty() {
            return;
        }
        let (cluster, answers) = (self.cluster.clone(), self.answers.clone());
        let (tags, releases): (Vec<_>, Vec<_>) = all
            .into_iter()
            .map(|(shard, tag, held, target)| ((shard, tag), KeyRelease { shard, held, target }))
            .unzip();
        self.spawn(async move {
            let released = cluster.release(releases).await;
            let mut done = Answers::new();
            for ((shard, tag), released) in tags.into_iter().zip(released) {
                done.push((shard, tag, Done::Released(released)));
            }
            let _ = answers.send(done).await;
        });
    }

    pub(super) fn fence(&mut self, all: Vec<(ShardId, u64)>) {
        if !all.is_empty() {
            tracing::warn!(shards = all.len(), "stopped serving: the registration is lost");
        }
        let asked: BTreeSet<_> = all.iter().map(|(shard, _)| *shard).collect();
        let mut entries = self.host.entries_of(|shard| asked.contains(&shard));
        for (shard, tag) in all {
            let packing = self.packing.remove(&shard);
            let (host, answers) = (Arc::clone(&self.host), self.answers.clone());
            let entries = entries.remove(&shard).unwrap_or_default();
            self.spawn(async move {
                let limit = Instant::now() + host.config.drain;
                // What is being packed is put aside as well.
                if let Some(packing) = packing {
                    packing.cancelled().await;
                }
                let left = host.owned.shards.take_outgoing(shard);
                let mut parcel = host.pack(shard, entries, limit).await;
                if let Some(Parcel { pieces, calls, in_doubt, callers, .. }) = left {
                    host.give_back(shard, calls, in_doubt.is_some());
                    parcel.pieces.extend(pieces);
                    parcel.callers = callers;
                }
                if parcel.is_full() {
                    host.put_aside(shard, parcel);
                }
                // Who waited in mailboxes that were emptied is sent on, too.
                host.turn_away(shard);
                let _ = answers.send(vec![(shard, tag, Done::Fenced)]).await;
            });
        }
    }
}

/// Raises the epochs of shards from where they were seen. Where the store has another one, somebody
/// raised it who did not come to claim; or who did, and our view is old: then raising it again would
/// put an end to what they serve. So the coordination itself is asked, after the store, whether what
/// the claim rests on still holds, and the epoch raised only from the one that the store had.
async fn raise(
    host: &Host,
    cluster: &Cluster,
    owner: Owner,
    bids: Vec<(ShardId, Bid)>,
) -> Result<BTreeMap<ShardId, Epoch>, store::Error> {
    let asked = bids.iter().map(|(shard, bid)| (*shard, bid.above())).collect();
    let answers = host.store.raise(owner.clone(), asked).await?;
    let mut raised = BTreeMap::new();
    let (mut doubtful, mut others) = (Vec::new(), Vec::new());
    for ((shard, bid), answer) in bids.into_iter().zip(answers) {
        match answer {
            Raised::To(epoch) => drop(raised.insert(shard, epoch)),
            Raised::Has(epoch) => {
                doubtful.push((shard, bid));
                others.push((shard, epoch));
            }
        }
    }
    if doubtful.is_empty() {
        return Ok(raised);
    }
    let holds = cluster.holds(doubtful).await;
    let sure: Vec<_> =
        others.into_iter().zip(holds).filter(|(_, holds)| *holds).map(|(it, _)| it).collect();
    let answers = host.store.raise(owner, sure.clone()).await?;
    for ((shard, _), answer) in sure.into_iter().zip(answers) {
        if let Raised::To(epoch) = answer {
            raised.insert(shard, epoch);
        }
    }
    Ok(raised)
}

impl Host {
    /// All is packed; whoever waits goes along.
    fn packed(&self, shard: ShardId, mut parcel: Parcel) -> Done {
        parcel.calls = self.pack_calls(shard);
        parcel.callers = self.gates.callers.take_shard(shard);
        let is_full = parcel.is_full();
        self.owned.shards.put_outgoing(shard, parcel);
        Done::Packed(is_full)
    }

    /// Keeps a parcel for the next epoch. The calls of one that was kept before are sent on.
    pub(super) fn put_aside(&self, shard: ShardId, parcel: Parcel) {
        if let Some(before) = self.owned.shards.keep(shard, parcel) {
            self.send_on(shard, before.calls);
        }
    }

    /// Drops what was kept for an epoch that another node has by now, and sends on the calls that came
    /// with it if its target is another.
    pub(super) fn drop_useless_parcels(&self, view: &View, states: &[State]) {
        let me = self.config.id();
        for (shard, ended) in self.owned.shards.all_kept() {
            if !matches!(states[usize::from(shard.0)], State::Away(_)) {
                continue;
            }
            let slot = view.slot(shard);
            let is_over = slot.owner.as_ref().is_some_and(|owner| owner.epoch > ended);
            let is_ours = slot.target.as_ref().is_some_and(|target| target.node.as_str() == me);
            if is_over && let Some(parcel) = self.owned.shards.take_kept(shard) {
                self.send_on(shard, parcel.calls);
            } else if !is_ours {
                self.send_on(shard, self.owned.shards.take_kept_calls(shard));
            }
        }
    }

    /// Forgets the sends and reminders of shards that are not at work here.
    pub(super) fn forget_others(&self) {
        let shards = &self.owned.shards;
        self.sends.keep_only(|shard| shards.is_open(shard));
        self.reminders.keep_only(|object| self.is_at_work(object));
    }

    /// Whether an object's shard is at work here.
    pub(crate) fn is_at_work(&self, object: &ObjectId) -> bool {
        self.shard_of(object).is_some_and(|shard| self.owned.shards.is_open(shard))
    }

    /// Leave for something of the node's own to be done at an object.
    pub(crate) fn pass_of(&self, object: &ObjectId) -> Result<Option<Pass>, CallError> {
        self.shard_of(object).map(|shard| self.owned.shards.enter(shard)).transpose()
    }
}
