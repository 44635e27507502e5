//! What the leader writes, in commits that assert that it leads.

use tracing::info;
use wasmverse_core::{ShardId, cluster::plan::Assignment};

use super::super::{
    Seen, Shared,
    keys::{Key, TargetValue, encode},
};
use crate::{Error, Guard, Op, TRANSACTION_MAX, metrics};

/// What became of what was to be written.
#[derive(Debug)]
pub(super) struct Written {
    /// The last revision that something was written at; none: nothing was.
    pub(super) last: Option<u64>,
    /// Why not all of it was.
    pub(super) trouble: Option<Trouble>,
}

/// Why something was not written.
#[derive(Debug)]
pub(super) enum Trouble {
    /// It rested on what is so no more.
    Refused,
    Failed(Error),
}

/// What is written together: for each shard, what it rests on, and what is done.
type Piece = Vec<(Vec<Guard>, Vec<Op>)>;

impl Shared {
    /// Writes targets, and settles wishes: each with its target, in the same commit. What the plan
    /// does not grant cannot be granted. What is refused is tried in ever smaller pieces: one shard
    /// that cannot be written stands in no other's way.
    pub(super) async fn write_targets(
        &self,
        leads_since: u64,
        seen: &Seen,
        planned: Vec<Assignment>,
    ) -> Written {
        let mut written = Written { last: None, trouble: None };
        let whys: Vec<_> = planned.iter().map(|it| it.why).collect();
        let mut left = pieces(seen, planned);
        left.reverse();
        while let Some(mut piece) = left.pop() {
            let (guards, ops): (Vec<_>, Vec<_>) = piece.iter().cloned().unzip();
            let mut guards = guards.concat();
            guards.push(Guard::Revision(Key::Leader.text(), leads_since));
            match self.commit(guards, ops.concat()).await {
                Ok(Some(revision)) => written.last = Some(revision),
                Ok(None) => {
                    written.trouble = Some(Trouble::Refused);
                    match self.leads(leads_since).await {
                        Ok(true) if piece.len() > 1 => {
                            let second = piece.split_off(piece.len() / 2);
                            left.extend([second, piece]);
                        }
                        Ok(true) => {}
                        Ok(false) => return written,
                        Err(error) => {
                            return Written { trouble: Some(Trouble::Failed(error)), ..written };
                        }
                    }
                }
                Err(error) => return Written { trouble: Some(Trouble::Failed(error)), ..written },
            }
        }
        if written.trouble.is_none() {
            whys.into_iter().for_each(metrics::placed);
        }
        written
    }

    /// Whether the key of the leader is ours still.
    async fn leads(&self, since: u64) -> Result<bool, Error> {
        let (_, row) = self.coordination.get(&Key::Leader.text()).await?;
        Ok(row.is_some_and(|row| row.revision == since))
    }
}

fn pieces(seen: &Seen, planned: Vec<Assignment>) -> Vec<Piece> {
    let (wished, planned): (Vec<_>, Vec<_>) =
        planned.into_iter().partition(|it| seen.wishes.contains_key(&it.shard));
    let targets: Piece =
        planned.iter().map(|it| (vec![as_seen(seen, it.shard)], vec![put(it)])).collect();
    // One guard for each, and one more for the leader.
    let mut pieces: Vec<Piece> = targets.chunks(TRANSACTION_MAX - 1).map(<[_]>::to_vec).collect();
    // Two operations and two guards for each wish.
    let wishes = wishes(seen, &wished);
    pieces.extend(wishes.chunks(TRANSACTION_MAX / 2 - 1).map(<[_]>::to_vec));
    pieces
}

/// That a shard's owner is who it was when the plan was made. A target that is written while the shard
/// is being handed over to another would part it from what its objects had in memory.
fn as_seen(seen: &Seen, shard: ShardId) -> Guard {
    let key = Key::Owner(shard).text();
    match &seen.view.slot(shard).owner {
        Some(owner) => Guard::Revision(key, owner.revision),
        None => Guard::Absent(key),
    }
}

/// For each wish: what it rests on, and what comes of it.
fn wishes(seen: &Seen, wished: &[Assignment]) -> Piece {
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
        let mut guards = vec![Guard::Revision(key, *revision)];
        match wished.iter().find(|it| it.shard == *shard) {
            Some(assignment) => {
                ops.push(put(assignment));
                guards.push(as_seen(seen, *shard));
            }
            None if is_target => {}
            None => info!(%shard, %node, "a shard was to be moved to a node that takes none"),
        }
        settled.push((guards, ops));
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
    use wasmverse_core::{NodeId, ShardCount, cluster::Why};

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
        let fits = |piece: &Piece| {
            let guards = piece.iter().map(|(guards, _)| guards.len()).sum::<usize>();
            let ops = piece.iter().map(|(_, ops)| ops.len()).sum::<usize>();
            guards < TRANSACTION_MAX && ops <= TRANSACTION_MAX && ops > 0
        };
        assert!(pieces.iter().all(fits));
        let ops: Vec<_> = pieces.iter().flatten().flat_map(|(_, ops)| ops).collect();
        let puts = ops.iter().filter(|op| matches!(op, Op::Put { .. })).count();
        assert_eq!((puts, ops.len() - puts), (1000, 301));
    }

    #[test]
    fn a_wish_is_settled_with_what_the_plan_makes_of_it() {
        let (shard, node) = (ShardId(0), NodeId::new("a"));
        let pieces = pieces(&seen(2), vec![Assignment { shard, node, why: Why::Operator }]);
        let [piece] = pieces.as_slice() else { panic!("{pieces:?}") };
        let (guards, ops): (Vec<_>, Vec<_>) = piece.iter().cloned().unzip();
        let wish = |shard: u16| Guard::Revision(format!("wishes/{shard}"), 7);
        assert_eq!(guards.concat(), [wish(0), Guard::Absent("owners/0".to_owned()), wish(1)]);
        let target = TargetValue { node: "a".to_owned(), why: "operator".to_owned() };
        let put = Op::Put { key: "targets/0".to_owned(), value: encode(&target), lease: None };
        let deleted = |shard: u16| Op::Delete(format!("wishes/{shard}"));
        assert_eq!(ops.concat(), [deleted(0), put, deleted(1)]);
    }
}
