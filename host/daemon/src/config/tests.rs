//! Claims about configuration: who wins, what a text becomes, what a mistake is told.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};

use super::{sample, *};

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Process {
    gate: Gate,
    cluster: ClusterConfig,
    admin: AdminConfig,
    log: LogConfig,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(default)]
struct Gate {
    http_listen: String,
    nodes: Vec<String>,
    ports: Vec<u16>,
    compression: bool,
    body_bytes: usize,
    share: f64,
    advertise: Option<String>,
    workers: Option<u32>,
    #[serde(with = "span")]
    timeout: Duration,
    labels: BTreeMap<String, String>,
    limits: Limits,
    auto_load: Vec<AutoLoad>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Limits {
    calls: u32,
}

#[derive(Debug, Serialize, Deserialize)]
struct AutoLoad {
    object: String,
}

impl Default for Gate {
    fn default() -> Self {
        Self {
            http_listen: "127.0.0.1:8080".to_owned(),
            nodes: vec!["127.0.0.1:47000".to_owned()],
            ports: Vec::new(),
            compression: true,
            body_bytes: 1024,
            share: 0.5,
            advertise: None,
            workers: None,
            timeout: Duration::from_secs(30),
            labels: BTreeMap::new(),
            limits: Limits::default(),
            auto_load: Vec::new(),
        }
    }
}

/// Loads from a file, variables (without their prefix) and flags.
fn loaded(
    file: &str,
    variables: &[(&str, &str)],
    flags: &[(&str, &str)],
) -> Result<Loaded<Process>, Error> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("wasmverse.toml");
    std::fs::write(&path, file).unwrap();
    let own = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
    let environment =
        variables.iter().map(own).map(|(key, value)| (format!("WASMVERSE_{key}"), value)).collect();
    let overrides = flags.iter().map(own).collect();
    load_explicit(&Source { file: Some(path), environment, overrides })
}

fn gate(file: &str, variables: &[(&str, &str)]) -> Gate {
    loaded(file, variables, &[]).unwrap().config.gate
}

fn problem(file: &str, variables: &[(&str, &str)], flags: &[(&str, &str)]) -> String {
    loaded(file, variables, flags).unwrap_err().to_string()
}

#[test]
fn nothing_said_is_the_default() {
    let loaded = loaded("", &[], &[]).unwrap();
    assert_eq!(print(&loaded.config), print(&Process::default()));
    assert!(loaded.explicit.is_empty());
    let cluster = loaded.config.cluster;
    assert_eq!((cluster.shards, cluster.min_nodes), (8192, 1));
    assert_eq!((cluster.stability.as_secs(), cluster.lease_ttl.as_secs()), (10, 5));
    assert_eq!((cluster.prefix.as_str(), cluster.etcd.len()), ("/wasmverse", 0));
    assert!(cluster.secret.is_none() && loaded.config.admin.token.is_none());
    assert_eq!(loaded.config.log.format, LogFormat::Text);
}

#[test]
fn the_environment_wins_over_the_file_and_a_flag_over_both() {
    let file = "[gate]\nhttp_listen = \"a:1\"\nadvertise = \"a:1\"\nbody_bytes = 1";
    let variables = [("GATE__HTTP_LISTEN", "b:2"), ("GATE__ADVERTISE", "b:2")];
    let loaded = loaded(file, &variables, &[("gate.http_listen", "c:3")]).unwrap();
    assert_eq!(loaded.config.gate.http_listen, "c:3");
    assert_eq!(loaded.config.gate.advertise.as_deref(), Some("b:2"));
    assert_eq!(loaded.config.gate.body_bytes, 1);
    assert!(loaded.config.gate.compression, "what nobody said keeps its default");
    let explicit: Vec<_> = loaded.explicit.iter().map(String::as_str).collect();
    assert_eq!(explicit, ["gate.advertise", "gate.body_bytes", "gate.http_listen"]);
}

#[test]
fn a_text_becomes_what_the_key_wants() {
    let gate = gate(
        "",
        &[
            ("GATE__COMPRESSION", "false"),
            ("GATE__BODY_BYTES", "4_096"),
            ("GATE__SHARE", "0.25"),
            ("GATE__ADVERTISE", "8080"),
            ("GATE__WORKERS", "8"),
            ("GATE__TIMEOUT", "1m 30s"),
            ("GATE__LIMITS__CALLS", "7"),
            ("GATE__LABELS__zone", "eu"),
            ("GATE__AUTO_LOAD", "[{object = \"Lobby/main\"}]"),
        ],
    );
    assert!(!gate.compression);
    assert_eq!((gate.body_bytes, gate.workers, gate.limits.calls), (4096, Some(8), 7));
    assert!((gate.share - 0.25).abs() < f64::EPSILON);
    assert_eq!(gate.advertise.as_deref(), Some("8080"));
    assert_eq!(gate.timeout, Duration::from_secs(90));
    assert_eq!(gate.labels["zone"], "eu");
    assert_eq!(gate.auto_load[0].object, "Lobby/main");
}

