//! What the documents say is so: their commands run, the sample configuration shows the defaults,
//! and every metric is explained.

use std::{collections::BTreeSet, fs, path::Path};

use wasmverse_daemon::config::sample;

#[path = "manual/commands.rs"]
mod commands;

#[test]
fn the_sample_configuration_shows_every_key_with_its_default() {
    let file = root().join("docs/wasmverse.toml");
    let mut wrong = sample::differences::<wasmverse_node::Config>(&file);
    wrong.extend(sample::differences::<wasmverse_gate::Config>(&file));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn operations_explains_the_metrics_that_exist_and_no_others() {
    let counted: BTreeSet<_> =
        ["host/engine", "host/node", "host/cluster", "host/router", "host/store", "gate"]
            .into_iter()
            .flat_map(|path| metrics(&read(&format!("{path}/src/metrics.rs"))))
            .collect();
    assert!(counted.len() > 30, "only {} metrics were found", counted.len());
    let explained = metrics(&read("docs/operations.md"));
    let differ: Vec<_> = counted.symmetric_difference(&explained).collect();
    assert!(differ.is_empty(), "only in one of code and docs/operations.md: {differ:?}");
}

/// The names of metrics in a text, in double quotes or backticks.
fn metrics(text: &str) -> BTreeSet<String> {
    text.split(['"', '`'])
        .filter(|word| word.strip_prefix("wasmverse_").is_some_and(|rest| rest.contains('_')))
        .filter(|word| word.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'))
        .map(str::to_owned)
        .collect()
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace")
}

#[test]
fn metrics_are_found_in_code_and_in_prose() {
    let text =
        "counter!(\"wasmverse_gate_a_total\") `wasmverse_node_b` `wasmverse_node` wasmverse_x_y";
    let found = ["wasmverse_gate_a_total", "wasmverse_node_b"].map(str::to_owned);
    assert_eq!(metrics(text), BTreeSet::from(found));
}
