//! How many shards each node should have.

use std::cmp::Reverse;

use super::Node;

/// Shares `total` shards out among the nodes that are eligible: by weight, what is left over going
/// to the largest remainders, and of equal ones to who has most already (nothing moves for it).
///
/// Pinned shards count as part of the share of their node. One to which more are pinned than that
/// has these alone, and the others share the rest.
pub(super) fn allot(nodes: &mut [Node<'_>], total: usize) {
    let mut sharing: Vec<usize> =
        (0..nodes.len()).filter(|place| nodes[*place].is_eligible).collect();
    let mut total = total;
    while !sharing.is_empty() {
        share(nodes, &sharing, total);
        let all = sharing.len();
        sharing.retain(|place| {
            let node = &mut nodes[*place];
            let is_full = node.pinned > node.quota;
            if is_full {
                node.quota = node.pinned;
                total -= node.pinned;
            }
            !is_full
        });
        if sharing.len() == all {
            return;
        }
    }
}

fn share(nodes: &mut [Node<'_>], sharing: &[usize], total: usize) {
    let weights: u64 = sharing.iter().map(|place| u64::from(nodes[*place].weight)).sum();
    let mut left = total;
    let mut rest = Vec::with_capacity(sharing.len());
    for place in sharing {
        let node = &mut nodes[*place];
        let part = total as u64 * u64::from(node.weight);
        node.quota = usize::try_from(part / weights).expect("not above the total");
        left -= node.quota;
        rest.push((Reverse(part % weights), Reverse(node.count), *place));
    }
    // Fewer than there are nodes.
    rest.sort_unstable();
    for (.., place) in rest.into_iter().take(left) {
        nodes[place].quota += 1;
    }
}
