//! `wasmverse dev`: nodes and gates in one process, with the given types deployed.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use clap::Args;
use wasmverse_daemon::{Shutdown, logs};

use crate::{
    builder,
    dev::{self, Session, Size, System},
    failure::Result,
    output::Output,
};

/// How long blocking work (a compilation, cargo) is waited for at the end.
const BLOCKING_GRACE: Duration = Duration::from_secs(1);

const EXAMPLES: &str = "\
Examples:
  wasmverse dev                                      the crate in this folder
  wasmverse dev hello --watch                        rebuilds and swaps it in as you save
  wasmverse dev echo.wasm objects/counter --data-dir /tmp/verse
  wasmverse dev hello --nodes 3 --gates 2            a cluster, to see what moves where

Clients come in on 127.0.0.1:8080 (HTTP) and 127.0.0.1:49000 (gRPC) as soon as all types are
deployed; at further gates on ports that are printed. Several nodes share the state and agree among
themselves, or through etcd if cluster.etcd is set (then with PostgreSQL). Everything that
wasmverse.toml and WASMVERSE_SECTION__KEY say counts here, too.";

/// More nodes, or gates, in one process show nothing new.
const MEMBERS_MAX: i64 = 16;

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct DevArgs {
    /// Folders of crates, or .wasm files; none: the crate in this folder
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Rebuild and deploy whenever a source file is saved
    #[arg(long)]
    watch: bool,
    /// So many nodes share the objects
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=MEMBERS_MAX))]
    nodes: u16,
    /// So many gates serve clients
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=MEMBERS_MAX))]
    gates: u16,
    /// Where state is kept [default: ./.wasmverse]
    #[arg(long, value_name = "FOLDER")]
    data_dir: Option<PathBuf>,
    /// The configuration file [default: wasmverse.toml, if it is there]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print the configuration that results, and end
    #[arg(long)]
    print_config: bool,
}

pub(crate) fn run(args: DevArgs, output: Output) -> Result<()> {
    let began = Instant::now();
    let settings = dev::Settings::load(args.config, args.data_dir)?;
    if args.print_config {
        return output.bytes(settings.text().as_bytes());
    }
    let size = Size { nodes: args.nodes, gates: args.gates };
    let sources = builder::locate(&args.paths)?;
    logs::install(settings.log()).map_err(anyhow::Error::msg)?;
    let runtime = wasmverse_daemon::runtime().build()?;
    let outcome = runtime.block_on(async {
        let shutdown = Shutdown::on_signal()?;
        let system = System::start(settings, size).await?;
        let mut session = Session::new(system, sources, args.watch, output, began);
        let served = shutdown.token().run_until_cancelled(session.serve()).await;
        if shutdown.is_requested() {
            output.note("stopping: saving what objects hold");
        }
        // Whatever happened: what objects hold in memory is saved.
        let stopped = session.stop().await;
        match served {
            Some(Err(failure)) if !shutdown.is_requested() => Err(failure),
            // Ctrl-C reaches cargo, too: a build that broke off is no failure then.
            _ => stopped,
        }
    });
    runtime.shutdown_timeout(BLOCKING_GRACE);
    outcome
}
