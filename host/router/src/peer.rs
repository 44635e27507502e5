//! One peer: calls go into its queue, answers come back, or an error that says what is known.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use arc_swap::ArcSwapOption;
use futures_util::{FutureExt as _, future::BoxFuture};
use parking_lot::Mutex;
use tokio::{
    sync::{Semaphore, watch},
    time::timeout_at,
};
use wasmverse_core::{Action, Call, CallError, ErrorKind, NodeId, ObjectId, Reply};
use wasmverse_proto::{FRAME_BYTES_MAX, convert::call_to_frame};

use crate::{
    Audience, Control, RouterConfig, control,
    metrics::Metrics,
    outbox::{Outbox, Ticket},
    pushes::Taken,
};

type Answer = Result<Reply, CallError>;

/// The node that serves all shards, at whichever of the addresses it answers.
pub(crate) struct Peer {
    pub(crate) config: RouterConfig,
    pub(crate) bearer: control::Bearer,
    pub(crate) outbox: Arc<Outbox>,
    pub(crate) metrics: Arc<Metrics>,
    /// Who takes what the peer pushes.
    pub(crate) audience: Arc<dyn Audience>,
    /// Whom the link leads to; none while there is none.
    pub(crate) linked: watch::Sender<Option<Arc<Linked>>>,
    /// The same for readers in a hurry; kept while the link is lost.
    pub(crate) latest: ArcSwapOption<Linked>,
    /// The last push that was taken, and from which incarnation of the node.
    pub(crate) pushes: Mutex<Taken>,
    /// Why there is no link.
    pub(crate) trouble: ArcSwapOption<CallError>,
    /// A client of the first configured node, for the time before any has answered.
    first: Option<Control>,
    /// Bytes that may travel apart.
    pub(crate) large: Arc<Semaphore>,
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
    pub(crate) fn new(config: RouterConfig, audience: Arc<dyn Audience>) -> Self {
        let metrics = Arc::new(Metrics::new());
        let bytes = config.bounds.large_bytes_max.min(Semaphore::MAX_PERMITS);
        let bearer = control::Bearer::new(config.secret.as_deref());
        let first = config.nodes.first().and_then(|address| {
            let endpoint = control::endpoint(address, config.bounds.connect_timeout).ok()?;
            Some(control::client(endpoint.connect_lazy(), bearer.clone()))
        });
        Self {
            bearer,
            audience,
            first,
            outbox: Arc::new(Outbox::new(config.bounds.clone(), Arc::clone(&metrics))),
            metrics,
            linked: watch::Sender::new(None),
            latest: ArcSwapOption::empty(),
            pushes: Mutex::default(),
            trouble: ArcSwapOption::empty(),
            large: Arc::new(Semaphore::new(bytes)),
            config,
        }
    }

    /// A client of the peer's own service; none if no node is configured.
    pub(crate) fn control(&self) -> Option<Control> {
        match &*self.latest.load() {
            Some(linked) => Some(linked.control.clone()),
            None => self.first.clone(),
        }
    }

    /// Queues a call; its place is taken when this returns.
    pub(crate) fn call(self: &Arc<Self>, call: Call, shard: u32) -> BoxFuture<'static, Answer> {
        self.metrics.calls.increment(1);
        let size = size(&call);
        if size > FRAME_BYTES_MAX {
            return self.refuse(too_large(size), &call.object);
        }
        if size > self.config.bounds.large_payload_bytes {
            return self.call_apart(call, shard, size);
        }
        let (object, deadline) = (call.object.clone(), call.deadline);
        let frame = call_to_frame(0, shard, call, Instant::now());
        match self.outbox.call(frame, deadline) {
            Ok(ticket) => answer(ticket, object, deadline, Arc::clone(&self.metrics)).boxed(),
            Err(error) => self.refuse(error, &object),
        }
    }

    /// Queues a call that nobody waits for. However large, it keeps its place among the others.
    pub(crate) fn send(&self, call: Call, shard: u32) {
        self.metrics.sends.increment(1);
        let (object, deadline, size) = (call.object.clone(), call.deadline, size(&call));
        let queued = if size > FRAME_BYTES_MAX {
            Err(too_large(size))
        } else {
            self.outbox.send(call_to_frame(0, shard, call, Instant::now()), deadline)
        };
        if let Err(error) = queued {
            self.metrics.sends_lost.increment(1);
            tracing::debug!(%object, %error, "dropped a one-way call");
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

    fn refuse(&self, error: CallError, object: &ObjectId) -> BoxFuture<'static, Answer> {
        self.metrics.count(&error);
        std::future::ready(Err(error.about(object))).boxed()
    }
}

/// What a call takes on the wire, without its names.
fn size(call: &Call) -> usize {
    match &call.action {
        Action::Invoke(invocation) | Action::Deliver(invocation, _) => {
            invocation.payload.len()
                + invocation.method.len()
                + invocation.key.as_ref().map_or(0, |key| key.len())
        }
        Action::Create | Action::Delete | Action::Exists => 0,
        Action::ClientsGone(clients) => clients.iter().map(|client| client.len()).sum(),
    }
}

fn too_large(size: usize) -> CallError {
    let problem =
        format!("the call has {size} bytes: at most {FRAME_BYTES_MAX} pass between processes");
    CallError::new(ErrorKind::InvalidArgument, problem)
}

async fn answer(
    mut ticket: Ticket,
    object: ObjectId,
    deadline: Instant,
    metrics: Arc<Metrics>,
) -> Answer {
    let answered = match timeout_at(deadline.into(), &mut ticket.answer).await {
        Ok(Ok(answer)) => {
            ticket.settle();
            answer
        }
        Ok(Err(_)) => {
            ticket.settle();
            Err(CallError::new(ErrorKind::Unavailable, "the link was given up").maybe_executed())
        }
        Err(_) => {
            let written = ticket.abandon();
            Err(timeout(written))
        }
    };
    answered.map_err(|error| {
        metrics.count(&error);
        error.about(&object)
    })
}

/// The caller's own clock ran out.
pub(crate) fn timeout(written: bool) -> CallError {
    let error = CallError::new(ErrorKind::Timeout, "no answer came within the deadline");
    if written { error.maybe_executed() } else { error }
}
