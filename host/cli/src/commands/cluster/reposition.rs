//! `wasmverse cluster move`, `pin` and `unpin`: where a shard is, and whether it stays there.

use std::time::Duration;

use clap::Args;
use serde_json::json;

use crate::{client::Client, failure::Result, output::Output, printable::printable};

const MOVE_EXAMPLES: &str = "\
Examples:
  wasmverse cluster move 17 node-c
  wasmverse cluster move 17 node-c --timeout 2m
  wasmverse cluster move 17 node-c --json | jq .epoch

It answers once the shard is served there. Calls that come meanwhile wait, and none fails. It stays
until the cluster has to even out its nodes, or to empty this one; `wasmverse cluster pin` keeps it.";

const PIN_EXAMPLES: &str = "\
Examples:
  wasmverse cluster pin 17 node-c
  wasmverse cluster status                       lists what is pinned

The shard moves there and stays for as long as the node lives and is not drained. While it is away
the shard is served elsewhere, and comes back with it.";

const UNPIN_EXAMPLES: &str = "\
Examples:
  wasmverse cluster unpin 17

The shard stays where it is until the cluster has a reason to move it.";

#[derive(Debug, Args)]
#[command(after_help = MOVE_EXAMPLES)]
pub(super) struct MoveArgs {
    /// Its number
    #[arg(value_name = "SHARD")]
    shard: u16,
    /// Where to
    #[arg(value_name = "NODE")]
    node: String,
    /// How long to wait until it is there [default: 30s]
    #[arg(long, value_name = "SPAN", value_parser = humantime::parse_duration)]
    timeout: Option<Duration>,
}

#[derive(Debug, Args)]
#[command(after_help = PIN_EXAMPLES)]
pub(super) struct PinArgs {
    /// Its number
    #[arg(value_name = "SHARD")]
    shard: u16,
    /// Where it should stay
    #[arg(value_name = "NODE")]
    node: String,
}

#[derive(Debug, Args)]
#[command(after_help = UNPIN_EXAMPLES)]
pub(super) struct UnpinArgs {
    /// Its number
    #[arg(value_name = "SHARD")]
    shard: u16,
}

pub(super) async fn run(args: &MoveArgs, client: &mut Client, output: Output) -> Result<()> {
    let moving = output.spinner(&format!("shard {} to {}", args.shard, printable(&args.node)));
    let moved = client.move_shard(args.shard.into(), &args.node, args.timeout).await;
    moving.finish_and_clear();
    let moved = moved?;
    output.result(&moved, || {
        let node = printable(&moved.node);
        format!("shard {} is served by {node} in epoch {}", moved.shard, moved.epoch)
    })
}

pub(super) async fn pin(args: &PinArgs, client: &mut Client, output: Output) -> Result<()> {
    client.pin_shard(args.shard.into(), &args.node).await?;
    output.result(&json!({ "shard": args.shard, "node": args.node }), || {
        format!("shard {} is pinned to {}", args.shard, printable(&args.node))
    })
}

pub(super) async fn unpin(args: &UnpinArgs, client: &mut Client, output: Output) -> Result<()> {
    client.unpin_shard(args.shard.into()).await?;
    output.result(&json!({ "shard": args.shard }), || format!("shard {} is not pinned", args.shard))
}
