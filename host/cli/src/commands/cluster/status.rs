//! `wasmverse cluster status`: the cluster on one screen.

use std::time::SystemTime;

use clap::Args;

use super::{nodes, ranges::ranges};
use crate::{
    answers::{ClusterStatus, ShardMove, timestamp},
    client::Client,
    failure::Result,
    output::{Output, age, table},
    printable::printable,
};

const EXAMPLES: &str = "\
Examples:
  wasmverse cluster status
  wasmverse cluster status --json | jq '.shards'
  watch wasmverse cluster status

Every shard is served, but for a moment when it changes hands. What moved last is what the gate that
answers has seen since it started; with --json each of the latest hundred, here summed up.";

/// So many rows of moves are shown.
const MOVES_SHOWN_MAX: usize = 10;
/// More numbers than these are counted, not named.
const NUMBERS_LENGTH_MAX: usize = 24;

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct StatusArgs {}

pub(super) async fn run(client: &mut Client, output: Output) -> Result<()> {
    let status = client.cluster_status().await?;
    output.result(&status, || text(&status, SystemTime::now()))
}

fn text(status: &ClusterStatus, now: SystemTime) -> String {
    let mut parts = vec![head(status), nodes::text(status)];
    if !status.pins.is_empty() {
        let pins = status.pins.iter();
        let pins: Vec<_> =
            pins.map(|pin| format!("{} to {}", pin.shard, printable(&pin.node))).collect();
        parts.push(format!("pinned: {}", pins.join(", ")));
    }
    if !status.moves.is_empty() {
        parts.push(moves(&status.moves, now));
    }
    parts.join("\n\n")
}

fn head(status: &ClusterStatus) -> String {
    let who = match (status.cluster.as_str(), status.leader.as_str()) {
        ("", _) => "a cluster of one".to_owned(),
        (id, "") => format!("cluster {}, which nobody leads now", printable(id)),
        (id, leader) => format!("cluster {}, led by {}", printable(id), printable(leader)),
    };
    let counts = &status.shards;
    let mut shards = format!("{} shards, {} served", counts.count, counts.served);
    if counts.moving > 0 {
        shards += &format!(", {} of them about to move", counts.moving);
    }
    if counts.unserved > 0 {
        shards += &format!(", {} UNSERVED", counts.unserved);
    }
    format!("{who}\n{shards}")
}

/// Moves for the same reason one after another are one row.
fn moves(moves: &[ShardMove], now: SystemTime) -> String {
    let alike = |a: &ShardMove, b: &ShardMove| (&a.from, &a.to, &a.why) == (&b.from, &b.to, &b.why);
    let rows: Vec<_> = moves
        .chunk_by(alike)
        .take(MOVES_SHOWN_MAX)
        .map(|row| {
            let numbers: Vec<_> = row.iter().map(|change| change.shard).collect();
            let named = ranges(&numbers);
            let shards = match named.len() {
                0..=NUMBERS_LENGTH_MAX => named,
                _ => format!("{} shards", numbers.len()),
            };
            let from: &str = if row[0].from.is_empty() { "-" } else { &row[0].from };
            let age = age(&timestamp(row[0].at_micros), now);
            [age, shards, printable(from), printable(&row[0].to), why(&row[0].why)]
        })
        .collect();
    format!("moved last\n{}", table(["AGO", "SHARD", "FROM", "TO", "WHY"], &rows))
}

/// A reason in words.
pub(super) fn why(why: &str) -> String {
    let words = match why {
        "" => "?",
        "orphan" => "orphan: nobody living owned it",
        "balance" => "balance: to even out the nodes",
        "pin" => "pin: it is pinned there",
        "drain" => "drain: its owner is to be empty",
        "operator" => "operator: somebody moved it",
        "load" => "load: to even out the work",
        other => return printable(other),
    };
    words.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answers::{GateStatus, NodeStatus, ShardCounts, ShardPin};

    fn change(shard: u32, from: &str, why: &str) -> ShardMove {
        ShardMove {
            shard,
            from: from.into(),
            to: "node-a".into(),
            why: why.into(),
            epoch: 2,
            at_micros: 1_500_000_000_000_000,
        }
    }

    #[test]
    fn a_status_fits_one_screen() {
        let node = NodeStatus {
            id: "node-a".into(),
            address: "127.0.0.1:47000".into(),
            version: "0.1.0".into(),
            weight: 1,
            shards: 6,
            targets: 8,
            linked: true,
            ..NodeStatus::default()
        };
        let (id, version) = ("gate-1".to_owned(), "0.1.0".to_owned());
        let status = ClusterStatus {
            cluster: "c0ffee".into(),
            leader: "node-a".into(),
            nodes: vec![node],
            gates: vec![GateStatus { id, address: "127.0.0.1:49000".into(), version }],
            shards: ShardCounts { count: 8, served: 7, moving: 1, unserved: 1 },
            pins: vec![ShardPin { shard: 3, node: "node-b".into() }],
            moves: vec![
                change(5, "node-b", "operator"),
                change(1, "", "orphan"),
                change(2, "", "orphan"),
                change(0, "", "orphan"),
            ],
            ..ClusterStatus::default()
        };
        let now = humantime::parse_rfc3339("2017-07-14T02:41:00Z").unwrap();
        let expected = "\
cluster c0ffee, led by node-a
8 shards, 7 served, 1 of them about to move, 1 UNSERVED

NODE    ADDRESS          SHARDS  TARGET  STATE  VERSION
node-a  127.0.0.1:47000  6       8       leads  0.1.0

GATE    ADDRESS          VERSION
gate-1  127.0.0.1:49000  0.1.0

pinned: 3 to node-b

moved last
AGO  SHARD  FROM    TO      WHY
1m   5      node-b  node-a  operator: somebody moved it
1m   0-2    -       node-a  orphan: nobody living owned it";
        assert_eq!(text(&status, now), expected);
    }

    #[test]
    fn a_cluster_of_one_says_that_it_is_one() {
        let shards = ShardCounts { count: 8, served: 8, ..ShardCounts::default() };
        let status = ClusterStatus { shards, ..ClusterStatus::default() };
        let text = text(&status, SystemTime::UNIX_EPOCH);
        assert!(text.starts_with("a cluster of one\n8 shards, 8 served\n"), "{text}");
    }
}
