//! The way into a cluster: how etcd is reached, and as whom a gate joins.

use std::sync::Arc;

use anyhow::Context as _;
use tokio_util::sync::CancellationToken;
use wasmverse_cluster::{Cluster, Coordination, Etcd, EtcdConfig, Settings, Who};
use wasmverse_core::{NodeId, ShardCount};
use wasmverse_daemon::{
    Shutdown,
    config::{ClusterConfig, Secret},
};
use wasmverse_proto::PROTOCOL;

/// The coordination service of a configuration; none: a cluster of one.
pub(crate) async fn coordination(
    config: &ClusterConfig,
) -> anyhow::Result<Option<Arc<dyn Coordination>>> {
    if config.etcd.is_empty() {
        return Ok(None);
    }
    let etcd = EtcdConfig {
        endpoints: config.etcd.clone(),
        prefix: config.prefix.clone(),
        user: config.etcd_user.clone(),
        password: config.etcd_password.as_ref().map(Secret::expose).map(str::to_owned),
        ca: config.etcd_ca.clone(),
        cert: config.etcd_cert.clone(),
        key: config.etcd_key.clone(),
    };
    let connected = Etcd::connect(&etcd).await;
    let etcd =
        connected.with_context(|| format!("failed to reach etcd at {}", config.etcd.join(", ")))?;
    Ok(Some(Arc::new(etcd)))
}

/// Joins as a gate, which nobody sees before it registers. It follows the cluster until `end`.
pub(crate) async fn join(
    coordination: Arc<dyn Coordination>,
    config: &ClusterConfig,
    (id, address): (&str, &str),
    shutdown: &Shutdown,
    end: CancellationToken,
) -> anyhow::Result<Cluster> {
    let shards = ShardCount::new(config.shards).context("failed to read `cluster.shards`")?;
    let settings = Settings {
        who: Who::Gate { id: NodeId::new(id), address: address.to_owned() },
        cluster: None,
        shards,
        protocol: PROTOCOL,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        lease_ttl: config.lease_ttl,
        // What follows matters to nodes: a gate never leads.
        stability: config.stability,
        min_nodes: usize::try_from(config.min_nodes).unwrap_or(usize::MAX),
        moves_max: 0,
        by_load: false,
    };
    let joined = Cluster::join(coordination, settings, shutdown.tracker(), end).await;
    joined.context("failed to join the cluster")
}
