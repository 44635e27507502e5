//! A view in the words of the admin service.

use std::collections::BTreeMap;

use wasmverse_core::{
    NodeId,
    cluster::{Member, Route, Slot, View},
};
use wasmverse_proto::admin::{
    ClusterStatusResponse, GateStatus, NodeStatus, ShardCounts, ShardInfo, ShardPin,
};

/// All but the moves, which no single view tells.
pub(super) fn status(view: &View, is_linked: impl Fn(&NodeId) -> bool) -> ClusterStatusResponse {
    let mut nodes: BTreeMap<&NodeId, NodeStatus> =
        view.nodes.values().map(|member| (&member.id, node(view, member, &is_linked))).collect();
    let mut shards =
        ShardCounts { count: view.shard_count().get().into(), ..ShardCounts::default() };
    for shard in view.shards() {
        let owner = owner(view, shard);
        let target = should_have(view.slot(shard));
        match owner {
            Some(_) => shards.served += 1,
            None => shards.unserved += 1,
        }
        if owner.is_some() && owner != target {
            shards.moving += 1;
        }
        if let Some(node) = owner.and_then(|owner| nodes.get_mut(owner)) {
            node.shards += 1;
        }
        if let Some(node) = target.and_then(|target| nodes.get_mut(target)) {
            node.targets += 1;
        }
    }
    let gates = view.gates.values().map(|gate| GateStatus {
        id: gate.id.as_str().into(),
        address: (*gate.address).into(),
        version: (*gate.version).into(),
    });
    let pins = view.pins.iter();
    let pins =
        pins.map(|(shard, node)| ShardPin { shard: shard.0.into(), node: node.as_str().into() });
    ClusterStatusResponse {
        cluster: (*view.cluster).into(),
        revision: view.revision,
        leader: view.leader.as_ref().map(|leader| leader.as_str().into()).unwrap_or_default(),
        nodes: nodes.into_values().collect(),
        gates: gates.collect(),
        shards: Some(shards),
        pins: pins.collect(),
        moves: Vec::new(),
    }
}

/// Without coordination a node is known by its address until it says its name.
pub(super) fn name_lone(status: &mut ClusterStatusResponse, linked: Option<&NodeId>) {
    if let ([node], Some(name)) = (status.nodes.as_mut_slice(), linked) {
        name.as_str().clone_into(&mut node.id);
        node.linked = true;
    }
}

fn node(view: &View, member: &Member, is_linked: impl Fn(&NodeId) -> bool) -> NodeStatus {
    NodeStatus {
        id: member.id.as_str().into(),
        address: member.addresses.first().cloned().unwrap_or_default(),
        incarnation: member.incarnation.as_str().into(),
        version: (*member.version).into(),
        weight: member.weight,
        shards: 0,
        targets: 0,
        leaving: member.is_leaving,
        draining: view.drains.get(&member.id) == Some(&member.incarnation),
        linked: is_linked(&member.id),
    }
}

/// Every shard, by number.
pub(super) fn shards(view: &View) -> Vec<ShardInfo> {
    let info = |shard| {
        let slot = view.slot(shard);
        let name = |node: &NodeId| node.as_str().to_owned();
        ShardInfo {
            shard: shard.0.into(),
            owner: owner(view, shard).map(name).unwrap_or_default(),
            epoch: slot.owner.as_ref().map(|owner| owner.epoch.0).unwrap_or_default(),
            target: slot.target.as_ref().map(|target| name(&target.node)).unwrap_or_default(),
            why: slot.target.as_ref().map(|t| t.why.as_str().to_owned()).unwrap_or_default(),
            pinned: view.pins.get(&shard).map(name).unwrap_or_default(),
        }
    };
    view.shards().map(info).collect()
}

/// Who serves a shard now.
fn owner(view: &View, shard: wasmverse_core::ShardId) -> Option<&NodeId> {
    match view.route(shard) {
        Route::At(member, _) => Some(&member.id),
        Route::Nobody => None,
    }
}

/// Who should have a shard: its target, or, where nobody says where it should be, who has it.
fn should_have(slot: &Slot) -> Option<&NodeId> {
    let holder = || slot.owner.as_ref()?.holder.as_ref().map(|(node, _)| node);
    slot.target.as_ref().map(|target| &target.node).or_else(holder)
}

#[cfg(test)]
mod tests {
    use super::{super::tests::*, *};
    use wasmverse_core::{
        ShardId,
        cluster::{Incarnation, Why},
    };

    #[test]
    fn a_status_counts_what_nodes_have_and_what_they_should_have() {
        let mut view = cluster(&["a", "b"]);
        view.cluster = "c1".into();
        view.leader = Some(NodeId::new("b"));
        for (shard, owner, target) in [(0, "a", "a"), (1, "a", "b"), (2, "b", "b")] {
            owns(&mut view, shard, Some(owner), 3);
            targets(&mut view, shard, target, Why::Balance);
        }
        owns(&mut view, 3, None, 3);
        targets(&mut view, 3, "b", Why::Balance);
        view.pins.insert(ShardId(2), NodeId::new("b"));
        view.drains.insert(NodeId::new("a"), Incarnation::new("1"));
        let told = status(&view, |node| node.as_str() == "a");
        assert_eq!((&*told.cluster, &*told.leader), ("c1", "b"));
        let nodes: Vec<_> = told
            .nodes
            .iter()
            .map(|it| (&*it.id, it.shards, it.targets, it.draining, it.linked))
            .collect();
        assert_eq!(nodes, [("a", 2, 1, true, true), ("b", 1, 3, false, false)]);
        let counts = ShardCounts { count: 4, served: 3, moving: 1, unserved: 1 };
        assert_eq!(told.shards, Some(counts));
        assert_eq!(told.pins, [ShardPin { shard: 2, node: "b".into() }]);
    }

    #[test]
    fn a_cluster_of_one_serves_all_and_has_no_name() {
        let view = View::of_one(four(), member("a"));
        let mut told = status(&view, |_| false);
        name_lone(&mut told, None);
        assert_eq!((&*told.nodes[0].id, told.nodes[0].linked), ("a", false));
        name_lone(&mut told, Some(&NodeId::new("node-1")));
        assert_eq!((&*told.nodes[0].id, told.nodes[0].linked), ("node-1", true));
        assert_eq!((&*told.cluster, &*told.leader), ("", ""));
        assert_eq!((told.nodes[0].shards, told.nodes[0].targets), (4, 4));
        assert_eq!(told.shards.unwrap().moving, 0);
    }

    #[test]
    fn a_shard_shows_its_owner_only_while_that_lives() {
        let mut view = cluster(&["a"]);
        owns(&mut view, 0, Some("a"), 7);
        owns(&mut view, 1, Some("gone"), 5);
        targets(&mut view, 1, "a", Why::Orphan);
        view.pins.insert(ShardId(1), NodeId::new("gone"));
        let shown = shards(&view);
        assert_eq!((shown.len(), &*shown[0].owner, shown[0].epoch), (4, "a", 7));
        let orphan = &shown[1];
        let texts = [&orphan.owner, &orphan.target, &orphan.why, &orphan.pinned];
        assert_eq!(texts, ["", "a", "orphan", "gone"]);
        assert_eq!(orphan.epoch, 5);
    }
}
