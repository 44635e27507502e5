//! What of the store is read for the shards that are at work here: runs of them, one after the other.
//! Nodes own their shards in blocks for the most part, so that what others own is passed over.

use wasmverse_core::ShardId;

use super::Shards;

/// Shards of others between two of ours that are read along: that costs less than to ask once more.
const GAP_MAX: usize = 64;

impl Shards {
    /// The first run of shards that are open, from this one on, with few others between them.
    pub(crate) fn open_run(&self, from: ShardId) -> Option<wasmverse_store::Shards> {
        first_run(from, self.slots.len(), |shard| self.is_open(shard))
    }
}

fn first_run(
    from: ShardId,
    count: usize,
    is_open: impl Fn(ShardId) -> bool,
) -> Option<wasmverse_store::Shards> {
    let shards = (0..).map(ShardId).take(count).skip(usize::from(from.0));
    let mut open = shards.filter(|shard| is_open(*shard));
    let start = open.next()?;
    let end = open
        .scan(start, |last, shard| {
            let is_near = usize::from(shard.0 - last.0) <= GAP_MAX;
            *last = shard;
            is_near.then_some(shard)
        })
        .last();
    Some(start..=end.unwrap_or(start))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All runs of a thousand shards.
    fn runs(is_open: impl Fn(u16) -> bool) -> Vec<(u16, u16)> {
        let mut runs = Vec::new();
        let mut from = 0;
        while let Some(run) = first_run(ShardId(from), 1000, |shard| is_open(shard.0)) {
            runs.push((run.start().0, run.end().0));
            from = run.end().0 + 1;
        }
        runs
    }

    #[test]
    fn runs_have_all_that_is_open_and_pass_over_the_rest() {
        assert_eq!(runs(|_| false), []);
        assert_eq!(runs(|_| true), [(0, 999)]);
        assert_eq!(runs(|shard| shard % 3 == 1), [(1, 997)]);
        assert_eq!(
            runs(|shard| (100..300).contains(&shard) || shard == 999),
            [(100, 299), (999, 999)]
        );
        let apart = |gap: usize| move |shard: u16| shard == 0 || usize::from(shard) == gap;
        assert_eq!(runs(apart(GAP_MAX)), [(0, 64)]);
        assert_eq!(runs(apart(GAP_MAX + 1)), [(0, 0), (65, 65)]);
    }
}
