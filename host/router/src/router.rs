//! Where objects are, and the way there (span `router.call`).

use std::{
    fmt,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use futures_util::{FutureExt as _, future::BoxFuture};
use tokio::sync::watch;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::Instrument as _;
use wasmverse_core::{
    Call, CallError, Elsewhere, Epoch, NodeId, ObjectId, Placement, Reply, ShardCount,
    cluster::{Incarnation, Member, View},
};

use crate::{
    Audience, Bearer, Callee, Control, LinkBounds, Local, Role, RouterConfig, Types, catalog,
    has_own_key,
    hub::{Hub, follow},
    metrics::Metrics,
    peer::{Peer, Terms},
    routes::Way,
    until_answered,
};

/// A node that owns shards may be away for so long before that is worth a word.
const AWAY_MAX: Duration = Duration::from_secs(1);

/// Brings calls to their objects. Cheap to clone.
#[derive(Clone)]
pub struct Router {
    pub(crate) hub: Arc<Hub>,
    types: watch::Receiver<Option<Types>>,
}

impl Router {
    /// For a process of a cluster: calls go to whoever serves their shards, as `view` says. `local` is
    /// the node in this process, if there is one; what nodes push is for `audience`. Its links are kept
    /// until `shutdown`; the tasks that keep them belong to `tracker`.
    pub fn new(
        config: RouterConfig,
        view: watch::Receiver<Arc<View>>,
        local: Option<Local>,
        audience: Option<Arc<dyn Audience>>,
        role: Role,
        tracker: &TaskTracker,
        shutdown: CancellationToken,
    ) -> Self {
        let terms = terms(config, role, false, audience);
        Self::start(terms, view, local, tracker, shutdown)
    }

    /// For a gate without coordination: the first of these nodes (`HOST:PORT`) that answers serves all
    /// objects, and what it pushes is for `audience`.
    pub fn to(
        config: RouterConfig,
        nodes: Vec<String>,
        audience: Option<Arc<dyn Audience>>,
        tracker: &TaskTracker,
        shutdown: CancellationToken,
    ) -> Self {
        let node = lone(nodes);
        let view = Arc::new(View::of_one(config.shards, node));
        let terms = terms(config, Role::Gate, true, audience);
        Self::start(terms, watch::channel(view).1, None, tracker, shutdown)
    }

    /// For a process that hosts every object itself, for ever.
    pub fn local(callee: Arc<dyn Callee>, shards: ShardCount) -> Self {
        let config = RouterConfig {
            secret: None,
            id: String::new(),
            incarnation: String::new(),
            address: String::new(),
            shards,
            bounds: LinkBounds::default(),
        };
        let node = lone(Vec::new());
        let local = Local { id: node.id.clone(), callee };
        let view = watch::channel(Arc::new(View::of_one(shards, node))).1;
        let (tracker, shutdown) = (TaskTracker::new(), CancellationToken::new());
        let terms = terms(config, Role::Node, true, None);
        let hub = Hub::new(terms, Some(local), view, tracker, shutdown);
        Self { hub, types: watch::channel(None).1 }
    }

    fn start(
        terms: Terms,
        view: watch::Receiver<Arc<View>>,
        local: Option<Local>,
        tracker: &TaskTracker,
        shutdown: CancellationToken,
    ) -> Self {
        let role = terms.role;
        let hub = Hub::new(terms, local, view, tracker.clone(), shutdown.clone());
        let (sender, types) = watch::channel(None);
        if role == Role::Gate {
            tracker.spawn(catalog::watch(Arc::clone(&hub), sender, shutdown));
        }
        tracker.spawn(follow(Arc::clone(&hub)));
        Self { hub, types }
    }

    /// A client of a node's own service (types, objects, logs): of one that is linked, each in turn;
    /// none if no other node is known.
    pub fn control(&self) -> Option<Control> {
        let turn = self.hub.asked.fetch_add(1, Relaxed);
        {
            let links = self.hub.links.borrow();
            if !links.is_empty() {
                return Some(links[turn % links.len()].control.clone());
            }
        }
        let routes = self.hub.routes.load();
        let count = routes.peers.len().max(1);
        routes.peers.values().cycle().skip(turn % count).take(count).find_map(|peer| peer.control())
    }

    /// The same of this very node; none if it is not registered, or is in this process.
    pub fn control_of(&self, node: &NodeId) -> Option<Control> {
        self.hub.routes.load().peers.get(node)?.control()
    }

    /// The same of the node that serves an object now; none if nobody does, or if it is in this
    /// process.
    pub fn owner_control(&self, object: &ObjectId) -> Option<Control> {
        let routes = self.hub.routes.load();
        let way = match self.hub.place(object).ok()? {
            Placement::Shard(shard) => routes.way(shard),
            Placement::Node(address) => self.hub.way_to_node(&routes, address.as_str()),
        };
        match way {
            Way::To(peer, _) => peer.control(),
            Way::Here(_) | Way::Nobody => None,
        }
    }

    /// The same of all nodes that are linked.
    pub fn controls(&self) -> Vec<(NodeId, Control)> {
        let links = self.hub.links.borrow();
        links.iter().map(|linked| (linked.node.clone(), linked.control.clone())).collect()
    }

    /// The active types, kept current by a gate; none until they are first known.
    pub fn types(&self) -> watch::Receiver<Option<Types>> {
        self.types.clone()
    }

    /// Sends on a one-way call that this very process was taken to serve and does not: to an owner of a
    /// later epoch than the one in which it did, which may be nobody yet.
    pub fn send_elsewhere(&self, call: Call, refusal: Elsewhere) {
        let least = Epoch(refusal.epoch.0.saturating_add(1));
        self.hub.send_again(self.hub.next_number(), call, refusal.shard, least);
    }

    /// A node that is linked, as it calls itself.
    pub fn linked(&self) -> Option<NodeId> {
        self.hub.links.borrow().first().map(|linked| linked.node.clone())
    }

    /// All nodes that are linked.
    pub fn linked_all(&self) -> Vec<NodeId> {
        self.hub.links.borrow().iter().map(|linked| linked.node.clone()).collect()
    }

    /// The cluster, as this process sees it.
    pub fn view(&self) -> watch::Receiver<Arc<View>> {
        self.hub.view.clone()
    }

    /// Whether calls reach objects: some node is linked, and some that owns shards is, or has not been
    /// away for long. A single node that is away says nothing of this process: it may be the one that is
    /// cut off, and what it owns is soon another's if it is dead. Of a node's process: whether it
    /// reaches any that it calls.
    ///
    /// # Errors
    /// Says why nothing is reached.
    pub fn is_serving(&self) -> Result<(), String> {
        let routes = self.hub.routes.load();
        if self.hub.here.is_none() && self.hub.links.borrow().is_empty() {
            return Err("no node is reached".to_owned());
        }
        if self.hub.terms.is_static {
            let away = routes.peers.values().find(|peer| peer.away_for().is_some());
            return away.map_or(Ok(()), |peer| Err(unreached(peer)));
        }
        let is_away = |peer: &Peer| peer.away_for().is_some_and(|away_for| away_for >= AWAY_MAX);
        let owners = routes.view.shards().filter_map(|shard| routes.view.owner(shard));
        let mut away = None;
        for (owner, _) in owners {
            match routes.peers.get(&owner.id) {
                Some(peer) if is_away(peer) => away = Some(peer),
                // It is in this process, or near enough.
                Some(_) | None => return Ok(()),
            }
        }
        match away {
            Some(peer) => Err(unreached(peer)),
            None => Err(format!(
                "nobody serves any shard: {} nodes are there, and cluster.min_nodes says how many \
                 are waited for",
                routes.view.nodes.len()
            )),
        }
    }
}

fn unreached(peer: &Peer) -> String {
    let why = peer.unreachable();
    format!("the node {} owns shards and is not reached: {}", peer.member.id, why.message())
}

fn terms(
    config: RouterConfig,
    role: Role,
    is_static: bool,
    audience: Option<Arc<dyn Audience>>,
) -> Terms {
    let bearer = Bearer::new(config.secret.as_deref());
    let metrics = Arc::new(Metrics::new());
    Terms { config, role, is_static, bearer, metrics, audience }
}

/// A node that nothing is known of but its addresses.
fn lone(addresses: Vec<String>) -> Member {
    Member {
        id: NodeId::new(addresses.first().map_or("", String::as_str)),
        incarnation: Incarnation::new(""),
        process: "".into(),
        addresses: addresses.into(),
        weight: 1,
        is_leaving: false,
        version: "".into(),
        revision: 0,
    }
}

impl Callee for Router {
    fn call(&self, call: Call) -> BoxFuture<'static, Result<Reply, CallError>> {
        let placement = match self.hub.place(&call.object) {
            Ok(placement) => placement,
            Err(error) => return std::future::ready(Err(error)).boxed(),
        };
        let span = match &placement {
            Placement::Shard(shard) => {
                tracing::debug_span!("router.call", object = %call.object, shard = shard.0)
            }
            Placement::Node(_) => tracing::debug_span!("router.call", object = %call.object),
        };
        let calling = span.in_scope(|| match has_own_key(&call) {
            true => {
                let hub = Arc::clone(&self.hub);
                until_answered(call, true, move |call| hub.bring(call, &placement))
            }
            false => self.hub.bring(call, &placement),
        });
        if span.is_disabled() { calling } else { calling.instrument(span).boxed() }
    }

    fn send(&self, call: Call) {
        self.hub.send(call);
    }
}

