//! The node dies at each named step of a commit, once.

use serde_json::json;
use wasmverse_tests::patience::eventually_sync;

use super::site::{Fate, Kind, Site};

/// The steps, and whether the turn whose commit is there is kept.
const STEPS: [(&str, bool); 5] = [
    ("turn-ended", false),
    ("commit-begins", false),
    ("commit-done", true),
    ("effects-leave", true),
    ("reply-leaves", true),
];
/// The turn that meets the step.
const COUNT: u64 = 4;

async fn dies_at_each_step(kind: Kind) {
    let (site, mut node) = Site::start(kind).await;
    for (step, is_kept) in STEPS {
        let object = format!("Chameleon/{step}");
        node.kill();
        node = site.node(Some(&format!("{step}:{COUNT}"))).await;
        let mut acknowledged = 0;
        let fate = loop {
            let (told, fate) = site.try_call(&object, "count_twice", json!(1)).await;
            match fate {
                Fate::Acknowledged => acknowledged += 1,
                Fate::Refused => panic!("{step}: {told}"),
                Fate::Unknown => break fate,
            }
        };
        assert_eq!((acknowledged, fate), (COUNT - 1, Fate::Unknown), "{step}");
        eventually_sync("the node is dead", || (!node.runs()).then_some(()));
        node = site.node(None).await;
        let kept = acknowledged + u64::from(is_kept);
        assert_eq!(site.held(&object).await, (kept, kept), "{kind:?}, {step}");
    }
}

#[tokio::test]
async fn at_each_step_of_a_commit_sqlite_keeps_all_of_a_turn_or_nothing() {
    dies_at_each_step(Kind::Sqlite).await;
}

#[tokio::test]
async fn at_each_step_of_a_commit_postgresql_keeps_all_of_a_turn_or_nothing() {
    dies_at_each_step(Kind::Postgres).await;
}
