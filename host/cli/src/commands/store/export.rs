//! `wasmverse store export`: all that a store holds, as lines of JSON.
//!
//! A file gets its name when it is whole and on disk: one that was cut off is never taken for an
//! export.

use std::{
    fs::File,
    io::{self, IsTerminal as _},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, anyhow};
use clap::Args;
use indicatif::ProgressBar;
use serde::Serialize;
use tempfile::NamedTempFile;
use tokio::io::{AsyncWrite, BufWriter};
use wasmverse_store::{Error, dump};

use super::{counted::Counted, place::Place, status::Shown};
use crate::{
    failure::{Failure, Result},
    output::{Output, plural},
};

const EXAMPLES: &str = "\
Examples:
  wasmverse store export backup.jsonl
  wasmverse store export | gzip > backup.jsonl.gz    (set -o pipefail in scripts)
  wasmverse store export backup.jsonl --data-dir /srv/verse --force

Types, objects with their state, keyed storage and what is known of shards, as of one moment. The
file appears when it is whole, and only you may read it; its last line is {\"kind\":\"end\"}.
`wasmverse store import` takes it, into SQLite or PostgreSQL.";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct ExportArgs {
    /// Where to; -: standard output
    #[arg(value_name = "FILE", default_value = "-")]
    file: PathBuf,
    /// Replace the file if it is there
    #[arg(long)]
    force: bool,
}

/// What was written.
#[derive(Debug, Serialize)]
struct Exported {
    file: String,
    records: u64,
    bytes: u64,
}

pub(super) async fn run(args: &ExportArgs, place: &Place, output: Output) -> Result<()> {
    let target = Target::begin(args)?;
    let store = place.open().await?;
    let shown = Shown::of(&*store, place).await?;
    shown.warn_if_unused(output);
    let bar = match target.is_seen() {
        true => ProgressBar::hidden(),
        false => output.progress(shown.records(), "exporting"),
    };
    let mut writer = Counted::new(target.writer()?, bar.clone());
    let exported = dump::export(&*store, &mut writer).await;
    bar.finish_and_clear();
    let bytes = writer.bytes();
    let records = exported.map_err(|error| match writer.take_failure() {
        Some(failed) => Failure::Local(anyhow!("failed to write {}: {failed}", target.name())),
        None => failure(place, &error),
    })?;
    place.close(&*store).await?;
    let exported = Exported { file: target.name(), records, bytes };
    match target {
        // Standard output is the export's.
        Target::Standard => {
            output.note(format_args!("exported {} of {place}", plural(records, "record")));
            Ok(())
        }
        Target::File(file) => {
            file.keep()?;
            output.result(&exported, || {
                let (records, file) = (plural(records, "record"), &exported.file);
                format!("exported {records} of {place} to {file}")
            })
        }
    }
}

fn failure(place: &Place, error: &Error) -> Failure {
    place.failure(error, |error| match error {
        Error::Damaged(_) => format!(
            "failed to export {place}: {error}; `wasmverse store verify` shows all that is damaged"
        ),
        _ => format!("failed to export {place}: {error}"),
    })
}

/// Where an export goes.
#[derive(Debug)]
enum Target {
    Standard,
    File(Unfinished),
}

/// A file beside the one that it will be.
#[derive(Debug)]
struct Unfinished {
    path: PathBuf,
    file: NamedTempFile,
    force: bool,
}

impl Target {
    /// Refuses before anything is read what could not be written.
    fn begin(args: &ExportArgs) -> Result<Self> {
        if args.file == Path::new("-") {
            return Ok(Self::Standard);
        }
        let path = args.file.clone();
        let shown = path.display();
        match path.metadata() {
            Ok(found) if !found.is_file() => {
                return Err(Failure::usage(format!(
                    "{shown} is no file that could be replaced: name another one, or - for \
                     standard output"
                )));
            }
            Ok(_) if !args.force => return Err(taken(&path)),
            Ok(_) | Err(_) => {}
        }
        let name = path.file_name().context("the export needs a name")?.to_string_lossy();
        let file = tempfile::Builder::new()
            .prefix(&format!(".{name}."))
            .suffix(".unfinished")
            .tempfile_in(folder(&path))
            .with_context(|| format!("failed to write {shown}"))?;
        Ok(Self::File(Unfinished { path, file, force: args.force }))
    }

