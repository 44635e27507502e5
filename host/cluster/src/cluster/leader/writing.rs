//! What the leader writes, in commits that assert that it leads.

use tracing::info;
use wasmverse_core::cluster::plan::Assignment;

use super::super::{
    Seen, Shared,
    keys::{Key, TargetValue, encode},
};
use crate::{Error, Guard, Op, TRANSACTION_MAX, metrics};

/// What became of what was to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Written {
    /// All of it, last at this revision; none: there was nothing to write.
    All(Option<u64>),
    /// It rested on what is so no more.
    Refused,
}

/// Keys that are written together.
type Piece = (Vec<Guard>, Vec<Op>);

impl Shared {
    /// Writes targets, and settles wishes: each with its target, in the same commit. What the plan
    /// does not grant cannot be granted.
    pub(super) async fn write_targets(
        &self,
        leads_since: u64,
        seen: &Seen,
        planned: Vec<Assignment>,
    ) -> Result<Written, Error> {
        let mut last = None;
        let whys: Vec<_> = planned.iter().map(|it| it.why).collect();
        for (mut guards, ops) in pieces(seen, planned) {
            guards.push(Guard::Revision(Key::Leader.text(), leads_since));
            match self.commit(guards, ops).await? {
                Some(revision) => last = Some(revision),
                None => return Ok(Written::Refused),
            }
        }
        whys.into_iter().for_each(metrics::placed);
        Ok(Written::All(last))
    }
}

fn pieces(seen: &Seen, planned: Vec<Assignment>) -> Vec<Piece> {
    let (wished, planned): (Vec<_>, Vec<_>) =
        planned.into_iter().partition(|it| seen.wishes.contains_key(&it.shard));
    let targets: Vec<_> = planned.iter().map(put).collect();
    let mut pieces: Vec<Piece> =
        targets.chunks(TRANSACTION_MAX).map(|ops| (Vec::new(), ops.to_vec())).collect();
    // Two operations and one guard for each wish.
    let wishes = wishes(seen, &wished);
    for some in wishes.chunks(TRANSACTION_MAX / 2) {
        let guards = some.iter().map(|(guard, _)| guard.clone()).collect();
        pieces.push((guards, some.iter().flat_map(|(_, ops)| ops.clone()).collect()));
    }
    pieces
}

/// For each wish: what it rests on, and what comes of it.
fn wishes(seen: &Seen, wished: &[Assignment]) -> Vec<(Guard, Vec<Op>)> {
    let view = &seen.view;
    let mut settled = Vec::new();
    for (shard, node) in &view.wishes {
        let Some(revision) = seen.wishes.get(shard) else { continue };
        if view.is_handed_over(*shard) {
            // It has to wait until the shard is claimed.
            continue;
        }
        let key = Key::Wish(*shard).text();
        let mut ops = vec![Op::Delete(key.clone())];
        let is_target = view.slot(*shard).target.as_ref().is_some_and(|it| it.node == *node);
        match wished.iter().find(|it| it.shard == *shard) {
            Some(assignment) => ops.push(put(assignment)),
            None if is_target => {}
            None => info!(%shard, %node, "a shard was to be moved to a node that takes none"),
        }
        settled.push((Guard::Revision(key, *revision), ops));
    }
    settled
}

fn put(assignment: &Assignment) -> Op {
    let Assignment { shard, node, why } = assignment;
    let value = TargetValue { node: node.to_string(), why: why.as_str().to_owned() };
    Op::Put { key: Key::Target(*shard).text(), value: encode(&value), lease: None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Row, Snapshot, cluster::sight::Sight};
    use wasmverse_core::{NodeId, ShardCount, ShardId, cluster::Why};

    fn seen(wishes: u16) -> Seen {
        let row =
            |key: String, value: String| Row { key, value: value.into(), revision: 7, lease: None };
        let node = r#"{"incarnation":"i","addresses":[],"weight":1,"version":"","protocol":1}"#;
        let mut rows = vec![row("nodes/a".to_owned(), node.to_owned())];
        for shard in 0..wishes {
            let node = if shard % 2 == 0 { "a" } else { "nobody" };
            rows.push(row(format!("wishes/{shard}"), format!(r#"{{"node":"{node}"}}"#)));
        }
        let mut sight = Sight::new(ShardCount::new(1000).unwrap());
        sight.read_all(&Snapshot { revision: 9, rows });
        sight.seen().clone()
    }

    #[test]
    fn every_piece_fits_into_a_commit() {
        let planned =
            |shard| Assignment { shard: ShardId(shard), node: NodeId::new("a"), why: Why::Orphan };
        let pieces = pieces(&seen(301), (0..1000).map(planned).collect());
        let fits = |(guards, ops): &Piece| {
            guards.len() < TRANSACTION_MAX && ops.len() <= TRANSACTION_MAX && !ops.is_empty()
        };
        assert!(pieces.iter().all(fits));
        let ops: Vec<_> = pieces.iter().flat_map(|(_, ops)| ops).collect();
        let puts = ops.iter().filter(|op| matches!(op, Op::Put { .. })).count();
        assert_eq!((puts, ops.len() - puts), (1000, 301));
    }

    #[test]
    fn a_wish_is_settled_with_what_the_plan_makes_of_it() {
        let (shard, node) = (ShardId(0), NodeId::new("a"));
        let pieces = pieces(&seen(2), vec![Assignment { shard, node, why: Why::Operator }]);
        let [(guards, ops)] = pieces.as_slice() else { panic!("{pieces:?}") };
        assert_eq!(guards.len(), 2);
        let target = TargetValue { node: "a".to_owned(), why: "operator".to_owned() };
        let put = Op::Put { key: "targets/0".to_owned(), value: encode(&target), lease: None };
        let deleted = |shard: u16| Op::Delete(format!("wishes/{shard}"));
        assert_eq!(*ops, [deleted(0), put, deleted(1)]);
    }
}
