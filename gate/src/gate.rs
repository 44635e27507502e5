//! A gate at work: its place in the cluster, its listeners, and the order in which it ends.

mod listeners;
mod parts;
mod upkeep;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio_util::{sync::CancellationToken, task::TaskTracker};
use wasmverse_cluster::{Cluster, Coordination};
use wasmverse_daemon::{Shutdown, ops::Readiness};

use crate::{call::Desk, config::Config, grpc, http, join, metrics::Surface, serve::Server};
pub use listeners::{Addresses, Listeners, Sockets, bind};
use parts::Parts;

/// What is not written to the coordination service by then lapses by itself.
const LEAVE_WITHIN: Duration = Duration::from_secs(5);

/// A gate that serves.
#[derive(Debug)]
pub struct Gate {
    addresses: Addresses,
    readiness: Readiness,
}

impl Gate {
    /// Starts to serve: as part of the cluster that `cluster.etcd` names, or in front of the node
    /// that `gate.nodes` names. It ends with `shutdown`: no more connections then, requests under
    /// way are finished within `gate.drain_max`, and last it leaves the cluster and gives up its way
    /// to the nodes.
    ///
    /// # Errors
    /// If the configuration makes no sense, or etcd cannot be reached.
    pub async fn start(
        config: Config,
        listeners: Listeners,
        shutdown: Shutdown,
    ) -> anyhow::Result<Self> {
        let coordination = join::coordination(&config.cluster).await?;
        let closed = Closed::new(&config, coordination, listeners.addresses()?, &shutdown).await?;
        closed.register(&shutdown).await;
        Ok(closed.open(listeners))
    }

    /// The same as part of the cluster on this coordination service, whatever `cluster.etcd` names.
    ///
    /// # Errors
    /// If the configuration makes no sense, or does not fit the cluster.
    pub async fn start_in(
        config: Config,
        coordination: Arc<dyn Coordination>,
        listeners: Listeners,
        shutdown: Shutdown,
    ) -> anyhow::Result<Self> {
        let addresses = listeners.addresses()?;
        let closed = Closed::new(&config, Some(coordination), addresses, &shutdown).await?;
        closed.register(&shutdown).await;
        Ok(closed.open(listeners))
    }

    /// As [`Self::start`] or, on a coordination service, [`Self::start_in`]; but nobody can connect
    /// before this gate knows the types: who gets in is served.
    ///
    /// # Errors
    /// As those, or if an address cannot be listened on.
    pub async fn start_closed(
        config: Config,
        coordination: Option<Arc<dyn Coordination>>,
        sockets: Sockets,
        shutdown: Shutdown,
    ) -> anyhow::Result<Self> {
        let coordination = match coordination {
            Some(coordination) => Some(coordination),
            None => join::coordination(&config.cluster).await?,
        };
        let addresses = sockets.addresses()?;
        let closed = Closed::new(&config, coordination, addresses, &shutdown).await?;
        closed.desk.catalog.told().await;
        closed.register(&shutdown).await;
        Ok(closed.open(sockets.listen()?))
    }

    /// Where it is found.
    pub fn addresses(&self) -> Addresses {
        self.addresses
    }

    /// Whether it knows the types, reaches the nodes and is known in its cluster.
    pub fn readiness(&self) -> &Readiness {
        &self.readiness
    }
}

/// A gate that is at work, but takes no connections yet.
struct Closed {
    gate: Gate,
    cluster: Option<Cluster>,
    desk: Arc<Desk>,
    http: (Server, axum::Router),
    grpc: (Server, grpc::Services),
    requests: TaskTracker,
}

impl Closed {
    async fn new(
        config: &Config,
        coordination: Option<Arc<dyn Coordination>>,
        addresses: Addresses,
        shutdown: &Shutdown,
    ) -> anyhow::Result<Self> {
        let links = CancellationToken::new();
        // A gate that is not made leaves nothing running.
        let unmade = links.clone().drop_guard();
        let parts = Parts { config, addresses, shutdown, links: links.clone() };
        let cluster = parts.join(coordination).await?;
        let desk = Arc::new(parts.desk(cluster.clone())?);
        let (requests, killing) = (TaskTracker::new(), CancellationToken::new());
        let server = |http2_only, surface| Server {
            http2_only,
            connections_max: config.gate.connections_max,
            idle_timeout: config.gate.idle_timeout,
            write_timeout: config.gate.write_timeout,
            // HTTP passes on the very bytes that were counted before, gRPC encodes them.
            budget: http2_only.then(|| Arc::clone(&desk.budget)),
            connections: desk.meter.connections(surface),
            stopping: shutdown.token(),
            killing: killing.clone(),
            tasks: requests.clone(),
        };
        let (services, health) = grpc::services(&desk)?;
        let http = (server(false, Surface::Http), http::routes(&desk, &config.gate.cors_origins)?);
        let grpc = (server(true, Surface::Grpc), services);
        let readiness = Readiness::new();
        let watching =
            upkeep::watch(Arc::clone(&desk), readiness.clone(), health, shutdown.token());
        shutdown.spawn(watching);
        shutdown.spawn(upkeep::sweep(Arc::clone(&desk), shutdown.token()));
        let ending = Ending {
            desk: Arc::clone(&desk),
            cluster: cluster.clone(),
            requests: requests.clone(),
            drain_max: config.gate.drain_max,
            killing,
            links,
        };
        shutdown.spawn(ending.run(shutdown.token()));
        unmade.disarm();
        let gate = Gate { addresses, readiness };
        Ok(Self { gate, cluster, desk, http, grpc, requests })
    }

    /// Lets the cluster know of this gate, if there is one.
    async fn register(&self, shutdown: &Shutdown) {
        if let Some(cluster) = &self.cluster {
            shutdown.token().run_until_cancelled(cluster.register()).await;
        }
    }

    fn open(self, listeners: Listeners) -> Gate {
        let Self { gate, http: (http, routes), grpc: (grpc, services), requests, .. } = self;
        requests.spawn(http.run(listeners.http, routes));
        requests.spawn(grpc.run(listeners.grpc, services));
        let Addresses { http, grpc } = gate.addresses;
        tracing::info!(%http, %grpc, "serving");
        gate
    }
}

/// What ends when a gate ends, in this order.
struct Ending {
    desk: Arc<Desk>,
    cluster: Option<Cluster>,
    requests: TaskTracker,
    drain_max: Duration,
    killing: CancellationToken,
    links: CancellationToken,
}

impl Ending {
    async fn run(self, requested: CancellationToken) {
        requested.cancelled().await;
        self.requests.close();
        if tokio::time::timeout(self.drain_max, self.requests.wait()).await.is_err() {
            tracing::warn!(tasks = self.requests.len(), "some requests did not end in time");
        }
        self.killing.cancel();
        let gone = self.desk.sessions.sweep(Instant::now(), true);
        upkeep::tell_gone(&self.desk, gone);
        if let Some(cluster) = &self.cluster
            && tokio::time::timeout(LEAVE_WITHIN, cluster.leave()).await.is_err()
        {
            tracing::warn!("failed to leave the cluster in time: the registration will lapse");
        }
        self.links.cancel();
    }
}
