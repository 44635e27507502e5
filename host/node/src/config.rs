//! What a node reads from `wasmverse.toml`.

use std::{path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};
use wasmverse_cluster::EtcdConfig;
use wasmverse_core::Limits;
use wasmverse_daemon::config::{self, AdminConfig, ClusterConfig, LogConfig, Secret, span};
use wasmverse_engine::MAPPINGS_PER_INSTANCE;
use wasmverse_store::Location;

/// The sections of `wasmverse.toml` that concern a node.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Config {
    /// `[node]`
    pub node: NodeConfig,
    /// `[cluster]`
    pub cluster: ClusterConfig,
    /// `[store]`
    pub store: StoreConfig,
    /// `[admin]`
    pub admin: AdminConfig,
    /// `[log]`
    pub log: LogConfig,
}

impl Config {
    /// What no key alone can get wrong.
    ///
    /// # Errors
    /// If a default limit is above what types may ask for.
    pub fn check(&self) -> Result<(), String> {
        let bounds = self.node.bounds.named();
        for ((name, limit), (_, bound)) in self.node.limits.named().into_iter().zip(bounds) {
            if limit > bound {
                return Err(format!(
                    "node.limits.{name} is {limit}, above node.bounds.{name}, which is {bound}: \
                     lower the one or raise the other"
                ));
            }
        }
        Ok(())
    }

    /// Whether others of a cluster can reach this node, and share its store.
    ///
    /// # Errors
    /// If they cannot.
    pub(crate) fn check_shared(&self) -> anyhow::Result<()> {
        config::check_advertised("node.advertise", self.node.advertised())
            .map_err(anyhow::Error::msg)?;
        let location = wasmverse_store::locate(&self.store())?;
        anyhow::ensure!(
            matches!(location, Location::Server(_)),
            "cluster.etcd is set, but nodes cannot share SQLite: set store.url to a PostgreSQL \
             database (postgres://USER:PASSWORD@HOST/DATABASE) that all of them use"
        );
        Ok(())
    }

    /// How to reach etcd.
    pub(crate) fn etcd(&self) -> EtcdConfig {
        let cluster = &self.cluster;
        EtcdConfig {
            endpoints: cluster.etcd.clone(),
            prefix: cluster.prefix.clone(),
            user: cluster.etcd_user.clone(),
            password: cluster.etcd_password.as_ref().map(Secret::expose).map(str::to_owned),
            ca: cluster.etcd_ca.clone(),
            cert: cluster.etcd_cert.clone(),
            key: cluster.etcd_key.clone(),
        }
    }

    /// The store that a node of this configuration opens.
    pub fn store(&self) -> wasmverse_store::Config {
        wasmverse_store::Config {
            url: self.store.url.as_ref().map(|url| url.expose().to_owned()),
            data_dir: self.store.data_dir.clone(),
            connections_max: self.store.connections_max,
            shards: self.cluster.shards,
        }
    }
}

/// `[node]`: where it listens, and how much it holds.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct NodeConfig {
    /// Its name; none: the advertised address.
    pub id: Option<String>,
    /// How much of the shards of a cluster it should have, beside other nodes; 0: none.
    pub weight: u32,
    /// Where it serves gates and other nodes. Beyond loopback it wants `cluster.secret`.
    pub listen: String,
    /// Where others reach it; none: as `listen`.
    pub advertise: Option<String>,
    /// Where it shows health and metrics.
    pub ops_listen: String,
    /// An object that nobody called for so long sleeps; `0s`: never.
    #[serde(with = "span")]
    pub idle: Duration,
    /// Objects of periodic types are saved so often while they change.
    #[serde(serialize_with = "span::serialize", deserialize_with = "span::positive")]
    pub save_interval: Duration,
    /// So many objects are live at most; none: as many as the machine's mapping limit
    /// (`vm.max_map_count`) has room for, at most 10,000.
    pub live_max: Option<usize>,
    /// Sleeping volatile objects take so many bytes of memory at most.
    pub asleep_bytes_max: usize,
    /// Live instances take so many bytes of memory together; none: half of what the machine, or the
    /// control group, has.
    pub memory_bytes_max: Option<usize>,
    /// Calls that wait for their turn, or have it, carry so many bytes together.
    pub queued_bytes_max: usize,
    /// Turns that run when the node stops have so long to end.
    #[serde(with = "span")]
    pub drain: Duration,
    /// A send, or the firing of a reminder, that is not executed is tried so often, with growing pauses;
    /// then it is a dead letter.
    pub delivery_tries_max: u32,
    /// Pushes wait so long for a gate that is away.
    #[serde(with = "span")]
    pub gate_window: Duration,
    /// Objects to be active wherever they belong: `Type/id`; one for each shard: `Type/shard#*/name`;
    /// one on each node: `Type/node#*/name`.
    pub auto_load: Vec<String>,
    /// The largest component, in bytes.
    pub component_bytes_max: usize,
    /// So many components compile at once; none: half of the cores.
    pub compile_parallel: Option<usize>,
    /// So many of the latest lines of objects' logs are kept in memory.
    pub log_lines_kept: usize,
    /// Take a snapshot before and after each read-only turn, and say so in the object's log if they
    /// differ. For development: each read takes that much longer.
    pub check_read_only: bool,
    /// What a turn may use unless its type says otherwise.
    pub limits: LimitsConfig,
    /// What a type may ask for at most.
    pub bounds: LimitsConfig,
}

