//! Plans over random clusters: who gets what, how little moves, and that it ends.

mod load;

use std::{collections::BTreeMap, sync::Arc};

use proptest::prelude::*;

use super::*;
use crate::{
    Epoch, ShardCount,
    cluster::{Incarnation, Member, OwnerKey, TargetKey},
};

const STABLE: Terms<'static> =
    Terms { min_nodes: 1, is_stable: true, moves_max: usize::MAX, load: None };
const UNSTABLE: Terms<'static> = Terms { is_stable: false, ..STABLE };

fn node(number: usize) -> NodeId {
    NodeId::new(&format!("n{number:03}"))
}

fn member(number: usize, weight: u32) -> Arc<Member> {
    Arc::new(Member {
        id: node(number),
        incarnation: Incarnation::new("1"),
        process: "".into(),
        addresses: [].into(),
        weight,
        is_leaving: false,
        version: "".into(),
        revision: 1,
    })
}

/// These nodes, by weight, and no shard is anybody's.
fn cluster(shards: u16, weights: &[u32]) -> View {
    let mut view = View::empty(ShardCount::new(shards).unwrap());
    for (number, weight) in weights.iter().enumerate() {
        view.nodes.insert(node(number), member(number, *weight));
    }
    view
}

fn leave(view: &mut View, number: usize) {
    let leaving = Member { is_leaving: true, ..(*view.nodes[&node(number)]).clone() };
    view.nodes.insert(node(number), Arc::new(leaving));
}

fn own(view: &mut View, shard: u16, number: usize) {
    let holder = Some((node(number), Incarnation::new("1")));
    view.slot_mut(ShardId(shard)).owner = Some(OwnerKey { holder, epoch: Epoch(1), revision: 1 });
}

fn target(view: &mut View, shard: u16, number: usize, why: Why) {
    view.slot_mut(ShardId(shard)).target = Some(TargetKey { node: node(number), why, revision: 1 });
}

/// The shard is where it should be.
fn settle(view: &mut View, shard: u16, number: usize) {
    own(view, shard, number);
    target(view, shard, number, Why::Orphan);
}

fn write(view: &mut View, assignments: &[Assignment]) {
    for Assignment { shard, node, why } in assignments {
        let target = TargetKey { node: node.clone(), why: *why, revision: 1 };
        view.slot_mut(*shard).target = Some(target);
        view.wishes.remove(shard);
    }
}

/// All targets that live come to own what is theirs. Whether anything has changed.
fn move_all(view: &mut View) -> bool {
    let before = view.clone();
    for shard in view.shards() {
        let Some(target) = view.slot(shard).target.clone() else { continue };
        if let Some(member) = view.nodes.get(&target.node).cloned() {
            let holder = Some((target.node, member.incarnation.clone()));
            view.slot_mut(shard).owner = Some(OwnerKey { holder, epoch: Epoch(1), revision: 1 });
        }
    }
    *view != before
}

/// Plans and moves until nothing is left; the plans.
fn converge(view: &mut View, terms: &Terms<'_>) -> Vec<Vec<Assignment>> {
    let mut plans = Vec::new();
    loop {
        let planned = plan(view, terms);
        write(view, &planned);
        if !move_all(view) && planned.is_empty() {
            return plans;
        }
        plans.push(planned);
        assert!(plans.len() < 1000, "it does not end");
    }
}

/// How many shards have each node as their target.
fn counts(view: &View) -> BTreeMap<NodeId, usize> {
    let mut counts: BTreeMap<_, _> = view.nodes.keys().map(|node| (node.clone(), 0)).collect();
    for shard in view.shards() {
        if let Some(target) = &view.slot(shard).target {
            *counts.entry(target.node.clone()).or_default() += 1;
        }
    }
    counts
}

fn whys(planned: &[Assignment]) -> Vec<(u16, &str, Why)> {
    planned.iter().map(|it| (it.shard.0, it.node.as_str(), it.why)).collect()
}

#[test]
fn nothing_happens_without_quorum() {
    let view = cluster(4, &[1, 1]);
    assert!(plan(&view, &Terms { min_nodes: 3, ..STABLE }).is_empty());
    assert_eq!(plan(&view, &Terms { min_nodes: 2, ..STABLE }).len(), 4);
    assert!(plan(&cluster(4, &[]), &Terms { min_nodes: 0, ..STABLE }).is_empty());
    assert!(plan(&cluster(4, &[0]), &STABLE).is_empty());
}

