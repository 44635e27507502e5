//! A gate at work: its listeners, its way to a node, and the order in which it ends.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use fnv::FnvHashMap;
use tokio::net::{TcpListener, TcpSocket};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use wasmverse_core::{Action, Call, Caller, Chain, ObjectId, ShardCount};
use wasmverse_daemon::{Shutdown, ops::Readiness};
use wasmverse_router::{Callee as _, LinkBounds, Router, RouterConfig};

use crate::{
    access::{Access, Pages},
    budget::Budget,
    call::Desk,
    catalog::Catalog,
    config::{Config, GateConfig},
    control::Control,
    deadline::Timeouts,
    grpc, http,
    metrics::{Meter, Surface},
    serve::Server,
    sessions::{SessionBounds, Sessions},
};

/// How often the way to the node is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// How often sessions are looked through.
const SWEEP_MIN: Duration = Duration::from_millis(20);
const SWEEP_MAX: Duration = Duration::from_secs(1);
/// The word that a client is gone has so long to arrive.
const GONE_TIMEOUT: Duration = Duration::from_secs(30);

/// Connections that wait to be taken.
const BACKLOG: u32 = 1024;

/// Where a gate takes connections: bound before it starts.
#[derive(Debug)]
pub struct Listeners {
    /// HTTP.
    pub http: TcpListener,
    /// gRPC.
    pub grpc: TcpListener,
}

impl Listeners {
    /// Binds the configured addresses.
    ///
    /// # Errors
    /// If one of them cannot be had.
    pub async fn bind(config: &GateConfig) -> anyhow::Result<Self> {
        Ok(Self { http: bind(&config.http_listen).await?, grpc: bind(&config.grpc_listen).await? })
    }
}

/// Addresses that are taken, and refuse connections until the gate listens on them.
#[derive(Debug)]
pub struct Sockets {
    /// HTTP.
    pub http: TcpSocket,
    /// gRPC.
    pub grpc: TcpSocket,
}

/// Binds an address.
///
/// # Errors
/// If it cannot be had; the error names it.
pub async fn bind(address: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| format!("failed to listen on {address}"))
}

/// Where a gate is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// HTTP.
    pub http: SocketAddr,
    /// gRPC.
    pub grpc: SocketAddr,
}

/// A gate that serves.
#[derive(Debug)]
pub struct Gate {
    addresses: Addresses,
    readiness: Readiness,
}

impl Gate {
    /// Starts to serve. It ends with `shutdown`: no more connections then, requests under way are
    /// finished within `gate.drain_max`, and last the way to the node is given up.
    ///
    /// # Errors
    /// If the configuration makes no sense.
    #[expect(clippy::unused_async, reason = "later it joins a cluster here")]
    pub async fn start(
        config: Config,
        listeners: Listeners,
        shutdown: Shutdown,
    ) -> anyhow::Result<Self> {
        let addresses =
            Addresses { http: listeners.http.local_addr()?, grpc: listeners.grpc.local_addr()? };
        let closed = Closed::new(&config, addresses, &shutdown)?;
        Ok(closed.open(listeners))
    }

    /// The same, but nobody can connect before this gate knows the types: who gets in is served.
    ///
    /// # Errors
    /// If the configuration makes no sense, or an address cannot be listened on.
    pub async fn start_closed(
        config: Config,
        sockets: Sockets,
        shutdown: Shutdown,
    ) -> anyhow::Result<Self> {
        let Sockets { http, grpc } = sockets;
        let addresses = Addresses { http: http.local_addr()?, grpc: grpc.local_addr()? };
        let closed = Closed::new(&config, addresses, &shutdown)?;
        closed.desk.catalog.told().await;
        Ok(closed.open(Listeners { http: http.listen(BACKLOG)?, grpc: grpc.listen(BACKLOG)? }))
    }

    /// Where it is found.
    pub fn addresses(&self) -> Addresses {
        self.addresses
    }

    /// Whether it knows the types and reaches a node.
    pub fn readiness(&self) -> &Readiness {
        &self.readiness
    }
}

/// A gate that is at work, but takes no connections yet.
struct Closed {
    gate: Gate,
    desk: Arc<Desk>,
    http: (Server, axum::Router),
    grpc: (Server, grpc::Services),
    requests: TaskTracker,
}