impl Default for NodeConfig {
    fn default() -> Self {
        Self {
            id: None,
            weight: 1,
            listen: "127.0.0.1:47000".to_owned(),
            advertise: None,
            ops_listen: "127.0.0.1:47001".to_owned(),
            idle: Duration::from_secs(300),
            save_interval: Duration::from_secs(5),
            live_max: None,
            asleep_bytes_max: 256 << 20,
            memory_bytes_max: None,
            queued_bytes_max: 256 << 20,
            drain: Duration::from_secs(10),
            delivery_tries_max: 20,
            gate_window: Duration::from_secs(30),
            auto_load: Vec::new(),
            component_bytes_max: 32 << 20,
            compile_parallel: None,
            log_lines_kept: 10_000,
            check_read_only: false,
            limits: LimitsConfig::default(),
            bounds: LimitsConfig::default(),
        }
    }
}

impl NodeConfig {
    /// Where others reach this node.
    pub fn advertised(&self) -> &str {
        self.advertise.as_deref().unwrap_or(&self.listen)
    }

    /// It listens on this port: others are told that one where the configuration leaves it open.
    pub fn listens_on(&mut self, port: u16) {
        if let (None, Some((host, "0"))) = (&self.advertise, self.listen.rsplit_once(':')) {
            self.advertise = Some(format!("{host}:{port}"));
        }
    }

    /// The node's name.
    pub fn id(&self) -> &str {
        self.id.as_deref().unwrap_or_else(|| self.advertised())
    }
}

/// `[node.limits]` and `[node.bounds]`, under the names that descriptions use.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct LimitsConfig {
    /// CPU time of one turn.
    pub cpu_ms: u64,
    /// Time of one turn in all.
    pub time_ms: u64,
    /// Memory of one instance.
    pub memory_bytes: usize,
    /// Elements in all tables of one instance.
    pub table_elements: usize,
    /// An argument, a result, a push, a send or a snapshot.
    pub payload_bytes: usize,
    /// Calls of host functions in one turn.
    pub host_calls: u32,
    /// What one turn may write to its log.
    pub log_bytes: usize,
    /// Calls that may wait for one object.
    pub mailbox_length: usize,
    /// Keys in an object's storage.
    pub storage_keys: u64,
}

impl Default for LimitsConfig {
    fn default() -> Self {
        let limits = Limits::default();
        let millis = |span: Duration| u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        Self {
            cpu_ms: millis(limits.cpu),
            time_ms: millis(limits.time),
            memory_bytes: limits.memory_bytes,
            table_elements: limits.table_elements,
            payload_bytes: limits.payload_bytes,
            host_calls: limits.host_calls,
            log_bytes: limits.log_bytes,
            mailbox_length: limits.mailbox_length,
            storage_keys: limits.storage_keys,
        }
    }
}

impl LimitsConfig {
    fn named(&self) -> [(&'static str, u64); 9] {
        [
            ("cpu_ms", self.cpu_ms),
            ("time_ms", self.time_ms),
            ("memory_bytes", self.memory_bytes as u64),
            ("table_elements", self.table_elements as u64),
            ("payload_bytes", self.payload_bytes as u64),
            ("host_calls", u64::from(self.host_calls)),
            ("log_bytes", self.log_bytes as u64),
            ("mailbox_length", self.mailbox_length as u64),
            ("storage_keys", self.storage_keys),
        ]
    }
}

impl From<&LimitsConfig> for Limits {
    fn from(config: &LimitsConfig) -> Self {
        Self {
            cpu: Duration::from_millis(config.cpu_ms),
            time: Duration::from_millis(config.time_ms),
            memory_bytes: config.memory_bytes,
            table_elements: config.table_elements,
            payload_bytes: config.payload_bytes,
            host_calls: config.host_calls,
            log_bytes: config.log_bytes,
            mailbox_length: config.mailbox_length,
            storage_keys: config.storage_keys,
        }
    }
}

/// `[store]`: where state is kept.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct StoreConfig {
    /// The database; none: SQLite in the data directory. `sqlite::memory:` forgets all at the end.
    /// It may hold a password.
    pub url: Option<Secret>,
    /// What the process keeps on disk.
    pub data_dir: PathBuf,
    /// Connections to a PostgreSQL server at once, at most; three at least.
    pub connections_max: u32,
    /// What a keyed call was answered is kept so long, and a little longer.
    #[serde(serialize_with = "span::serialize", deserialize_with = "span::positive")]
    pub results_kept: Duration,
}

