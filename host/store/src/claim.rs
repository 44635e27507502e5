//! What a claim asks for, put in order.

use std::collections::BTreeMap;

use wasmverse_core::{Epoch, ShardId};

use crate::Error;

/// Shards and the epochs that theirs must exceed, in order and each once.
#[derive(Debug)]
pub(crate) struct Wanted {
    asked: Vec<ShardId>,
    floors: BTreeMap<ShardId, i64>,
}

impl Wanted {
    /// [`Error::Refused`] if a shard is none of the cluster's, or an epoch the last possible.
    pub(crate) fn new(shards: Vec<(ShardId, Epoch)>, count: u16) -> Result<Self, Error> {
        let (mut asked, mut floors) = (Vec::with_capacity(shards.len()), BTreeMap::new());
        for (shard, Epoch(epoch)) in shards {
            if shard.0 >= count {
                return Err(Error::Refused(format!("shard {shard} of {count}")));
            }
            let floor = i64::try_from(epoch).ok().filter(|epoch| *epoch < i64::MAX);
            let floor = floor.ok_or_else(|| Error::Refused(format!("the epoch {epoch}")))?;
            let highest = floors.entry(shard).or_insert(floor);
            *highest = floor.max(*highest);
            asked.push(shard);
        }
        Ok(Self { asked, floors })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.floors.is_empty()
    }

    /// Each shard once, in order.
    pub(crate) fn shards(&self) -> impl Iterator<Item = i64> {
        self.floors.keys().map(|shard| i64::from(shard.0))
    }

    /// The epochs to exceed, in the same order.
    pub(crate) fn floors(&self) -> impl Iterator<Item = i64> {
        self.floors.values().copied()
    }

    /// What was asked for, in its order, with what the database answered.
    pub(crate) fn answered(
        &self,
        rows: impl IntoIterator<Item = (i64, i64)>,
    ) -> Result<Vec<(ShardId, Epoch)>, Error> {
        let epochs: BTreeMap<i64, i64> = rows.into_iter().collect();
        let told = |shard: &ShardId| {
            let epoch = epochs.get(&i64::from(shard.0)).copied();
            let epoch = epoch.and_then(|epoch| u64::try_from(epoch).ok()).map(Epoch);
            let gone = || Error::Damaged(format!("shard {shard} was claimed and has no epoch"));
            Ok((*shard, epoch.ok_or_else(gone)?))
        };
        self.asked.iter().map(told).collect()
    }
}
