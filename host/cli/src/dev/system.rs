//! Nodes and gates in one process, each with a shutdown of its own: clients leave first, then the
//! objects are saved.

use std::{sync::Arc, time::Duration};

use anyhow::Context as _;
use futures_util::future::join_all;
use tokio::net::TcpListener;
use wasmverse_cluster::{Coordination, Memory};
use wasmverse_daemon::{
    Shutdown,
    config::Secret,
    metrics::{self, Metrics},
    ops,
};
use wasmverse_gate::{Addresses, Gate, Sockets};
use wasmverse_node::Node;
use wasmverse_store::Store;

use super::{
    Settings,
    members::{self, Size},
    page,
    ports::{bind, reserve},
};
use crate::failure::{Failure, Result};

/// How long either part may take to end beyond its own limits.
const GRACE: Duration = Duration::from_secs(40);
/// How long a gate may take to learn the types from nodes in the same process.
const READY_TIMEOUT: Duration = Duration::from_secs(10);

/// A cluster in this process.
#[derive(Debug)]
pub(crate) struct System {
    settings: Settings,
    size: Size,
    metrics: Metrics,
    nodes: Vec<Node>,
    node_shutdowns: Vec<Shutdown>,
    gate_shutdowns: Vec<Shutdown>,
    place: Place,
    /// The client ports: ours, but closed.
    reserved: Vec<Sockets>,
    addresses: Vec<Addresses>,
}

/// Where nodes and gates find each other.
enum Place {
    /// Where each looks by itself: in etcd, or at the one node.
    Configured,
    /// In this process.
    Memory(Arc<dyn Coordination>),
}

impl std::fmt::Debug for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Configured => "configured",
            Self::Memory(_) => "memory",
        })
    }
}

impl System {
    /// Starts the nodes where the settings say.
    pub(crate) async fn start(mut settings: Settings, size: Size) -> Result<Self> {
        if settings.gate.gate.static_dir.is_none() {
            let page = page::unpack(&settings.node.store.data_dir)?;
            settings.gate.gate.static_dir = page.map(|folder| folder.display().to_string());
        }
        let is_configured = size.is_one() || !settings.node.cluster.etcd.is_empty();
        let place = match is_configured {
            true => Place::Configured,
            false => Place::Memory(Arc::new(Memory::new())),
        };
        let metrics = metrics::install();
        let mut system = Self {
            settings,
            size,
            metrics,
            nodes: Vec::new(),
            node_shutdowns: Vec::new(),
            gate_shutdowns: Vec::new(),
            place,
            reserved: Vec::new(),
            addresses: Vec::new(),
        };
        match system.start_nodes().await {
            Ok(()) => Ok(system),
            Err(failure) => {
                // Those that run already end as they should.
                system.stop().await.ok();
                Err(failure)
            }
        }
    }

    async fn start_nodes(&mut self) -> Result<()> {
        let configs = members::nodes(&self.settings, self.size);
        let mut listeners = Vec::new();
        for config in &configs {
            listeners.push(listener(config).await?);
        }
        let mut shares = match &self.place {
            Place::Configured => Vec::new(),
            Place::Memory(_) => {
                let opened = wasmverse_store::open(&self.settings.node.store()).await;
                let store = opened.context("failed to open the store")?;
                wasmverse_store::shares(&store, configs.len())
            }
        }
        .into_iter();
        for (mut config, listener) in configs.into_iter().zip(listeners) {
            config.node.listen = listener.local_addr()?.to_string();
            if self.nodes.is_empty() {
                self.settings.gate.gate.nodes = vec![config.node.listen.clone()];
            }
            let secret = config.cluster.secret.clone();
            let shutdown = Shutdown::new();
            self.node_shutdowns.push(shutdown.clone());
            let node = self.start_node(config, shares.next(), shutdown.clone()).await?;
            shutdown.spawn(listen(node.clone(), listener, secret));
            self.nodes.push(node);
        }
        Ok(())
    }

    async fn start_node(
        &self,
        config: wasmverse_node::Config,
        share: Option<Arc<dyn Store>>,
        shutdown: Shutdown,
    ) -> anyhow::Result<Node> {
        match (&self.place, share) {
            (Place::Memory(coordination), Some(share)) => {
                let store = std::future::ready(Ok(share));
                Node::start_in(config, Arc::clone(coordination), store, shutdown).await
            }
            (Place::Memory(_) | Place::Configured, _) => Node::start(config, shutdown).await,
        }
    }

