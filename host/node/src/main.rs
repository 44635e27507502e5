//! `wasmverse-node`: hosts objects.
//!
//! Reads its configuration, binds its addresses, opens its store, and serves gates until told to
//! stop; then lets turns end and saves what objects hold.

use std::{path::PathBuf, process::ExitCode};

use anyhow::Context as _;
use clap::Parser;
use tokio::net::TcpListener;
use wasmverse_daemon::{
    Shutdown,
    config::{self, Source},
    metrics,
    ops::{self, Readiness},
};
use wasmverse_node::{Config, Node};

/// A call makes dozens of small allocations on the way: this one is faster at them than libc's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const NAME: &str = "wasmverse-node";

/// Hosts the objects of Wasmverse.
#[derive(Debug, Parser)]
#[command(name = NAME, version)]
struct Args {
    /// The configuration file [default: wasmverse.toml, if it is there]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print the configuration that results, and end
    #[arg(long)]
    print_config: bool,
    /// Where gates and other nodes come in
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<String>,
    /// Where others reach this node
    #[arg(long, value_name = "ADDRESS")]
    advertise: Option<String>,
    /// Where health and metrics are shown
    #[arg(long, value_name = "ADDRESS")]
    ops_listen: Option<String>,
    /// What the node keeps on disk
    #[arg(long, value_name = "FOLDER")]
    data_dir: Option<String>,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let source = Source::from_args(args.config)
        .flag("node.listen", args.listen)
        .flag("node.advertise", args.advertise)
        .flag("node.ops_listen", args.ops_listen)
        .flag("store.data_dir", args.data_dir);
    let mut config: Config = match config::load(&source) {
        Ok(config) => config,
        Err(error) => return wasmverse_daemon::fail(NAME, &error),
    };
    if args.print_config {
        return wasmverse_daemon::print(NAME, &config::print(&config));
    }
    if let Err(problem) = config.check() {
        return wasmverse_daemon::fail(NAME, &problem);
    }
    wasmverse_daemon::run(NAME, &config.log.clone(), async |shutdown| {
        // Addresses first: a node that cannot listen must not touch the store.
        let listener = bind("node.listen", &config.node.listen).await?;
        let ops_listener = bind("node.ops_listen", &config.node.ops_listen).await?;
        let (address, ops_address) = (listener.local_addr()?, ops_listener.local_addr()?);
        config.node.listens_on(address.port());
        anyhow::ensure!(
            address.ip().is_loopback() || config.cluster.secret.is_some(),
            "node.listen is {address}, beyond loopback: set cluster.secret, for nodes and gates"
        );
        let readiness = Readiness::new();
        readiness.set("node", Err("opening the store and loading types".to_owned()));
        ops::serve(ops_listener, readiness.clone(), metrics::install(), &shutdown);
        let secret = config.cluster.secret.clone();
        let node = Node::start(config, shutdown.clone()).await?;
        let types = node.types().borrow().len();
        tracing::info!(id = node.id(), %address, %ops_address, types, "ready");
        readiness.set("node", Ok(()));
        watch_store(&node, &readiness, &shutdown);
        watch_registration(&node, &readiness, &shutdown);
        let secret = secret.as_ref().map(config::Secret::expose);
        // Others still call it while its shards move away.
        let served = node.listen(listener, secret, node.departed()).await;
        readiness.set("node", Err("stopping".to_owned()));
        served.context("failed to serve gates")?;
        node.stop().await;
        let unsaved = node.unsaved();
        anyhow::ensure!(unsaved == 0, "failed to save {unsaved} objects before the end");
        Ok(())
    })
}

/// Not ready while the store cannot be written, or belongs to somebody else.
fn watch_store(node: &Node, readiness: &Readiness, shutdown: &Shutdown) {
    for (part, mut trouble) in [("store", node.store_trouble()), ("shards", node.fenced())] {
        let (readiness, requested) = (readiness.clone(), shutdown.token());
        shutdown.spawn(async move {
            let watching = async {
                loop {
                    let state = trouble.borrow_and_update().clone().map_or(Ok(()), Err);
                    readiness.set(part, state);
                    if trouble.changed().await.is_err() {
                        return;
                    }
                }
            };
            requested.run_until_cancelled(watching).await;
        });
    }
}

/// Not ready while no other process of the cluster can see it.
fn watch_registration(node: &Node, readiness: &Readiness, shutdown: &Shutdown) {
    let Some(mut registration) = node.registration() else { return };
    let (readiness, requested) = (readiness.clone(), shutdown.token());
    shutdown.spawn(async move {
        let watching = async {
            loop {
                let is_there = registration.borrow_and_update().is_some();
                let lost = || "its registration is lost: it serves nothing until it has another";
                readiness.set("cluster", is_there.then_some(()).ok_or_else(|| lost().to_owned()));
                if registration.changed().await.is_err() {
                    return;
                }
            }
        };
        requested.run_until_cancelled(watching).await;
    });
}

async fn bind(key: &str, address: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| format!("failed to listen on {key} {address}"))
}
