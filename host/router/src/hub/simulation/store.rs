//! The store: epochs that are raised from where they were seen, and a log for each durable object,
//! whose appends check the epoch.

use std::collections::BTreeMap;

use wasmverse_core::Epoch;

use super::{asks::Claim, world::Bug};

/// What a node asks for.
#[derive(Debug)]
pub(super) enum StoreOp {
    /// Raises each from its epoch; these were raised before; whether it is the second try.
    Raise(Vec<Claim>, Vec<(usize, u64, Option<Epoch>)>, bool),
    Append {
        turn: u64,
        object: usize,
        shard: usize,
        epoch: u64,
        call: usize,
        key: Option<u64>,
    },
}

#[derive(Debug)]
pub(super) enum StoreAnswer {
    /// What is settled, and what was found at another epoch.
    Raised(Vec<(usize, u64, Option<Epoch>)>, Vec<Claim>),
    Appended {
        turn: u64,
        appended: Appended,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Appended {
    Done,
    /// The shard has another epoch.
    Refused,
    /// The connection died.
    Unknown,
}

/// A line of a log.
#[derive(Clone, Copy, Debug)]
pub(super) struct Line {
    pub(super) call: usize,
    pub(super) epoch: u64,
    pub(super) process: usize,
}

pub(super) struct Store {
    pub(super) epochs: Vec<u64>,
    pub(super) logs: Vec<Vec<Line>>,
    /// What was done under a key, of an object.
    results: BTreeMap<(usize, u64), usize>,
    /// Which process commits in an epoch of a shard.
    committers: BTreeMap<(usize, u64), usize>,
    /// The epoch of the last commit in each shard.
    last: Vec<u64>,
}

impl Store {
    pub(super) fn new(shards: usize, objects: usize) -> Self {
        Self {
            epochs: vec![0; shards],
            logs: vec![Vec::new(); objects],
            results: BTreeMap::new(),
            committers: BTreeMap::new(),
            last: vec![0; shards],
        }
    }

    /// Raises epochs from where they were seen; the others come back with what they were found at.
    pub(super) fn raise(
        &mut self,
        claims: Vec<Claim>,
        settled: &mut Vec<(usize, u64, Option<Epoch>)>,
    ) -> Vec<Claim> {
        let mut others = Vec::new();
        for mut claim in claims {
            let epoch = &mut self.epochs[claim.shard];
            if *epoch == claim.epoch.0 {
                *epoch += 1;
                settled.push((claim.shard, claim.tag, Some(Epoch(*epoch))));
            } else {
                claim.epoch = Epoch(*epoch);
                others.push(claim);
            }
        }
        others
    }

    /// Appends to a log, once for each key. What is wrong with it, if anything is.
    pub(super) fn append(
        &mut self,
        bug: Bug,
        (object, shard): (usize, usize),
        key: Option<u64>,
        line: Line,
    ) -> (Appended, Option<String>) {
        if line.epoch != self.epochs[shard] && bug != Bug::StoreChecksNoEpoch {
            return (Appended::Refused, None);
        }
        if let Some(key) = key
            && self.results.insert((object, key), line.call).is_some()
        {
            return (Appended::Done, None);
        }
        let mut wrong = None;
        if line.epoch < self.last[shard] {
            wrong = Some(format!(
                "shard {shard}: a commit in epoch {} after one in epoch {}",
                line.epoch, self.last[shard]
            ));
        }
        self.last[shard] = self.last[shard].max(line.epoch);
        let committer = *self.committers.entry((shard, line.epoch)).or_insert(line.process);
        if committer != line.process {
            wrong = Some(format!("shard {shard}: two nodes commit in epoch {}", line.epoch));
        }
        self.logs[object].push(line);
        (Appended::Done, wrong)
    }
}