#[test]
fn an_orphan_is_placed_at_once_and_keeps_a_target_that_lives() {
    let mut view = cluster(3, &[1, 1]);
    own(&mut view, 0, 7);
    target(&mut view, 0, 7, Why::Balance);
    own(&mut view, 1, 7);
    target(&mut view, 1, 1, Why::Orphan);
    let planned = plan(&view, &UNSTABLE);
    assert_eq!(whys(&planned), [(0, "n000", Why::Orphan), (2, "n001", Why::Orphan)]);
}

#[test]
fn orphans_wait_for_no_batch() {
    let mut view = cluster(100, &[1, 1]);
    for shard in 0..50 {
        settle(&mut view, shard, 0);
    }
    assert_eq!(plan(&view, &Terms { moves_max: 0, ..UNSTABLE }).len(), 50);
}

#[test]
fn who_starts_together_has_a_block_each() {
    let planned = plan(&cluster(100, &[1, 2, 1]), &STABLE);
    let borders = planned.windows(2).filter(|two| two[0].node != two[1].node).count();
    assert_eq!((planned.len(), borders), (100, 2));
}

#[test]
fn a_registration_that_is_replaced_owns_nothing() {
    let mut view = cluster(1, &[1]);
    settle(&mut view, 0, 0);
    let again = Member { incarnation: Incarnation::new("2"), ..(*member(0, 1)).clone() };
    view.nodes.insert(node(0), Arc::new(again));
    view.nodes.insert(node(1), member(1, 1));
    assert!(plan(&view, &UNSTABLE).is_empty(), "its target may claim it");
    leave(&mut view, 0);
    assert_eq!(whys(&plan(&view, &UNSTABLE)), [(0, "n001", Why::Orphan)]);
}

#[test]
fn who_joins_gets_its_share_once_all_is_stable() {
    let mut view = cluster(9, &[1, 1, 1]);
    for shard in 0..9 {
        settle(&mut view, shard, usize::from(shard % 2));
    }
    assert!(plan(&view, &UNSTABLE).is_empty());
    let planned = plan(&view, &STABLE);
    assert_eq!(planned.len(), 3);
    assert!(planned.iter().all(|it| it.node == node(2) && it.why == Why::Balance));
}

#[test]
fn batches_count_what_is_on_its_way() {
    let mut view = cluster(20, &[1, 1]);
    for shard in 0..20 {
        settle(&mut view, shard, 0);
    }
    let terms = Terms { moves_max: 3, ..STABLE };
    let planned = plan(&view, &terms);
    assert_eq!(planned.len(), 3);
    write(&mut view, &planned);
    assert!(plan(&view, &terms).is_empty(), "they are on their way");
    own(&mut view, planned[0].shard.0, 1);
    assert_eq!(plan(&view, &terms).len(), 1);
    let plans = converge(&mut view, &terms);
    assert!(plans.iter().all(|planned| planned.len() <= 3));
    assert!(counts(&view).values().all(|count| *count == 10));
}

#[test]
fn who_leaves_gives_up_all_at_once_but_not_to_nobody() {
    let mut view = cluster(4, &[1, 1]);
    for shard in 0..4 {
        settle(&mut view, shard, usize::from(shard % 2));
    }
    leave(&mut view, 0);
    let planned = plan(&view, &UNSTABLE);
    assert_eq!(whys(&planned), [(0, "n001", Why::Drain), (2, "n001", Why::Drain)]);
    assert_eq!(plan(&view, &Terms { moves_max: 1, ..UNSTABLE }).len(), 1);
    view.drains.insert(node(1), Incarnation::new("1"));
    assert!(plan(&view, &STABLE).is_empty(), "there is nobody else");
}

#[test]
fn a_move_whose_target_is_lost_ends_where_it_began_or_goes_elsewhere() {
    let mut view = cluster(3, &[1, 1, 1]);
    for shard in 0..3 {
        settle(&mut view, shard, usize::from(shard));
    }
    target(&mut view, 0, 7, Why::Operator);
    let terms = Terms { moves_max: 0, ..UNSTABLE };
    assert_eq!(whys(&plan(&view, &terms)), [(0, "n000", Why::Balance)]);
    leave(&mut view, 0);
    assert_eq!(whys(&plan(&view, &terms)), [(0, "n001", Why::Drain)]);
}

