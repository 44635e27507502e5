//! `wasmverse store verify`: all that a store holds is read, and what is wrong with it is told.

use serde::Serialize;
use wasmverse_store::dump;

use super::{place::Place, status::Shown};
use crate::{
    failure::{Failure, Result},
    output::{Output, plural},
    printable::printable,
};

pub(super) const EXAMPLES: &str = "\
Examples:
  wasmverse store verify
  wasmverse store verify --data-dir /srv/verse --json | jq -r '.problems[]'
  wasmverse store verify && wasmverse store export backup.jsonl

Digests of components and of states, names, shards and references between them are checked; one
problem a line. Nothing is changed. It ends with 1 if there are problems.";

/// What was found, and in what.
#[derive(Debug, Serialize)]
struct Verified {
    #[serde(flatten)]
    shown: Shown,
    problems: Vec<String>,
}

pub(super) async fn run(place: &Place, output: Output) -> Result<()> {
    let store = place.open().await?;
    let failed = |error| place.failure(&error, |error| format!("failed to read {place}: {error}"));
    let spinner = output.spinner(&format!("reading {place}"));
    let problems = dump::verify(&*store).await;
    spinner.finish_and_clear();
    let verified =
        Verified { problems: problems.map_err(failed)?, shown: Shown::of(&*store, place).await? };
    place.close(&*store).await?;
    verified.shown.warn_if_unused(output);
    output.result(&verified, || verified.text())?;
    match verified.problems.len() as u64 {
        0 => Ok(()),
        count => Err(Failure::Found(format!(
            "{} in {place}: keep a copy of it, and import the latest export that is whole into a \
             new store",
            plural(count, "problem")
        ))),
    }
}

impl Verified {
    fn text(&self) -> String {
        // They repeat names that others chose.
        let mut lines: Vec<_> = self.problems.iter().map(|problem| printable(problem)).collect();
        let found = match self.problems.len() as u64 {
            0 => "no problems".to_owned(),
            count => plural(count, "problem"),
        };
        lines.push(format!("{found}: {}", self.shown.counts()));
        lines.join("\n")
    }
}
