//! What is measured: a node and a gate as processes of their own, driven by `wasmverse bench`.

use std::{
    net::SocketAddr,
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use serde_json::Value;
use tempfile::TempDir;
use wasmverse_tests::{
    guests::{COUNTER, ECHO},
    http::Http,
    patience::eventually_sync,
    programs::{Process, free_address, program},
};

use super::Row;

/// Calls under way while objects are woken.
const WAKING: usize = 8;

/// A system that runs. It ends when dropped.
pub(crate) struct System {
    folder: TempDir,
    store: Option<String>,
    node_address: SocketAddr,
    http: SocketAddr,
    grpc: SocketAddr,
    node: Option<(Process, SocketAddr)>,
    gate: Process,
}

/// What is called, and how.
pub(crate) struct Load {
    pub(crate) name: String,
    pub(crate) type_name: &'static str,
    pub(crate) method: &'static str,
    pub(crate) argument: &'static str,
    pub(crate) via: &'static str,
    pub(crate) objects: u32,
    pub(crate) connections: u32,
    pub(crate) time: Duration,
    pub(crate) keyed: bool,
}

impl System {
    /// Starts it over a database, or over SQLite, with counters and echoes.
    pub(crate) fn start(store: Option<String>) -> anyhow::Result<Self> {
        let folder = TempDir::new()?;
        let (node_address, http, grpc) = (free_address(), free_address(), free_address());
        let mut command = Command::new(program("wasmverse-gate"));
        command.current_dir(folder.path()).args(["--http-listen", &http.to_string()]);
        command.args(["--grpc-listen", &grpc.to_string(), "--node", &node_address.to_string()]);
        command.env("WASMVERSE_GATE__OPS_LISTEN", free_address().to_string());
        let gate = Process::start(&mut command, &folder.path().join("gate.log"));
        let mut system = Self { folder, store, node_address, http, grpc, node: None, gate };
        system.start_node();
        for guest in [COUNTER, ECHO] {
            system.run(&["deploy", &guest.path().display().to_string()])?;
        }
        Ok(system)
    }

    fn start_node(&mut self) {
        let ops = free_address();
        let mut command = Command::new(program("wasmverse-node"));
        command.current_dir(self.folder.path()).args(["--listen", &self.node_address.to_string()]);
        command.env("WASMVERSE_NODE__OPS_LISTEN", ops.to_string());
        command.env("WASMVERSE_STORE__DATA_DIR", self.folder.path().join("state"));
        if let Some(store) = &self.store {
            command.env("WASMVERSE_STORE__URL", store);
        }
        let mut node = Process::start(&mut command, &self.folder.path().join("node.log"));
        eventually_sync("the node is asked", || {
            assert!(node.runs(), "it ended: {}", node.printed());
            self.run(&["list"]).ok()
        });
        self.node = Some((node, ops));
    }

    /// Where HTTP comes in.
    pub(crate) fn http(&self) -> Http {
        Http::new(format!("http://{}", self.http))
    }

    /// Where the node shows its metrics.
    pub(crate) fn ops(&self) -> anyhow::Result<Http> {
        let ops = self.node.as_ref().context("a node")?.1;
        Ok(Http::new(format!("http://{ops}")))
    }

    /// The processes of gate and node.
    pub(crate) fn processes(&self) -> Vec<u32> {
        let node = self.node.iter().map(|(node, _)| node.id());
        node.chain([self.gate.id()]).collect()
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let mut command = Command::new(program("wasmverse"));
        command.args(["--url", &format!("http://{}", self.http)]).args(arguments);
        let ran = command.current_dir(self.folder.path()).output()?;
        let told = String::from_utf8_lossy(&ran.stderr);
        ensure!(ran.status.success(), "{arguments:?}: {told}");
        Ok(String::from_utf8(ran.stdout)?)
    }

    /// Calls for so long.
    pub(crate) fn measure(&self, load: &Load) -> anyhow::Result<Row> {
        let url = match load.via {
            "grpc" => format!("grpc://{}", self.grpc),
            _ => format!("http://{}", self.http),
        };
        bench(&url, load)
    }

    /// Wakes so many objects from the store: how long the node took for each, and what of it was the
    /// store's.
    pub(crate) fn wakes(mut self, objects: u32) -> anyhow::Result<String> {
        let runtime = tokio::runtime::Runtime::new()?;
        let http = Http::new(format!("http://{}", self.http));
        let each = |method: &'static str, argument: Value| {
            let http = &http;
            async move {
                let tasks = (0..WAKING).map(|lane| {
                    let argument = argument.clone();
                    async move {
                        for number in (lane..objects as usize).step_by(WAKING) {
                            http.ok(&format!("Counter/sleeper-{number}"), method, argument.clone())
                                .await;
                        }
                    }
                });
                futures_util::future::join_all(tasks).await;
            }
        };
        runtime.block_on(each("add", 1.into()));
        drop(self.node.take());
        self.start_node();
        let began = Instant::now();
        runtime.block_on(each("value", Value::Null));
        let elapsed = began.elapsed();
        let ops = self.node.as_ref().context("a node")?.1;
        let metrics = runtime.block_on(Http::new(format!("http://{ops}")).get("/metrics"));
        let metrics = String::from_utf8_lossy(&metrics.body).into_owned();
        let mean = |name: &str| {
            let value = |suffix: &str| {
                let line =
                    metrics.lines().find(|line| line.starts_with(&format!("{name}{suffix}")));
                line?.rsplit_once(' ')?.1.parse::<f64>().ok()
            };
            Some(value("_sum")? / value("_count")? * 1e6)
        };
        Ok(format!(
            "Waking {objects} stored counters, {WAKING} at a time: {:.0} us each in the node \
             (mean), of which {:.0} us the read of its row; {:.0} a second from outside.",
            mean("wasmverse_node_wake_seconds").context("wakes")?,
            mean("wasmverse_store_load_seconds").context("loads")?,
            f64::from(objects) / elapsed.as_secs_f64(),
        ))
    }
}

/// Calls what answers at a URL for so long.
pub(crate) fn bench(url: &str, load: &Load) -> anyhow::Result<Row> {
    let mut command = Command::new(program("wasmverse"));
    command.args(["--url", url, "bench", "--json", "--via", load.via]);
    command.args(["--type", load.type_name, "--method", load.method]);
    if load.method != "echo" {
        command.args(["--argument", load.argument]);
    }
    if load.keyed {
        command.arg("--keyed");
    }
    command.args(["--objects", &load.objects.to_string()]);
    command.args(["--connections", &load.connections.to_string()]);
    command.args(["--duration", &format!("{}s", load.time.as_secs())]);
    let ran = command.output()?;
    ensure!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    let report: Value = serde_json::from_slice(&ran.stdout)?;
    ensure!(report["errors"].as_object().is_some_and(serde_json::Map::is_empty), "{report}");
    let latency = |name: &str| report["latency_us"][name].as_u64().context("a latency");
    Ok(Row {
        name: load.name.clone(),
        calls_per_second: report["calls_per_second"].as_f64().context("a rate")?,
        p50: latency("p50")?,
        p99: latency("p99")?,
    })
}
