//! Which shards changed hands last, as far as one gate has seen it.

use std::{collections::VecDeque, sync::Arc};

use wasmverse_core::{
    Epoch, NodeId, ShardId,
    cluster::{OwnerKey, View},
};
use wasmverse_proto::admin::ShardMove;

/// So many changes are remembered.
const MOVES_MAX: usize = 100;

/// The latest changes of hands. What was so when the first view came is no change.
#[derive(Debug, Default)]
pub(super) struct History {
    /// By shard: the last one that had it. None: no view was seen yet.
    holders: Option<Vec<Option<(NodeId, Epoch)>>>,
    last: Option<Arc<View>>,
    /// The latest last.
    moves: VecDeque<ShardMove>,
}

impl History {
    /// Notes what is new in a view. Those between it and the one before may have been missed.
    pub(super) fn see(&mut self, view: &Arc<View>, at_micros: i64) {
        if self.last.as_ref().is_some_and(|last| Arc::ptr_eq(last, view)) {
            return;
        }
        // A view of nothing, from before the first one was read, tells nothing.
        if self.holders.is_none() && view.nodes.is_empty() && view.revision == 0 {
            return;
        }
        match &mut self.holders {
            None => self.holders = Some(view.shards().map(|shard| holder(view, shard)).collect()),
            Some(holders) => {
                for (shard, had) in view.shards().zip(holders) {
                    let Some(has) = holder(view, shard) else { continue };
                    if had.as_ref().is_some_and(|(_, epoch)| *epoch >= has.1) {
                        continue;
                    }
                    if self.moves.len() == MOVES_MAX {
                        self.moves.pop_front();
                    }
                    self.moves.push_back(change(view, shard, had.as_ref(), &has, at_micros));
                    *had = Some(has);
                }
            }
        }
        self.last = Some(Arc::clone(view));
    }

    /// The latest first.
    pub(super) fn latest(&self) -> Vec<ShardMove> {
        self.moves.iter().rev().cloned().collect()
    }
}

/// Who holds a shard by its owner key, alive or not; none: it was released, or never had.
fn holder(view: &View, shard: ShardId) -> Option<(NodeId, Epoch)> {
    let OwnerKey { holder, epoch, .. } = view.slot(shard).owner.as_ref()?;
    holder.as_ref().map(|(node, _)| (node.clone(), *epoch))
}

fn change(
    view: &View,
    shard: ShardId,
    had: Option<&(NodeId, Epoch)>,
    (to, epoch): &(NodeId, Epoch),
    at_micros: i64,
) -> ShardMove {
    // A target that has changed since says nothing of why this node got it.
    let target = view.slot(shard).target.as_ref().filter(|target| target.node == *to);
    ShardMove {
        shard: shard.0.into(),
        from: had.map(|(from, _)| from.as_str().to_owned()).unwrap_or_default(),
        to: to.as_str().to_owned(),
        why: target.map(|target| target.why.as_str().to_owned()).unwrap_or_default(),
        epoch: epoch.0,
        at_micros,
    }
}

#[cfg(test)]
mod tests {
    use super::{super::tests::*, *};
    use wasmverse_core::cluster::Why;

    fn seen(history: &History) -> Vec<(u32, String, String, String, u64, i64)> {
        let parts = |it: ShardMove| (it.shard, it.from, it.to, it.why, it.epoch, it.at_micros);
        history.latest().into_iter().map(parts).collect()
    }

    fn text(
        shard: u32,
        from: &str,
        to: &str,
        why: &str,
        epoch: u64,
        at: i64,
    ) -> (u32, String, String, String, u64, i64) {
        (shard, from.into(), to.into(), why.into(), epoch, at)
    }

    #[test]
    fn what_was_so_at_first_is_no_change_and_what_comes_is() {
        let mut history = History::default();
        history.see(&Arc::new(View::empty(four())), 1);
        let mut view = cluster(&["a", "b"]);
        owns(&mut view, 0, Some("a"), 1);
        history.see(&Arc::new(view.clone()), 2);
        assert_eq!(seen(&history), []);

        targets(&mut view, 0, "b", Why::Balance);
        history.see(&Arc::new(view.clone()), 3);
        owns(&mut view, 0, None, 1);
        history.see(&Arc::new(view.clone()), 4);
        assert_eq!(seen(&history), [], "nobody has it yet");
        owns(&mut view, 0, Some("b"), 2);
        targets(&mut view, 1, "a", Why::Orphan);
        owns(&mut view, 1, Some("a"), 1);
        history.see(&Arc::new(view.clone()), 5);
        let expected = [text(1, "", "a", "orphan", 1, 5), text(0, "a", "b", "balance", 2, 5)];
        assert_eq!(seen(&history), expected, "the latest first");
    }

    #[test]
    fn views_that_were_missed_hide_no_change_but_its_reason() {
        let mut view = cluster(&["a", "b"]);
        owns(&mut view, 2, Some("a"), 4);
        let mut history = History::default();
        history.see(&Arc::new(view.clone()), 1);
        owns(&mut view, 2, Some("b"), 9);
        targets(&mut view, 2, "a", Why::Pin);
        history.see(&Arc::new(view.clone()), 2);
        // The same node again, under another registration.
        owns(&mut view, 2, Some("b"), 10);
        targets(&mut view, 2, "b", Why::Orphan);
        history.see(&Arc::new(view), 3);
        let expected = [text(2, "b", "b", "orphan", 10, 3), text(2, "a", "b", "", 9, 2)];
        assert_eq!(seen(&history), expected);
    }

    #[test]
    fn the_oldest_are_forgotten() {
        let mut view = cluster(&["a"]);
        let mut history = History::default();
        history.see(&Arc::new(view.clone()), 0);
        for epoch in 1..=250 {
            owns(&mut view, 0, Some("a"), epoch);
            history.see(&Arc::new(view.clone()), 1);
        }
        let epochs: Vec<_> = history.latest().iter().map(|it| it.epoch).collect();
        assert_eq!((epochs.len(), epochs[0], epochs[99]), (100, 250, 151));
    }
}
