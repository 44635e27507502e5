//! What claims and raises ask for, put in order, and what they are answered.

use std::collections::{BTreeMap, BTreeSet};

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
        for (shard, epoch) in shards {
            let floor = checked(shard, epoch, count)?;
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

/// What a raise did to a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Raised {
    /// It was as expected, and its epoch is this one now.
    To(Epoch),
    /// Nothing: it has this epoch, which is another than the expected one (0: it never had one).
    Has(Epoch),
}

/// Shards and the epochs that theirs are expected to be, as they were asked for, and each once.
#[derive(Debug)]
pub(crate) struct Bids(Vec<(ShardId, i64)>);

impl Bids {
    /// [`Error::Refused`] as for [`Wanted`], or if a shard is there twice: the second would expect
    /// what the first makes of it, or not, and nobody knows what is meant.
    pub(crate) fn new(shards: Vec<(ShardId, Epoch)>, count: u16) -> Result<Self, Error> {
        let (mut bids, mut seen) = (Vec::with_capacity(shards.len()), BTreeSet::new());
        for (shard, epoch) in shards {
            bids.push((shard, checked(shard, epoch, count)?));
            if !seen.insert(shard) {
                return Err(Error::Refused(format!("shard {shard} twice")));
            }
        }
        Ok(Self(bids))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Each shard once.
    pub(crate) fn shards(&self) -> impl Iterator<Item = i64> {
        self.0.iter().map(|(shard, _)| i64::from(shard.0))
    }

    /// The epochs that are expected, in the same order.
    pub(crate) fn expected(&self) -> impl Iterator<Item = i64> {
        self.0.iter().map(|(_, epoch)| *epoch)
    }

    /// What the database answered, in the same order: the new epoch of a shard, or the one that it
    /// has, below zero.
    pub(crate) fn answered(&self, told: &[i64]) -> Result<Vec<Raised>, Error> {
        if told.len() != self.0.len() {
            let told = format!("{} shards were to be raised, {} were", self.0.len(), told.len());
            return Err(Error::Damaged(told));
        }
        let raised = |told: &i64| match told {
            1.. => Raised::To(Epoch(told.unsigned_abs())),
            _ => Raised::Has(Epoch(told.unsigned_abs())),
        };
        Ok(told.iter().map(raised).collect())
    }
}

/// The epoch of a shard, as a database keeps it, if there are such, and a higher one.
fn checked(shard: ShardId, Epoch(epoch): Epoch, count: u16) -> Result<i64, Error> {
    if shard.0 >= count {
        return Err(Error::Refused(format!("shard {shard} of {count}")));
    }
    let kept = i64::try_from(epoch).ok().filter(|epoch| *epoch < i64::MAX);
    kept.ok_or_else(|| Error::Refused(format!("the epoch {epoch}")))
}
