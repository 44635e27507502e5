//! `planted-node`: the node with a bug in its store, so that the crash campaign can show that it
//! finds it. For tests alone.
//!
//! `PLANTED_BUG` names the bug; everything else is configured as a node is, by its environment.

mod store;

use std::{process::ExitCode, sync::Arc};

use anyhow::Context as _;
use clap::Parser;
use tokio::net::TcpListener;
use wasmverse_daemon::config::{self, Source};
use wasmverse_node::{Config, Node};
use wasmverse_store::Store;

use store::{Bug, Planted};

const NAME: &str = "planted-node";

/// A node with a bug, for tests.
#[derive(Debug, Parser)]
#[command(name = NAME)]
struct Args {
    /// Where gates come in
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<String>,
    /// What is wrong with it
    #[arg(long, env = "PLANTED_BUG", value_enum)]
    bug: Bug,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let source = Source::from_args(None).flag("node.listen", args.listen);
    let config: Config = match config::load(&source) {
        Ok(config) => config,
        Err(error) => return wasmverse_daemon::fail(NAME, &error),
    };
    wasmverse_daemon::run(NAME, &config.log.clone(), async |shutdown| {
        let listener = TcpListener::bind(&config.node.listen).await.context("failed to listen")?;
        let opening = config.store();
        let store = async move {
            let inner = wasmverse_store::open(&opening).await?;
            Ok(Arc::new(Planted::new(inner, args.bug)) as Arc<dyn Store>)
        };
        let node = Node::start_with(config, store, shutdown.clone()).await?;
        node.listen(listener, None, shutdown.token()).await.context("failed to serve gates")?;
        node.stop().await;
        Ok(())
    })
}
