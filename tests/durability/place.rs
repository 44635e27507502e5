//! A gate and a node with objects of one durability, and what is in their store.

use serde_json::{Value, json};
use wasmverse_tests::{
    guests::chameleon, http::path_of, patience::eventually, postgres::Databases, programs::Process,
    station::Station,
};

use crate::hold::Hold;

/// How often periodic objects are saved.
pub(crate) const SAVE_INTERVAL: &str = "WASMVERSE_NODE__SAVE_INTERVAL";
/// When an object sleeps that nobody called.
pub(crate) const IDLE: &str = "WASMVERSE_NODE__IDLE";
/// Where a node stops itself.
pub(crate) const FAILPOINT: &str = "WASMVERSE_FAILPOINT";
/// Longer than any test: it never happens.
pub(crate) const NEVER: &str = "1h";
/// So short that tests can wait for it.
pub(crate) const SOON: &str = "50ms";

/// The object that most tests are about.
pub(crate) const A: &str = "Chameleon/a";

/// Where objects are kept.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind<'a> {
    Sqlite,
    /// In a database of its own on that server.
    Postgres(&'a Databases),
}

/// A gate, its node's place, and a store.
pub(crate) struct Place {
    pub(crate) station: Station,
}

/// An object in the store.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Kept {
    pub(crate) value: i64,
    /// Under the key `count`.
    pub(crate) storage: Option<i64>,
    /// How often it was written.
    pub(crate) version: u64,
}

impl Place {
    /// Starts gate and node, and deploys a chameleon of that durability.
    pub(crate) async fn start(
        kind: Kind<'_>,
        durability: &str,
        settings: &[(&str, &str)],
    ) -> (Self, Process) {
        let database = match kind {
            Kind::Sqlite => None,
            Kind::Postgres(databases) => Some(databases.database()),
        };
        let place = Self { station: Station::new(database.as_deref()) };
        let node = place.node(settings).await;
        place.deploy("Chameleon", durability, "1").await;
        (place, node)
    }

    /// Starts the node again.
    pub(crate) async fn node(&self, settings: &[(&str, &str)]) -> Process {
        self.station.node(settings).await.0
    }

    /// Deploys a revision of a type.
    pub(crate) async fn deploy(&self, name: &str, durability: &str, revision: &str) {
        let describe = json!({ "type": name, "durability": durability, "revision": revision });
        self.station.http.deploy(chameleon(&json!({ "describe": describe }))).await;
    }

    /// Calls a method that must answer well.
    pub(crate) async fn call(
        &self,
        object: &str,
        method: &str,
        argument: impl Into<Value>,
    ) -> Value {
        self.station.http.ok(object, method, argument).await
    }

    /// What the node knows of an object: where it is, and when it was saved last; `null`: nothing,
    /// it does not exist.
    pub(crate) async fn known(&self, object: &str) -> Value {
        let answer = self.station.http.get(&path_of(object)).await;
        if answer.status == 404 { Value::Null } else { answer.json() }
    }

    /// Waits until an object is `live`, `asleep` or `stored`.
    pub(crate) async fn until(&self, object: &str, state: &str) {
        eventually(&format!("{object} is {state}"), async || {
            (self.known(object).await["state"] == state).then_some(())
        })
        .await;
    }

    /// Changes an object, and waits until it was saved once more.
    pub(crate) async fn saved_again(&self, object: &str) -> i64 {
        let before = self.known(object).await["updated_at"].clone();
        let value = self.call(object, "add", 1).await.as_i64().unwrap();
        eventually(&format!("{object} is saved"), async || {
            let now = self.known(object).await["updated_at"].clone();
            (!now.is_null() && now != before).then_some(())
        })
        .await;
        value
    }

    /// Lets nobody commit.
    pub(crate) async fn hold_commits(&self) -> Hold {
        match self.station.database() {
            Some(url) => Hold::of_server(url).await,
            None => Hold::of_file(&self.station.data_dir().join("wasmverse.db")),
        }
    }

    /// An object in the store, as one who opens it after the node sees it; none: it is not there.
    pub(crate) async fn kept(&self, object: &str) -> Option<Kept> {
        let store = self.station.store().await;
        let object = object.parse().unwrap();
        let found = store.load(&object).await.unwrap();
        let storage = store.storage_get(&object, "count").await.unwrap();
        store.close().await.unwrap();
        let found = found?;
        let state: Value = serde_json::from_slice(&found.state.unwrap().data).unwrap();
        Some(Kept {
            value: state["value"].as_i64().unwrap(),
            storage: storage.map(|count| serde_json::from_slice(&count).unwrap()),
            version: found.version.0,
        })
    }
}
