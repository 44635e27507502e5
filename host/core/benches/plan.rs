//! What a plan costs the leader: after a join, after a death, and when there is nothing to do.

#![expect(clippy::unwrap_used, reason = "a benchmark fails by panicking")]

use std::{hint::black_box, sync::Arc};

use criterion::{Criterion, criterion_group, criterion_main};
use wasmverse_core::{
    Epoch, NodeId, ShardCount,
    cluster::{
        Incarnation, Member, OwnerKey, TargetKey, View,
        plan::{Terms, plan},
    },
};

const TERMS: Terms<'static> =
    Terms { min_nodes: 1, is_stable: true, moves_max: usize::MAX, load: None };

fn member(number: usize) -> Member {
    Member {
        id: NodeId::new(&format!("node-{number}.cluster.local")),
        incarnation: Incarnation::new(&format!("incarnation-{number}")),
        process: "".into(),
        addresses: [].into(),
        weight: 1,
        is_leaving: false,
        version: "".into(),
        revision: 1,
    }
}

/// All shards are where they should be, on so many nodes.
fn settled(nodes: usize) -> View {
    let mut view = View::empty(ShardCount::default());
    for number in 0..nodes {
        let member = member(number);
        view.nodes.insert(member.id.clone(), Arc::new(member));
    }
    for assignment in plan(&view, &TERMS) {
        let (node, why) = (assignment.node, assignment.why);
        let holder = Some((node.clone(), view.nodes[&node].incarnation.clone()));
        let slot = view.slot_mut(assignment.shard);
        slot.owner = Some(OwnerKey { holder, epoch: Epoch(1), revision: 1 });
        slot.target = Some(TargetKey { node, why, revision: 1 });
    }
    view
}

fn plans(criterion: &mut Criterion) {
    for nodes in [3, 1000] {
        let rest = settled(nodes);
        let mut join = rest.clone();
        let new = member(nodes);
        join.nodes.insert(new.id.clone(), Arc::new(new));
        let mut death = rest.clone();
        death.nodes.pop_first().unwrap();
        for (name, view) in [("at rest", rest), ("join", join), ("death", death)] {
            let moves = plan(&view, &TERMS).len();
            let name = format!("plan/{nodes} nodes, {name}, {moves} moves");
            criterion.bench_function(&name, |bencher| {
                bencher.iter(|| plan(black_box(&view), &TERMS));
            });
        }
    }
}

criterion_group!(benches, plans);
criterion_main!(benches);
