//! A node that is killed and started again on the same store, and a gate that stays.

use std::{net::SocketAddr, process::Command};

use serde_json::{Value, json};
use tempfile::TempDir;
use wasmverse_tests::{
    guests::chameleon,
    http::{Http, path_of},
    patience::eventually,
    postgres::Databases,
    programs::{Process, free_address, program},
};

/// Where objects are kept.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    Sqlite,
    Postgres,
}

/// One of them, with a gate before it.
pub(crate) struct Site {
    folder: TempDir,
    node: SocketAddr,
    store: Option<String>,
    pub(crate) http: Http,
    _gate: Process,
    _databases: Option<Databases>,
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
    /// Starts gate and node, and deploys a durable chameleon.
    pub(crate) async fn start(kind: Kind) -> (Self, Process) {
        let folder = TempDir::new().unwrap();
        let (node, http) = (free_address(), free_address());
        let databases = matches!(kind, Kind::Postgres).then(Databases::find);
        let store = databases.as_ref().map(Databases::database);
        let mut command = Command::new(program("wasmverse-gate"));
        command.current_dir(folder.path()).args(["--http-listen", &http.to_string()]);
        command.args(["--grpc-listen", "127.0.0.1:0", "--node", &node.to_string()]);
        command.env("WASMVERSE_GATE__OPS_LISTEN", free_address().to_string());
        let gate = Process::start(&mut command, &folder.path().join("gate.log"));
        let http = Http::new(format!("http://{http}"));
        let site = Self { folder, node, store, http, _gate: gate, _databases: databases };
        let process = site.begin(None);
        let describe = json!({ "type": "Chameleon", "durability": "durable" });
        eventually("the chameleon is deployed", async || {
            let component = chameleon(&json!({ "describe": describe }));
            let path = "/v1/admin/types";
            let answer =
                site.http.try_request(reqwest::Method::POST, path, component, &[]).await.ok()?;
            (answer.status == 201).then_some(())
        })
        .await;
        (site, process)
    }

    /// Starts the node again, which dies at that step if one is named (`STEP:COUNT`).
    pub(crate) async fn node(&self, dies_at: Option<&str>) -> Process {
        let process = self.begin(dies_at);
        self.ready().await;
        process
    }

    fn begin(&self, dies_at: Option<&str>) -> Process {
        let mut command = Command::new(program("wasmverse-node"));
        command.current_dir(self.folder.path()).args(["--listen", &self.node.to_string()]);
        command.env("WASMVERSE_NODE__OPS_LISTEN", free_address().to_string());
        command.env("WASMVERSE_STORE__DATA_DIR", self.folder.path().join("state"));
        if let Some(store) = &self.store {
            command.env("WASMVERSE_STORE__URL", store);
        }
        if let Some(step) = dies_at {
            command.env("WASMVERSE_FAILPOINT", step);
        }
        Process::start(&mut command, &self.folder.path().join("node.log"))
    }

    /// Waits until the node is asked, by what is no turn: turns pass the steps.
    async fn ready(&self) {
        let path = path_of("Chameleon/nobody");
        eventually("the node answers", async || {
            let answer = self.http.try_request(reqwest::Method::GET, &path, "", &[]).await.ok()?;
            (answer.status == 404).then_some(())
        })
        .await;
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
        let post = reqwest::Method::POST;
        let Ok(answer) = self.http.try_request(post, &path, body, &[]).await else {
            return (Value::Null, Fate::Unknown);
        };
        if answer.status.is_success() {
            return (answer.json(), Fate::Acknowledged);
        }
        let body = answer.json();
        let fate = match body["error"]["maybe_executed"].as_bool() {
            Some(false) => Fate::Refused,
            _ => Fate::Unknown,
        };
        (body, fate)
    }

    /// What an object holds, in its state and in its storage.
    pub(crate) async fn held(&self, object: &str) -> (u64, u64) {
        let state = self.http.ok(object, "value", ()).await;
        let storage = self.http.ok(object, "read", "count").await;
        (state.as_u64().unwrap(), storage.as_u64().unwrap_or_default())
    }
}
