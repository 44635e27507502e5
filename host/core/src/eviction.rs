//! Who sleeps first when there is no room for another live instance.

/// Of `idle` activations with the moment of their last use, those `count` that were used longest
/// ago, longest first.
pub fn least_recently_used<T: Ord + Copy, K>(
    idle: impl IntoIterator<Item = (T, K)>,
    count: usize,
) -> Vec<K> {
    let mut idle: Vec<_> = idle.into_iter().collect();
    if count == 0 {
        return Vec::new();
    }
    if count < idle.len() {
        idle.select_nth_unstable_by_key(count - 1, |(used, _)| *used);
        idle.truncate(count);
    }
    idle.sort_by_key(|(used, _)| *used);
    idle.into_iter().map(|(_, key)| key).collect()
}

/// How many to put to sleep at once, when `waiting` objects want room among `live_max`: looking
/// for one costs as much as looking for many, so a full node makes a little room ahead.
pub fn batch(waiting: usize, leaving: usize, live_max: usize) -> usize {
    const AHEAD_SHARE: usize = 200;
    waiting.saturating_sub(leaving).max(if leaving == 0 { live_max / AHEAD_SHARE } else { 0 })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_longest_unused_sleeps_first() {
        let idle = [(30, "c"), (10, "a"), (20, "b")];
        assert_eq!(least_recently_used(idle, 1), ["a"]);
        assert_eq!(least_recently_used(idle, 2), ["a", "b"]);
        assert_eq!(least_recently_used(idle, 9), ["a", "b", "c"]);
        assert!(least_recently_used(idle, 0).is_empty());
    }

    #[test]
    fn a_small_node_puts_no_more_to_sleep_than_it_must() {
        assert_eq!(batch(1, 0, 100), 1);
        assert_eq!(batch(3, 1, 100), 2);
        assert_eq!(batch(1, 1, 10_000), 0);
        assert_eq!(batch(1, 0, 10_000), 50);
    }

    proptest! {
        #[test]
        fn nobody_who_stays_was_used_before_one_who_sleeps(
            used in proptest::collection::vec(0_u64..1000, 0..60),
            count in 0_usize..70,
        ) {
            let idle = used.iter().copied().enumerate().map(|(key, at)| (at, key));
            let asleep = least_recently_used(idle, count);
            prop_assert_eq!(asleep.len(), count.min(used.len()));
            let latest = asleep.iter().map(|key| used[*key]).max();
            for (key, at) in used.iter().enumerate() {
                prop_assert!(asleep.contains(&key) || latest.is_none_or(|latest| latest <= *at));
            }
        }
    }
}
