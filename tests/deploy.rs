//! What deploy/ gives to systemd, to Compose and to Kubernetes is valid. Each is shown to a validator of
//! its own, and each validator is seen to find what is wrong in a broken copy.
//!
//! Compose and Kubernetes are checked by `deploy/check.py`; `deploy/compose-spec.json` is the schema
//! of the Compose specification (compose-spec.io, Apache-2.0).

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    collections::BTreeSet,
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use tempfile::TempDir;
use wasmverse_daemon::config::{self, Source};
use wasmverse_tests::programs::target_folder;

/// The oldest Kubernetes that has all that the manifests use, and a new one.
const KUBERNETES: [&str; 2] = ["1.30", "1.37"];
/// How much of the system a unit may reach, of 100.
const EXPOSURE: &str = "--threshold=20";
/// What a node may take to stop beside its drain limits, to move its shards and to save.
const HAND_OVER: Duration = Duration::from_secs(60);
/// What a gate may take beside its drain limit.
const CLOSING: Duration = Duration::from_secs(30);

#[test]
fn systemd_takes_the_units_and_they_reach_little() {
    units(&deploy()).unwrap();
    let finds = |from, to, told| finds(units, "systemd/wasmverse-node.service", from, to, told);
    finds("RestartSec=2", "RestartSecs=2", "Unknown key");
    finds("TimeoutStopSec=90", "TimeoutStopSec=ninety", "ninety");
    finds("bin/wasmverse-node", "bin/wasmverse-nodes", "not executable");
    finds("Protect", "#Protect", "exposure");
}

#[test]
fn compose_takes_the_file_and_all_that_it_names_is_there() {
    compose(&deploy()).unwrap();
    let finds = |from, to, told| finds(compose, "compose/compose.yaml", from, to, told);
    finds("stop_grace_period:", "stop_grace_periods:", "stop_grace_periods");
    finds("service_healthy", "healthy", "depends_on");
    finds("[cluster-secret, admin-token]", "[secret]", "`secret` is not among secrets");
    finds("\n  postgres:\n    image", "\n  pg:\n    image", "`postgres` is not among services");
    finds("    shm_size: 256m", "    restart: always", "twice");
}

#[test]
fn kubernetes_takes_the_manifests_and_all_that_they_name_is_there() {
    kubernetes(&deploy()).unwrap();
    let finds = |from, to, told| finds(kubernetes, "kubernetes/node.yaml", from, to, told);
    finds("readinessProbe", "readynessProbe", "readynessProbe");
    finds("replicas: 3", "replicas: three", "'three'");
    finds("kind: StatefulSet", "kind: StatefullSet", "no apps/v1 of that kind");
    finds("port: ops\n", "port: health\n", "no port health");
    finds("secretName: wasmverse", "secretName: verse", "no Secret verse");
    finds("key: store-url", "key: store", "no store");
    finds(
        "    matchLabels:\n      app.kubernetes.io/name: wasmverse-node",
        "    matchLabels:\n      app: node",
        "no pod",
    );
}

#[test]
fn processes_take_every_key_and_variable_that_they_are_given() {
    configurations(&deploy()).unwrap();
    for (file, from, to) in [
        ("systemd/wasmverse.toml", "advertise", "advertised"),
        ("systemd/wasmverse-node.service", "WASMVERSE_STORE__URL", "WASMVERSE_STORE__ADDRESS"),
        ("compose/wasmverse.toml", "min_nodes", "nodes_min"),
        ("compose/compose.yaml", "WASMVERSE_GATE__ID", "WASMVERSE_GATE__NAME"),
        ("kubernetes/config.yaml", "etcd =", "coordination ="),
    ] {
        finds(configurations, file, from, to, "unknown key");
    }
}

#[test]
fn processes_take_the_configurations_that_the_manual_shows() {
    let manual = read(&root().join("docs/deploy.md"));
    let shown: Vec<_> = manual.split("```toml\n").skip(1).collect();
    assert!(shown.len() >= 2, "only {} were found", shown.len());
    for block in shown {
        let (text, _) = block.split_once("```").unwrap();
        loads(text, &BTreeSet::new()).unwrap_or_else(|problem| panic!("{problem}:\n{text}"));
    }
}

#[test]
fn processes_are_given_the_time_that_they_take_to_stop() {
    let node = wasmverse_node::Config::default().node.drain * 2 + HAND_OVER;
    let gate = wasmverse_gate::Config::default().gate.drain_max + CLOSING;
    for (least, file, after) in [
        (node, "systemd/wasmverse-node.service", &["TimeoutStopSec="][..]),
        (gate, "systemd/wasmverse-gate.service", &["TimeoutStopSec="]),
        (node, "compose/compose.yaml", &["x-node:", "stop_grace_period: "]),
        (gate, "compose/compose.yaml", &["x-gate:", "stop_grace_period: "]),
        (node, "kubernetes/node.yaml", &["terminationGracePeriodSeconds: "]),
        (gate, "kubernetes/gate.yaml", &["terminationGracePeriodSeconds: "]),
    ] {
        let given = seconds(&read(&deploy().join(file)), after);
        assert!(given >= least, "{file} gives {given:?}, and {least:?} are needed");
    }
}