    /// The nodes; types are brought to the first one.
    pub(crate) fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// How many nodes and gates there are.
    pub(crate) fn size(&self) -> Size {
        self.size
    }

    /// Where state is kept.
    pub(crate) fn state(&self) -> &str {
        let store = &self.settings.node.store;
        let folder = store.data_dir.to_str().unwrap_or("?");
        match store.url.as_ref().map(Secret::expose) {
            None => folder,
            Some(url) if url.starts_with("sqlite:") => url,
            // It may hold a password.
            Some(_) => "the database of store.url",
        }
    }

    /// Whether browsers are served something.
    pub(crate) fn has_page(&self) -> bool {
        self.settings.gate.gate.static_dir.is_some()
    }

    /// Where clients come in, at each gate; before [`Self::open`]: nowhere.
    pub(crate) fn addresses(&self) -> &[Addresses] {
        &self.addresses
    }

    /// Takes the client ports without opening them, so that one that is taken shows at once.
    pub(crate) async fn reserve_ports(&mut self) -> Result<()> {
        for config in members::gates(&self.settings, self.size) {
            let http = reserve(&config.gate.http_listen, "http_listen").await?;
            let grpc = reserve(&config.gate.grpc_listen, "grpc_listen").await?;
            self.reserved.push(Sockets { http, grpc });
        }
        Ok(())
    }

    /// Lets clients in, at each gate once it knows the types.
    pub(crate) async fn open(&mut self) -> Result<()> {
        let configs = members::gates(&self.settings, self.size);
        for (config, sockets) in configs.into_iter().zip(std::mem::take(&mut self.reserved)) {
            let shutdown = Shutdown::new();
            self.gate_shutdowns.push(shutdown.clone());
            let coordination = match &self.place {
                Place::Configured => None,
                Place::Memory(coordination) => Some(Arc::clone(coordination)),
            };
            let starting = Gate::start_closed(config, coordination, sockets, shutdown);
            let started = tokio::time::timeout(READY_TIMEOUT, starting).await;
            let gate = started.context("the gate did not learn the types in time")??;
            if self.addresses.is_empty() {
                self.serve_ops(&gate).await?;
            }
            self.addresses.push(gate.addresses());
        }
        Ok(())
    }

    /// Opens those ops ports that were asked for: of the first gate and the first node.
    async fn serve_ops(&self, gate: &Gate) -> Result<()> {
        // The nodes serve before the gate can be ready.
        for (key, address, shutdown) in [
            ("gate.ops_listen", &self.settings.gate.gate.ops_listen, self.gate_shutdowns.first()),
            ("node.ops_listen", &self.settings.node.node.ops_listen, self.node_shutdowns.first()),
        ] {
            if let (true, Some(shutdown)) = (self.settings.is_explicit(key), shutdown) {
                let listener = bind(address).await?;
                ops::serve(listener, gate.readiness().clone(), self.metrics.clone(), shutdown);
            }
        }
        Ok(())
    }

    /// Clients leave, then the nodes save what objects hold. All nodes at once: none hands over to
    /// another that is about to end, too.
    ///
    /// # Errors
    /// If some could not be saved.
    pub(crate) async fn stop(&mut self) -> Result<()> {
        for (name, shutdowns) in [("gate", &self.gate_shutdowns), ("node", &self.node_shutdowns)] {
            let draining = shutdowns.iter().map(|shutdown| shutdown.drain(GRACE));
            if join_all(draining).await.contains(&false) {
                tracing::warn!("some tasks of a {name} did not end in time");
            }
        }
        match self.nodes.iter().map(Node::unsaved).sum::<usize>() {
            0 => Ok(()),
            unsaved => Err(anyhow::anyhow!("failed to save {unsaved} objects before the end"))?,
        }
    }
}

/// Binds a node's address, which must not be open to strangers.
async fn listener(config: &wasmverse_node::Config) -> Result<TcpListener> {
    let listener = bind(&config.node.listen).await?;
    let bound = listener.local_addr()?;
    if !bound.ip().is_loopback() && config.cluster.secret.is_none() {
        let problem = format!("node.listen is {bound}, beyond loopback: set cluster.secret");
        return Err(Failure::usage(problem));
    }
    Ok(listener)
}

/// Serves gates and other nodes until the node has nothing to hand over any more.
async fn listen(node: Node, listener: TcpListener, secret: Option<Secret>) {
    let secret = secret.as_ref().map(Secret::expose);
    if let Err(error) = node.listen(listener, secret, node.departed()).await {
        tracing::error!(error = format!("{error:#}"), "the node stopped listening");
    }
}
