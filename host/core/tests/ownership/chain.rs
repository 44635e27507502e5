//! Chains of calls: an object of one shard calls one of the other, which calls back to another
//! object of the first.

use crate::etcd::{NODES, SHARDS};

/// How far a chain is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Stage {
    NotBegun,
    /// The first call waits until its shard lets it in.
    Calls,
    /// The first turn runs, and its call waits for the other shard.
    CallsOn,
    /// Both turns run; the second one's call waits for the first shard.
    CallsBack,
    /// The call back is answered; both turns are still running.
    Answered,
    /// The second turn has ended.
    Ending,
    Ended,
    /// A turn of it was on a node that was lost.
    Lost,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Chain {
    pub(crate) stage: Stage,
    /// The shard of its first call.
    pub(crate) first: usize,
    /// What the router had read when it began.
    pub(crate) began: u64,
    /// Where its turns run.
    pub(crate) nodes: [usize; 2],
}

impl Chain {
    pub(crate) fn new(first: usize) -> Self {
        Self { stage: Stage::NotBegun, first, began: 0, nodes: [NODES; 2] }
    }

    pub(crate) fn other(&self) -> usize {
        (self.first + 1) % SHARDS
    }

    /// The shard that its next call is to.
    pub(crate) fn waits_for(&self) -> Option<usize> {
        match self.stage {
            Stage::Calls | Stage::CallsBack => Some(self.first),
            Stage::CallsOn => Some(self.other()),
            Stage::NotBegun | Stage::Answered | Stage::Ending | Stage::Ended | Stage::Lost => None,
        }
    }

    /// The call is let in on a node.
    pub(crate) fn enter(&mut self, node: usize) {
        self.stage = match self.stage {
            Stage::Calls => {
                self.nodes[0] = node;
                Stage::CallsOn
            }
            Stage::CallsOn => {
                self.nodes[1] = node;
                Stage::CallsBack
            }
            Stage::CallsBack => Stage::Answered,
            other => other,
        };
    }

    /// The turn that may end now: its node and shard.
    pub(crate) fn may_end(&self) -> Option<(usize, usize)> {
        match self.stage {
            Stage::Answered => Some((self.nodes[1], self.other())),
            Stage::Ending => Some((self.nodes[0], self.first)),
            _ => None,
        }
    }

    pub(crate) fn end_turn(&mut self) {
        self.stage = if self.stage == Stage::Answered { Stage::Ending } else { Stage::Ended };
    }

    /// Whether a turn of it runs there.
    pub(crate) fn runs_at(&self, node: usize, shard: usize) -> bool {
        let first = Stage::CallsOn <= self.stage && self.stage <= Stage::Ending;
        let second = matches!(self.stage, Stage::CallsBack | Stage::Answered);
        (first && self.nodes[0] == node && self.first == shard)
            || (second && self.nodes[1] == node && self.other() == shard)
    }

    pub(crate) fn is_over(&self) -> bool {
        matches!(self.stage, Stage::NotBegun | Stage::Ended | Stage::Lost)
    }
}