/// The units, as systemd reads them.
fn units(deploy: &Path) -> Result<(), String> {
    let folder = TempDir::new().unwrap();
    let here = format!("{}/", folder.path().display());
    for name in ["wasmverse-node", "wasmverse-gate"] {
        // What the units start is not installed here.
        let program = folder.path().join(name);
        fs::write(&program, "#!/bin/sh\n").unwrap();
        fs::set_permissions(&program, Permissions::from_mode(0o755)).unwrap();
        let file = format!("{name}.service");
        let text = read(&deploy.join("systemd").join(&file));
        let unit = folder.path().join(file);
        fs::write(&unit, text.replace("/usr/local/bin/", &here)).unwrap();
        let verify = ["verify", "--recursive-errors=no", "--man=no"];
        passes(Command::new("systemd-analyze").args(verify).arg(&unit))?;
        let security = ["security", "--offline=yes", "--no-pager", EXPOSURE];
        passes(Command::new("systemd-analyze").args(security).arg(&unit))?;
    }
    Ok(())
}

fn compose(deploy: &Path) -> Result<(), String> {
    let schema = root().join("tests/deploy/compose-spec.json");
    passes(checker().arg("compose").arg(schema).arg(deploy.join("compose/compose.yaml")))
}

fn kubernetes(deploy: &Path) -> Result<(), String> {
    let manifests = files(&deploy.join("kubernetes"));
    KUBERNETES
        .iter()
        .try_for_each(|version| passes(checker().arg("kubernetes").arg(version).args(&manifests)))
}

fn checker() -> Command {
    let python = target_folder().parent().unwrap().join("python/bin/python");
    assert!(python.exists(), "{} is missing: tests/setup.sh test", python.display());
    let mut command = Command::new(python);
    command.arg(root().join("tests/deploy/check.py"));
    command
}

/// What processes are told by files and by variables.
fn configurations(deploy: &Path) -> Result<(), String> {
    loads(&read(&deploy.join("systemd/wasmverse.toml")), &BTreeSet::new())?;
    loads(&read(&deploy.join("compose/wasmverse.toml")), &BTreeSet::new())?;
    let map = read(&deploy.join("kubernetes/config.yaml"));
    let (_, indented) = map.split_once("wasmverse.toml: |\n").unwrap();
    let lines: Vec<_> = indented.lines().map(str::trim_start).collect();
    loads(&lines.join("\n"), &BTreeSet::new())?;
    let names: BTreeSet<_> = files(deploy).iter().flat_map(|file| variables(&read(file))).collect();
    loads("", &names)
}

/// A node and a gate start with this file, and with these variables.
fn loads(text: &str, variables: &BTreeSet<String>) -> Result<(), String> {
    // What secrets are stands in files that are not here.
    let lines = text.lines().map(|line| match line.split_once(" = \"file:") {
        Some((key, _)) => format!("{key} = \"secret\"\n"),
        None => format!("{line}\n"),
    });
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("wasmverse.toml");
    fs::write(&file, lines.collect::<String>()).unwrap();
    // All of them are names, addresses or secrets.
    let environment = variables.iter().map(|name| (name.clone(), "127.0.0.1:1".to_owned()));
    let source =
        Source { file: Some(file), environment: environment.collect(), ..Source::default() };
    let node =
        config::load::<wasmverse_node::Config>(&source).map_err(|error| error.to_string())?;
    node.check()?;
    config::load::<wasmverse_gate::Config>(&source).map_err(|error| error.to_string())?;
    Ok(())
}

/// The variables of ours that a file names.
fn variables(text: &str) -> BTreeSet<String> {
    text.split(|c: char| !c.is_ascii_uppercase() && c != '_')
        .filter(|word| word.starts_with("WASMVERSE_") && word.contains("__"))
        .map(str::to_owned)
        .collect()
}

/// The number behind the last of these words, each looked for behind the one before.
fn seconds(text: &str, after: &[&str]) -> Duration {
    let mut rest = text;
    for word in after {
        rest = rest.split_once(word).unwrap_or_else(|| panic!("there is no `{word}`")).1;
    }
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    Duration::from_secs(digits.parse().unwrap())
}

/// Runs a validator; what it says, if it is not content.
fn passes(command: &mut Command) -> Result<(), String> {
    let output = command.output().unwrap_or_else(|error| {
        panic!("{} does not run: {error}; tests/setup.sh test", command.get_program().display())
    });
    if output.status.success() {
        return Ok(());
    }
    Err(String::from_utf8_lossy(&[output.stderr, output.stdout].concat()).into_owned())
}

/// A check says so, if one thing in a file is another.
#[track_caller]
fn finds(check: fn(&Path) -> Result<(), String>, file: &str, from: &str, to: &str, told: &str) {
    let copy = TempDir::new().unwrap();
    for path in files(&deploy()) {
        let to = copy.path().join(path.strip_prefix(deploy()).unwrap());
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(path, to).unwrap();
    }
    let path = copy.path().join(file);
    let text = read(&path);
    assert!(text.contains(from), "{file} has no `{from}`");
    fs::write(path, text.replace(from, to)).unwrap();
    let Err(found) = check(copy.path()) else { panic!("{file}: `{to}` is not found") };
    assert!(found.contains(told), "{file}: `{to}`: {found}");
}

/// The files of a folder and of those in it, in order, but for secrets that somebody made there.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if !path.is_dir() {
            found.push(path);
        } else if !path.ends_with("secrets") {
            found.extend(files(&path));
        }
    }
    found.sort();
    found
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn deploy() -> PathBuf {
    root().join("deploy")
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}
