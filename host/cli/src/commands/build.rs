//! `wasmverse build`: a crate into a component. The last line is where it lies.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use crate::{
    builder::{self, Source},
    failure::{Failure, Result},
    output::Output,
};

const EXAMPLES: &str = "\
Examples:
  wasmverse build                          the crate in this folder
  wasmverse deploy \"$(wasmverse build hello | tail -1)\"

The component lands in target/wasmverse/<package>.wasm of the crate's workspace; the last line of
standard output is its absolute path. What cargo says goes to standard error.";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct BuildArgs {
    /// The folder of the crate; left out: this one
    path: Option<PathBuf>,
}

pub(crate) fn run(args: &BuildArgs, output: Output) -> Result<()> {
    let sources = builder::locate(args.path.as_slice())?;
    let [Source::Crate(package)] = &sources[..] else {
        return Err(Failure::usage("this is a component already; build takes a crate"));
    };
    for built in builder::build(std::slice::from_ref(package))? {
        let component = built.component.display().to_string();
        let json = json!({ "package": built.package, "component": component });
        output.result(&json, || component)?;
    }
    Ok(())
}
