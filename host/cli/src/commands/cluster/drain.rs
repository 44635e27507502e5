//! `wasmverse cluster drain` and `undrain`: all shards off a node, and back.

use std::time::Duration;

use clap::Args;
use indicatif::ProgressBar;
use serde_json::json;

use crate::{
    answers::ClusterStatus,
    client::Client,
    failure::{Failure, Result},
    output::{Output, plural},
    printable::printable,
};

const EXAMPLES: &str = "\
Examples:
  wasmverse cluster drain node-b                 waits until it owns nothing
  wasmverse cluster drain node-b --no-wait       only asks for it
  wasmverse cluster drain node-b --timeout 5m    gives up waiting, and exits with 1
  wasmverse cluster drain node-b && ssh node-b systemctl stop wasmverse-node

Its shards move to the other nodes, and no call fails. It gets none until it is undrained or started
again. A node that is stopped in good order (SIGTERM) does this by itself.";

const UNDRAIN_EXAMPLES: &str = "\
Examples:
  wasmverse cluster undrain node-b               it gets its share again";

/// How often is looked how far it has come.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// Where there is no bar, a line is printed so often at most.
const LINE_EVERY: u32 = 10;

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct DrainArgs {
    /// Which one
    #[arg(value_name = "NODE")]
    node: String,
    /// Do not wait until it owns nothing
    #[arg(long)]
    no_wait: bool,
    /// Wait no longer than this; it is drained on all the same
    #[arg(long, value_name = "SPAN", conflicts_with = "no_wait", value_parser = humantime::parse_duration)]
    timeout: Option<Duration>,
}

#[derive(Debug, Args)]
#[command(after_help = UNDRAIN_EXAMPLES)]
pub(super) struct UndrainArgs {
    /// Which one
    #[arg(value_name = "NODE")]
    node: String,
}

pub(super) async fn run(args: &DrainArgs, client: &mut Client, output: Output) -> Result<()> {
    let name = printable(&args.node);
    let before = client.cluster_status().await?;
    client.drain_node(&args.node).await?;
    if args.no_wait {
        let shards = left(&before, &args.node);
        return output.result(&json!({ "node": args.node, "shards": shards }), || {
            format!("{name} is being drained: see `wasmverse cluster status`")
        });
    }
    let all = left(&before, &args.node);
    let bar = output.progress(all.into(), &format!("draining {name}"));
    let waiting = wait(&args.node, client, output, &bar);
    let waited = match args.timeout {
        Some(limit) => tokio::time::timeout(limit, waiting).await.unwrap_or_else(|_| {
            let late = "is not drained yet, and is drained on: see `wasmverse cluster status`";
            Err(Failure::Found(format!("{name} {late}")))
        }),
        None => waiting.await,
    };
    bar.finish_and_clear();
    waited?;
    output.result(&json!({ "node": args.node, "shards": 0 }), || {
        format!("{name} owns nothing any more: {} moved", plural(all.into(), "shard"))
    })
}

pub(super) async fn undrain(args: &UndrainArgs, client: &mut Client, output: Output) -> Result<()> {
    client.undrain_node(&args.node).await?;
    output.result(&json!({ "node": args.node }), || {
        format!("{} takes shards again", printable(&args.node))
    })
}

async fn wait(node: &str, client: &mut Client, output: Output, bar: &ProgressBar) -> Result<()> {
    let name = printable(node);
    let (mut told, mut was_warned, mut is_drained) = (None, false, false);
    for look in 0_u32.. {
        let status = client.cluster_status().await?;
        let left = left(&status, node);
        match status.node(node).map(|node| node.draining) {
            None => return Ok(()),
            Some(true) if left == 0 => return Ok(()),
            Some(true) => is_drained = true,
            Some(false) if is_drained => {
                let again = format!("{name} was started again, and takes shards again");
                return Err(Failure::Found(again));
            }
            // The gate has not heard of it yet.
            Some(false) => {}
        }
        // It may have got more before it was asked to give them away.
        let length = bar.length().unwrap_or_default().max(left.into());
        bar.set_length(length);
        bar.set_position(length - u64::from(left));
        if bar.is_hidden() && look.is_multiple_of(LINE_EVERY) && told != Some(left) {
            output.note(format_args!("{name} owns {} still", plural(left.into(), "shard")));
            told = Some(left);
        }
        if !was_warned && !somebody_else_takes(&status, node) {
            bar.suspend(|| output.note("no other node takes shards: waiting for one"));
            was_warned = true;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    Ok(())
}

/// How many shards a node owns; one that is gone owns none.
fn left(status: &ClusterStatus, node: &str) -> u32 {
    status.node(node).map_or(0, |node| node.shards)
}

fn somebody_else_takes(status: &ClusterStatus, node: &str) -> bool {
    let mut others = status.nodes.iter().filter(|other| other.id != node);
    others.any(|other| !other.leaving && !other.draining && other.weight > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answers::NodeStatus;

    fn node(id: &str, shards: u32, draining: bool) -> NodeStatus {
        NodeStatus { id: id.into(), weight: 1, shards, draining, ..NodeStatus::default() }
    }

    #[test]
    fn a_node_that_is_gone_owns_nothing() {
        let nodes = vec![node("a", 3, true)];
        let status = ClusterStatus { nodes, ..ClusterStatus::default() };
        assert_eq!((left(&status, "a"), left(&status, "b")), (3, 0));
    }

    #[test]
    fn only_a_node_that_stays_takes_shards() {
        let with = |other: NodeStatus| ClusterStatus {
            nodes: vec![node("a", 3, true), other],
            ..ClusterStatus::default()
        };
        assert!(somebody_else_takes(&with(node("b", 0, false)), "a"));
        assert!(!somebody_else_takes(&with(node("b", 0, true)), "a"));
        let weightless = NodeStatus { weight: 0, ..node("b", 0, false) };
        assert!(!somebody_else_takes(&with(weightless), "a"));
    }
}