#[test]
fn a_list_is_written_with_commas_or_in_brackets() {
    for text in ["a:1,b:2", " a:1 , b:2, ", r#"["a:1","b:2"]"#, r#"[ "a:1", 'b:2', ]"#] {
        assert_eq!(gate("", &[("GATE__NODES", text)]).nodes, ["a:1", "b:2"], "{text}");
    }
    assert_eq!(gate("", &[("GATE__NODES", "a:1")]).nodes, ["a:1"]);
    assert_eq!(gate("", &[("GATE__NODES", "7")]).nodes, ["7"]);
    assert!(gate("", &[("GATE__NODES", "")]).nodes.is_empty());
    assert!(gate("", &[("GATE__NODES", "[]")]).nodes.is_empty());
    assert_eq!(gate("", &[("GATE__PORTS", "[1, 2]")]).ports, [1, 2]);
    assert_eq!(gate("", &[("GATE__PORTS", "1,2")]).ports, [1, 2]);
    assert_eq!(gate("", &[("GATE__PORTS", "1")]).ports, [1]);
}

#[test]
fn a_misspelt_key_is_told_the_nearest_one_and_where_it_stands() {
    let told = problem("[gate]\nhtp_listen = \"a:1\"", &[], &[]);
    assert!(told.contains("wasmverse.toml: unknown key `gate.htp_listen`"), "{told}");
    assert!(told.contains("nearest known one is `gate.http_listen`"), "{told}");
    let told = problem("", &[("GATE__HTP_LISTEN", "a:1")], &[]);
    assert!(told.contains("WASMVERSE_GATE__HTP_LISTEN: unknown key"), "{told}");
    assert!(told.contains("`gate.http_listen`"), "{told}");
    let told = problem("", &[], &[("gate.htp_listen", "a:1")]);
    assert!(told.contains("the flag for gate.htp_listen"), "{told}");
    let told = problem("[gate.limits]\ncals = 1", &[], &[]);
    assert!(told.contains("`gate.limits.calls`"), "{told}");
    let told = problem("", &[("GATE__HTTP_LISTEN__PORT", "1")], &[]);
    assert!(told.contains("`gate.http_listen` is a key and has none of its own"), "{told}");
    let told = problem("[cluster]\nsecrets = \"x\"", &[], &[]);
    assert!(told.contains("`cluster.secret`"), "a key without a default is known: {told}");
    let told = problem("[log]\nxyzzy = \"x\"", &[], &[]);
    assert!(told.contains("known are filter, format"), "{told}");
}

#[test]
fn a_misspelt_section_is_told_the_nearest_one() {
    let told = problem("[gatte]\nhttp_listen = \"a:1\"", &[], &[]);
    assert!(told.contains("unknown section `gatte`; the nearest known one is `gate`"), "{told}");
    let told = problem("", &[("INSPECTR__LISTEN", "a:1")], &[]);
    assert!(told.contains("`inspector`"), "{told}");
    let told = problem("listen = \"a:1\"", &[], &[]);
    assert!(told.contains("unknown section `listen`"), "{told}");
}

#[test]
fn sections_of_other_processes_are_ignored() {
    let file = "[node]\nanything = 1\n[inspector]\nlisten = \"x\"\n[store.deep]\nkey = true\n[dev]";
    let variables = [("NODE__LISTEN", "x"), ("STORE__URL", "sqlite::memory:")];
    let loaded = loaded(file, &variables, &[("dev.nodes", "3")]).unwrap();
    assert!(loaded.explicit.is_empty());
}

#[test]
fn variables_without_a_double_underscore_are_no_keys() {
    for name in ["URL", "TOKEN", "GATE", "_GATE", "", "GATE_HTTP_LISTEN"] {
        assert!(loaded("", &[(name, "x")], &[]).unwrap().explicit.is_empty(), "{name}");
    }
    let other =
        Source { environment: vec![("GATE__NODES".into(), "x".into())], ..Source::default() };
    assert_eq!(load::<Process>(&other).unwrap().gate.nodes, ["127.0.0.1:47000"]);
}

