//! `wasmverse cluster`: who is there and who owns what, and moving it.

mod drain;
mod nodes;
mod ranges;
mod reposition;
mod shards;
mod status;

use clap::{Args, Subcommand};

use crate::{client::Client, failure::Result, output::Output};

const EXAMPLES: &str = "\
Examples:
  wasmverse cluster status                       who is there, and why shards moved last
  wasmverse cluster nodes                        a line each
  wasmverse cluster shards                       who owns which
  wasmverse cluster drain node-b                 empty a node before you stop it for good
  wasmverse cluster move 17 node-c               one shard, at once
  wasmverse cluster pin 17 node-c                and it stays there

Objects are in shards, and each shard is owned by one node. The cluster evens them out by itself; a
move, a drain and a pin fail no calls: those that come meanwhile wait a moment.";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES, arg_required_else_help = true)]
pub(crate) struct ClusterArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show who is there, how shards are served, and why they moved last
    Status(status::StatusArgs),
    /// List nodes and gates
    Nodes(nodes::NodesArgs),
    /// List which shards are owned by whom
    Shards(shards::ShardsArgs),
    /// Move all shards off a node, and wait until it owns nothing
    Drain(drain::DrainArgs),
    /// Let a node have shards again
    Undrain(drain::UndrainArgs),
    /// Move a shard to a node, and wait until it is served there
    Move(reposition::MoveArgs),
    /// Keep a shard on a node for as long as that lives
    Pin(reposition::PinArgs),
    /// Place a shard as any other again
    Unpin(reposition::UnpinArgs),
}

pub(crate) async fn run(args: &ClusterArgs, client: &mut Client, output: Output) -> Result<()> {
    match &args.command {
        Command::Status(_) => status::run(client, output).await,
        Command::Nodes(_) => nodes::run(client, output).await,
        Command::Shards(args) => shards::run(args, client, output).await,
        Command::Drain(args) => drain::run(args, client, output).await,
        Command::Undrain(args) => drain::undrain(args, client, output).await,
        Command::Move(args) => reposition::run(args, client, output).await,
        Command::Pin(args) => reposition::pin(args, client, output).await,
        Command::Unpin(args) => reposition::unpin(args, client, output).await,
    }
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory as _, Parser as _};

    use crate::command_line::CommandLine;

    #[test]
    fn every_command_teaches_by_examples() {
        let line = CommandLine::command();
        let cluster = line.find_subcommand("cluster").unwrap();
        let names: Vec<_> = cluster.get_subcommands().map(clap::Command::get_name).collect();
        assert_eq!(
            names,
            ["status", "nodes", "shards", "drain", "undrain", "move", "pin", "unpin"]
        );
        for command in cluster.get_subcommands() {
            let help = command.get_after_help().unwrap().to_string();
            assert!(help.contains("  wasmverse cluster "), "{}", command.get_name());
        }
    }

    #[test]
    fn a_wrong_command_line_exits_with_two() {
        for words in
            ["", "status 1", "drain", "move 1", "move x a", "move 65536 a", "pin 1", "unpin -1"]
        {
            let line = ["wasmverse", "cluster"].into_iter().chain(words.split_whitespace());
            assert_eq!(CommandLine::try_parse_from(line).unwrap_err().exit_code(), 2, "{words}");
        }
        for words in [
            "status",
            "nodes --json",
            "shards --all",
            "drain a --no-wait",
            "drain a --timeout 5m",
            "undrain a",
            "move 1 a",
            "unpin 1",
        ] {
            let line = ["wasmverse", "cluster"].into_iter().chain(words.split_whitespace());
            CommandLine::try_parse_from(line).unwrap();
        }
    }
}
