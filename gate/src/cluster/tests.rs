//! Claims about what operators may ask for, and the views that they are made on.

use std::sync::Arc;

use wasmverse_core::{
    ShardCount,
    cluster::{Incarnation, Member, OwnerKey, TargetKey, Why},
};

use super::*;

/// Four shards.
pub(super) fn four() -> ShardCount {
    ShardCount::new(4).unwrap()
}

pub(super) fn member(id: &str) -> Member {
    Member {
        id: NodeId::new(id),
        incarnation: Incarnation::new("1"),
        process: "".into(),
        addresses: [format!("{id}:47000")].into(),
        weight: 1,
        is_leaving: false,
        version: "0.1.0".into(),
        revision: 1,
    }
}

/// A cluster whose shards nobody has yet.
pub(super) fn cluster(nodes: &[&str]) -> View {
    let mut view = View::empty(four());
    view.revision = 1;
    view.nodes.extend(nodes.iter().map(|id| (NodeId::new(id), Arc::new(member(id)))));
    view
}

pub(super) fn owns(view: &mut View, shard: u16, node: Option<&str>, epoch: u64) {
    let holder = node.map(|node| (NodeId::new(node), Incarnation::new("1")));
    let owner = OwnerKey { holder, epoch: Epoch(epoch), revision: 1 };
    view.slot_mut(ShardId(shard)).owner = Some(owner);
}

pub(super) fn targets(view: &mut View, shard: u16, node: &str, why: Why) {
    let target = TargetKey { node: NodeId::new(node), why, revision: 1 };
    view.slot_mut(ShardId(shard)).target = Some(target);
}

#[test]
fn an_unknown_node_is_told_which_ones_there_are() {
    let view = cluster(&["a", "b"]);
    assert_eq!(the_node(&view, "a").unwrap().as_str(), "a");
    let error = the_node(&view, "c").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.message().contains("`c`") && error.message().ends_with("a, b"), "{error}");
    assert!(the_node(&View::empty(four()), "c").unwrap_err().message().contains("none is there"));
}

#[test]
fn a_shard_out_of_range_is_told_the_range() {
    let view = cluster(&[]);
    assert_eq!(the_shard(&view, 3).unwrap(), ShardId(3));
    for shard in [4, 65_536, u32::MAX] {
        let error = the_shard(&view, shard).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        assert!(error.message().contains("from 0 to 3"), "{error}");
    }
}

#[test]
fn who_leaves_or_is_drained_takes_no_shard() {
    let mut view = cluster(&["a", "b", "c", "d"]);
    let node = |id: &str| NodeId::new(id);
    view.nodes.insert(node("a"), Arc::new(Member { is_leaving: true, ..member("a") }));
    view.nodes.insert(node("b"), Arc::new(Member { weight: 0, ..member("b") }));
    view.drains.insert(node("c"), Incarnation::new("1"));
    view.drains.insert(node("d"), Incarnation::new("0"));
    for (id, why) in [("a", "leaving"), ("b", "weight 0"), ("c", "drained")] {
        let error = check_takes_shards(&view, &node(id)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        assert!(error.message().contains(why), "{error}");
    }
    assert!(check_takes_shards(&view, &node("d")).is_ok(), "an earlier one was drained");
}

#[test]
fn a_pin_must_go_before_a_move_unless_its_node_is_away() {
    let mut view = cluster(&["a", "b"]);
    view.pins.insert(ShardId(0), NodeId::new("a"));
    view.pins.insert(ShardId(1), NodeId::new("gone"));
    let check = |shard, node| check_not_pinned_elsewhere(&view, ShardId(shard), &NodeId::new(node));
    assert!(check(0, "b").unwrap_err().message().contains("pinned to a"));
    assert!(check(0, "a").is_ok() && check(1, "b").is_ok() && check(2, "b").is_ok());
}

#[test]
fn a_shard_has_arrived_when_it_is_served_where_it_should_stay() {
    let mut view = cluster(&["a", "b"]);
    let at = |view: &View| arrived(view, ShardId(0), &NodeId::new("b")).map(|epoch| epoch.0);
    owns(&mut view, 0, Some("a"), 1);
    targets(&mut view, 0, "b", Why::Operator);
    assert_eq!(at(&view), None);
    assert_eq!(place(&view, ShardId(0)), "served by a");
    owns(&mut view, 0, None, 1);
    assert_eq!(place(&view, ShardId(0)), "served by nobody now");
    owns(&mut view, 0, Some("b"), 2);
    assert_eq!(at(&view), Some(2));
    targets(&mut view, 0, "a", Why::Balance);
    assert_eq!(at(&view), None, "it is about to move on");
    targets(&mut view, 0, "b", Why::Operator);
    view.wishes.insert(ShardId(0), NodeId::new("a"));
    assert_eq!(at(&view), None, "somebody else wants it elsewhere");
}
