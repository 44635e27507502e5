//! The configuration of both processes in one, and what `dev` does differently: ports that nobody
//! asked for are not opened, the node's is any on loopback, the log is quiet, and read-only methods
//! are looked at.

use std::{collections::BTreeSet, path::PathBuf};

use serde::Serialize;
use wasmverse_daemon::config::{self, AdminConfig, ClusterConfig, LogConfig, Source};

use crate::failure::{Failure, Result};

/// What the node logs here unless it was said: the words of `dev` are enough otherwise.
const QUIET: &str = "warn";

/// The configuration of node and gate.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) node: wasmverse_node::Config,
    pub(crate) gate: wasmverse_gate::Config,
    explicit: BTreeSet<String>,
}

/// All sections, those that both have once.
#[derive(Serialize)]
struct Sections<'a> {
    node: &'a wasmverse_node::NodeConfig,
    gate: &'a wasmverse_gate::GateConfig,
    cluster: &'a ClusterConfig,
    store: &'a wasmverse_node::StoreConfig,
    admin: &'a AdminConfig,
    log: &'a LogConfig,
}

impl Settings {
    /// From file, environment and flags.
    pub(crate) fn load(file: Option<PathBuf>, data_dir: Option<PathBuf>) -> Result<Self> {
        let data_dir = data_dir.map(|folder| folder.display().to_string());
        Self::of(&Source::from_args(file).flag("store.data_dir", data_dir))
    }

    fn of(source: &Source) -> Result<Self> {
        let wrong = |error: config::Error| Failure::usage(error.to_string());
        let node = config::load_explicit::<wasmverse_node::Config>(source).map_err(wrong)?;
        let gate = config::load_explicit::<wasmverse_gate::Config>(source).map_err(wrong)?;
        let explicit: BTreeSet<_> = node.explicit.into_iter().chain(gate.explicit).collect();
        let mut settings = Self { node: node.config, gate: gate.config, explicit };
        if !settings.is_explicit("log.filter") {
            settings.node.log.filter = QUIET.to_owned();
        }
        if !settings.is_explicit("node.listen") {
            settings.node.node.listen = "127.0.0.1:0".to_owned();
        }
        if !settings.is_explicit("node.check_read_only") {
            settings.node.node.check_read_only = true;
        }
        settings.node.check().map_err(Failure::usage)?;
        Ok(settings)
    }

    /// From these keys alone.
    #[cfg(test)]
    pub(super) fn said(keys: &[(&str, &str)]) -> Result<Self> {
        let overrides = keys.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        Self::of(&Source { overrides, ..Source::default() })
    }

    /// As a file would say it, secrets hidden.
    pub(crate) fn text(&self) -> String {
        let wasmverse_node::Config { node, cluster, store, admin, log } = &self.node;
        config::print(&Sections { node, gate: &self.gate.gate, cluster, store, admin, log })
    }

    /// Whether a key was set by file, environment or flag.
    pub(crate) fn is_explicit(&self, key: &str) -> bool {
        self.explicit.contains(key)
    }

    pub(crate) fn log(&self) -> &LogConfig {
        &self.node.log
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(said: &[(&str, &str)]) -> Result<Settings> {
        Settings::said(said)
    }

    #[test]
    fn each_process_finds_its_sections_and_what_was_said_is_known() {
        let said = [("gate.http_listen", "127.0.0.1:0"), ("store.data_dir", "/tmp/verse")];
        let settings = of(&said).unwrap();
        assert_eq!(settings.gate.gate.http_listen, "127.0.0.1:0");
        assert_eq!(settings.node.store.data_dir, PathBuf::from("/tmp/verse"));
        assert!(settings.is_explicit("gate.http_listen") && !settings.is_explicit("node.listen"));
    }

    #[test]
    fn the_log_is_quiet_unless_it_was_said() {
        assert_eq!(of(&[]).unwrap().log().filter, QUIET);
        assert_eq!(of(&[("log.filter", "debug")]).unwrap().log().filter, "debug");
    }

    #[test]
    fn the_text_has_the_sections_of_both_and_can_be_loaded_again() {
        let said = [("gate.http_listen", "127.0.0.1:9"), ("admin.token", "hush-hush-hush-hush")];
        let text = of(&said).unwrap().text();
        let table: toml::Table = text.parse().unwrap();
        let sections: Vec<_> = table.keys().map(String::as_str).collect();
        assert_eq!(sections, ["admin", "cluster", "gate", "log", "node", "store"]);
        assert_eq!(table["gate"]["http_listen"].as_str(), Some("127.0.0.1:9"));
        assert_eq!(table["node"]["listen"].as_str(), Some("127.0.0.1:0"));
        assert_eq!(table["log"]["filter"].as_str(), Some(QUIET));
        assert!(!text.contains("hush"), "{text}");
    }

    #[test]
    fn limits_above_their_bounds_are_a_mistake_of_usage() {
        let failure = of(&[("node.limits.cpu_ms", "999999")]).unwrap_err();
        assert_eq!(failure.exit_code(), 2);
        let keys = ["node.limits.cpu_ms", "node.bounds.cpu_ms"];
        assert!(keys.iter().all(|key| failure.to_string().contains(key)), "{failure}");
    }

    #[test]
    fn an_unknown_key_is_a_mistake_of_usage() {
        assert_eq!(of(&[("gate.http_lisen", "x")]).unwrap_err().exit_code(), 2);
    }
}
