//! The checkers prove themselves: nodes with a bug are found out.

use serde_json::{Value, json};
use wasmverse_tests::programs::Process;

use super::{
    campaign::seed,
    lane::Lane,
    site::{Fate, Kind, Shelf, Site, number},
    sum::Sum,
    verdict::{Found, Verdict, Violation},
};

/// A bug is found within so many kills.
const KILLS: usize = 60;
/// Objects that two nodes believe to be theirs.
const CONTESTED: usize = 4;

/// The first violation in a campaign against nodes with a bug.
async fn found_in_campaign(kind: Kind, bug: &'static str) -> Found {
    let seed = seed();
    let mut lane = Lane::start(&Shelf::of(kind), Some(bug), seed).await;
    let verdict = lane.kill(KILLS).await;
    let report = lane.end(verdict).await;
    println!("{bug}, {kind:?}: {report}");
    report.violations.into_iter().next().unwrap_or_else(|| panic!("{bug} was not found"))
}

async fn replies_before_commits_are_found(kind: Kind) {
    let found = found_in_campaign(kind, "replies-first").await;
    // What nobody but a customer was told is seen by the money, or by what a repeat hears.
    let gone = [
        Violation::AcknowledgedIsGone,
        Violation::PushedIsGone,
        Violation::MoneyIsWrong,
        Violation::ForgotItsAnswer,
    ];
    assert!(gone.contains(&found.violation), "{found}");
}

async fn commits_in_parts_are_found(kind: Kind) {
    let found = found_in_campaign(kind, "commits-apart").await;
    assert_eq!(found.violation, Violation::TornApart, "{found}");
}

async fn repeats_that_are_executed_are_found(kind: Kind) {
    let found = found_in_campaign(kind, "forgets-results").await;
    let twice = [Violation::HappenedTwice, Violation::MoneyIsWrong, Violation::ForgotItsAnswer];
    assert!(twice.contains(&found.violation), "{found}");
}

async fn sends_that_are_marked_first_are_found(kind: Kind) {
    let found = found_in_campaign(kind, "marks-first").await;
    assert_eq!(found.violation, Violation::MoneyIsWrong, "{found}");
}

async fn reminders_that_are_advanced_first_are_found(kind: Kind) {
    let found = found_in_campaign(kind, "advances-first").await;
    assert_eq!(found.violation, Violation::FiringIsMissing, "{found}");
}

#[tokio::test]
async fn on_sqlite_a_node_that_replies_before_it_commits_is_found() {
    replies_before_commits_are_found(Kind::Sqlite).await;
}

#[tokio::test]
async fn on_postgresql_a_node_that_replies_before_it_commits_is_found() {
    replies_before_commits_are_found(Kind::Postgres).await;
}

#[tokio::test]
async fn on_sqlite_a_node_that_commits_state_and_storage_apart_is_found() {
    commits_in_parts_are_found(Kind::Sqlite).await;
}

#[tokio::test]
async fn on_postgresql_a_node_that_commits_state_and_storage_apart_is_found() {
    commits_in_parts_are_found(Kind::Postgres).await;
}

#[tokio::test]
async fn on_sqlite_a_node_that_forgets_what_it_answered_is_found() {
    repeats_that_are_executed_are_found(Kind::Sqlite).await;
}

#[tokio::test]
async fn on_postgresql_a_node_that_forgets_what_it_answered_is_found() {
    repeats_that_are_executed_are_found(Kind::Postgres).await;
}

#[tokio::test]
async fn on_sqlite_a_node_that_marks_a_send_before_it_is_committed_is_found() {
    sends_that_are_marked_first_are_found(Kind::Sqlite).await;
}

#[tokio::test]
async fn on_postgresql_a_node_that_marks_a_send_before_it_is_committed_is_found() {
    sends_that_are_marked_first_are_found(Kind::Postgres).await;
}

#[tokio::test]
async fn on_sqlite_a_node_that_advances_a_reminder_before_its_turn_is_found() {
    reminders_that_are_advanced_first_are_found(Kind::Sqlite).await;
}

#[tokio::test]
async fn on_postgresql_a_node_that_advances_a_reminder_before_its_turn_is_found() {
    reminders_that_are_advanced_first_are_found(Kind::Postgres).await;
}

/// An older node goes on writing after a newer one has claimed its shards. Each add that the older
/// one acknowledges must be there for the newer one, whom clients come to by now.
struct Contest {
    older: Site,
    newer: Site,
    _nodes: [Process; 2],
    /// Adds that the older one has acknowledged since.
    acknowledged: usize,
}

impl Contest {
    async fn begin(bug: Option<&'static str>) -> Self {
        let (older, node) = Site::start(&Shelf::of(Kind::Postgres), bug).await;
        for object in contested() {
            older.http.ok(&object, "add", 1).await;
        }
        let newer = older.beside();
        let nodes = [node, newer.node(None)];
        Self { older, newer, _nodes: nodes, acknowledged: 0 }
    }

    /// Both add to each object in turn, and each time the newer one says what is held.
    async fn run(&mut self) -> Verdict {
        for object in contested() {
            let mut sum = Sum::default();
            sum.acknowledged(1, 1)?;
            sum.held(self.held(&object).await)?;
            for amount in [10, 100, 1000] {
                let fate = add(&self.older, &object, amount, &mut sum).await?;
                self.acknowledged += usize::from(fate == Fate::Acknowledged);
                sum.held(self.held(&object).await)?;
                let fate = add(&self.newer, &object, amount, &mut sum).await?;
                assert_eq!(fate, Fate::Acknowledged, "the newer one is the owner of {object}");
                sum.held(self.held(&object).await)?;
            }
        }
        Ok(())
    }

    async fn held(&self, object: &str) -> i64 {
        number(&self.newer.read(object, "value", Value::Null).await)
    }
}

fn contested() -> impl Iterator<Item = String> {
    (0..CONTESTED).map(|n| format!("Counter/contested-{n}"))
}

async fn add(site: &Site, object: &str, amount: i64, sum: &mut Sum) -> Result<Fate, Found> {
    let (answer, fate) = site.try_call(object, "add", json!(amount)).await;
    match fate {
        Fate::Acknowledged => sum.acknowledged(amount, number(&answer))?,
        Fate::Unknown => sum.unknown(amount),
        Fate::Refused => {}
    }
    Ok(fate)
}

#[tokio::test]
async fn a_node_that_was_superseded_writes_nothing_more() {
    let mut contest = Contest::begin(None).await;
    contest.run().await.unwrap();
    assert_eq!(contest.acknowledged, 0);
}

#[tokio::test]
async fn a_node_that_writes_in_an_old_epoch_is_found() {
    let mut contest = Contest::begin(Some("checks-no-epoch")).await;
    let found = contest.run().await.unwrap_err();
    println!("checks-no-epoch: {found}");
    assert_eq!(found.violation, Violation::AcknowledgedIsGone, "{found}");
    assert!(contest.acknowledged > 0);
}
