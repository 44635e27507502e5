//! `wasmverse store`: the store itself, opened by this process and by no node.
//!
//! Each command is one file below; which store is meant, and how it is named to people, is in
//! `place`.

mod counted;
mod export;
mod flags;
mod import;
mod place;
mod status;
mod verify;

use std::time::Duration;

use clap::{Args, Subcommand};
use wasmverse_daemon::Shutdown;

use crate::{failure::Result, output::Output};
use flags::PlaceArgs;
use place::Place;

/// How long blocking work (a read of standard input) is waited for at the end.
const BLOCKING_GRACE: Duration = Duration::from_millis(100);

const EXAMPLES: &str = "\
Examples:
  wasmverse store status                             the one that wasmverse.toml means
  wasmverse store verify --data-dir /srv/verse
  wasmverse store export backup.jsonl                all that it holds, as lines of JSON
  wasmverse store import backup.jsonl --url \"$URL\"   into a new one, of any kind

Which store it is says the configuration that a node reads here: wasmverse.toml, and variables
like WASMVERSE_STORE__URL and WASMVERSE_CLUSTER__SHARDS. Flags win over both.
A SQLite store belongs to one process at a time: stop the node (or `wasmverse dev`) first. One in
PostgreSQL may be looked at and exported while nodes run.";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES, arg_required_else_help = true)]
pub(crate) struct StoreArgs {
    #[command(flatten)]
    place: PlaceArgs,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make the store, or show the one that is there
    #[command(after_help = status::INIT_EXAMPLES)]
    Init,
    /// Read all that the store holds, and tell what is wrong with it
    #[command(after_help = verify::EXAMPLES)]
    Verify,
    /// Show what the store is, and count what it holds
    #[command(after_help = status::EXAMPLES)]
    Status,
    /// Write all that the store holds, as lines of JSON
    Export(export::ExportArgs),
    /// Fill an empty store with an export
    Import(import::ImportArgs),
}

pub(crate) fn run(args: &StoreArgs, output: Output) -> Result<()> {
    let place = Place::of(&args.place)?;
    let runtime = tokio::runtime::Runtime::new()?;
    let outcome = runtime.block_on(async {
        // Whoever is interrupted drops what is half done: files that are not whole, transactions.
        let shutdown = Shutdown::on_signal()?;
        let work = async {
            match &args.command {
                Command::Init => status::init(&place, output).await,
                Command::Verify => verify::run(&place, output).await,
                Command::Status => status::run(&place, output).await,
                Command::Export(args) => export::run(args, &place, output).await,
                Command::Import(args) => import::run(args, &place, output).await,
            }
        };
        let interrupted = || anyhow::anyhow!("interrupted: it was not done");
        let done = shutdown.token().run_until_cancelled(work).await;
        done.unwrap_or_else(|| Err(interrupted().into()))
    });
    runtime.shutdown_timeout(BLOCKING_GRACE);
    outcome
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory as _, Parser as _};

    use crate::command_line::{Command, CommandLine};

    #[test]
    fn every_command_teaches_by_examples() {
        let line = CommandLine::command();
        let store = line.find_subcommand("store").unwrap();
        let names: Vec<_> = store.get_subcommands().map(clap::Command::get_name).collect();
        assert_eq!(names, ["init", "verify", "status", "export", "import"]);
        for command in store.get_subcommands() {
            let help = command.get_after_help().unwrap().to_string();
            assert!(help.contains("  wasmverse store "), "{}", command.get_name());
        }
    }

    #[test]
    fn here_the_url_is_the_stores_wherever_it_stands_and_the_clusters_is_left_alone() {
        let url = "postgres://h/db";
        for words in [
            ["wasmverse", "--url", url, "store", "status"],
            ["wasmverse", "store", "--url", url, "status"],
            ["wasmverse", "store", "status", "--url", url],
        ] {
            assert_eq!(said(&words).as_deref(), Some(url), "{words:?}");
        }
        // Neither a default nor WASMVERSE_URL names a store.
        assert_eq!(said(&["wasmverse", "store", "status"]), None);
    }

    fn said(words: &[&str]) -> Option<String> {
        let line = CommandLine::try_parse_from(words).unwrap();
        let Command::Store(args) = line.command else { panic!("{words:?}") };
        args.place.url().map(str::to_owned)
    }
}
