//! What the older node holds of periodic objects is never saved once the newer one claimed.

use serde_json::json;
use wasmverse_tests::{
    patience::eventually,
    postgres::Databases,
    programs::Process,
    station::{Fate, Station},
};

use crate::pair::{Pair, deploy};

const SAVE_INTERVAL: &str = "WASMVERSE_NODE__SAVE_INTERVAL";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_older_node_has_in_memory_is_saved_neither_in_time_nor_at_its_end() {
    let databases = Databases::find();
    is_not_saved_in_time(Pair::new(&databases)).await;
    is_not_saved_at_its_end(Pair::new(&databases)).await;
}

async fn is_not_saved_in_time(pair: Pair) {
    let ([older, _newer], rows) = take_over(&pair, "50ms").await;
    // It may answer out of memory until it knows better, and keeps none of it.
    eventually("it hears that it owns nothing any more", async || {
        add(&pair.one).await;
        let readiness = pair.one.readiness().await?;
        let told = String::from_utf8_lossy(&readiness.body).into_owned();
        (readiness.status == 503).then(|| assert!(told.contains("has claimed"), "{told}"))
    })
    .await;
    assert!(older.printed().contains("another process has claimed"), "{}", older.printed());
    assert_eq!(pair.rows(), rows, "it changed rows after the claim");
    let later = add(&pair.one).await;
    assert!(matches!(&later, Fate::Refused(code, _) if code == "unavailable"), "{later:?}");
    assert_eq!(add(&pair.other).await, Fate::Acknowledged(json!(1)));
}

async fn is_not_saved_at_its_end(pair: Pair) {
    let ([mut older, _newer], rows) = take_over(&pair, "1h").await;
    assert_eq!(add(&pair.one).await, Fate::Acknowledged(json!(1)));
    assert_eq!(older.stop(), Some(1), "{}", older.printed());
    assert!(older.printed().contains("was not saved"), "{}", older.printed());
    assert!(older.printed().contains("another process has claimed"), "{}", older.printed());
    assert_eq!(pair.rows(), rows, "it changed rows at its end");
    assert_eq!(add(&pair.other).await, Fate::Acknowledged(json!(1)));
}

/// Two nodes, of which the newer one has saved an object of its own; and what is kept.
async fn take_over(pair: &Pair, interval: &str) -> ([Process; 2], String) {
    let (older, _) = pair.one.node(&[(SAVE_INTERVAL, interval)]).await;
    deploy(&pair.one).await;
    older.signal("STOP");
    let (newer, _) = pair.other.node(&[(SAVE_INTERVAL, "50ms")]).await;
    pair.other.http.ok("Lazy/a", "add", 10).await;
    eventually("the newer one has saved", async || pair.rows().contains("Lazy").then_some(()))
        .await;
    let rows = pair.rows();
    older.signal("CONT");
    ([older, newer], rows)
}

async fn add(station: &Station) -> Fate {
    station.try_call("Lazy/b", "add", json!(1)).await
}
