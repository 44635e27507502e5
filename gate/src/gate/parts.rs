//! What a gate is made of, as its configuration says.

use std::sync::Arc;

use anyhow::Context as _;
use tokio_util::sync::CancellationToken;
use wasmverse_cluster::{Cluster, Coordination};
use wasmverse_core::ShardCount;
use wasmverse_daemon::{Shutdown, config::check_advertised};
use wasmverse_router::{Audience, LinkBounds, Role, Router, RouterConfig};

use super::Addresses;
use crate::{
    access::{Access, Pages},
    budget::Budget,
    call::Desk,
    catalog::Catalog,
    cluster::Operations,
    config::{Config, GateConfig},
    control::Control,
    deadline::Timeouts,
    join,
    metrics::Meter,
    sessions::{SessionBounds, Sessions},
};

/// What a gate is made from.
pub(super) struct Parts<'a> {
    pub(super) config: &'a Config,
    pub(super) addresses: Addresses,
    pub(super) shutdown: &'a Shutdown,
    /// Ends the way to the nodes.
    pub(super) links: CancellationToken,
}

impl Parts<'_> {
    /// Where others reach this gate; where the configuration leaves the port open, the one that it
    /// got.
    fn address(&self) -> String {
        let gate = &self.config.gate;
        match (&gate.advertise, gate.grpc_listen.rsplit_once(':')) {
            (None, Some((host, "0"))) => format!("{host}:{}", self.addresses.grpc.port()),
            _ => gate.advertised().to_owned(),
        }
    }

    fn id(&self) -> String {
        self.config.gate.id.clone().unwrap_or_else(|| self.address())
    }

    /// Joins the cluster, if there is one.
    pub(super) async fn join(
        &self,
        coordination: Option<Arc<dyn Coordination>>,
    ) -> anyhow::Result<Option<Cluster>> {
        let Some(coordination) = coordination else { return Ok(None) };
        let (id, address) = (self.id(), self.address());
        check_advertised("gate.advertise", &address).map_err(anyhow::Error::msg)?;
        let (cluster, links) = (&self.config.cluster, self.links.clone());
        let joining = join::join(coordination, cluster, (&id, &address), self.shutdown, links);
        joining.await.map(Some)
    }

    fn router(
        &self,
        cluster: Option<&Cluster>,
        audience: Arc<dyn Audience>,
    ) -> anyhow::Result<Router> {
        let Config { gate, cluster: agreed, .. } = self.config;
        let shards = ShardCount::new(agreed.shards).context("failed to read `cluster.shards`")?;
        let router = RouterConfig {
            secret: agreed.secret.as_ref().map(|secret| secret.expose().to_owned()),
            id: self.id(),
            incarnation: incarnation(),
            address: self.address(),
            shards,
            bounds: LinkBounds::default(),
        };
        let (tracker, links) = (self.shutdown.tracker(), self.links.clone());
        Ok(match cluster {
            Some(cluster) => {
                let view = cluster.view();
                Router::new(router, view, None, Some(audience), Role::Gate, tracker, links)
            }
            None => Router::to(router, gate.nodes.clone(), Some(audience), tracker, links),
        })
    }

    /// The desk behind both surfaces.
    pub(super) fn desk(&self, cluster: Option<Cluster>) -> anyhow::Result<Desk> {
        let Self { config, shutdown, .. } = self;
        let gate = &config.gate;
        let sessions = Sessions::new(self.address(), session_bounds(gate));
        let router = self.router(cluster.as_ref(), sessions.clone())?;
        let catalog = Catalog::follow(router.types(), shutdown);
        sessions.bind(catalog.clone());
        Ok(Desk {
            control: Control::new(router.clone(), cluster.is_some(), gate.upload_bytes_max),
            operations: Operations::follow(router.clone(), cluster, shutdown),
            catalog,
            access: access(config, self.addresses)?,
            pages: Pages::new(&gate.cors_origins),
            budget: Budget::new(gate.held_bytes_max),
            meter: Meter::new(),
            timeouts: Timeouts { default: gate.default_timeout, max: gate.timeout_max },
            body_bytes_max: gate.body_bytes_max,
            static_dir: gate.static_dir.as_ref().map(Into::into),
            ending: shutdown.token(),
            sessions,
            router,
        })
    }
}

fn session_bounds(gate: &GateConfig) -> SessionBounds {
    SessionBounds {
        sessions_max: gate.sessions_max,
        buffer_length: gate.session_buffer_length.max(1),
        bytes_max: gate.session_bytes_max,
        window: gate.session_window,
        heartbeat: gate.session_heartbeat,
    }
}

/// The ops port counts, too: whoever opens one port to the world has a world around.
fn access(config: &Config, addresses: Addresses) -> anyhow::Result<Access> {
    use std::net::ToSocketAddrs as _;
    let ops = &config.gate.ops_listen;
    let ops = ops.to_socket_addrs().with_context(|| format!("failed to read `{ops}`"))?;
    let listeners: Vec<_> = [addresses.http, addresses.grpc].into_iter().chain(ops).collect();
    Ok(Access::new(&listeners, config.admin.token.clone()))
}

/// Differs each time a process starts.
fn incarnation() -> String {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    format!("{:x}-{:x}", since.unwrap_or_default().as_nanos(), std::process::id())
}