#[test]
fn what_was_handed_over_is_claimed_where_it_is_before_it_moves_on() {
    let mut view = cluster(1, &[1, 1]);
    target(&mut view, 0, 1, Why::Balance);
    view.slot_mut(ShardId(0)).owner = Some(OwnerKey { holder: None, epoch: Epoch(1), revision: 1 });
    view.pins.insert(ShardId(0), node(0));
    leave(&mut view, 1);
    assert!(plan(&view, &STABLE).is_empty(), "what its objects had in memory is there");
    let mut claimed = view.clone();
    own(&mut claimed, 0, 1);
    assert_eq!(whys(&plan(&claimed, &STABLE)), [(0, "n000", Why::Drain)]);
    view.nodes.remove(&node(1));
    assert_eq!(whys(&plan(&view, &STABLE)), [(0, "n000", Why::Pin)]);
}

#[test]
fn a_pin_is_honoured_and_yields_to_death() {
    let mut view = cluster(4, &[1, 1]);
    for shard in 0..4 {
        settle(&mut view, shard, usize::from(shard % 2));
    }
    view.pins.insert(ShardId(0), node(1));
    assert!(plan(&view, &UNSTABLE).is_empty());
    let planned = plan(&view, &STABLE);
    assert_eq!(whys(&planned), [(0, "n001", Why::Pin), (1, "n000", Why::Balance)]);
    converge(&mut view, &STABLE);
    view.nodes.remove(&node(1));
    let planned = plan(&view, &UNSTABLE);
    assert!(planned.iter().all(|it| it.node == node(0) && it.why == Why::Orphan));
    converge(&mut view, &STABLE);
    view.nodes.insert(node(1), member(1, 1));
    let planned = plan(&view, &STABLE);
    assert!(whys(&planned).contains(&(0, "n001", Why::Pin)), "{planned:?}");
}

#[test]
fn who_is_pinned_full_gets_nothing_else() {
    let mut view = cluster(9, &[1, 1, 1]);
    for shard in 0..7 {
        view.pins.insert(ShardId(shard), node(0));
    }
    converge(&mut view, &STABLE);
    assert_eq!(counts(&view).into_values().collect::<Vec<_>>(), [7, 1, 1]);
}

#[test]
fn a_wish_becomes_a_target_at_once_if_its_node_may_have_it() {
    let mut view = cluster(2, &[1, 1]);
    for shard in 0..2 {
        settle(&mut view, shard, usize::from(shard));
    }
    view.wishes.insert(ShardId(0), node(1));
    view.wishes.insert(ShardId(1), node(7));
    let terms = Terms { moves_max: 0, ..UNSTABLE };
    assert_eq!(whys(&plan(&view, &terms)), [(0, "n001", Why::Operator)]);
    leave(&mut view, 1);
    view.pins.insert(ShardId(1), node(1));
    assert!(plan(&view, &terms).is_empty());
}

#[test]
fn balance_moves_what_nobody_placed_by_hand_first() {
    let mut view = cluster(4, &[1, 1]);
    for shard in 0..4 {
        settle(&mut view, shard, 1);
    }
    for shard in [0, 1, 2] {
        target(&mut view, shard, 1, Why::Operator);
    }
    assert_eq!(whys(&plan(&view, &STABLE)), [(0, "n000", Why::Balance), (3, "n000", Why::Balance)]);
}

