//! A node that is killed and started again on the same store, and a gate that stays.

use std::{net::SocketAddr, path::PathBuf, process::Command, sync::Arc};

use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;
use wasmverse_tests::{
    cluster::keep_compiled_code,
    guests::{BANK_ACCOUNT, CHAT_LOBBY, CHAT_ROOM, COUNTER, Guest, chameleon},
    http::{Http, path_of},
    patience::eventually,
    postgres::Databases,
    programs::{Process, free_address, own_address, program},
};

/// Fewer than by default: a node claims all of them each time it starts.
const SHARDS: &str = "64";

/// Where objects are kept.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    Sqlite,
    Postgres,
}

/// Room for objects of many sites.
pub(crate) struct Shelf(Option<Arc<Databases>>);

impl Shelf {
    /// An empty one. It may hold a database server.
    pub(crate) fn of(kind: Kind) -> Self {
        Self(matches!(kind, Kind::Postgres).then(|| Arc::new(Databases::find())))
    }
}

/// One place where they are kept, and what bug the nodes have that write to it.
struct Ground {
    folder: TempDir,
    store: Option<String>,
    bug: Option<&'static str>,
    _databases: Option<Arc<Databases>>,
}

/// A gate, and where its node is.
pub(crate) struct Site {
    ground: Arc<Ground>,
    name: &'static str,
    node: SocketAddr,
    /// Where clients come in.
    pub(crate) at: SocketAddr,
    pub(crate) http: Http,
    _gate: Process,
}

/// What became of a call, as its caller knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Acknowledged,
    /// It was surely not executed.
    Refused,
    Unknown,
}

impl Site {
    /// Starts gate and node, and deploys what is called. The node is the real one, or one with a
    /// bug that was planted.
    pub(crate) async fn start(shelf: &Shelf, bug: Option<&'static str>) -> (Self, Process) {
        let folder = TempDir::new().unwrap();
        let databases = shelf.0.clone();
        let store = databases.as_ref().map(|databases| databases.database());
        let ground = Ground { folder, store, bug, _databases: databases };
        let site = Self::on(Arc::new(ground), "first");
        let process = site.node(None);
        let durable = json!({ "type": "Chameleon", "durability": "durable" });
        let chameleon = chameleon(&json!({ "describe": durable }));
        let samples = [COUNTER, BANK_ACCOUNT, CHAT_ROOM, CHAT_LOBBY].map(Guest::bytes);
        for component in samples.into_iter().chain([chameleon]) {
            eventually("the component is deployed", async || {
                let types = "/v1/admin/types";
                let sent = site.http.try_request(Method::POST, types, component.clone(), &[]);
                (sent.await.ok()?.status == 201).then_some(())
            })
            .await;
        }
        (site, process)
    }

    /// Another gate on the same ground, for another node.
    pub(crate) fn beside(&self) -> Self {
        Self::on(Arc::clone(&self.ground), "second")
    }

    fn on(ground: Arc<Ground>, name: &'static str) -> Self {
        let (node, at) = (own_address(), free_address());
        let folder = ground.folder.path();
        let state = folder.join(name);
        std::fs::create_dir(&state).unwrap();
        keep_compiled_code(&state);
        let mut command = Command::new(program("wasmverse-gate"));
        command.current_dir(folder).args(["--http-listen", &at.to_string()]);
        command.args(["--grpc-listen", "127.0.0.1:0", "--node", &node.to_string()]);
        command.env("WASMVERSE_GATE__OPS_LISTEN", "127.0.0.1:0");
        command.env("WASMVERSE_CLUSTER__SHARDS", SHARDS);
        let gate = Process::start(&mut command, &folder.join(format!("{name}-gate.log")));
        let http = Http::new(format!("http://{at}"));
        Self { ground, name, node, at, http, _gate: gate }
    }

    /// Starts the node (again), which dies at that step if one is named (`STEP:COUNT`). Calls wait
    /// for it at the gate.
    pub(crate) fn node(&self, dies_at: Option<&str>) -> Process {
        let name = if self.ground.bug.is_some() { "planted-node" } else { "wasmverse-node" };
        let mut command = Command::new(program(name));
        command.current_dir(self.ground.folder.path());
        command.args(["--listen", &self.node.to_string()]);
        command.env("WASMVERSE_NODE__OPS_LISTEN", "127.0.0.1:0");
        command.env("WASMVERSE_STORE__DATA_DIR", self.path(""));
        command.env("WASMVERSE_CLUSTER__SHARDS", SHARDS);
        command.envs(self.ground.bug.map(|bug| ("PLANTED_BUG", bug)));
        command.envs(self.ground.store.as_ref().map(|store| ("WASMVERSE_STORE__URL", store)));
        command.envs(dies_at.map(|step| ("WASMVERSE_FAILPOINT", step)));
        Process::start(&mut command, &self.path("-node.log"))
    }

    /// Waits until the node is asked, by what is no turn: turns pass the steps.
    pub(crate) async fn ready(&self) {
        let path = path_of("Chameleon/nobody");
        eventually("the node answers", async || {
            let answer = self.http.try_request(Method::GET, &path, "", &[]).await.ok()?;
            (answer.status == 404).then_some(())
        })
        .await;
    }

    fn path(&self, suffix: &str) -> PathBuf {
        self.ground.folder.path().join(format!("{}{suffix}", self.name))
    }

    /// Calls a method: its result, and what became of the call.
    pub(crate) async fn try_call(
        &self,
        object: &str,
        method: &str,
        argument: Value,
    ) -> (Value, Fate) {
        let path = format!("{}/{method}", path_of(object));
        let body = if argument.is_null() { String::new() } else { argument.to_string() };
        let Ok(answer) = self.http.try_request(Method::POST, &path, body, &[]).await else {
            return (Value::Null, Fate::Unknown);
        };
        let value = if answer.body.is_empty() { Value::Null } else { answer.json() };
        if answer.status.is_success() {
            return (value, Fate::Acknowledged);
        }
        let fate = match value["error"]["maybe_executed"].as_bool() {
            Some(false) => Fate::Refused,
            _ => Fate::Unknown,
        };
        (value, fate)
    }

    /// What a read-only method answers, once there is a node that answers.
    pub(crate) async fn read(&self, object: &str, method: &str, argument: Value) -> Value {
        eventually("the object is read", async || {
            let (value, fate) = self.try_call(object, method, argument.clone()).await;
            (fate == Fate::Acknowledged).then_some(value)
        })
        .await
    }

    /// What a chameleon has counted, in its state and in its storage.
    pub(crate) async fn counted_twice(&self, object: &str) -> (i64, i64) {
        let state = self.read(object, "value", Value::Null).await;
        let storage = self.read(object, "read", json!("count")).await;
        (number(&state), storage.as_i64().unwrap_or_default())
    }
}

/// A number that an object answered.
pub(crate) fn number(value: &Value) -> i64 {
    value.as_i64().unwrap_or_else(|| panic!("{value} is no number"))
}
