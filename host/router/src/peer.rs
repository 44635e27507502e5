//! One peer: a registration of a node, the queue of calls to it, what is known of the link.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use arc_swap::ArcSwapOption;
use parking_lot::Mutex;
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;
use wasmverse_core::{CallError, ErrorKind, NodeId, cluster::Member};

use crate::{
    Audience, Control, RouterConfig, control, metrics::Metrics, outbox::Outbox, pushes::Taken,
};

/// A node, as it is registered; or the one that serves all shards, at whichever of its addresses it
/// answers.
pub(crate) struct Peer {
    pub(crate) member: Arc<Member>,
    /// What the router is told at its start.
    pub(crate) terms: Arc<Terms>,
    pub(crate) outbox: Arc<Outbox>,
    /// Whom the link leads to; none while there is none, or while it takes no calls.
    pub(crate) linked: watch::Sender<Option<Arc<Linked>>>,
    /// The latest one; kept while the link is lost.
    pub(crate) latest: ArcSwapOption<Linked>,
    /// The last push that was taken, and from which incarnation of the node.
    pub(crate) pushes: Arc<Mutex<Taken>>,
    /// Why there is no link.
    pub(crate) trouble: ArcSwapOption<CallError>,
    /// Since when there is none, if there should be one.
    pub(crate) away_since: Mutex<Option<Instant>>,
    /// Its registration is gone.
    pub(crate) gone: CancellationToken,
    /// The view has shown that it leaves.
    pub(crate) is_leaving: AtomicBool,
    /// It has asked for no more calls, and answers the last ones.
    pub(crate) is_draining: AtomicBool,
    /// It has ended its link itself, with all calls answered and all pushes taken.
    pub(crate) is_drained: AtomicBool,
    /// Somebody keeps a link.
    pub(crate) is_kept: AtomicBool,
    /// A client of its first address, for the time before it has answered.
    first: Option<Control>,
    /// Bytes that may travel apart.
    pub(crate) large: Arc<Semaphore>,
}

/// What all peers of a router share.
pub(crate) struct Terms {
    pub(crate) config: RouterConfig,
    pub(crate) role: Role,
    /// No coordination: one node serves everything, for ever.
    pub(crate) is_static: bool,
    pub(crate) bearer: control::Bearer,
    pub(crate) metrics: Arc<Metrics>,
    /// Who takes what peers push.
    pub(crate) audience: Option<Arc<dyn Audience>>,
}

/// What the process of a router is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It has clients, and links up with every node: they push.
    Gate,
    /// It hosts objects, and links up with a node at the first call to it.
    Node,
}

impl Role {
    /// As peers are told: `gate`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Gate => "gate",
            Self::Node => "node",
        }
    }
}

/// A peer that has said hello.
pub(crate) struct Linked {
    pub(crate) node: NodeId,
    pub(crate) incarnation: String,
    pub(crate) address: String,
    pub(crate) cluster: String,
    /// On a connection of its own, so that nothing large stands in the way of the link.
    pub(crate) control: Control,
}

impl Peer {
    pub(crate) fn new(member: Arc<Member>, terms: Arc<Terms>, pushes: Arc<Mutex<Taken>>) -> Self {
        let bounds = &terms.config.bounds;
        let bytes = bounds.large_bytes_max.min(Semaphore::MAX_PERMITS);
        let first = member.addresses.first().and_then(|address| {
            let endpoint = control::endpoint(address, bounds.connect_timeout).ok()?;
            Some(control::client(endpoint.connect_lazy(), terms.bearer.clone()))
        });
        Self {
            outbox: Arc::new(Outbox::new(bounds.clone(), Arc::clone(&terms.metrics))),
            linked: watch::Sender::new(None),
            latest: ArcSwapOption::empty(),
            pushes,
            trouble: ArcSwapOption::empty(),
            away_since: Mutex::new(None),
            gone: CancellationToken::new(),
            is_leaving: AtomicBool::new(member.is_leaving),
            is_draining: AtomicBool::new(false),
            is_drained: AtomicBool::new(false),
            is_kept: AtomicBool::new(false),
            first,
            large: Arc::new(Semaphore::new(bytes)),
            member,
            terms,
        }
    }

    /// A client of the peer's own service; none if it has no address.
    pub(crate) fn control(&self) -> Option<Control> {
        match &*self.latest.load() {
            Some(linked) => Some(linked.control.clone()),
            None => self.first.clone(),
        }
    }

    /// Why there is no link, as those who wait for it are told.
    pub(crate) fn unreachable(&self) -> CallError {
        match &*self.trouble.load() {
            Some(error) => CallError::clone(error),
            None => CallError::new(ErrorKind::Unavailable, "no node was reached yet"),
        }
        .retry_after(Duration::from_secs(1))
    }

    /// Whether nothing was lost with it: it has left as it had said.
    pub(crate) fn has_left(&self) -> bool {
        self.is_leaving.load(Relaxed) && self.is_drained.load(Relaxed)
    }

    /// How long the link has been away, if there should be one.
    pub(crate) fn away_for(&self) -> Option<Duration> {
        self.away_since.lock().map(|since| since.elapsed())
    }
}
