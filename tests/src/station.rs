//! A gate that stays, and behind it the place of a node that is started, killed, stopped where it
//! is and started again, all of them processes.

use std::{
    net::SocketAddr,
    path::PathBuf,
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};

use reqwest::Method;
use serde_json::Value;
use tempfile::TempDir;
use wasmverse_store::{Config, Store};

use crate::{
    cluster::keep_compiled_code,
    http::{Answer, Http, path_of},
    patience::eventually,
    programs::{Process, own_address, program},
};

/// A gate, and where its node runs.
#[derive(Debug)]
pub struct Station {
    /// A client of the gate.
    pub http: Http,
    /// Where clients of the gate come in.
    pub at: SocketAddr,
    folder: TempDir,
    listen: SocketAddr,
    ops: Http,
    gate_ops: Http,
    database: Option<String>,
    _gate: Process,
}

/// What became of a call, as its caller knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It was executed, and this is its result.
    Acknowledged(Value),
    /// It was surely not executed: the name of the error, and what it says.
    Refused(String, String),
    /// Nobody knows.
    Unknown,
}

impl Station {
    /// Starts the gate. The node is to keep objects in that database; none: in a folder.
    ///
    /// # Panics
    /// If there is no folder to be had.
    pub fn new(database: Option<&str>) -> Self {
        let folder = TempDir::new().expect("a folder");
        let state = folder.path().join("state");
        std::fs::create_dir(&state).expect("a folder for the data");
        keep_compiled_code(&state);
        let [listen, ops, gate_ops, at] = [(); 4].map(|()| own_address());
        let mut command = Command::new(program("wasmverse-gate"));
        command.current_dir(folder.path()).args(["--http-listen", &at.to_string()]);
        command.args(["--grpc-listen", "127.0.0.1:0", "--node", &listen.to_string()]);
        command.env("WASMVERSE_GATE__OPS_LISTEN", gate_ops.to_string());
        let gate = Process::start(&mut command, &folder.path().join("gate.log"));
        let [http, ops, gate_ops] = [at, ops, gate_ops].map(|it| Http::new(format!("http://{it}")));
        let database = database.map(ToOwned::to_owned);
        Self { http, at, folder, listen, ops, gate_ops, database, _gate: gate }
    }

    /// Starts the node with these variables, and waits until it serves the gate; answers also how
    /// long it took to be ready.
    ///
    /// # Panics
    /// If it does not start.
    pub async fn node(&self, settings: &[(&str, &str)]) -> (Process, Duration) {
        let began = Instant::now();
        let mut process = self.start(settings);
        eventually("the node is ready", async || {
            assert!(process.runs(), "it ended: {}", process.printed());
            (self.readiness().await?.status == 200).then_some(())
        })
        .await;
        let took = began.elapsed();
        // Asked by what is no turn: turns pass the steps at which a node may be told to stop.
        eventually("the gate reaches the node", async || {
            let objects = self.http.try_request(Method::GET, "/v1/objects", "", &[]).await.ok()?;
            let readiness = readiness(&self.gate_ops).await?;
            (objects.status == 200 && readiness.status == 200).then_some(())
        })
        .await;
        (process, took)
    }

    fn start(&self, settings: &[(&str, &str)]) -> Process {
        let mut command = Command::new(program("wasmverse-node"));
        command.current_dir(self.folder.path()).args(["--listen", &self.listen.to_string()]);
        command.arg("--data-dir").arg(self.data_dir());
        let ops = self.ops.url.trim_start_matches("http://");
        command.args(["--ops-listen", ops]);
        if let Some(database) = &self.database {
            command.env("WASMVERSE_STORE__URL", database);
        }
        command.envs(settings.iter().copied());
        Process::start(&mut command, &self.folder.path().join("node.log"))
    }

    /// The database that the node keeps objects in; none: it is in its folder.
    pub fn database(&self) -> Option<&str> {
        self.database.as_deref()
    }

    /// The node's folder.
    pub fn data_dir(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    /// What the node says of being ready; none: it says nothing.
    pub async fn readiness(&self) -> Option<Answer> {
        readiness(&self.ops).await
    }

    /// Opens what the node keeps objects in. SQLite has one user at a time: the node must be gone.
    ///
    /// # Panics
    /// If it cannot be opened.
    pub async fn store(&self) -> Arc<dyn Store> {
        let (url, data_dir) = (self.database.clone(), self.data_dir());
        let config = Config { url, data_dir, ..Config::default() };
        wasmverse_store::open(&config).await.expect("the store of a node opens")
    }

    /// Calls a method, and says what its caller may know of it.
    pub async fn try_call(&self, object: &str, method: &str, argument: Value) -> Fate {
        let path = format!("{}/{method}", path_of(object));
        let body = if argument.is_null() { String::new() } else { argument.to_string() };
        let Ok(answer) = self.http.try_request(Method::POST, &path, body, &[]).await else {
            return Fate::Unknown;
        };
        if answer.status.is_success() {
            let is_empty = answer.body.is_empty();
            return Fate::Acknowledged(if is_empty { Value::Null } else { answer.json() });
        }
        match answer.json()["error"]["maybe_executed"].as_bool() {
            Some(false) => Fate::Refused(answer.code(), answer.message()),
            _ => Fate::Unknown,
        }
    }
}

async fn readiness(ops: &Http) -> Option<Answer> {
    ops.try_request(Method::GET, "/readyz", "", &[]).await.ok()
}
