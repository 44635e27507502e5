//! Two places for nodes on one database, each with a gate of its own, and what the database holds.

use std::sync::Arc;

use serde_json::json;
use wasmverse_tests::{
    guests::chameleon,
    patience::eventually_sync,
    postgres::{Databases, query},
    programs::Process,
    station::{Fate, Station},
};

/// The steps of a commit at which a node stops itself, and whether the turn is committed by then.
pub(crate) const STEPS: [(&str, bool); 7] = [
    ("turn-ended", false),
    ("commit-begins", false),
    ("store-writes", false),
    ("store-wrote", true),
    ("commit-done", true),
    ("effects-leave", true),
    ("reply-leaves", true),
];

/// Two places for nodes that are given the same shards.
pub(crate) struct Pair {
    pub(crate) one: Arc<Station>,
    pub(crate) other: Arc<Station>,
    url: String,
}

impl Pair {
    /// Makes a database, and starts the gates.
    pub(crate) fn new(databases: &Databases) -> Self {
        let url = databases.database();
        Self::on(&url, &url)
    }

    /// Starts the gates; `one` reaches the database of the other by another way.
    pub(crate) fn on(url: &str, by_another_way: &str) -> Self {
        let [one, other] = [by_another_way, url].map(|url| Arc::new(Station::new(Some(url))));
        Self { one, other, url: url.to_owned() }
    }

    /// Runs SQL on the database of both.
    pub(crate) fn query(&self, sql: &str) -> String {
        query(&self.url, sql).unwrap()
    }

    /// All that is kept of objects, word for word.
    pub(crate) fn rows(&self) -> String {
        self.query(
            "SELECT * FROM objects ORDER BY type, id; SELECT * FROM storage ORDER BY id, key",
        )
    }

    /// The epochs in which the shards are claimed.
    pub(crate) fn epochs(&self) -> String {
        self.query("SELECT DISTINCT epoch FROM shards ORDER BY epoch").trim().replace('\n', ",")
    }
}

/// Deploys chameleons, durable ones of the type `Chameleon` and periodic ones of the type `Lazy`.
pub(crate) async fn deploy(station: &Station) {
    for (name, durability) in [("Chameleon", "durable"), ("Lazy", "periodic")] {
        let describe = json!({ "type": name, "durability": durability });
        station.http.deploy(chameleon(&json!({ "describe": describe }))).await;
    }
}

/// Waits until a process has stopped itself.
pub(crate) fn until_stopped(process: &Process) {
    eventually_sync("the older node has stopped itself", || process.is_stopped().then_some(()));
}

/// Counts in state and in storage, again and again, until it fails: the values that were
/// acknowledged, and what became of the last call.
pub(crate) async fn count(station: Arc<Station>, object: String) -> (Vec<i64>, Fate) {
    let mut acknowledged = Vec::new();
    loop {
        match station.try_call(&object, "count_twice", json!(1)).await {
            Fate::Acknowledged(value) => acknowledged.push(value.as_i64().unwrap()),
            fate => return (acknowledged, fate),
        }
    }
}

/// A node that is the owner of nothing any more refuses what would be written.
pub(crate) fn assert_refused(fate: &Fate, told: &str) {
    let Fate::Refused(code, message) = fate else { panic!("{told}: {fate:?}") };
    assert_eq!(code, "unavailable", "{told}: {message}");
}

/// What an object holds, in its state and in its storage.
pub(crate) async fn held(station: &Station, object: &str) -> (i64, i64) {
    let state = station.http.ok(object, "value", ()).await;
    let storage = station.http.ok(object, "read", "count").await;
    (state.as_i64().unwrap(), storage.as_i64().unwrap_or_default())
}
