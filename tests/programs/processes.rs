//! Node and gate as processes: they start, stop in order, and survive each other.

use std::{fs, net::SocketAddr, path::Path, process::Command};

use serde_json::json;
use tempfile::TempDir;
use wasmverse_tests::{
    guests::{COUNTER, ECHO, Guest},
    http::{Http, path_of},
    patience::{eventually, eventually_sync},
    programs::{Dev, Process, free_address, program, wasmverse},
};

fn file(guest: Guest) -> &'static str {
    guest.path().to_str().unwrap()
}

/// A node and a gate, each a process.
struct Pair {
    folder: TempDir,
    node_address: SocketAddr,
    ops: SocketAddr,
    http_address: SocketAddr,
    gate_ops: SocketAddr,
}

impl Pair {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        Self {
            folder,
            node_address: free_address(),
            ops: free_address(),
            http_address: free_address(),
            gate_ops: free_address(),
        }
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    fn node(&self) -> Process {
        let mut command = Command::new(program("wasmverse-node"));
        command.current_dir(self.folder.path());
        command.args(["--listen", &self.node_address.to_string()]);
        command.args(["--ops-listen", &self.ops.to_string()]);
        command.arg("--data-dir").arg(self.path("state"));
        let process = Process::start(&mut command, &self.path("node.log"));
        eventually_sync("the node is ready", || ready(self.ops));
        process
    }

    fn gate(&self) -> Process {
        let mut command = Command::new(program("wasmverse-gate"));
        command.current_dir(self.folder.path());
        command.args(["--http-listen", &self.http_address.to_string()]);
        command.args(["--grpc-listen", "127.0.0.1:0"]);
        command.args(["--node", &self.node_address.to_string()]);
        command.env("WASMVERSE_GATE__OPS_LISTEN", self.gate_ops.to_string());
        let process = Process::start(&mut command, &self.path("gate.log"));
        eventually_sync("the gate listens", || {
            std::net::TcpStream::connect(self.http_address).ok()
        });
        process
    }

    fn http(&self) -> Http {
        Http::new(format!("http://{}", self.http_address))
    }
}

/// Asks a process's ops port, without a runtime of ours.
fn ready(ops: SocketAddr) -> Option<()> {
    let url = format!("http://{ops}/readyz");
    let answer = Command::new("curl").args(["-sf", &url]).output().ok()?;
    answer.status.success().then_some(())
}