/// A cluster in any state at all: owners and targets alive, dead and leaving, pins and wishes.
fn any_cluster() -> impl Strategy<Value = View> {
    let weights = prop::collection::vec(prop::sample::select(vec![1, 1, 1, 2, 5, 0]), 1..6);
    let some = || prop::option::weighted(0.8, 0..8usize);
    let slots = prop::collection::vec((some(), some()), 1..40);
    let sparse = || prop::collection::vec((0..40u16, 0..8usize), 0..4);
    (weights, slots, sparse(), sparse(), prop::option::weighted(0.3, 0..6usize)).prop_map(
        |(weights, slots, pins, wishes, leaving)| {
            let shards = u16::try_from(slots.len()).unwrap();
            let mut view = cluster(shards, &weights);
            for (shard, (owner, goal)) in (0..).zip(slots) {
                if let Some(owner) = owner {
                    own(&mut view, shard, owner);
                }
                if let Some(goal) = goal {
                    target(&mut view, shard, goal, Why::Balance);
                }
            }
            let below = |(shard, to): (u16, usize)| (ShardId(shard % shards), node(to));
            view.pins.extend(pins.into_iter().map(below));
            view.wishes.extend(wishes.into_iter().map(below));
            if let Some(leaving) = leaving.filter(|leaving| *leaving < weights.len()) {
                leave(&mut view, leaving);
            }
            view
        },
    )
}

fn is_pinned(view: &View, shard: ShardId) -> bool {
    view.pins.get(&shard).is_some_and(|node| view.is_eligible(node))
}

fn eligible(view: &View) -> Vec<NodeId> {
    view.nodes.keys().filter(|node| view.is_eligible(node)).cloned().collect()
}

fn moving(view: &View) -> usize {
    let is_moving = |shard: &ShardId| {
        let target = view.slot(*shard).target.as_ref();
        view.owner(*shard).zip(target).is_some_and(|((owner, _), to)| owner.id != to.node)
    };
    view.shards().filter(is_moving).count()
}

/// The fewest moves that balance what nobody pinned, if all nodes weigh the same: by trying every
/// count of shards that a node may have.
fn fewest_moves(counts: &[usize]) -> usize {
    let total: usize = counts.iter().sum();
    let (floor, extra) = (total / counts.len(), total % counts.len());
    let ways = (0u32..1 << counts.len()).filter(|way| way.count_ones() as usize == extra);
    let moves = ways.map(|way| {
        let wanted = |place: usize| floor + (way as usize >> place & 1);
        counts.iter().enumerate().map(|(place, n)| n.saturating_sub(wanted(place))).sum()
    });
    moves.min().unwrap()
}

