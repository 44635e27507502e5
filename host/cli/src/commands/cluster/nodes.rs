//! `wasmverse cluster nodes`: nodes and gates, a line each.

use clap::Args;
use serde::Serialize;

use crate::{
    answers::{ClusterStatus, GateStatus, NodeStatus},
    client::Client,
    failure::Result,
    output::{Output, table},
    printable::printable,
};

const EXAMPLES: &str = "\
Examples:
  wasmverse cluster nodes
  wasmverse cluster nodes --json | jq -r '.nodes[] | select(.linked | not) | .id'

SHARDS is what a node owns, TARGET what it should own: they differ while shards move. A node that is
`drained` owns nothing and gets nothing until it is started again.";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct NodesArgs {}

#[derive(Serialize)]
struct Members<'a> {
    nodes: &'a [NodeStatus],
    gates: &'a [GateStatus],
}

pub(super) async fn run(client: &mut Client, output: Output) -> Result<()> {
    let status = client.cluster_status().await?;
    let members = Members { nodes: &status.nodes, gates: &status.gates };
    output.result(&members, || text(&status))
}

/// Both tables; where there are no gates to be listed, one.
pub(super) fn text(status: &ClusterStatus) -> String {
    if status.nodes.is_empty() && status.gates.is_empty() {
        return "no node is there".to_owned();
    }
    let nodes: Vec<_> = status
        .nodes
        .iter()
        .map(|node| {
            [
                printable(&node.id),
                printable(&node.address),
                node.shards.to_string(),
                node.targets.to_string(),
                state(node, &status.leader),
                printable(&node.version),
            ]
        })
        .collect();
    let nodes = table(["NODE", "ADDRESS", "SHARDS", "TARGET", "STATE", "VERSION"], &nodes);
    if status.gates.is_empty() {
        return nodes;
    }
    let gates: Vec<_> = status
        .gates
        .iter()
        .map(|gate| [&gate.id, &gate.address, &gate.version].map(|cell| printable(cell)))
        .collect();
    format!("{nodes}\n\n{}", table(["GATE", "ADDRESS", "VERSION"], &gates))
}

/// What there is to say of a node.
fn state(node: &NodeStatus, leader: &str) -> String {
    let words = [
        (leader == node.id, "leads"),
        (node.leaving, "leaving"),
        (node.draining && node.shards > 0, "draining"),
        (node.draining && node.shards == 0, "drained"),
        (node.weight == 0, "weight 0"),
        (!node.linked, "not linked"),
    ];
    let said: Vec<_> =
        words.into_iter().filter_map(|(applies, word)| applies.then_some(word)).collect();
    if said.is_empty() { "-".to_owned() } else { said.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_says_what_is_special_about_it() {
        let plain = NodeStatus {
            id: "a".into(),
            weight: 1,
            shards: 2,
            linked: true,
            ..NodeStatus::default()
        };
        assert_eq!(state(&plain, "b"), "-");
        let draining = NodeStatus { draining: true, linked: false, ..plain.clone() };
        assert_eq!(state(&draining, "a"), "leads, draining, not linked");
        assert_eq!(state(&NodeStatus { shards: 0, ..draining }, ""), "drained, not linked");
        assert_eq!(state(&NodeStatus { leaving: true, ..plain }, ""), "leaving");
    }

    #[test]
    fn without_gates_there_is_one_table() {
        let node =
            NodeStatus { id: "a\u{1b}".into(), weight: 1, linked: true, ..Default::default() };
        let status = ClusterStatus { nodes: vec![node], ..ClusterStatus::default() };
        let text = text(&status);
        assert!(text.contains("a\\u{1b}") && !text.contains("GATE"), "{text}");
        assert_eq!(super::text(&ClusterStatus::default()), "no node is there");
    }
}
