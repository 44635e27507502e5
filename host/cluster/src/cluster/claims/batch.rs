//! Which writes go into one commit.

use super::Write;
use crate::{Guard, Op, TRANSACTION_MAX};

/// In order, as many as fit.
pub(super) fn batches(writes: Vec<(usize, Write)>) -> Vec<Vec<(usize, Write)>> {
    let mut batches: Vec<Vec<(usize, Write)>> = Vec::new();
    let mut guards: Vec<Guard> = Vec::new();
    for (at, write) in writes {
        let mut more = guards.clone();
        add(&mut more, &write.guards);
        match batches.last_mut() {
            Some(batch) if more.len() <= TRANSACTION_MAX && batch.len() < TRANSACTION_MAX => {
                batch.push((at, write));
                guards = more;
            }
            _ => {
                guards.clone_from(&write.guards);
                batches.push(vec![(at, write)]);
            }
        }
    }
    batches
}

/// What a batch rests on, each thing once, and what it does.
pub(super) fn commit(batch: &[(usize, Write)]) -> (Vec<Guard>, Vec<Op>) {
    let mut guards = Vec::new();
    for (_, write) in batch {
        add(&mut guards, &write.guards);
    }
    (guards, batch.iter().map(|(_, write)| write.op()).collect())
}

fn add(guards: &mut Vec<Guard>, more: &[Guard]) {
    for guard in more {
        if !guards.contains(guard) {
            guards.push(guard.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::keys::OwnerValue;

    fn write(shard: u64) -> Write {
        let key = format!("owners/{shard}");
        let guards = vec![
            Guard::Revision("nodes/a".to_owned(), 7),
            Guard::Revision(format!("targets/{shard}"), shard),
            Guard::Absent(key.clone()),
            Guard::Absent(format!("nodes/former-{}", shard % 3)),
        ];
        let (node, incarnation) = ("a".to_owned(), "1".to_owned());
        Write { key, guards, value: OwnerValue { node, incarnation, epoch: 1 } }
    }

    #[test]
    fn batches_fit_into_commits_and_lose_nothing() {
        let writes: Vec<_> = (0..1000).map(write).enumerate().collect();
        let batches = batches(writes);
        let places: Vec<_> = batches.iter().flatten().map(|(at, _)| *at).collect();
        assert_eq!(places, (0..1000).collect::<Vec<_>>());
        for batch in &batches {
            let (guards, ops) = commit(batch);
            assert!(guards.len() <= TRANSACTION_MAX && ops.len() == batch.len());
        }
        assert_eq!(batches.len(), 1000_usize.div_ceil((TRANSACTION_MAX - 4) / 2));
    }
}
