//! `wasmverse store import`: an empty store is filled with an export, with all of it or nothing.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};
use clap::Args;
use serde::Serialize;
use tokio::io::{AsyncBufRead, AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, BufReader};
use wasmverse_store::{
    Error,
    dump::{self, Origin, Record},
};

use super::{counted::Counted, place::Place, status::Shown};
use crate::{
    failure::{Failure, Result},
    output::{Output, plural},
};

const EXAMPLES: &str = "\
Examples:
  wasmverse store import backup.jsonl --data-dir /srv/new
  wasmverse store import backup.jsonl --url \"$URL\"   a PostgreSQL database that is empty
  gunzip -c backup.jsonl.gz | wasmverse store import -

The store is made if it is not there; one that holds anything is refused. It becomes the store of
the export's cluster: do not run nodes on both. All is taken, or nothing.";

/// The first line is short: it says whose store it was.
const FIRST_LINE_BYTES_MAX: u64 = 64 << 10;

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct ImportArgs {
    /// What `wasmverse store export` wrote; -: standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

/// What was taken, and into what.
#[derive(Debug, Serialize)]
struct Imported {
    #[serde(flatten)]
    shown: Shown,
    records: u64,
}

pub(super) async fn run(args: &ImportArgs, place: &Place, output: Output) -> Result<()> {
    let (file, length, name) = source(&args.file).await?;
    let bar = output.progress_of_bytes(length, "importing");
    let mut reader = BufReader::new(Counted::new(file, bar.clone()));
    // Before there is a store of the wrong size.
    let first = first_line(&mut reader).await.with_context(|| format!("failed to read {name}"))?;
    check(&first, &name, place.shards())?;
    let store = place.make().await?;
    let imported = dump::import(&*store, &mut first.as_slice().chain(&mut reader)).await;
    bar.finish_and_clear();
    let records = imported.map_err(|error| match reader.get_mut().take_failure() {
        Some(failed) => {
            Failure::Local(anyhow!("nothing was imported: failed to read {name}: {failed}"))
        }
        None => place.failure(&error, |error| told(error, &name, &place.to_string())),
    });
    let shown = match &records {
        Ok(_) => Some(Shown::of(&*store, place).await?),
        Err(_) => None,
    };
    place.close(&*store).await?;
    let (records, Some(shown)) = (records?, shown) else { return Ok(()) };
    let imported = Imported { shown, records };
    output.result(&imported, || {
        let records = plural(records, "record");
        format!("imported {records} from {name}\n{}", imported.shown.text())
    })
}

type File = Box<dyn AsyncRead + Unpin + Send>;

/// What is read, how long it is as far as that is known, and how it is called.
async fn source(path: &Path) -> Result<(File, u64, String)> {
    if path == Path::new("-") {
        return Ok((Box::new(tokio::io::stdin()), 0, "standard input".to_owned()));
    }
    let name = path.display().to_string();
    let cannot = || format!("failed to read {name}");
    let file = tokio::fs::File::open(path).await.with_context(cannot)?;
    let length = file.metadata().await.with_context(cannot)?.len();
    Ok((Box::new(file), length, name))
}

async fn first_line(reader: &mut (impl AsyncBufRead + Unpin)) -> std::io::Result<Vec<u8>> {
    let mut line = Vec::new();
    reader.take(FIRST_LINE_BYTES_MAX).read_until(b'\n', &mut line).await?;
    Ok(line)
}

/// Whether this is an export, of a cluster of this many shards.
fn check(first_line: &[u8], name: &str, shards: u16) -> Result<()> {
    let Ok(Record::Store(Origin { shards: found, .. })) = serde_json::from_slice(first_line) else {
        let zipped = first_line.starts_with(b"\x1f\x8b");
        let hint = match zipped {
            true => "it is compressed: gunzip -c FILE | wasmverse store import -",
            false => "give the file that `wasmverse store export` wrote",
        };
        return Err(Failure::usage(format!("{name} is no export of a store: {hint}")));
    };
    if found == shards {
        return Ok(());
    }
    Err(Failure::usage(format!(
        "{name} comes from a cluster of {found} shards, and cluster.shards is {shards} here: set \
         it to {found} in wasmverse.toml, or WASMVERSE_CLUSTER__SHARDS={found}"
    )))
}

/// Why nothing was imported, and what to do.
fn told(error: &Error, name: &str, place: &str) -> String {
    match error {
        Error::Damaged(told) => format!(
            "nothing was imported: {name} is damaged: {told}; export it again, or take an older one"
        ),
        Error::NotOurs(told) => {
            format!("nothing was imported into {place}: {told}; --data-dir or --url say which one")
        }
        Error::Unknown(told) => format!(
            "nobody knows whether {name} was imported into {place}: {told}; look with `wasmverse \
             store status`"
        ),
        other => format!("nothing was imported into {place}: {other}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: &[u8] = b"{\"kind\":\"store\",\"cluster_id\":\"c\",\"shards\":16}\n";

    #[test]
    fn what_is_no_export_or_of_another_size_is_refused_with_the_fix() {
        assert!(check(FIRST, "f", 16).is_ok());
        for (line, shards, says) in [
            (FIRST, 8192, "WASMVERSE_CLUSTER__SHARDS=16"),
            (b"", 16, "wasmverse store export"),
            (b"{\"kind\":\"end\"}\n", 16, "no export"),
            (b"PK\x03\x04", 16, "no export"),
            (b"\x1f\x8b\x08", 16, "gunzip"),
        ] {
            let failure = check(line, "f", shards).unwrap_err();
            assert_eq!(failure.exit_code(), 2);
            assert!(failure.to_string().contains(says), "{failure}");
        }
    }

    #[tokio::test]
    async fn only_the_first_line_is_taken_and_not_more_than_a_line_should_have() {
        let mut lines = b"one\ntwo\n".as_slice();
        assert_eq!(first_line(&mut lines).await.unwrap(), b"one\n");
        assert_eq!(lines, b"two\n");
        let long = vec![b'x'; 1 << 20];
        let read = first_line(&mut long.as_slice()).await.unwrap();
        assert_eq!(read.len() as u64, FIRST_LINE_BYTES_MAX);
    }

    #[test]
    fn it_is_the_export_that_is_damaged_and_not_the_store() {
        let told = told(&Error::Damaged("the dump was cut short".into()), "f", "p");
        assert!(told.contains("f is damaged: the dump was cut short") && !told.contains("store"));
    }
}
