//! The node dies at each named step of a commit: once in a call without a key, of which nobody then
//! knows, and once in a keyed one, which is answered all the same.

use futures_util::future::{join, join_all};
use serde_json::json;
use wasmverse_tests::patience::eventually;

use super::{
    customers::PATIENT,
    site::{Fate, Kind, Shelf, Site, number},
};

/// The steps, and whether the turn whose commit is there is kept.
pub(crate) const STEPS: [(&str, bool); 7] = [
    ("turn-ended", false),
    ("commit-begins", false),
    ("store-writes", false),
    ("store-wrote", true),
    ("commit-done", true),
    ("effects-leave", true),
    ("reply-leaves", true),
];
/// The turn that meets the step.
const COUNT: i64 = 4;

/// Sites at a time.
const LANES: usize = 3;

async fn dies_at_each_step(kind: Kind) {
    let shelf = Shelf::of(kind);
    let lanes = (0..LANES).map(async |lane| {
        let (site, mut node) = Site::start(&shelf, None).await;
        for (step, is_kept) in STEPS.into_iter().skip(lane).step_by(LANES) {
            node.kill();
            dies_at(&site, step, is_kept).await;
            dies_in_a_keyed_call(&site, step).await;
        }
    });
    join_all(lanes).await;
}

async fn dies_at(site: &Site, step: &str, is_kept: bool) {
    let object = format!("Chameleon/{step}");
    let mut node = site.node(Some(&format!("{step}:{COUNT}")));
    site.ready().await;
    let mut acknowledged = 0;
    loop {
        match site.try_call(&object, "count_twice", json!(1)).await {
            (_, Fate::Acknowledged) => acknowledged += 1,
            (told, Fate::Refused) => panic!("{step}: {told}"),
            (_, Fate::Unknown) => break,
        }
    }
    assert_eq!(acknowledged, COUNT - 1, "{step}");
    eventually("the node is dead", async || (!node.runs()).then_some(())).await;
    let _node = site.node(None);
    let kept = acknowledged + i64::from(is_kept);
    assert_eq!(site.counted_twice(&object).await, (kept, kept), "{step}");
}

async fn dies_in_a_keyed_call(site: &Site, step: &str) {
    let object = format!("Chameleon/keyed-{step}");
    let mut node = site.node(Some(&format!("{step}:{COUNT}")));
    site.ready().await;
    let ask = async |count: i64| {
        let key = count.to_string();
        let answer = site.ask(&object, "count_twice", &json!(1), &key, PATIENT).await.unwrap();
        assert_eq!(number(&answer.json()), count, "{step}");
    };
    for count in 1..COUNT {
        ask(count).await;
    }
    let next_node = async {
        eventually("the node is dead", async || (!node.runs()).then_some(())).await;
        site.node(None)
    };
    let ((), _node) = join(ask(COUNT), next_node).await;
    assert_eq!(site.counted_twice(&object).await, (COUNT, COUNT), "{step}");
}

#[tokio::test]
async fn at_each_step_of_a_commit_sqlite_keeps_all_of_a_turn_or_nothing() {
    dies_at_each_step(Kind::Sqlite).await;
}

#[tokio::test]
async fn at_each_step_of_a_commit_postgresql_keeps_all_of_a_turn_or_nothing() {
    dies_at_each_step(Kind::Postgres).await;
}
