//! The flags that say which store is meant.

use std::path::PathBuf;

use clap::{Arg, ArgMatches, Args, FromArgMatches, parser::ValueSource, value_parser};

use crate::endpoint::Address;

/// What every command of the store takes.
#[derive(Debug, Args)]
#[command(next_help_heading = "Which store")]
pub(crate) struct PlaceArgs {
    #[command(flatten)]
    url: UrlFlag,
    /// The folder of a SQLite store; store.url does not count then [default: store.data_dir]
    #[arg(long, global = true, value_name = "FOLDER")]
    pub(super) data_dir: Option<PathBuf>,
    /// The configuration file [default: wasmverse.toml, if it is there]
    #[arg(long, global = true, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
}

impl PlaceArgs {
    /// The store that was said on the command line.
    pub(crate) fn url(&self) -> Option<&str> {
        self.url.0.as_ref().map(Address::text)
    }
}

/// `--url`, which stands for the cluster in other commands: same name and kind of value, so that
/// this one takes the place of that one.
#[derive(Debug)]
struct UrlFlag(Option<Address>);

impl Args for UrlFlag {
    fn augment_args(command: clap::Command) -> clap::Command {
        let help = "The store: sqlite:PATH, postgres://USER:PASSWORD@HOST:PORT/DATABASE, or \
                    file:PATH or env:NAME of where that stands [default: store.url]";
        command.arg(
            Arg::new("url")
                .long("url")
                .global(true)
                .value_name("URL")
                .help(help)
                .value_parser(value_parser!(Address)),
        )
    }

    fn augment_args_for_update(command: clap::Command) -> clap::Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for UrlFlag {
    fn from_arg_matches(matches: &ArgMatches) -> std::result::Result<Self, clap::Error> {
        // The cluster's default, and WASMVERSE_URL, come along under the same name.
        let is_said = matches.value_source("url") == Some(ValueSource::CommandLine);
        Ok(Self(matches.get_one("url").filter(|_| is_said).cloned()))
    }

    fn update_from_arg_matches(
        &mut self,
        matches: &ArgMatches,
    ) -> std::result::Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}
