//! Evening out what nodes have to do, instead of how many shards they have.

use super::{Draft, Why};

/// What shards had to do lately, by their numbers; what is missing did nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Loads {
    /// Calls.
    pub calls: Vec<u64>,
    /// Bytes that came with calls.
    pub bytes: Vec<u64>,
}

/// All calls and all bytes weigh this much together, each; that shards are there, a tenth of it.
const WHOLE: u128 = 1 << 40;

/// Fewer calls than this in all weigh less: where little is done it means little where it is done.
const CALLS_MIN: u128 = 1000;

/// So many bytes weigh as much as one call if calls come with no more than that: without payloads
/// to speak of, the few bytes that there are say nothing.
const BYTES_MIN: u128 = 256;

/// So many moves are thought of at a time.
const STEPS_MAX: usize = 256;

impl Loads {
    /// What each shard weighs: its part of all calls and of all bytes. A little for its being there,
    /// so that even idle shards are spread.
    fn weights(&self, shards: usize) -> Vec<u128> {
        let total = |of: &[u64]| of.iter().map(|one| u128::from(*one)).sum::<u128>();
        let calls = total(&self.calls).max(CALLS_MIN);
        let bytes = total(&self.bytes).max(calls * BYTES_MIN);
        let part = |of: &[u64], place: usize, total: u128| {
            of.get(place).map_or(0, |one| u128::from(*one) * WHOLE / total)
        };
        let there = WHOLE / 10 / shards.max(1) as u128;
        let weight =
            |place| part(&self.calls, place, calls) + part(&self.bytes, place, bytes) + there;
        (0..shards).map(weight).collect()
    }
}

/// A node that may have shards.
struct Side {
    node: usize,
    weight: u128,
    load: u128,
    /// What may leave it, the lightest first: what it weighs, and its place.
    movable: Vec<(u128, usize)>,
}

impl Side {
    /// What it has to do for each of its own weight.
    fn strain(&self) -> u128 {
        self.load / self.weight
    }
}

/// Moves from who has most to do to who has least, if the busiest node has a tenth less to do for
/// it in the end; as many as may be on their way at once.
pub(super) fn even_out(draft: &mut Draft<'_>, loads: &Loads, moves_max: usize) {
    let mut sides = sides(draft, &loads.weights(draft.shards.len()));
    let busiest = |sides: &[Side]| sides.iter().map(Side::strain).max().unwrap_or(0);
    let before = busiest(&sides);
    let moves: Vec<_> = std::iter::from_fn(|| step(&mut sides)).take(STEPS_MAX).collect();
    if busiest(&sides) * 10 > before * 9 {
        return;
    }
    for (shard, node) in moves.into_iter().take(draft.moves_left(moves_max)) {
        draft.assign(shard, node, Why::Load);
    }
}

fn sides(draft: &Draft<'_>, weights: &[u128]) -> Vec<Side> {
    let mut sides: Vec<_> = (0..)
        .zip(&draft.nodes)
        .map(|(node, known)| Side {
            node,
            weight: u128::from(known.weight.max(1)),
            load: 0,
            movable: Vec::new(),
        })
        .collect();
    for (place, (shard, weight)) in draft.shards.iter().zip(weights).enumerate() {
        let Some(node) = shard.pin.or(shard.target) else { continue };
        sides[node].load += weight;
        if shard.is_free() {
            sides[node].movable.push((*weight, place));
        }
    }
    sides.retain(|side| draft.nodes[side.node].is_eligible);
    for side in &mut sides {
        side.movable.sort_unstable();
    }
    sides
}

/// The one move that helps the busiest node most; none: nothing does, or they are close.
fn step(sides: &mut [Side]) -> Option<(usize, usize)> {
    let order = |place: &usize| sides[*place].strain();
    let from = (0..sides.len()).max_by_key(order)?;
    let to = (0..sides.len()).min_by_key(order)?;
    let (busy, idle) = (&sides[from], &sides[to]);
    if busy.strain() * 10 <= idle.strain() * 12 {
        return None;
    }
    // What would make them equal; one that is heavier helps as long as the other stays below.
    let ahead = (busy.load * idle.weight).checked_sub(idle.load * busy.weight)?;
    let ideal = ahead / (busy.weight + idle.weight);
    let above = busy.movable.partition_point(|(weight, _)| *weight <= ideal);
    let chosen = above.checked_sub(1).unwrap_or(above);
    let (weight, _) = *busy.movable.get(chosen)?;
    if weight == 0 || (idle.load + weight) / idle.weight >= busy.strain() {
        return None;
    }
    let (_, shard) = sides[from].movable.remove(chosen);
    sides[from].load -= weight;
    sides[to].load += weight;
    Some((shard, sides[to].node))
}
