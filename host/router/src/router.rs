//! Where objects are, and the way there (span `router.call`).

use std::{fmt, sync::Arc};

use futures_util::{FutureExt as _, future::BoxFuture};
use tokio::sync::watch;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::Instrument as _;
use wasmverse_core::{Call, CallError, NodeId, ObjectId, Placement, Reply, ShardCount};

use crate::{
    Audience, Callee, Control, RouterConfig, Types, catalog, has_own_key, link, peer::Peer,
    until_answered,
};

/// Brings calls to their objects. Cheap to clone.
#[derive(Clone)]
pub struct Router(Arc<View>);

struct View {
    shards: ShardCount,
    way: Way,
}

enum Way {
    /// All objects are in this process.
    Local(Arc<dyn Callee>),
    /// All objects are at this peer.
    Remote { peer: Arc<Peer>, types: watch::Receiver<Option<Types>> },
}

impl Router {
    /// For a process that hosts every object itself.
    pub fn local(callee: Arc<dyn Callee>, shards: ShardCount) -> Self {
        Self(Arc::new(View { shards, way: Way::Local(callee) }))
    }

    /// For a process that hosts none: the first of the configured nodes that answers serves all
    /// objects, and what it pushes is for `audience`. Its link is kept until `shutdown`; the tasks that keep it belong to `tracker`.
    pub fn remote(
        config: RouterConfig,
        audience: Arc<dyn Audience>,
        tracker: &TaskTracker,
        shutdown: CancellationToken,
    ) -> Self {
        let shards = config.shards;
        let peer = Arc::new(Peer::new(config, audience));
        let (sender, types) = watch::channel(None);
        tracker.spawn(catalog::watch(Arc::clone(&peer), sender, shutdown.clone()));
        tracker.spawn(link::keep(Arc::clone(&peer), shutdown));
        Self(Arc::new(View { shards, way: Way::Remote { peer, types } }))
    }

    /// A client of the node's own service (types, objects, logs); none if this process is the node.
    pub fn control(&self) -> Option<Control> {
        match &self.0.way {
            Way::Local(_) => None,
            Way::Remote { peer, .. } => peer.control(),
        }
    }

    /// The active types, kept current; none until they are first known, and none for ever in the
    /// process that hosts them.
    pub fn types(&self) -> watch::Receiver<Option<Types>> {
        match &self.0.way {
            Way::Local(_) => watch::channel(None).1,
            Way::Remote { types, .. } => types.clone(),
        }
    }

    /// The node that serves all objects, while it is reached; none if this process is the node.
    pub fn linked(&self) -> Option<NodeId> {
        match &self.0.way {
            Way::Local(_) => None,
            Way::Remote { peer, .. } => {
                peer.linked.borrow().as_ref().map(|linked| linked.node.clone())
            }
        }
    }

    /// The shard of an object; 0 for one that is pinned to a node, which says itself whether it
    /// is the one.
    fn place(&self, object: &ObjectId) -> Result<u32, CallError> {
        match self.0.shards.place(object) {
            Ok(Placement::Shard(shard)) => Ok(shard.0.into()),
            Ok(Placement::Node(_)) => Ok(0),
            Err(error) => Err(CallError::from(error).about(object)),
        }
    }
}

impl View {
    /// Brings a call to its object, once.
    fn bring(&self, call: Call, shard: u32) -> BoxFuture<'static, Result<Reply, CallError>> {
        match &self.way {
            Way::Local(callee) => callee.call(call),
            Way::Remote { peer, .. } => peer.call(call, shard),
        }
    }
}

impl Callee for Router {
    fn call(&self, call: Call) -> BoxFuture<'static, Result<Reply, CallError>> {
        let shard = match self.place(&call.object) {
            Ok(shard) => shard,
            Err(error) => return std::future::ready(Err(error)).boxed(),
        };
        let span = tracing::debug_span!("router.call", object = %call.object, shard);
        let calling = span.in_scope(|| match has_own_key(&call) {
            true => {
                let view = Arc::clone(&self.0);
                until_answered(call, true, move |call| view.bring(call, shard))
            }
            false => self.0.bring(call, shard),
        });
        if span.is_disabled() { calling } else { calling.instrument(span).boxed() }
    }

    fn send(&self, call: Call) {
        match (self.place(&call.object), &self.0.way) {
            (Ok(_), Way::Local(callee)) => callee.send(call),
            (Ok(shard), Way::Remote { peer, .. }) => peer.send(call, shard),
            (Err(error), _) => {
                tracing::debug!(object = %call.object, %error, "dropped a one-way call");
            }
        }
    }
}

impl fmt::Debug for Router {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0.way {
            Way::Local(_) => f.write_str("Router(local)"),
            Way::Remote { peer, .. } => write!(f, "Router({})", peer.config.nodes.join(", ")),
        }
    }
}