    fn name(&self) -> String {
        match self {
            Self::Standard => "standard output".to_owned(),
            Self::File(unfinished) => unfinished.path.display().to_string(),
        }
    }

    /// Whether the export itself is what a terminal shows.
    fn is_seen(&self) -> bool {
        matches!(self, Self::Standard) && io::stdout().is_terminal()
    }

    fn writer(&self) -> Result<BufWriter<Box<dyn AsyncWrite + Unpin + Send>>> {
        let writer: Box<dyn AsyncWrite + Unpin + Send> = match self {
            Self::Standard => Box::new(tokio::io::stdout()),
            Self::File(Unfinished { file, .. }) => {
                Box::new(tokio::fs::File::from_std(file.reopen()?))
            }
        };
        Ok(BufWriter::new(writer))
    }
}

impl Unfinished {
    /// Gives it its name, once it is on disk.
    fn keep(self) -> Result<()> {
        let Self { path, file, force } = self;
        let cannot = || format!("failed to write {}", path.display());
        file.as_file().sync_all().with_context(cannot)?;
        let kept = if force { file.persist(&path) } else { file.persist_noclobber(&path) };
        match kept {
            Ok(_) => {}
            Err(refused) if refused.error.kind() == io::ErrorKind::AlreadyExists => {
                return Err(taken(&path));
            }
            Err(refused) => {
                return Err(anyhow::Error::from(refused.error).context(cannot()).into());
            }
        }
        // The name, too.
        Ok(File::open(folder(&path)).and_then(|folder| folder.sync_all()).with_context(cannot)?)
    }
}

fn taken(path: &Path) -> Failure {
    Failure::usage(format!(
        "{} is there already: choose another name, or replace it with --force",
        path.display()
    ))
}

fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests {
    use std::{fs, io::Write as _};

    use super::*;

    fn begin(path: &Path, force: bool) -> Result<Unfinished> {
        match Target::begin(&ExportArgs { file: path.to_owned(), force })? {
            Target::File(file) => Ok(file),
            Target::Standard => panic!("it is a file"),
        }
    }

    #[test]
    fn a_file_has_its_name_when_it_is_whole_and_leaves_nothing_else() {
        let home = tempfile::tempdir().unwrap();
        let names = || fs::read_dir(home.path()).unwrap().count();
        let path = home.path().join("backup.jsonl");
        let mut file = begin(&path, false).unwrap();
        file.file.write_all(b"half").unwrap();
        assert!(!path.exists() && names() == 1);
        drop(file);
        assert_eq!(names(), 0, "what is dropped is gone");
        begin(&path, false).unwrap().keep().unwrap();
        assert!(path.exists() && names() == 1);
    }

    #[test]
    fn what_is_there_is_replaced_only_by_force() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("backup.jsonl");
        let late = begin(&path, false).unwrap();
        fs::write(&path, "mine").unwrap();
        for refused in [begin(&path, false).map(drop), late.keep()] {
            let failure = refused.unwrap_err();
            assert_eq!(failure.exit_code(), 2);
            assert!(failure.to_string().contains("--force"), "{failure}");
        }
        assert_eq!(fs::read(&path).unwrap(), b"mine");
        begin(&path, true).unwrap().keep().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"");
    }

    #[test]
    fn what_is_no_file_is_not_replaced_even_by_force() {
        for path in [Path::new("/dev/null"), Path::new("/"), Path::new("/nowhere/at/all")] {
            assert!(begin(path, true).is_err(), "{}", path.display());
        }
    }
}