impl Closed {
    fn new(config: &Config, addresses: Addresses, shutdown: &Shutdown) -> anyhow::Result<Self> {
        let (requests, links) = (TaskTracker::new(), CancellationToken::new());
        let killing = CancellationToken::new();
        let (desk, readiness) = desk(config, addresses, shutdown, links.clone())?;
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
        shutdown.spawn(watch(Arc::clone(&desk), readiness.clone(), health, shutdown.token()));
        shutdown.spawn(sweep(Arc::clone(&desk), shutdown.token()));
        let ending = Arc::clone(&desk);
        let drain_max = config.gate.drain_max;
        let (requested, under_way) = (shutdown.token(), requests.clone());
        shutdown.spawn(async move {
            requested.cancelled().await;
            under_way.close();
            if tokio::time::timeout(drain_max, under_way.wait()).await.is_err() {
                tracing::warn!(tasks = under_way.len(), "some requests did not end in time");
            }
            killing.cancel();
            tell_gone(&ending, ending.sessions.sweep(Instant::now(), true));
            links.cancel();
        });
        Ok(Self { gate: Gate { addresses, readiness }, desk, http, grpc, requests })
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

fn desk(
    config: &Config,
    addresses: Addresses,
    shutdown: &Shutdown,
    links: CancellationToken,
) -> anyhow::Result<(Arc<Desk>, Readiness)> {
    let gate = &config.gate;
    let shards =
        ShardCount::new(config.cluster.shards).context("failed to read `cluster.shards`")?;
    let address = advertised(gate, addresses);
    let router = RouterConfig {
        nodes: gate.nodes.clone(),
        secret: config.cluster.secret.as_ref().map(|secret| secret.expose().to_owned()),
        id: gate.id().to_owned(),
        incarnation: incarnation(),
        address: address.clone(),
        shards,
        bounds: LinkBounds::default(),
    };
    let sessions = Sessions::new(
        address,
        SessionBounds {
            sessions_max: gate.sessions_max,
            buffer_length: gate.session_buffer_length.max(1),
            bytes_max: gate.session_bytes_max,
            window: gate.session_window,
            heartbeat: gate.session_heartbeat,
        },
    );
    let router = Router::remote(router, sessions.clone(), shutdown.tracker(), links);
    let readiness = Readiness::new();
    let catalog = Catalog::follow(router.types(), shutdown);
    sessions.bind(catalog.clone());
    let desk = Desk {
        control: Control::new(router.clone(), gate.upload_bytes_max),
        catalog,
        access: access(config, addresses)?,
        pages: Pages::new(&gate.cors_origins),
        budget: Budget::new(gate.held_bytes_max),
        meter: Meter::new(),
        timeouts: Timeouts { default: gate.default_timeout, max: gate.timeout_max },
        body_bytes_max: gate.body_bytes_max,
        static_dir: gate.static_dir.as_ref().map(Into::into),
        ending: shutdown.token(),
        sessions,
        router,
    };
    Ok((Arc::new(desk), readiness))
}

/// The ops port counts, too: whoever opens one port to the world has a world around.
fn access(config: &Config, addresses: Addresses) -> anyhow::Result<Access> {
    use std::net::ToSocketAddrs as _;
    let ops = &config.gate.ops_listen;
    let ops = ops.to_socket_addrs().with_context(|| format!("failed to read `{ops}`"))?;
    let listeners: Vec<_> = [addresses.http, addresses.grpc].into_iter().chain(ops).collect();
    Ok(Access::new(&listeners, config.admin.token.clone()))
}

/// Where others reach this gate; where the configuration leaves the port open, the one that it got.
fn advertised(gate: &GateConfig, addresses: Addresses) -> String {
    match (&gate.advertise, gate.grpc_listen.rsplit_once(':')) {
        (None, Some((host, "0"))) => format!("{host}:{}", addresses.grpc.port()),
        _ => gate.advertised().to_owned(),
    }
}

/// Differs each time a process starts.
fn incarnation() -> String {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    format!("{:x}-{:x}", since.unwrap_or_default().as_nanos(), std::process::id())
}

/// Ends the sessions whose clients do not come back.
async fn sweep(desk: Arc<Desk>, requested: CancellationToken) {
    let every = (desk.sessions.bounds.window / 4).clamp(SWEEP_MIN, SWEEP_MAX);
    let mut ticks = tokio::time::interval(every);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while requested.run_until_cancelled(ticks.tick()).await.is_some() {
        tell_gone(&desk, desk.sessions.sweep(Instant::now(), false));
    }
}

/// Tells objects that clients who called them are gone.
fn tell_gone(desk: &Desk, gone: Vec<(ObjectId, Arc<str>)>) {
    let mut by_object: FnvHashMap<ObjectId, Vec<Arc<str>>> = FnvHashMap::default();
    for (object, client) in gone {
        by_object.entry(object).or_default().push(client);
    }
    for (object, clients) in by_object {
        desk.router.send(Call {
            object,
            action: Action::ClientsGone(clients),
            caller: Caller::Platform,
            chain: Chain::default(),
            deadline: Instant::now() + GONE_TIMEOUT,
            traceparent: None,
        });
    }
}

/// Keeps telling whether the gate is ready.
async fn watch(
    desk: Arc<Desk>,
    readiness: Readiness,
    health: grpc::Health,
    requested: CancellationToken,
) {
    let mut ticks = tokio::time::interval(LOOK_EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while requested.run_until_cancelled(ticks.tick()).await.is_some() {
        let linked = desk.router.linked().ok_or_else(|| "no node is reached".to_owned());
        let known = desk.catalog.known().map_err(|error| error.message().to_owned());
        let state = linked.and(known.map(drop));
        health.set(state.is_ok()).await;
        readiness.set("gate", state);
    }
    health.set(false).await;
}
