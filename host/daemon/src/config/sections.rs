//! The sections that several processes share.

use std::{fmt::Display, path::PathBuf, time::Duration};

use serde::{Deserialize, Deserializer, Serialize, de::Error as _};

use super::{Secret, span};

/// `[cluster]`: what all processes of a cluster agree on.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct ClusterConfig {
    /// Endpoints of etcd; none: a cluster of one.
    pub etcd: Vec<String>,
    /// Whom to log in to etcd as; none: nobody in particular.
    pub etcd_user: Option<String>,
    /// With this password.
    pub etcd_password: Option<Secret>,
    /// For https: who signed etcd's certificate (PEM).
    pub etcd_ca: Option<PathBuf>,
    /// For https, where etcd wants one: our certificate (PEM).
    pub etcd_cert: Option<PathBuf>,
    /// The key of our certificate (PEM).
    pub etcd_key: Option<PathBuf>,
    /// What all keys in etcd begin with.
    #[serde(deserialize_with = "prefix")]
    pub prefix: String,
    /// Shards are placed when so many nodes are there.
    #[serde(deserialize_with = "at_least_one")]
    pub min_nodes: u32,
    /// With fewer nodes than that what has been placed is served on; else it waits.
    pub serve_below_quorum: bool,
    /// Shards move for balance when membership has been stable for so long.
    #[serde(with = "span")]
    pub stability: Duration,
    /// A node that is not heard of for so long is gone.
    #[serde(serialize_with = "span::serialize", deserialize_with = "span::positive")]
    pub lease_ttl: Duration,
    /// What is evened out between nodes: how many shards they have, or what these have to do.
    pub placement: Placement,
    /// How many shards there are, fixed when a cluster is made.
    #[serde(deserialize_with = "at_least_one")]
    pub shards: u16,
    /// What processes show each other; none: nodes listen on loopback only.
    pub secret: Option<Secret>,
}

impl Default for ClusterConfig {
    fn default() -> Self {
        Self {
            etcd: Vec::new(),
            etcd_user: None,
            etcd_password: None,
            etcd_ca: None,
            etcd_cert: None,
            etcd_key: None,
            prefix: "/wasmverse".to_owned(),
            min_nodes: 1,
            serve_below_quorum: true,
            stability: Duration::from_secs(10),
            lease_ttl: Duration::from_secs(5),
            placement: Placement::Count,
            shards: 8192,
            secret: None,
        }
    }
}

/// What is evened out between nodes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Placement {
    /// How many shards they have.
    #[default]
    Count,
    /// What their shards had to do lately.
    Load,
}

/// `[admin]`: who may operate the cluster.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct AdminConfig {
    /// What operators show; none: the admin service answers on loopback only.
    pub token: Option<Secret>,
}

/// `[log]`: what is logged and how, to standard error.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct LogConfig {
    /// `error`, `warn`, `info`, `debug`, `trace`, or by target: `info,wasmverse_node=debug`.
    #[serde(deserialize_with = "filter")]
    pub filter: String,
    /// For people or for machines.
    pub format: LogFormat,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self { filter: "info".to_owned(), format: LogFormat::Text }
    }
}

/// How log lines are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// A line for people.
    #[default]
    Text,
    /// A JSON object a line.
    Json,
}

fn at_least_one<'de, D, N>(deserializer: D) -> Result<N, D::Error>
where
    D: Deserializer<'de>,
    N: Deserialize<'de> + PartialOrd + From<u8> + Display,
{
    let number = N::deserialize(deserializer)?;
    if number < N::from(1) {
        return Err(D::Error::custom(format!("it is {number} and must be at least 1")));
    }
    Ok(number)
}

fn prefix<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let prefix = String::deserialize(deserializer)?;
    if prefix.len() > 1 && prefix.starts_with('/') && !prefix.ends_with('/') {
        return Ok(prefix);
    }
    Err(D::Error::custom(format!("`{prefix}` is no prefix: begin with `/`, do not end with it")))
}

fn filter<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let filter = String::deserialize(deserializer)?;
    match crate::logs::filter(&filter) {
        Ok(_) => Ok(filter),
        Err(problem) => Err(D::Error::custom(problem)),
    }
}
