//! The configuration of a gate: the section `[gate]`, and those that all processes share.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use wasmverse_daemon::config::{AdminConfig, ClusterConfig, LogConfig, span};

/// The sections that a gate reads.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Config {
    /// This process.
    pub gate: GateConfig,
    /// What all processes of a cluster agree on.
    pub cluster: ClusterConfig,
    /// Who may operate the cluster.
    pub admin: AdminConfig,
    /// What is logged, and how.
    pub log: LogConfig,
}

/// `[gate]`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct GateConfig {
    /// Its name; none: the advertised address.
    pub id: Option<String>,
    /// Where gRPC clients and operators come in.
    pub grpc_listen: String,
    /// Where HTTP clients and operators come in.
    pub http_listen: String,
    /// Where others reach the gRPC side; none: as `grpc_listen`.
    pub advertise: Option<String>,
    /// Health and metrics.
    pub ops_listen: String,
    /// Where to find a node, if there is no etcd.
    pub nodes: Vec<String>,
    /// Sites whose pages may call objects; `*`: all. Never the admin side.
    pub cors_origins: Vec<String>,
    /// The largest request of a client, in bytes.
    pub body_bytes_max: usize,
    /// What requests and answers under way may hold, over all clients, in bytes.
    pub held_bytes_max: usize,
    /// The largest component to upload, in bytes.
    pub upload_bytes_max: usize,
    /// How long a call may take if its caller does not say.
    #[serde(with = "span")]
    pub default_timeout: Duration,
    /// How long a call may take, whatever its caller says.
    #[serde(serialize_with = "span::serialize", deserialize_with = "span::positive")]
    pub timeout_max: Duration,
    /// A connection that sends no request for so long is closed.
    #[serde(serialize_with = "span::serialize", deserialize_with = "span::positive")]
    pub idle_timeout: Duration,
    /// A client that reads nothing of its answers for so long is dropped.
    #[serde(serialize_with = "span::serialize", deserialize_with = "span::positive")]
    pub write_timeout: Duration,
    /// How many clients may be connected to each listener.
    pub connections_max: usize,
    /// How many clients may have sessions, connected or not.
    pub sessions_max: usize,
    /// Pushes that may wait for one client, and that are kept for its return.
    pub session_buffer_length: usize,
    /// What the pushes of all sessions may hold, in bytes.
    pub session_bytes_max: usize,
    /// How long a client that has lost its connection may stay away.
    #[serde(with = "span")]
    pub session_window: Duration,
    /// A client with a session hears something at least so often.
    #[serde(serialize_with = "span::serialize", deserialize_with = "span::positive")]
    pub session_heartbeat: Duration,
    /// A folder of files to serve at `/`.
    pub static_dir: Option<String>,
    /// How long requests may go on once the process is asked to end.
    #[serde(with = "span")]
    pub drain_max: Duration,
}

impl Default for GateConfig {
    fn default() -> Self {
        Self {
            id: None,
            grpc_listen: "127.0.0.1:49000".to_owned(),
            http_listen: "127.0.0.1:8080".to_owned(),
            advertise: None,
            ops_listen: "127.0.0.1:49001".to_owned(),
            nodes: vec!["127.0.0.1:47000".to_owned()],
            cors_origins: Vec::new(),
            // What a type's payload may be, and a little for what surrounds it.
            body_bytes_max: (4 << 20) + (64 << 10),
            held_bytes_max: 512 << 20,
            upload_bytes_max: 32 << 20,
            default_timeout: Duration::from_secs(30),
            timeout_max: Duration::from_secs(600),
            idle_timeout: Duration::from_secs(90),
            write_timeout: Duration::from_secs(30),
            connections_max: 20_000,
            sessions_max: 50_000,
            session_buffer_length: 1024,
            session_bytes_max: 256 << 20,
            session_window: Duration::from_secs(30),
            session_heartbeat: Duration::from_secs(15),
            static_dir: None,
            drain_max: Duration::from_secs(20),
        }
    }
}

impl GateConfig {
    /// Where others reach the gRPC side.
    pub fn advertised(&self) -> &str {
        self.advertise.as_deref().unwrap_or(&self.grpc_listen)
    }

    /// The gate's name.
    pub fn id(&self) -> &str {
        self.id.as_deref().unwrap_or_else(|| self.advertised())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wasmverse_daemon::config::sample::differences;

    #[test]
    fn the_sample_shows_every_key_with_its_default() {
        let sample = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/wasmverse.toml");
        assert_eq!(differences::<Config>(std::path::Path::new(sample)), Vec::<String>::new());
    }
}
