//! The node as a member of a cluster: how it joins, the way to objects of others, how it leaves.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use futures_util::{FutureExt as _, future::BoxFuture};
use tokio::sync::watch;
use wasmverse_cluster::{Cluster, Coordination, Registration, Settings, Who};
use wasmverse_core::{
    Call, CallError, NodeId, Reply,
    cluster::{TargetKey, View},
};
use wasmverse_daemon::config::Placement;
use wasmverse_proto::PROTOCOL;
use wasmverse_router::{Callee, LinkBounds, Local, Role, Router, RouterConfig, WayBack};

use crate::{config::Config, deploy::everywhere, host::Host, node::Node, shards};

/// Beyond the drain limit, moving all shards away may take so long.
const LEAVE_LIMIT: Duration = Duration::from_secs(30);

/// Beyond the drain limit, links may take so long to end.
const LINKS_LIMIT: Duration = Duration::from_secs(5);

/// What a node that is in a cluster has.
pub(crate) struct Joined {
    pub(crate) cluster: Cluster,
    pub(crate) router: Router,
    /// The name of this process on its links.
    pub(crate) process: String,
    /// With fewer nodes it serves nothing.
    pub(crate) quorum: usize,
    /// How many shards are its own in some way.
    pub(crate) held: watch::Sender<usize>,
    /// Changes whenever shards have opened or closed here.
    pub(crate) opened: watch::Sender<()>,
}

impl Joined {
    /// The name of the present registration; empty: there is none.
    pub(crate) fn incarnation(&self) -> String {
        let registration = self.cluster.registration();
        let registration = registration.borrow();
        registration.as_ref().map(|it| it.incarnation.to_string()).unwrap_or_default()
    }

    /// Whether another node could take what this one has.
    fn has_heirs(&self, view: &View, me: &NodeId) -> bool {
        view.nodes.keys().any(|node| node != me && view.is_eligible(node))
    }
}

/// What a node tells of itself.
pub(crate) fn settings(config: &Config) -> anyhow::Result<Settings> {
    let cluster = &config.cluster;
    Ok(Settings {
        who: Who::Node {
            id: NodeId::new(config.node.id()),
            process: format!("{:016x}", rand::random::<u64>()),
            addresses: vec![config.node.advertised().to_owned()],
            weight: config.node.weight,
        },
        cluster: None,
        shards: wasmverse_core::ShardCount::new(cluster.shards).context("cluster.shards is 0")?,
        protocol: PROTOCOL,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        lease_ttl: cluster.lease_ttl,
        stability: cluster.stability,
        min_nodes: usize::try_from(cluster.min_nodes).unwrap_or(usize::MAX),
        moves_max: MOVES_MAX,
        by_load: cluster.placement == Placement::Load,
    })
}

fn has_gate(view: &View, address: &str) -> bool {
    view.gates.values().any(|gate| &*gate.address == address)
}

/// So many nodes must be there for this one to serve.
pub(crate) fn quorum(config: &Config) -> usize {
    match config.cluster.serve_below_quorum {
        true => 0,
        false => usize::try_from(config.cluster.min_nodes).unwrap_or(usize::MAX),
    }
}

/// Shards on their way from one living node to another at once.
const MOVES_MAX: usize = 256;

/// Calls for the objects of this very node.
struct Here(std::sync::Weak<Host>);

impl Callee for Here {
    fn call(&self, call: Call) -> BoxFuture<'static, Result<Reply, CallError>> {
        match self.0.upgrade() {
            Some(host) => host.call_untimed(call),
            None => std::future::ready(Err(crate::letter::stopping())).boxed(),
        }
    }

    fn send(&self, call: Call) {
        if let Some(host) = self.0.upgrade() {
            host.send(call);
        }
    }

    fn send_within(&self, call: Call, back: WayBack) {
        if let Some(host) = self.0.upgrade() {
            host.send_or(call, |call, refusal| back.send_again(call, refusal));
        }
    }
}

impl Node {
    /// Joins a cluster. The node is not seen by others before [`Node::register`].
    pub(crate) async fn join(
        &self,
        coordination: Arc<dyn Coordination>,
        (settings, quorum): (Settings, usize),
        secret: Option<String>,
    ) -> anyhow::Result<()> {
        let host = &self.0;
        let end = host.links_end.clone();
        let process = match &settings.who {
            Who::Node { process, .. } => process.clone(),
            Who::Gate { .. } => String::new(),
        };
        if settings.by_load {
            host.owned.shards.count_load();
        }
        let cluster = Cluster::join(coordination, settings, &host.links, end.clone()).await;
        let cluster = cluster.context("failed to join the cluster")?;
        let id = NodeId::new(self.id());
        let config = RouterConfig {
            secret,
            id: self.id().to_owned(),
            incarnation: format!("{:016x}", rand::random::<u64>()),
            address: host.config.advertised().to_owned(),
            shards: host.shards,
            bounds: LinkBounds::default(),
        };
        let local = Local { id, callee: Arc::new(Here(Arc::downgrade(host))) };
        let router =
            Router::new(config, cluster.view(), Some(local), None, Role::Node, &host.links, end);
        let (held, opened) = (watch::Sender::new(0), watch::Sender::default());
        let joined = Joined { cluster, router, process, quorum, held, opened };
        let views = joined.cluster.view();
        host.gates.ask(move |address| has_gate(&views.borrow(), address));
        if host.joined.set(joined).is_err() {
            anyhow::bail!("the node is in a cluster already");
        }
        Ok(())
    }

