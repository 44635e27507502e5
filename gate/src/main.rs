//! `wasmverse-gate`: serves clients.
//!
//! Reads its configuration, binds its addresses, and serves until told to stop.

use std::{path::PathBuf, process::ExitCode};

use clap::Parser;
use wasmverse_daemon::{
    config::{self, Source},
    metrics, ops,
};
use wasmverse_gate::{Config, Gate, Listeners, bind};

/// A call makes dozens of small allocations on the way: this one is faster at them than libc's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Serves clients of Wasmverse over HTTP and gRPC.
#[derive(Debug, Parser)]
#[command(name = "wasmverse-gate", version)]
struct Args {
    /// The configuration file [default: wasmverse.toml, if it is there]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print the configuration that results, and end
    #[arg(long)]
    print_config: bool,
    /// Where HTTP clients come in
    #[arg(long, value_name = "ADDRESS")]
    http_listen: Option<String>,
    /// Where gRPC clients come in
    #[arg(long, value_name = "ADDRESS")]
    grpc_listen: Option<String>,
    /// Where to find a node, if there is no etcd
    #[arg(long = "node", value_name = "ADDRESS")]
    nodes: Vec<String>,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let nodes = (!args.nodes.is_empty()).then(|| args.nodes.join(","));
    let source = Source::from_args(args.config)
        .flag("gate.http_listen", args.http_listen)
        .flag("gate.grpc_listen", args.grpc_listen)
        .flag("gate.nodes", nodes);
    let config: Config = match config::load(&source) {
        Ok(config) => config,
        Err(error) => return wasmverse_daemon::fail("wasmverse-gate", &error),
    };
    if args.print_config {
        return wasmverse_daemon::print("wasmverse-gate", &config::print(&config));
    }
    wasmverse_daemon::run("wasmverse-gate", &config.log.clone(), async |shutdown| {
        // Addresses first: a gate that cannot listen must not be seen.
        let listeners = Listeners::bind(&config.gate).await?;
        let ops_listener = bind(&config.gate.ops_listen).await?;
        let metrics = metrics::install();
        let gate = Gate::start(config, listeners, shutdown.clone()).await?;
        ops::serve(ops_listener, gate.readiness().clone(), metrics, &shutdown);
        shutdown.requested().await;
        Ok(())
    })
}
