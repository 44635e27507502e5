//! The node is killed at random moments, and once at each step of a commit, under load: what was
//! acknowledged or pushed is there, what was not is there at most once, state and storage of an
//! object agree, and what has a key, was sent or was due has happened exactly once.

use std::time::Instant;

use futures_util::future::join_all;
use wasmverse_tests::programs::target_folder;

use super::{
    lane::Lane,
    report::{Counts, Report},
    site::{Kind, Shelf},
    steps::STEPS,
};

/// Sites at a time: a gate finds its next node only after a pause, which is another's time.
const LANES: usize = 3;

fn kills() -> usize {
    if std::env::var_os("WASMVERSE_TORTURE").is_some() { 1000 } else { 60 }
}

/// What random choices begin with; it is printed, and can be given.
pub(crate) fn seed() -> u64 {
    let given = std::env::var("WASMVERSE_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = given.unwrap_or_else(rand::random);
    println!("WASMVERSE_SEED={seed}");
    seed
}

async fn survives(kind: Kind) {
    let (seed, began, shelf) = (seed(), Instant::now(), Shelf::of(kind));
    let reports = join_all((0..LANES).map(|lane| travel(&shelf, seed, lane))).await;
    let report = reports.into_iter().fold(Report::default(), Report::and);
    let line = report.line(kind, seed, began.elapsed());
    println!("{line}");
    keep(kind, &line);
    assert!(report.violations.is_empty(), "{line}");
    let Counts { acknowledged, pushes, keyed, lacking, repeats, transfers, firings, .. } =
        report.counts;
    let all = [acknowledged, pushes, keyed, lacking, repeats, transfers, firings];
    assert!(all.into_iter().all(|count| count > 0), "{line}");
}

/// Where `tests/run.sh` finds it.
fn keep(kind: Kind, line: &str) {
    let folder = target_folder().join("campaigns");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join(format!("{kind:?}.txt")), format!("{line}\n")).unwrap();
}

/// One lane's part of the kills, and of the steps.
async fn travel(shelf: &Shelf, seed: u64, number: usize) -> Report {
    let mut lane = Lane::start(shelf, None, seed.wrapping_add(number as u64)).await;
    let verdict = async {
        lane.kill((kills() + number) / LANES).await?;
        for (step, _) in STEPS.iter().skip(number).step_by(LANES) {
            lane.die_at(step).await?;
        }
        Ok(())
    };
    let verdict = verdict.await;
    lane.end(verdict).await
}

#[tokio::test]
async fn sqlite_keeps_what_was_acknowledged_whenever_the_node_is_killed() {
    survives(Kind::Sqlite).await;
}

#[tokio::test]
async fn postgresql_keeps_what_was_acknowledged_whenever_the_node_is_killed() {
    survives(Kind::Postgres).await;
}