    /// From now on others see the node, and it is given shards.
    pub(crate) async fn register(&self) {
        let Some(joined) = self.0.joined() else { return };
        joined.cluster.register().await;
        let (host, end) = (&self.0, &self.0.writer_end);
        let driving = shards::run(
            Arc::clone(host),
            joined.cluster.clone(),
            (joined.held.clone(), joined.opened.clone()),
            end.clone(),
        );
        host.background.spawn(driving);
        if host.owned.shards.counts_load() {
            let telling = shards::tell_load(Arc::clone(host), joined.cluster.clone(), end.clone());
            host.background.spawn(telling);
        }
        let follows = everywhere::follow(Arc::clone(host), joined.cluster.view(), end.clone());
        host.background.spawn(follows);
    }

    /// Has all shards moved to other nodes, if there are any; calls go on meanwhile.
    pub(crate) async fn hand_over_all(&self) {
        let Some(joined) = self.0.joined() else { return };
        if let Err(error) = joined.cluster.mark_leaving().await {
            tracing::warn!(%error, "failed to tell that this node is leaving: it stops at once");
            return;
        }
        let (me, began) = (NodeId::new(self.id()), Instant::now());
        let (mut view, mut held) = (joined.cluster.view(), joined.held.subscribe());
        let moving = async {
            loop {
                let (has_heirs, is_target) = {
                    let view = view.borrow_and_update();
                    // What is on its way to this node is claimed, and moves on, before it goes.
                    let is_for_us = |target: &TargetKey| target.node == me;
                    let is_target = view
                        .shards()
                        .any(|shard| view.slot(shard).target.as_ref().is_some_and(is_for_us));
                    (joined.has_heirs(&view, &me), is_target)
                };
                if !has_heirs || (*held.borrow_and_update() == 0 && !is_target) {
                    return;
                }
                tokio::select! {
                    changed = view.changed() => if changed.is_err() { return },
                    changed = held.changed() => if changed.is_err() { return },
                }
            }
        };
        let limit = self.config().drain + LEAVE_LIMIT;
        match tokio::time::timeout(limit, moving).await {
            Ok(()) => tracing::info!(took = ?began.elapsed(), "all shards have moved"),
            Err(_) => tracing::warn!("some shards did not move in {limit:?}: stopping with them"),
        }
    }

    /// Ends what is between this node and the cluster: first the links, on which its last answers leave,
    /// then its registration, which is gone at once.
    pub(crate) async fn leave_cluster(&self) {
        if let Some(joined) = self.0.joined() {
            self.0.listening.close();
            let limit = self.config().drain + LINKS_LIMIT;
            if tokio::time::timeout(limit, self.0.listening.wait()).await.is_err() {
                tracing::warn!("some peers are linked still: leaving without a word to them");
            }
            joined.cluster.leave().await;
        }
        self.0.links_end.cancel();
        self.0.links.close();
        self.0.links.wait().await;
    }

    /// Under what others see it; none: it is no member of a cluster.
    pub fn registration(&self) -> Option<watch::Receiver<Option<Registration>>> {
        self.0.joined().map(|joined| joined.cluster.registration())
    }

    /// The name of this process on its links.
    pub(crate) fn process(&self) -> String {
        let alone = || format!("{:016x}", rand::random::<u64>());
        self.0.joined().map_or_else(alone, |joined| joined.process.clone())
    }

    /// The id of the cluster; empty: it is in none.
    pub(crate) fn cluster_id(&self) -> String {
        let id = |joined: &Joined| joined.cluster.view().borrow().cluster.to_string();
        self.0.joined().map(id).unwrap_or_default()
    }
}

impl Host {
    /// What it has as a member of a cluster; none: it is alone.
    pub(crate) fn joined(&self) -> Option<&Joined> {
        self.joined.get()
    }

    /// Brings a call to its object, wherever that is. The caller keeps the time.
    pub(crate) fn bring(
        self: &Arc<Self>,
        call: Call,
    ) -> BoxFuture<'static, Result<Reply, CallError>> {
        match self.joined() {
            Some(joined) => joined.router.call(call),
            None => self.call_untimed(call),
        }
    }

    /// Brings a call that nobody waits for to its object, wherever that is.
    pub(crate) fn bring_one_way(self: &Arc<Self>, call: Call) {
        match self.joined() {
            Some(joined) => joined.router.send(call),
            None => self.send(call),
        }
    }

    /// Whether a gate's registration is gone. Without a cluster nobody knows.
    pub(crate) fn is_gate_no_more(&self, address: &str) -> bool {
        self.joined().is_some_and(|joined| {
            let view = joined.cluster.view();
            let view = view.borrow();
            // Who is cut off itself knows of nobody else.
            joined.cluster.lease().is_held()
                && view.nodes.contains_key(&NodeId::new(self.config.id()))
                && !has_gate(&view, address)
        })
    }

    /// Whether this node runs all types as the view has them, or later.
    pub(crate) fn has_types_of(&self, view: &View) -> bool {
        view.types.iter().all(|(name, active)| self.types.version(name) >= active.version)
    }
}