impl fmt::Debug for Router {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let routes = self.hub.routes.load();
        let here = routes.here.iter().map(NodeId::as_str);
        let nodes: Vec<_> = here.chain(routes.peers.keys().map(NodeId::as_str)).collect();
        write!(f, "Router({})", nodes.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use wasmverse_core::{Action, Caller, Chain};

    use super::*;

    struct Echo;

    impl Callee for Echo {
        fn call(&self, call: Call) -> BoxFuture<'static, Result<Reply, CallError>> {
            assert_eq!(call.chain.began(), 0, "there is no view to begin with");
            std::future::ready(Ok(Reply::Exists(call.object.id() == "a"))).boxed()
        }

        fn send(&self, _call: Call) {}
    }

    fn call(id: &str) -> Call {
        Call {
            object: ObjectId::parse("T", id).unwrap(),
            action: Action::Exists,
            caller: Caller::Platform,
            chain: Chain::default(),
            deadline: Instant::now() + Duration::from_secs(30),
            traceparent: None,
        }
    }

    #[tokio::test]
    async fn a_process_that_hosts_all_answers_itself() {
        let router = Router::local(Arc::new(Echo), ShardCount::default());
        assert_eq!(router.call(call("a")).await, Ok(Reply::Exists(true)));
        assert_eq!(router.call(call("node#h:1/x")).await, Ok(Reply::Exists(false)));
        assert!(router.is_serving().is_ok() && router.control().is_none());
        assert!(router.owner_control(&call("a").object).is_none());
    }

    #[tokio::test]
    async fn one_that_reaches_no_node_says_so() {
        let config = RouterConfig {
            secret: None,
            id: "g".into(),
            incarnation: "1".into(),
            address: "g".into(),
            shards: ShardCount::default(),
            bounds: LinkBounds::default(),
        };
        let (tracker, end) = (TaskTracker::new(), CancellationToken::new());
        let nodes = vec!["127.0.0.1:1".to_owned()];
        let router = Router::to(config, nodes, None, &tracker, end.clone());
        assert_eq!((router.linked(), router.linked_all()), (None, Vec::new()));
        assert_eq!(router.is_serving(), Err("no node is reached".to_owned()));
        assert!(router.control().is_some(), "it may be there");
        assert!(router.owner_control(&call("a").object).is_some());
        let calling = router.call(call("a"));
        end.cancel();
        tracker.close();
        tracker.wait().await;
        assert!(!calling.await.unwrap_err().may_have_executed());
    }
}
