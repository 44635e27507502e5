//! The words of the command line. Global flags stand before or after the command.

use std::ffi::{OsStr, OsString};

use clap::{
    Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand, builder::Resettable,
};

use crate::{
    commands,
    endpoint::{Address, Endpoint},
    failure::Result,
};

const EXAMPLES: &str = "\
From nothing to a running object:
  wasmverse new hello                    a crate with one object, tests included
  wasmverse dev hello --watch            a cluster on this machine; rebuilds as you save
  wasmverse call Hello/world add 5       from another terminal

Exit codes: 0 ok, 1 the call failed, 2 usage, 3 cannot reach the cluster.";

/// Objects as WebAssembly components: make, run, deploy and call them.
#[derive(Debug, Parser)]
#[command(name = "wasmverse", version, after_help = EXAMPLES, max_term_width = 100)]
pub(crate) struct CommandLine {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

impl CommandLine {
    /// The words that this process was called with. Ends it if they make no sense.
    pub(crate) fn read() -> Self {
        let command = without_empty(Self::command(), |name| std::env::var_os(name));
        Self::from_arg_matches(&command.get_matches()).unwrap_or_else(|error| error.exit())
    }
}

/// A variable that is empty counts as one that is not set.
fn without_empty(
    command: clap::Command,
    variable: impl Fn(&OsStr) -> Option<OsString>,
) -> clap::Command {
    command.mut_args(|arg| match arg.get_env().and_then(&variable) {
        Some(value) if value.is_empty() => arg.env(Resettable::Reset),
        _ => arg,
    })
}

/// What every command takes.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Global {
    /// Where the cluster is: http://HOST:PORT, or grpc://HOST:PORT for the gRPC side
    #[arg(
        long,
        global = true,
        env = "WASMVERSE_URL",
        default_value = "http://127.0.0.1:8080",
        value_name = "URL"
    )]
    pub(crate) url: Address,
    /// The token that lets you in, where the cluster wants one
    #[arg(long, global = true, env = "WASMVERSE_TOKEN", hide_env_values = true)]
    pub(crate) token: Option<String>,
    /// Print JSON, in a form that stays as it is
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

impl Global {
    /// The cluster that `--url` names.
    ///
    /// # Errors
    /// If it names none.
    pub(crate) fn endpoint(&self) -> Result<Endpoint> {
        self.url.endpoint()
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make a crate with one object, ready to build, test and deploy
    New(commands::new::NewArgs),
    /// Compile a crate into a component
    Build(commands::build::BuildArgs),
    /// Run a whole cluster on this machine, in the foreground
    Dev(commands::dev::DevArgs),
    /// Bring types to the cluster and make them active, without a restart
    Deploy(commands::deploy::DeployArgs),
    /// List the types of the cluster
    Types,
    /// Call a method of an object
    Call(commands::call::CallArgs),
    /// Make an object exist
    Create(commands::object::ObjectArgs),
    /// Remove an object with all its state
    Delete(commands::object::ObjectArgs),
    /// Show what is known of an object
    Get(commands::object::ObjectArgs),
    /// List objects
    List(commands::list::ListArgs),
    /// List the reminders of an object, and when each is due
    Reminders(commands::reminders::RemindersArgs),
    /// Look over sends and reminders that were given up, send them again, or forget them
    DeadLetters(commands::dead_letters::DeadLettersArgs),
    /// Follow what objects write to their log
    Logs(commands::logs::LogsArgs),
    /// Open a session and print what it is pushed
    Listen(commands::listen::ListenArgs),
    /// Chat in a terminal (with the sample objects)
    Chat(commands::chat::ChatArgs),
    /// Show who is in the cluster and who owns what; move and pin shards, empty a node
    Cluster(commands::cluster::ClusterArgs),
    /// Measure a running cluster under load
    Bench(commands::bench::BenchArgs),
    /// Make, look over, export and import the store in which a cluster keeps its state
    Store(commands::store::StoreArgs),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        CommandLine::command().debug_assert();
    }

    #[test]
    fn an_empty_variable_counts_as_unset() {
        let asks = |command: &clap::Command| {
            let args = command.get_arguments().filter(|arg| arg.get_env().is_some());
            args.map(|arg| arg.get_id().to_string()).collect::<Vec<_>>()
        };
        let empty = without_empty(CommandLine::command(), |_| Some(OsString::new()));
        let set = without_empty(CommandLine::command(), |_| Some("http://h:1".into()));
        let unset = without_empty(CommandLine::command(), |_| None);
        assert_eq!(asks(&empty), Vec::<String>::new());
        assert_eq!((asks(&set), asks(&unset)), (asks(&CommandLine::command()), asks(&set)));
        assert_eq!(asks(&set), ["url", "token"]);
        let matches = empty.try_get_matches_from(["wasmverse", "types"]).unwrap();
        let line = CommandLine::from_arg_matches(&matches).unwrap();
        assert_eq!(line.global.endpoint().unwrap().to_string(), "http://127.0.0.1:8080");
        assert_eq!(line.global.token, None);
    }

    #[test]
    fn global_flags_stand_before_or_after_the_command() {
        let before = ["wasmverse", "--url", "grpc://h:1", "--json", "types"];
        let after = ["wasmverse", "types", "--json", "--url", "grpc://h:1"];
        for words in [before, after] {
            let line = CommandLine::try_parse_from(words).unwrap();
            assert!(line.global.json);
            assert_eq!(line.global.endpoint().unwrap().to_string(), "grpc://h:1");
        }
    }

    #[test]
    fn a_wrong_command_line_exits_with_two() {
        for words in [&["wasmverse"][..], &["wasmverse", "teapot"], &["wasmverse", "call", "x"]] {
            assert_eq!(CommandLine::try_parse_from(words).unwrap_err().exit_code(), 2, "{words:?}");
        }
    }

    #[test]
    fn every_command_teaches_by_examples() {
        for command in CommandLine::command().get_subcommands() {
            let plain = command.get_positionals().count() == 0 && command.get_name() == "types";
            assert!(plain || command.get_after_help().is_some(), "{}", command.get_name());
        }
    }
}
