//! Makes a shard ready for another node: what runs ends, what is to be saved is saved, and what its
//! objects have in memory alone is packed.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::sync::oneshot;
use wasmverse_core::{ShardId, life::Phase};

use super::{Parcel, Piece, Waiting};
use crate::{entry::Entry, host::Host};

/// Turns that were cancelled are gone within this time.
pub(super) const CUT_LIMIT: Duration = Duration::from_secs(5);
/// How often it is looked whether the last pass of a shard that was cut has come back.
const LOOK_EVERY: Duration = Duration::from_millis(5);

impl Host {
    /// Packs a shard that is sealed. Turns that still run have until `limit`; then they are cancelled.
    pub(super) async fn pack(
        self: &Arc<Self>,
        shard: ShardId,
        entries: Vec<Arc<Entry>>,
        limit: Instant,
    ) -> Parcel {
        let shards = &self.owned.shards;
        while shards.passes(shard) > 0 && Instant::now() < limit {
            tokio::time::sleep(LOOK_EVERY).await;
        }
        if shards.passes(shard) > 0 {
            self.cut_shard(shard, &entries).await;
        }
        let mut pieces = Vec::new();
        for entry in &entries {
            pieces.extend(self.pack_one(entry).await);
        }
        let marks = self.gates.marks();
        let left = limit.saturating_duration_since(Instant::now()).max(CUT_LIMIT);
        if tokio::time::timeout(left, self.gates.until_acknowledged(marks)).await.is_err() {
            tracing::warn!(%shard, "a gate has not taken all pushes: the shard moves without");
        }
        Parcel::new(shards.epoch(shard), pieces)
    }

    /// The objects of these shards that this node knows, without those that are pinned to the node.
    /// No others come while the doors of the shards are closed.
    pub(super) fn entries_of(
        &self,
        is_asked: impl Fn(ShardId) -> bool,
    ) -> BTreeMap<ShardId, Vec<Arc<Entry>>> {
        let is_of_one = |entry: &Entry| {
            is_asked(entry.shard) && self.shard_of(&entry.object) == Some(entry.shard)
        };
        let mut by_shard: BTreeMap<ShardId, Vec<Arc<Entry>>> = BTreeMap::new();
        for entry in self.directory.filter(|entry, _| is_of_one(entry)) {
            by_shard.entry(entry.shard).or_default().push(entry);
        }
        by_shard
    }

    /// Cancels what runs, and has wait what waited for it.
    async fn cut_shard(self: &Arc<Self>, shard: ShardId, entries: &[Arc<Entry>]) {
        let shards = &self.owned.shards;
        for entry in entries {
            let (letters, task) = {
                let mut inner = entry.lock();
                // All else ends by itself, and would lose what it is about to put away.
                let task = inner.task.clone().filter(|_| inner.phase == Phase::Turning);
                (std::mem::take(&mut inner.mailbox), task)
            };
            let mut waiting = Vec::new();
            for mut letter in letters {
                let charge = letter.charge.take();
                match letter.into_call(&entry.object) {
                    Ok((call, reply)) => waiting.push(Waiting { call, reply, charge }),
                    // The next owner fires it.
                    Err(reply) => {
                        let error = crate::letter::stopping();
                        reply.answer(&self.metrics, &entry.object, Err(error));
                    }
                }
            }
            shards.park_first(shard, waiting);
            if let Some(task) = task {
                tracing::warn!(object = %entry.object, "cancelled a turn: its shard moves");
                task.abort();
            }
        }
        let limit = Instant::now() + CUT_LIMIT;
        while shards.passes(shard) > 0 && Instant::now() < limit {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Ends an object's life here; what it has in memory alone.
    async fn pack_one(&self, entry: &Arc<Entry>) -> Option<Piece> {
        loop {
            let (into, packed) = oneshot::channel();
            let mut into = Some(into);
            let mut is_saving = false;
            entry.wish(|inner| {
                is_saving = inner.saving;
                if inner.phase.is_live() {
                    inner.wanted.pack = into.take();
                }
            });
            if into.is_none() {
                // If it ended by itself meanwhile, it is looked at again.
                match packed.await {
                    Ok(piece) => return piece,
                    Err(_) => continue,
                }
            }
            if is_saving {
                entry.saved().await.ok();
                continue;
            }
            return self.pack_asleep(entry);
        }
    }

    /// The same for one that is not live.
    pub(crate) fn pack_asleep(&self, entry: &Arc<Entry>) -> Option<Piece> {
        let nap = {
            let mut inner = entry.lock();
            let nap = inner.nap.take();
            inner.forget_row();
            nap
        };
        let piece = nap.map(|nap| {
            self.asleep.leave(nap.place);
            Piece { object: entry.object.clone(), state: nap.state }
        });
        self.directory.forget(entry);
        piece
    }

    /// Whoever called what was packed, and waits still: they go along, in their order.
    pub(super) fn pack_calls(&self, shard: ShardId) -> Vec<Waiting> {
        self.owned.shards.take_parked(shard)
    }
}
