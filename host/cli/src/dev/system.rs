//! Node and gate in one process, each with a shutdown of its own: clients leave first, then the
//! objects are saved.

use std::{net::SocketAddr, time::Duration};

use anyhow::Context as _;
use tokio::net::{TcpListener, TcpSocket};
use tokio_util::sync::CancellationToken;
use wasmverse_daemon::{
    Shutdown,
    config::Secret,
    metrics::{self, Metrics},
    ops,
};
use wasmverse_gate::{Addresses, Gate, Sockets};
use wasmverse_node::Node;

use super::{Settings, page};
use crate::failure::{Failure, Result};

/// How long either part may take to end beyond its own limits.
const GRACE: Duration = Duration::from_secs(40);
/// How long the gate may take to learn the types from a node in the same process.
const READY_TIMEOUT: Duration = Duration::from_secs(10);

/// A cluster of one node and one gate.
#[derive(Debug)]
pub(crate) struct System {
    settings: Settings,
    metrics: Metrics,
    node: Node,
    node_shutdown: Shutdown,
    gate_shutdown: Shutdown,
    /// The client ports: ours, but closed.
    reserved: Option<Sockets>,
    addresses: Option<Addresses>,
}

impl System {
    /// Starts the node where the settings say.
    pub(crate) async fn start(mut settings: Settings) -> Result<Self> {
        let address = settings.node.node.listen.clone();
        let listener = wasmverse_gate::bind(&address).await?;
        let bound = listener.local_addr()?;
        if !bound.ip().is_loopback() && settings.node.cluster.secret.is_none() {
            let problem = format!("node.listen is {bound}, beyond loopback: set cluster.secret");
            return Err(Failure::usage(problem));
        }
        let bound = bound.to_string();
        settings.node.node.listen.clone_from(&bound);
        settings.gate.gate.nodes = vec![bound];
        if settings.gate.gate.static_dir.is_none() {
            let page = page::unpack(&settings.node.store.data_dir)?;
            settings.gate.gate.static_dir = page.map(|folder| folder.display().to_string());
        }
        let node_shutdown = Shutdown::new();
        let metrics = metrics::install();
        let node = Node::start(settings.node.clone(), node_shutdown.clone()).await?;
        node_shutdown.spawn(listen(node.clone(), listener, &settings, node_shutdown.token()));
        Ok(Self {
            settings,
            metrics,
            node,
            node_shutdown,
            gate_shutdown: Shutdown::new(),
            reserved: None,
            addresses: None,
        })
    }

    pub(crate) fn node(&self) -> &Node {
        &self.node
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

    /// Where clients come in; before [`Self::open`]: nowhere.
    pub(crate) fn addresses(&self) -> Option<Addresses> {
        self.addresses
    }

    /// Takes the client ports without opening them, so that one that is taken shows at once.
    pub(crate) async fn reserve_ports(&mut self) -> Result<()> {
        let gate = &self.settings.gate.gate;
        let http = reserve(&gate.http_listen, "http_listen").await?;
        let grpc = reserve(&gate.grpc_listen, "grpc_listen").await?;
        self.reserved = Some(Sockets { http, grpc });
        Ok(())
    }

    /// Lets clients in, once the gate knows the types.
    pub(crate) async fn open(&mut self) -> Result<()> {
        let Some(sockets) = self.reserved.take() else { return Ok(()) };
        let (config, shutdown) = (self.settings.gate.clone(), self.gate_shutdown.clone());
        let starting = Gate::start_closed(config, sockets, shutdown);
        let started = tokio::time::timeout(READY_TIMEOUT, starting).await;
        let gate = started.context("the gate did not learn the types in time")??;
        self.addresses = Some(gate.addresses());
        self.serve_ops(&gate).await
    }

    /// Opens those ops ports that were asked for.
    async fn serve_ops(&self, gate: &Gate) -> Result<()> {
        if self.settings.is_explicit("gate.ops_listen") {
            let listener = bind(&self.settings.gate.gate.ops_listen).await?;
            let readiness = gate.readiness().clone();
            ops::serve(listener, readiness, self.metrics.clone(), &self.gate_shutdown);
        }
        if self.settings.is_explicit("node.ops_listen") {
            let listener = bind(&self.settings.node.node.ops_listen).await?;
            // The node serves before the gate can be ready.
            ops::serve(
                listener,
                gate.readiness().clone(),
                self.metrics.clone(),
                &self.node_shutdown,
            );
        }
        Ok(())
    }

    /// Clients leave, then the node saves what objects hold.
    ///
    /// # Errors
    /// If some could not be saved.
    pub(crate) async fn stop(&mut self) -> Result<()> {
        for (name, shutdown) in [("gate", &self.gate_shutdown), ("node", &self.node_shutdown)] {
            if !shutdown.drain(GRACE).await {
                tracing::warn!("some tasks of the {name} did not end in time");
            }
        }
        match self.node.unsaved() {
            0 => Ok(()),
            unsaved => Err(anyhow::anyhow!("failed to save {unsaved} objects before the end"))?,
        }
    }
}

/// Serves the gate, and whoever else may.
fn listen(
    node: Node,
    listener: TcpListener,
    settings: &Settings,
    requested: CancellationToken,
) -> impl Future<Output = ()> + Send + use<> {
    let secret = settings.node.cluster.secret.as_ref().map(|secret| secret.expose().to_owned());
    async move {
        if let Err(error) = node.listen(listener, secret.as_deref(), requested).await {
            tracing::error!(error = format!("{error:#}"), "the node stopped listening");
        }
    }
}

async fn bind(address: &str) -> Result<TcpListener> {
    Ok(wasmverse_gate::bind(address).await?)
}

/// An address that is ours, but refuses connections for now.
async fn reserve(address: &str, key: &str) -> Result<TcpSocket> {
    let taken = || {
        let variable = format!("WASMVERSE_GATE__{}", key.to_ascii_uppercase());
        format!("failed to listen on {address} (choose another address with {variable})")
    };
    let found = tokio::net::lookup_host(address).await.with_context(taken)?.next();
    let found = found.with_context(taken)?;
    let socket = match found {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    socket.set_reuseaddr(true)?;
    socket.bind(found).with_context(taken)?;
    Ok(socket)
}