#[tokio::test(flavor = "multi_thread")]
async fn node_and_gate_serve_as_processes_of_their_own_and_stop_in_order() {
    let pair = Pair::new();
    let (mut node, mut gate) = (pair.node(), pair.gate());
    eventually_sync("the gate is ready", || ready(pair.gate_ops));
    let http = pair.http();
    http.deploy(COUNTER.bytes()).await;
    assert_eq!(http.ok("Counter/a", "add", 5).await, json!(5));
    let metrics = Http::new(format!("http://{}", pair.ops)).get("/metrics").await;
    assert!(String::from_utf8_lossy(&metrics.body).contains("wasmverse_"), "{metrics}");
    assert_eq!(Http::new(format!("http://{}", pair.ops)).get("/healthz").await.status, 200);
    assert_eq!(gate.stop(), Some(0), "{}", gate.printed());
    assert_eq!(node.stop(), Some(0), "{}", node.printed());
    let (_node, _gate) = (pair.node(), pair.gate());
    eventually_sync("the gate is ready", || ready(pair.gate_ops));
    assert_eq!(http.ok("Counter/a", "value", ()).await, json!(5));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gate_outlives_its_node_and_finds_it_again() {
    let pair = Pair::new();
    let (mut node, _gate) = (pair.node(), pair.gate());
    eventually_sync("the gate is ready", || ready(pair.gate_ops));
    let http = pair.http();
    http.deploy(ECHO.bytes()).await;
    assert_eq!(http.ok("Echo/a", "echo", 1).await, json!(1));
    node.kill();
    let answer = eventually("the gate notices", async || {
        let answer = http.call("Echo/a", "echo", 1).await;
        (!answer.status.is_success()).then_some(answer)
    })
    .await;
    assert_eq!((answer.status.as_u16(), &answer.code()[..]), (503, "unavailable"), "{answer}");
    let _node = pair.node();
    eventually("the gate finds it again", async || {
        let answer = http.call("Echo/a", "echo", 2).await;
        (answer.status.is_success()).then(|| assert_eq!(answer.json(), json!(2)))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gate_that_starts_first_waits_for_its_node() {
    let pair = Pair::new();
    let _gate = pair.gate();
    let answer = pair.http().call("Echo/a", "echo", 1).await;
    assert_eq!(answer.code(), "unavailable", "{answer}");
    assert!(ready(pair.gate_ops).is_none(), "it is not ready");
    let _node = pair.node();
    eventually_sync("the gate is ready", || ready(pair.gate_ops));
    pair.http().deploy(ECHO.bytes()).await;
    assert_eq!(pair.http().ok("Echo/a", "echo", 1).await, json!(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_loses_at_most_one_interval_and_never_what_was_saved() {
    let config = "[node]\nsave_interval = \"100ms\"\n";
    let dev = Dev::start_with(&[file(COUNTER)], config);
    for _ in 0..10 {
        dev.http.ok("Counter/a", "add", 1).await;
    }
    let path = path_of("Counter/a");
    let updated = async || {
        let known = dev.http.get(&path).await.json();
        known["updated_at"].as_str().map(str::to_owned)
    };
    // The first save that is seen may have begun before the last change. One that is seen after
    // that began later: it holds all changes from before the first.
    let first = eventually("it is saved", updated).await;
    dev.http.ok("Counter/a", "add", 1).await;
    let second =
        eventually("it is saved again", async || updated().await.filter(|at| *at != first)).await;
    dev.http.ok("Counter/a", "add", 1).await;
    eventually("and again", async || updated().await.filter(|at| *at != second)).await;
    let dev = dev.kill_and_start();
    let value = dev.http.ok("Counter/a", "value", ()).await;
    assert!([json!(11), json!(12)].contains(&value), "{value}");
}

#[tokio::test(flavor = "multi_thread")]
async fn dev_ends_with_zero_and_keeps_everything() {
    let mut dev = Dev::start_with(&[file(COUNTER)], "[node]\nsave_interval = \"1h\"\n");
    dev.http.ok("Counter/a", "add", 7).await;
    assert_eq!(dev.process.stop(), Some(0), "{}", dev.process.printed());
    let dev = dev.kill_and_start();
    assert_eq!(dev.http.ok("Counter/a", "value", ()).await, json!(7));
}

#[test]
fn two_nodes_on_one_folder_are_one_too_many() {
    let dev = Dev::start(&[file(ECHO)]);
    let folder = dev.folder.path().join("state");
    let output = Command::new(program("wasmverse-node"))
        .args(["--listen", "127.0.0.1:0", "--ops-listen", "127.0.0.1:0"])
        .arg("--data-dir")
        .arg(&folder)
        .current_dir(dev.folder.path())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.contains("state"), "it names the folder: {told}");
}

#[test]
fn configuration_is_checked_shown_and_overridden() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("wasmverse.toml");
    let run = |toml: &str, name: &str, environment: &[(&str, &str)], flags: &[&str]| {
        fs::write(&file, toml).unwrap();
        let mut command = Command::new(program(name));
        command.current_dir(folder.path()).args(flags).envs(environment.iter().copied());
        let output = command.output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    };
    let every_key = "[node]\nlisten = \"127.0.0.1:1\"\n[gate]\nhttp_listen = \"127.0.0.1:2\"\n\
        [cluster]\nmin_nodes = 1\nlease_ttl = \"5s\"\n[inspector]\nlisten = \"127.0.0.1:3\"\n";
    for name in ["wasmverse-node", "wasmverse-gate"] {
        let (code, shown, told) = run(every_key, name, &[], &["--print-config"]);
        assert_eq!(code, Some(0), "{name}: {told}");
        assert!(shown.contains("lease_ttl"), "{name}: {shown}");
        let (code, _, told) = run("[cluster]\nmin_node = 1\n", name, &[], &["--print-config"]);
        assert_ne!(code, Some(0), "{name}");
        assert!(told.contains("min_nodes"), "{name} names the nearest key: {told}");
    }
    let environment = [("WASMVERSE_NODE__LISTEN", "127.0.0.1:7"), ("WASMVERSE_URL", "no key")];
    let (_, shown, told) = run(every_key, "wasmverse-node", &environment, &["--print-config"]);
    assert!(shown.contains("127.0.0.1:7"), "the environment wins over the file: {shown} {told}");
    let flags = ["--print-config", "--listen", "127.0.0.1:8"];
    let (_, shown, _) = run(every_key, "wasmverse-node", &environment, &flags);
    assert!(shown.contains("127.0.0.1:8"), "a flag wins over both: {shown}");
    let open = ["--listen", "0.0.0.0:0", "--ops-listen", "127.0.0.1:0"];
    let (code, _, told) = run("", "wasmverse-node", &[], &open);
    assert_eq!(code, Some(1));
    assert!(told.contains("cluster.secret"), "{told}");
    assert!(!Path::new(&folder.path().join(".wasmverse")).join("wasmverse.db").exists());
}

#[test]
fn a_gate_beyond_loopback_without_a_token_lets_nobody_operate_it() {
    let pair = Pair::new();
    let _node = pair.node();
    let listen = format!("0.0.0.0:{}", pair.http_address.port());
    let mut command = Command::new(program("wasmverse-gate"));
    command.current_dir(pair.folder.path()).args(["--http-listen", &listen]);
    command.args(["--grpc-listen", "127.0.0.1:0", "--node", &pair.node_address.to_string()]);
    command.env("WASMVERSE_GATE__OPS_LISTEN", pair.gate_ops.to_string());
    let _gate = Process::start(&mut command, &pair.path("gate.log"));
    eventually_sync("the gate is ready", || ready(pair.gate_ops));
    let url = format!("http://{}", pair.http_address);
    let deploy = wasmverse(&url, &["deploy", file(ECHO), "--json"]);
    assert_eq!(deploy.code, Some(1), "{deploy:?}");
    assert_eq!(deploy.json()["error"]["code"], "denied", "{deploy:?}");
    let types = wasmverse(&url, &["types", "--json"]);
    assert_eq!(types.code, Some(0), "{types:?}");
}