#[test]
fn a_value_that_does_not_fit_is_told_by_key_place_and_reason() {
    for (file, says) in [
        ("[gate]\nbody_bytes = \"many\"", "`gate.body_bytes`: invalid type"),
        ("[gate]\ntimeout = 10", "write it like \"10s\""),
        ("[gate]\ntimeout = \"soon\"", "`soon` is no duration"),
        ("[gate]\nauto_load = [{}]", "missing field `object`"),
        ("gate = 1", "`gate` is a section"),
        ("[gate]\nlimits = 1", "`gate.limits` is a section"),
        ("[gate.http_listen]\nport = 1", "`gate.http_listen`: invalid type: map"),
        ("[cluster]\netcd = { a = 1 }", "`cluster.etcd`: invalid type: map"),
        ("[cluster]\nshards = 0", "`cluster.shards`: it is 0 and must be at least 1"),
        ("[cluster]\nshards = 70000", "expected u16"),
        ("[cluster]\nmin_nodes = 0", "at least 1"),
        ("[cluster]\nlease_ttl = \"0s\"", "longer than nothing"),
        ("[cluster]\nprefix = \"wasmverse\"", "begin with `/`"),
        ("[log]\nformat = \"xml\"", "`log.format`: unknown variant `xml`"),
        ("[log]\nfilter = \"loud=everything\"", "filters no logs"),
        ("[admin]\ntoken = \"\"", "`admin.token`: the secret is empty"),
        ("[admin]\ntoken = \"file:/nowhere\"", "/nowhere"),
    ] {
        let told = problem(file, &[], &[]);
        assert!(told.contains(says) && told.contains("wasmverse.toml"), "{file}: {told}");
    }
    for (variable, text, says) in [
        ("CLUSTER__SHARDS", "70000", "integer `70000`"),
        ("CLUSTER__SHARDS", "some", "\"some\""),
        ("GATE__COMPRESSION", "perhaps", "expected a boolean"),
        ("GATE__TIMEOUT", "10", "`10` is no duration"),
        ("GATE__PORTS", "[1, true]", "expected u16"),
        ("GATE__LIMITS", "1", "is a section"),
        ("CLUSTER__SECRET", " ", "the secret is empty"),
    ] {
        let told = problem("", &[(variable, text)], &[]);
        assert!(told.contains(says), "{variable}={text}: {told}");
        assert!(told.contains(&format!("WASMVERSE_{variable}")), "{told}");
    }
}

#[test]
fn a_file_that_is_no_toml_is_told_by_line_without_its_words() {
    let told = problem("[admin]\ntoken = \"hunter2", &[], &[]);
    assert!(told.contains("wasmverse.toml, line 2"), "{told}");
    assert!(!told.contains("hunter2"), "{told}");
}

#[test]
fn a_file_that_is_named_must_be_there_and_the_default_one_need_not() {
    let missing = PathBuf::from("/nowhere/wasmverse.toml");
    let source = Source { file: Some(missing.clone()), ..Source::default() };
    let told = load::<Process>(&source).unwrap_err().to_string();
    assert!(told.contains("failed to read the configuration /nowhere/wasmverse.toml"), "{told}");
    assert!(load_from::<Process>(&Source::default(), &missing).is_ok());
    let there = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(there.path(), "[gate]\nbody_bytes = 3").unwrap();
    let loaded = load_from::<Process>(&Source::default(), there.path()).unwrap();
    assert_eq!(loaded.config.gate.body_bytes, 3);
}

#[test]
fn what_is_printed_loads_again_and_hides_secrets() {
    let file = "[gate]\nnodes = [\"a:1\"]\n[cluster]\nsecret = \"hunter2\"\nlease_ttl = \"1500ms\"";
    let config = loaded(file, &[("ADMIN__TOKEN", "hunter3")], &[]).unwrap().config;
    assert_eq!(config.cluster.secret.as_ref().map(Secret::expose), Some("hunter2"));
    assert_eq!(config.admin.token.as_ref().map(Secret::expose), Some("hunter3"));
    let printed = print(&config);
    assert!(!printed.contains("hunter") && !format!("{config:?}").contains("hunter"), "{printed}");
    assert!(printed.contains("token = \"…\""), "{printed}");
    let again = loaded(&printed, &[], &[]).unwrap().config;
    assert_eq!(print(&again), printed);
    assert_eq!(again.cluster.lease_ttl, Duration::from_millis(1500));
}

#[test]
fn a_secret_stands_in_a_file_or_a_variable() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "hunter2\n").unwrap();
    let reference = format!("file:{}", file.path().display());
    let variables =
        [("CLUSTER__SECRET", reference.as_str()), ("ADMIN__TOKEN", "env:CARGO_PKG_NAME")];
    let config = loaded("", &variables, &[]).unwrap().config;
    assert!(config.cluster.secret.unwrap().matches("hunter2"));
    assert!(config.admin.token.unwrap().matches("wasmverse-daemon"));
}

#[test]
fn a_sample_is_held_against_the_configuration() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let differences = |text: &str| {
        std::fs::write(file.path(), text).unwrap();
        sample::differences::<AdminAndLog>(file.path())
    };
    let right =
        "[log]\nfilter = \"info\"\n# Or json.\nformat = \"text\"\n[admin]\n# token = \"x\"\n";
    assert_eq!(differences(right), Vec::<String>::new());
    for (from, to, says) in [
        ("filter = \"info\"\n", "", "`log.filter` is missing"),
        ("# token = \"x\"", "", "`admin.token` is missing"),
        ("# token", "# tokens", "unknown key `admin.tokens`"),
        ("\"text\"", "\"json\"", "says `format = \"json\"`"),
        ("format", "formatt", "unknown key `log.formatt`"),
    ] {
        let told = differences(&right.replacen(from, to, 1)).join("\n");
        assert!(told.contains(says), "{told}");
    }
}

#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct AdminAndLog {
    admin: AdminConfig,
    log: LogConfig,
}
