//! `wasmverse new`: a crate with one object that builds, tests and deploys as it stands.

use std::{fs, path::PathBuf};

use anyhow::Context as _;
use clap::Args;
use serde_json::json;

use crate::{
    failure::{Failure, Result},
    output::{Output, program},
    scaffold::{self, Name},
};

const EXAMPLES: &str = "\
Examples:
  wasmverse new hello             ./hello, with the type Hello
  wasmverse new objects/guest-book

The crate brings the SDK along, so it builds wherever it lies.";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct NewArgs {
    /// The folder to make; its last part names the crate and the type
    #[arg(value_name = "NAME")]
    path: PathBuf,
}

pub(crate) fn run(args: &NewArgs, output: Output) -> Result<()> {
    let folder = args.path.display().to_string();
    let last = args.path.file_name().map(|name| name.to_string_lossy().into_owned());
    let name: Name = last.unwrap_or_default().parse().map_err(Failure::Usage)?;
    if args.path.exists() {
        return Err(Failure::usage(format!("{folder} exists: choose another name, or remove it")));
    }
    for file in scaffold::files(&name, &folder)? {
        let path = args.path.join(&file.path);
        let written = || {
            fs::create_dir_all(path.parent().unwrap_or(&args.path))?;
            fs::write(&path, &file.text)
        };
        written().with_context(|| format!("failed to write {}", path.display()))?;
    }
    let json = json!({ "package": name.package, "type": name.type_name, "path": folder });
    output.result(&json, || {
        format!(
            "made {folder}: the object type {type_name}, its tests, and the SDK\n\n\
             next:\n  {program} dev {folder} --watch\n  {program} call {type_name}/world add 5    \
             (from another terminal)",
            type_name = name.type_name,
            program = program(),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_existing_folder_is_left_alone() {
        let home = tempfile::tempdir().unwrap();
        let args = NewArgs { path: home.path().join("hello") };
        run(&args, Output::new(false)).unwrap();
        assert!(args.path.join("src/lib.rs").is_file());
        let failure = run(&args, Output::new(false)).unwrap_err();
        assert_eq!(failure.exit_code(), 2);
        assert!(failure.to_string().contains("exists"), "{failure}");
    }
}