impl Default for StoreConfig {
    fn default() -> Self {
        let store = wasmverse_store::Config::default();
        Self {
            url: None,
            data_dir: store.data_dir,
            connections_max: store.connections_max,
            results_kept: Duration::from_secs(24 * 3600),
        }
    }
}

/// Mappings left for everything else: code, threads, instances of the rollout under way.
const MAPPINGS_RESERVED: usize = 8192;
const LIVE_MAX: usize = 10_000;
/// A machine that does not say what memory it has is taken for a small one.
const MEMORY_UNKNOWN: usize = 4 << 30;

/// How many instances may live on a machine that allows `max_map_count` mappings.
pub(crate) fn live_max(max_map_count: usize) -> usize {
    (max_map_count.saturating_sub(MAPPINGS_RESERVED) / MAPPINGS_PER_INSTANCE).clamp(64, LIVE_MAX)
}

/// The machine's mapping limit; Linux's default where it cannot be read.
pub(crate) fn max_map_count() -> usize {
    std::fs::read_to_string("/proc/sys/vm/max_map_count")
        .ok()
        .and_then(|text| text.trim().parse().ok())
        .unwrap_or(65_530)
}

/// Half of the machine's memory, or of the control group's if that is less.
pub(crate) fn memory_bytes_max() -> usize {
    let machine = std::fs::read_to_string("/proc/meminfo").ok();
    let group = std::fs::read_to_string("/sys/fs/cgroup/memory.max").ok();
    let machine = machine.as_deref().and_then(memory_total);
    let group = group.and_then(|text| text.trim().parse().ok());
    machine.into_iter().chain(group).min().unwrap_or(MEMORY_UNKNOWN) / 2
}

/// Out of `/proc/meminfo`, in bytes.
fn memory_total(meminfo: &str) -> Option<usize> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kilobytes: usize = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kilobytes.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_memory_of_the_machine_is_read_from_what_the_system_says() {
        assert_eq!(
            memory_total("MemTotal:       16316252 kB\nMemFree: 1 kB"),
            Some(16_707_842_048)
        );
        assert_eq!(memory_total("nothing"), None);
        assert!(memory_bytes_max() > 0);
    }

    #[test]
    fn the_cap_on_live_instances_follows_the_machine() {
        assert_eq!(live_max(65_530), 9_556);
        assert_eq!(live_max(262_144), 10_000);
        assert_eq!(live_max(38_192), 5_000);
        assert_eq!(live_max(0), 64);
    }

    #[test]
    fn a_limit_above_its_bound_is_refused_by_the_names_of_both() {
        let mut config = Config::default();
        assert_eq!(config.check(), Ok(()));
        config.node.limits.memory_bytes = 1 + config.node.bounds.memory_bytes;
        let problem = config.check().unwrap_err();
        assert!(problem.contains("node.limits.memory_bytes"), "{problem}");
        assert!(problem.contains("node.bounds.memory_bytes"), "{problem}");
        config.node.bounds.memory_bytes *= 2;
        assert_eq!(config.check(), Ok(()));
        let names = config.node.limits.named().map(|(name, _)| name);
        let known = wasmverse_core::LimitKind::ALL.map(|(_, name)| name);
        assert!(names.iter().all(|name| known.contains(name)), "{names:?}");
    }

    #[test]
    fn limits_have_the_names_that_descriptions_use() {
        let config = serde_json::to_value(LimitsConfig::default()).unwrap();
        let names: Vec<_> = config.as_object().unwrap().keys().cloned().collect();
        let mut known = wasmverse_core::LimitKind::ALL.map(|(_, name)| name.to_owned());
        known.sort();
        let mut sorted = names;
        sorted.sort();
        assert_eq!(sorted, known);
        assert_eq!(Limits::from(&LimitsConfig::default()), Limits::default());
    }
}
