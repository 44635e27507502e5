//! `wasmverse dev`: node and gate in one process, with the given types deployed.

use std::path::PathBuf;

use clap::Args;

use crate::{failure::Result, output::Output};

const EXAMPLES: &str = "\
Examples:
  wasmverse dev                         the crate in this folder
  wasmverse dev hello --watch           rebuilds and swaps it in as you save
  wasmverse dev echo.wasm objects/counter --data-dir /tmp/verse";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct DevArgs {
    /// Folders of crates, or .wasm files; none: the crate in this folder
    paths: Vec<PathBuf>,
    /// Rebuild and deploy whenever a source file is saved
    #[arg(long)]
    watch: bool,
    /// Where state is kept
    #[arg(long, value_name = "FOLDER")]
    data_dir: Option<PathBuf>,
    /// The configuration file; left out: wasmverse.toml, if it is there
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

pub(crate) fn run(args: DevArgs, _output: Output) -> Result<()> {
    let _ = (args.paths, args.watch, args.data_dir, args.config);
    Err(anyhow::anyhow!("this build has no node").into())
}
