//! Sends and reminders of a thousand objects.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use futures_util::future::join_all;
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use serde_json::{Value, json};
use wasmverse_tests::{guests::chameleon, http::Http};

use super::{Processors, system::System};

const OBJECTS: usize = 1_000;
/// Turns that send, and what each sends.
const TURNS: usize = 4_000;
const SENDS: usize = 10;
/// Calls at a time.
const LANES: usize = 64;
/// Between two looks at what the node tells.
const LOOK: Duration = Duration::from_millis(20);

/// So many sends between objects: until the last one has arrived.
pub(crate) async fn sends(system: &System, processors: &Processors) -> anyhow::Result<String> {
    let (http, ops) = (system.http(), system.ops()?);
    deploy(&http).await;
    let before = (processors.used(), Instant::now());
    each(TURNS, |turn| {
        let http = &http;
        async move {
            let mut dice = StdRng::seed_from_u64(turn as u64);
            let mut other = || format!("sender-{}", dice.random_range(0..OBJECTS));
            let errands: Vec<Value> = (0..SENDS)
                .map(|_| json!({ "type": "Chameleon", "id": other(), "method": "add", "argument": 1 }))
                .collect();
            http.ok(&format!("Chameleon/sender-{}", turn % OBJECTS), "send_many", errands).await;
        }
    })
    .await;
    let asked = before.1.elapsed();
    while value(&ops, "wasmverse_node_pending_sends").await? > 0.0 {
        tokio::time::sleep(LOOK).await;
    }
    let (elapsed, used) = (before.1.elapsed(), processors.used() - before.0);
    let dead = value(&ops, "wasmverse_node_dead_letters_total").await.unwrap_or_default();
    let all = (TURNS * SENDS) as f64;
    Ok(format!(
        "{all} sends between {OBJECTS} objects, {SENDS} a turn: {:.0} a second ({:.0} a CPU-second); \
         the last call was answered after {:.2} s, the last one arrived after {:.2} s; dead: {dead}.",
        all / elapsed.as_secs_f64(),
        all / used.as_secs_f64(),
        asked.as_secs_f64(),
        elapsed.as_secs_f64(),
    ))
}

/// A thousand objects, each reminded every so often, for so long.
pub(crate) async fn reminders(
    system: &System,
    processors: &Processors,
    period_ms: u64,
    time: Duration,
) -> anyhow::Result<String> {
    let (http, ops) = (system.http(), system.ops()?);
    let name = |number: usize| format!("Chameleon/reminded-{number}");
    each(OBJECTS, |number| {
        let (http, object) = (&http, name(number));
        async move {
            let set = json!(["r", ["every", period_ms], "add", 1]);
            http.ok(&object, "remind", set).await;
        }
    })
    .await;
    let lateness = "wasmverse_node_reminder_lateness_seconds";
    let count = format!("{lateness}_count");
    let (buckets, before) = (histogram(&ops, lateness).await?, processors.used());
    let (fired, began) = (value(&ops, &count).await?, Instant::now());
    tokio::time::sleep(time).await;
    let elapsed = began.elapsed().as_secs_f64();
    let fired = value(&ops, &count).await? - fired;
    let used = (processors.used() - before).as_secs_f64();
    let later = histogram(&ops, lateness).await?;
    each(OBJECTS, |number| {
        let (http, object) = (&http, name(number));
        async move {
            http.ok(&object, "cancel", "r").await;
        }
    })
    .await;
    let within = |share: f64| {
        let pairs = later.iter().zip(&buckets);
        let found = pairs.map(|((bound, now), (_, then))| (bound, now - then));
        found.into_iter().find(|(_, count)| *count >= share * fired).map(|(bound, _)| bound.clone())
    };
    let shown = |share| within(share).unwrap_or_else(|| "more".to_owned());
    Ok(format!(
        "{OBJECTS} objects reminded every {period_ms} ms: {:.0} firings a second ({:.0} a \
         CPU-second); half within {} s of their time, 99 % within {} s.",
        fired / elapsed,
        fired / used,
        shown(0.5),
        shown(0.99),
    ))
}

async fn deploy(http: &Http) {
    let describe = json!({ "type": "Chameleon", "durability": "durable" });
    http.deploy(chameleon(&json!({ "describe": describe }))).await;
}

/// Does it for each number, a few at a time.
async fn each<F: Future<Output = ()>>(count: usize, act: impl Fn(usize) -> F) {
    let act = &act;
    let lanes = (0..LANES).map(|lane| async move {
        for number in (lane..count).step_by(LANES) {
            act(number).await;
        }
    });
    join_all(lanes).await;
}

async fn metrics(ops: &Http) -> String {
    String::from_utf8_lossy(&ops.get("/metrics").await.body).into_owned()
}

/// What a metric without labels is.
async fn value(ops: &Http, name: &str) -> anyhow::Result<f64> {
    let metrics = metrics(ops).await;
    let line = metrics
        .lines()
        .find(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(' ')));
    let (_, value) = line.and_then(|line| line.rsplit_once(' ')).context("a metric")?;
    Ok(value.parse()?)
}

/// The bounds of a histogram, and how many were within each.
async fn histogram(ops: &Http, name: &str) -> anyhow::Result<Vec<(String, f64)>> {
    let (metrics, begin) = (metrics(ops).await, format!("{name}_bucket{{le=\""));
    let buckets = metrics.lines().filter_map(|line| line.strip_prefix(&begin)?.split_once("\"} "));
    buckets.map(|(bound, count)| Ok((bound.to_owned(), count.parse()?))).collect()
}