proptest! {
    #[test]
    fn a_plan_names_only_nodes_that_may_have_shards_and_changes_something(view in any_cluster()) {
        for terms in [STABLE, UNSTABLE] {
            let planned = plan(&view, &terms);
            prop_assert_eq!(&planned, &plan(&view.clone(), &terms));
            for Assignment { shard, node, .. } in &planned {
                prop_assert!(view.is_eligible(node));
                let target = view.slot(*shard).target.as_ref();
                prop_assert!(target.is_none_or(|target| target.node != *node));
            }
            let mut shards: Vec<_> = planned.iter().map(|it| it.shard).collect();
            shards.dedup();
            prop_assert_eq!(shards.len(), planned.len());
        }
    }

    #[test]
    fn without_stability_only_what_must_move_does(view in any_cluster()) {
        for Assignment { shard, why, .. } in plan(&view, &UNSTABLE) {
            let target = view.slot(shard).target.as_ref();
            let is_lost = target.is_none_or(|target| !view.is_eligible(&target.node));
            prop_assert!(is_lost || why == Why::Operator);
        }
    }

    #[test]
    fn with_somebody_to_have_them_no_orphan_is_left(view in any_cluster()) {
        let mut after = view.clone();
        write(&mut after, &plan(&view, &Terms { moves_max: 0, ..UNSTABLE }));
        for shard in after.shards().filter(|shard| view.owner(*shard).is_none()) {
            let target = after.slot(shard).target.as_ref();
            let is_placed = target.is_some_and(|target| after.is_eligible(&target.node));
            prop_assert!(is_placed || eligible(&view).is_empty());
        }
    }

    #[test]
    fn moves_come_in_batches(view in any_cluster(), moves_max in 0usize..5) {
        let mut view = view;
        view.wishes.clear();
        let mut after = view.clone();
        write(&mut after, &plan(&view, &Terms { moves_max, ..STABLE }));
        prop_assert!(moving(&after) <= moves_max.max(moving(&view)));
    }

    #[test]
    fn it_ends_and_all_have_their_share(view in any_cluster(), moves_max in 1usize..9) {
        let mut view = view;
        converge(&mut view, &Terms { moves_max, ..STABLE });
        let eligible = eligible(&view);
        if eligible.is_empty() {
            return Ok(());
        }
        let total = counts(&view);
        for (shard, node) in &view.pins {
            if view.is_eligible(node) {
                prop_assert_eq!(&view.slot(*shard).target.as_ref().unwrap().node, node);
            }
        }
        let free = |node: &NodeId| view.shards().any(|shard| {
            !is_pinned(&view, shard) && view.slot(shard).target.as_ref().unwrap().node == *node
        });
        for (node, member) in &view.nodes {
            prop_assert!(view.is_eligible(node) || total[node] == 0);
            for (other, beside) in view.nodes.iter().filter(|(other, _)| view.is_eligible(other)) {
                let is_equal = member.weight == beside.weight && view.is_eligible(node);
                prop_assert!(!is_equal || !free(node) || total[node] <= total[other] + 1);
            }
        }
        if view.pins.is_empty() {
            let weights: usize = eligible.iter().map(|node| view.nodes[node].weight as usize).sum();
            for node in &eligible {
                let exact = view.shards().count() * view.nodes[node].weight as usize;
                prop_assert!(total[node] * weights + weights > exact, "rounded down at most");
                prop_assert!(total[node] * weights < exact + weights, "rounded up at most");
            }
        }
    }

    #[test]
    fn no_plan_balances_with_fewer_moves(
        counts in prop::collection::vec(0usize..12, 1..7),
    ) {
        let shards: usize = counts.iter().sum();
        prop_assume!(shards > 0);
        let mut view = cluster(u16::try_from(shards).unwrap(), &vec![1; counts.len()]);
        let owners = counts.iter().enumerate().flat_map(|(node, n)| std::iter::repeat_n(node, *n));
        for (shard, owner) in (0..).zip(owners) {
            settle(&mut view, shard, owner);
        }
        let planned = plan(&view, &STABLE);
        prop_assert_eq!(planned.len(), fewest_moves(&counts));
        write(&mut view, &planned);
        prop_assert!(plan(&view, &STABLE).is_empty());
    }

    #[test]
    fn weights_are_honoured_by_the_largest_remainder(
        weights in prop::collection::vec(1u32..9, 1..6), shards in 1u16..60,
    ) {
        let mut view = cluster(shards, &weights);
        converge(&mut view, &STABLE);
        let sum: u32 = weights.iter().sum();
        let exact = |weight: u32| f64::from(shards) * f64::from(weight) / f64::from(sum);
        let mut up: Vec<f64> = Vec::new();
        let mut down: Vec<f64> = Vec::new();
        for (weight, count) in weights.iter().zip(counts(&view).into_values()) {
            let (floor, rest) = (exact(*weight).floor(), exact(*weight).fract());
            if count as f64 > floor { up.push(rest) } else { down.push(rest) }
            prop_assert!(count as f64 == floor || count as f64 == floor + 1.0);
        }
        let least = up.into_iter().fold(1.0, f64::min);
        prop_assert!(down.into_iter().all(|rest| rest <= least + 1e-9));
    }

    #[test]
    fn the_death_of_a_node_moves_only_what_it_had(
        shards in 1u16..60, nodes in 2usize..6, dead in 0usize..6,
    ) {
        let mut view = cluster(shards, &vec![1; nodes]);
        converge(&mut view, &STABLE);
        let had = counts(&view)[&node(dead % nodes)];
        view.nodes.remove(&node(dead % nodes));
        prop_assert_eq!(plan(&view, &STABLE).len(), had, "and nothing has to move after it");
        prop_assert!(converge(&mut view, &STABLE).len() <= 2);
    }

    #[test]
    fn evening_out_load_ends_and_helps(
        view in any_cluster(), calls in prop::collection::vec(0u64..1000, 40), moves_max in 1usize..9,
    ) {
        let mut view = view;
        let loads = Loads { bytes: calls.iter().rev().map(|calls| calls * 512).collect(), calls };
        let plans = converge(&mut view, &Terms { moves_max, load: Some(&loads), ..STABLE });
        let after = plan(&view, &Terms { load: Some(&loads), ..STABLE });
        prop_assert!(after.is_empty(), "{} plans", plans.len());
    }
}
