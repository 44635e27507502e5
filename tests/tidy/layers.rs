//! Who may depend on whom, read from the manifests. This table is the one in docs/architecture.md;
//! a new crate takes its place here first.

use toml::Table;

/// Every crate of the host, bottom to top, with those of ours that it may name.
const CRATES: &[(&str, &[&str])] = &[
    ("core", &[]),
    ("failpoint", &[]),
    ("cluster", &["core"]),
    ("store", &["core", "failpoint"]),
    ("engine", &["core"]),
    ("daemon", &[]),
    ("proto", &["core"]),
    ("router", &["core", "proto"]),
    ("node", &["core", "failpoint", "cluster", "store", "engine", "daemon", "proto", "router"]),
    ("gate", &["core", "cluster", "daemon", "proto", "router"]),
    ("cli", &["core", "cluster", "store", "daemon", "proto", "node", "gate"]),
    ("sdk-macros", &[]),
    ("sdk", &["sdk-macros"]),
];

/// Foreign crates that only some of ours may name.
const OWNED: &[(&str, &[&str])] = &[
    ("wasmtime", &["engine"]),
    ("wasmtime-wasi", &["engine"]),
    ("wasmparser", &["engine"]),
    ("wit-component", &["engine"]),
    ("wit-parser", &["engine"]),
    ("etcd-client", &["cluster"]),
    ("sqlx", &["store"]),
    ("axum", &["gate", "daemon"]),
    ("tower-http", &["gate"]),
    ("tonic", &["cluster", "proto", "router", "node", "gate", "cli"]),
    ("tonic-types", &["proto", "gate", "cli"]),
    ("prost", &["proto"]),
    ("wit-bindgen", &["sdk"]),
    ("reqwest", &["cli"]),
    ("croner", &["core"]),
    ("jiff", &["core"]),
    ("backon", &["router"]),
    ("indicatif", &["cli"]),
    ("notify", &["cli"]),
    ("metrics-exporter-prometheus", &["daemon"]),
    ("tracing-subscriber", &["daemon"]),
];

/// All that the rules may name: they are pure.
const CORE: &[&str] = &["bytes", "croner", "fnv", "humantime", "jiff", "thiserror"];

/// What a manifest names that it may not.
pub(crate) fn violations(manifest: &str) -> Vec<String> {
    let manifest: Table = match manifest.parse() {
        Ok(table) => table,
        Err(error) => return vec![format!("not TOML: {error}")],
    };
    let Some(package) = manifest.get("package").and_then(|p| p.get("name")?.as_str()) else {
        return Vec::new();
    };
    let names = |section: &str| dependencies(&manifest, section);
    let linked: Vec<_> =
        ["dependencies", "build-dependencies"].iter().flat_map(|s| names(s)).collect();
    let all: Vec<_> = linked.iter().cloned().chain(names("dev-dependencies")).collect();

    let own = package.strip_prefix("wasmverse-");
    if own == Some("tests") {
        return Vec::new();
    }
    let mut found = Vec::new();
    let may_name = match own {
        None => &["sdk"][..],
        Some(own) => match CRATES.iter().find(|(name, _)| *name == own) {
            Some((_, below)) => below,
            None => return vec![format!("{package} has no place in tests/tidy/layers.rs yet")],
        },
    };
    for name in all.iter().filter_map(|name| name.strip_prefix("wasmverse-")) {
        if !may_name.contains(&name) {
            found.push(format!("{package} must not name wasmverse-{name}"));
        }
    }
    for name in &linked {
        if let Some((_, owners)) = OWNED.iter().find(|(foreign, _)| foreign == name)
            && !own.is_some_and(|own| owners.contains(&own))
        {
            found.push(format!("{package} must not name {name}: it belongs to {owners:?}"));
        }
        if own == Some("core") && !CORE.contains(&name.as_str()) && !name.starts_with("wasmverse-")
        {
            found.push(format!("{package} must not name {name}: the rules are pure"));
        }
    }
    found
}

/// The packages that a section names, those of a platform included, whatever they are renamed to.
fn dependencies(manifest: &Table, section: &str) -> Vec<String> {
    let platforms = manifest.get("target").and_then(|t| t.as_table()).into_iter().flatten();
    let tables = manifest.get(section).into_iter();
    tables
        .chain(platforms.filter_map(|(_, platform)| platform.get(section)))
        .filter_map(|table| table.as_table())
        .flatten()
        .map(|(name, value)| {
            value.get("package").and_then(|p| p.as_str()).unwrap_or(name).to_owned()
        })
        .collect()
}

fn of(package: &str, dependencies: &str) -> Vec<String> {
    violations(&format!("[package]\nname = \"wasmverse-{package}\"\n{dependencies}"))
}

#[test]
fn a_crate_may_name_what_lies_below_it() {
    assert!(of("node", "[dependencies]\nwasmverse-engine.workspace = true").is_empty());
    assert!(of("engine", "[dependencies]\nwasmtime.workspace = true").is_empty());
    assert!(of("tests", "[dependencies]\nwasmverse-node.workspace = true").is_empty());
}

#[test]
fn an_upward_or_sideways_dependency_is_found_in_every_section() {
    for section in ["dependencies", "dev-dependencies", "build-dependencies"] {
        assert_eq!(
            of("engine", &format!("[{section}]\nwasmverse-store.path = \"../store\"")).len(),
            1
        );
        assert_eq!(of("core", &format!("[{section}]\nwasmverse-router = \"1\"")).len(), 1);
    }
    assert_eq!(of("gate", "[target.'cfg(unix)'.dependencies]\nwasmverse-node = \"1\"").len(), 1);
    assert_eq!(of("gate", "[dependencies]\nx = { package = \"wasmverse-engine\" }").len(), 1);
}

#[test]
fn a_foreign_crate_outside_its_owner_is_found() {
    assert_eq!(of("gate", "[dependencies]\nwasmtime = \"48\"").len(), 1);
    assert_eq!(of("node", "[dependencies]\nsqlx.workspace = true").len(), 1);
    assert_eq!(of("core", "[dependencies]\ntokio = \"1\"").len(), 1);
}

#[test]
fn objects_name_the_sdk_and_nothing_of_the_host() {
    let object = |name| format!("[package]\nname = \"echo\"\n[dependencies]\n{name} = \"1\"");
    assert!(violations(&object("wasmverse-sdk")).is_empty());
    assert_eq!(violations(&object("wasmverse-core")).len(), 1);
}

#[test]
fn a_crate_without_a_place_is_found() {
    assert_eq!(of("stuff", "").len(), 1);
}
