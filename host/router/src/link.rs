//! The link to a peer: dialled, greeted, kept, and dialled again.
//!
//! The request stream takes frames straight from the outbox whenever the connection has room, so
//! whatever has gathered meanwhile goes as one batch.

use std::{
    pin::Pin,
    sync::{Arc, atomic::Ordering::Relaxed},
    task::{Context, Poll},
    time::{Duration, Instant},
};

use metrics::Gauge;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_stream::Stream;
use tokio_util::sync::CancellationToken;
use tonic::{Status, Streaming};
use wasmverse_core::{CallError, ErrorKind, NodeId};
use wasmverse_proto::{
    PROTOCOL,
    convert::{frame_to_elsewhere, frame_to_reply, status_to_error},
    node::{Frame, Frames, Hello, frame::Frame as Kind},
};

use crate::{
    control,
    hub::Hub,
    letter::Settled,
    outbox::Outbox,
    peer::{Linked, Peer, Terms},
};

const BACKOFF_MIN: Duration = Duration::from_millis(50);
const BACKOFF_MAX: Duration = Duration::from_secs(1);
/// How often those who wait for a link are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// At shutdown, what is queued has so long to reach the node.
const FAREWELL: Duration = Duration::from_secs(2);
/// A node whose registration is gone, but that still answers calls, has so long to end.
const LAST_ANSWERS: Duration = Duration::from_secs(10);

/// Keeps the link until the peer is gone, or until shutdown; then lets go what is queued, and answers
/// all who still wait.
pub(crate) async fn keep(hub: Arc<Hub>, peer: Arc<Peer>, shutdown: CancellationToken) {
    let mut linking = std::pin::pin!(keep_linked(&hub, &peer));
    let mut is_over = tokio::select! {
        () = &mut linking => true,
        () = peer.gone.cancelled() => false,
        () = shutdown.cancelled() => false,
    };
    let drains = peer.gone.is_cancelled() && peer.is_draining.load(Relaxed);
    if drains && !is_over {
        // It answers its last calls, and then ends the link.
        tokio::select! {
            () = &mut linking => is_over = true,
            () = shutdown.cancelled() => {}
            () = tokio::time::sleep(LAST_ANSWERS) => {}
        }
    }
    if !peer.gone.is_cancelled() {
        peer.outbox.finish();
        let mut linked = peer.linked.subscribe();
        // The node ends the link once it has read all of it.
        tokio::select! {
            () = &mut linking, if !is_over => {}
            _ = linked.wait_for(Option::is_none) => {}
            () = tokio::time::sleep(FAREWELL) => {}
        }
    }
    hub.unlinked(&peer);
    peer.outbox.close();
    if drains && !shutdown.is_cancelled() {
        peer.parted();
    }
}

async fn keep_linked(hub: &Arc<Hub>, peer: &Peer) {
    let mut backoff = BACKOFF_MIN;
    let mut lost_at = Instant::now();
    loop {
        let began = Instant::now();
        let (lost, was_up) = match while_waiting(peer, lost_at, dial_any(hub, peer)).await {
            Ok(link) => {
                let lost = follow(hub, peer, link).await;
                lost_at = Instant::now();
                (lost, true)
            }
            Err(error) => (error, false),
        };
        peer.trouble.store(Some(Arc::new(lost.clone())));
        if peer.gone.is_cancelled() {
            return;
        }
        if was_up {
            tracing::warn!(error = %lost, "lost the link to the node");
        } else {
            peer.terms.metrics.dials_failed.increment(1);
            tracing::debug!(error = %lost, "failed to reach a node");
        }
        if was_up {
            // It was there: it may soon be there again. A peer that drops each link at once is still
            // dialled with pauses.
            backoff = BACKOFF_MIN;
            if began.elapsed() > BACKOFF_MAX {
                continue;
            }
        }
        let jitter = 0.5 + rand::random::<f64>() / 2.0;
        while_waiting(peer, lost_at, tokio::time::sleep(backoff.mul_f64(jitter))).await;
        backoff = (backoff * 2).min(BACKOFF_MAX);
    }
}

/// Does something that takes time while there is no link, and answers those whose patience ends.
/// It begins with the loss of the link: who waits since before has waited for a node that stops. In
/// a cluster calls wait until their deadlines: the view says when they are to go elsewhere.
async fn while_waiting<F: Future>(peer: &Peer, lost_at: Instant, doing: F) -> F::Output {
    let mut doing = std::pin::pin!(doing);
    let mut look = interval(LOOK_EVERY);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            done = &mut doing => return done,
            _ = look.tick() => look_after_waiting(peer, lost_at),
        }
    }
}

fn look_after_waiting(peer: &Peer, lost_at: Instant) {
    let now = Instant::now();
    if !peer.terms.is_static {
        return peer.outbox.sweep(now);
    }
    let since = now.checked_sub(peer.terms.config.bounds.patience);
    if let Some(since) = since.filter(|since| *since >= lost_at) {
        peer.outbox.expire(since, &peer.unreachable());
    }
}

/// A link whose peer has said hello.
struct Link {
    number: u64,
    linked: Arc<Linked>,
    inbound: Streaming<Frames>,
    /// What came along with the hello.
    first: Vec<Frame>,
}

async fn dial_any(hub: &Arc<Hub>, peer: &Peer) -> Result<Link, CallError> {
    let mut trouble = String::new();
    for address in &*peer.member.addresses {
        match dial(hub, peer, address).await {
            Ok(link) => return Ok(link),
            Err(problem) => {
                let and = if trouble.is_empty() { "" } else { "; " };
                trouble.push_str(&format!("{and}failed to reach the node at {address}: {problem}"));
            }
        }
    }
    if trouble.is_empty() {
        trouble.push_str("no node is configured");
    }
    Err(CallError::new(ErrorKind::Unavailable, trouble))
}

async fn dial(hub: &Arc<Hub>, peer: &Peer, address: &str) -> Result<Link, String> {
    let patience = peer.terms.config.bounds.connect_timeout;
    let bearer = &peer.terms.bearer;
    let endpoint = control::endpoint(address, patience).map_err(|error| cause(&error))?;
    let channel = endpoint.connect().await.map_err(|error| cause(&error))?;
    let number = peer.outbox.begin();
    let ours = hello(hub, peer);
    let outbox = Arc::clone(&peer.outbox);
    let stream = Outbound { hello: Some(ours.clone()), number, outbox };
    let mut client = control::client(channel, bearer.clone());
    let greeting = async {
        let mut inbound = client.link(stream).await?.into_inner();
        let first = inbound.message().await?;
        Ok::<_, Status>((inbound, first.unwrap_or_default().frames))
    };
    let (inbound, mut first) = timeout(patience, greeting)
        .await
        .map_err(|_| format!("it did not say hello within {patience:?}"))?
        .map_err(|status| refusal(&status))?;
    let greeted = (!first.is_empty()).then(|| first.remove(0).frame).flatten();
    let Some(Kind::Hello(theirs)) = greeted else {
        return Err("it did not say hello".into());
    };
    check(peer, &ours, &theirs)?;
    let control = control::client(endpoint.connect_lazy(), bearer.clone());
    let linked = Arc::new(Linked {
        node: NodeId::new(&theirs.id),
        incarnation: theirs.incarnation,
        address: address.into(),
        cluster: theirs.cluster,
        control,
    });
    Ok(Link { number, linked, inbound, first })
}

fn hello(hub: &Hub, peer: &Peer) -> Hello {
    let Terms { config, role, .. } = &*peer.terms;
    let known = hub.routes.load().view.cluster.to_string();
    let cluster = match &*peer.latest.load() {
        Some(linked) if known.is_empty() => linked.cluster.clone(),
        _ => known,
    };
    let taken = peer.pushes.lock();
    Hello {
        protocol: PROTOCOL,
        id: config.id.clone(),
        incarnation: config.incarnation.clone(),
        cluster,
        role: role.as_str().into(),
        shards: config.shards.get().into(),
        address: config.address.clone(),
        pushes_from: taken.incarnation.clone(),
        pushes_seen: taken.id,
    }
}

fn check(peer: &Peer, ours: &Hello, theirs: &Hello) -> Result<(), String> {
    wasmverse_proto::convert::agree(ours, theirs).map_err(|error| error.to_string())?;
    if !peer.terms.is_static && theirs.id != peer.member.id.as_str() {
        return Err(format!("{} answers there", theirs.id));
    }
    // Started again, and not registered as far as we know: what it were given before it is would be
    // lost with the registration that we know.
    if !peer.member.process.is_empty() && theirs.incarnation != *peer.member.process {
        return Err("another process answers there, under the same name".to_owned());
    }
    Ok(())
}

/// Counts a link while it is up.
struct Up<'a>(&'a Gauge);

impl<'a> Up<'a> {
    fn new(links: &'a Gauge) -> Self {
        links.increment(1.0);
        Self(links)
    }
}

impl Drop for Up<'_> {
    fn drop(&mut self) {
        self.0.decrement(1.0);
    }
}

/// Serves an open link until it is lost; why.
async fn follow(hub: &Arc<Hub>, peer: &Peer, mut link: Link) -> CallError {
    let linked = Arc::clone(&link.linked);
    tracing::info!(node = %linked.node, address = linked.address, "linked to the node");
    let metrics = &peer.terms.metrics;
    let up = Up::new(&metrics.links);
    peer.is_draining.store(false, Relaxed);
    peer.is_drained.store(false, Relaxed);
    hub.linked(peer, &linked);
    peer.outbox.open(link.number);
    peer.met(&linked.incarnation);
    let mut frames = std::mem::take(&mut link.first);
    let end = loop {
        take_in(hub, peer, link.number, frames);
        match link.inbound.message().await {
            Ok(Some(batch)) => frames = batch.frames,
            Ok(None) => {
                peer.is_drained.store(peer.is_draining.load(Relaxed), Relaxed);
                break "it ended the link".to_owned();
            }
            Err(status) => break refusal(&status),
        }
    };
    drop(up);
    metrics.links_lost.increment(1);
    hub.unlinked(peer);
    let problem =
        format!("the link to the node {} at {} was lost: {end}", linked.node, linked.address);
    let error = CallError::new(ErrorKind::Unavailable, problem);
    let fences = peer.outbox.lose(link.number, &error);
    hub.came_back(Settled { fences, ..Settled::default() });
    error
}

/// Takes in what a peer has sent.
pub(crate) fn take_in(hub: &Arc<Hub>, peer: &Peer, link: u64, frames: Vec<Frame>) {
    let mut answers = Vec::with_capacity(frames.len());
    let (mut pushed, mut asked) = (None, false);
    for frame in frames {
        match frame.frame {
            Some(Kind::Reply(reply)) => answers.push((reply.id, frame_to_reply(reply))),
            Some(Kind::NotOwner(refused)) => {
                answers.push((refused.id, Err(frame_to_elsewhere(&refused))));
            }
            Some(Kind::Push(push)) => pushed = peer.take_push(hub, push).or(pushed),
            Some(Kind::NoMoreCalls(_)) => asked = true,
            // Nothing that a node sends to whom it serves, or nothing that we know.
            Some(
                Kind::Hello(_)
                | Kind::Call(_)
                | Kind::PushAck(_)
                | Kind::Cancel(_)
                | Kind::Fence(_),
            )
            | None => {
                tracing::debug!("ignored a frame from the node");
            }
        }
    }
    if let Some(id) = pushed {
        peer.outbox.acknowledge(link, id);
    }
    if !answers.is_empty() {
        hub.came_back(peer.outbox.settle(answers));
    }
    if asked {
        tracing::info!(node = %peer.member.id, "the node is about to stop: calls wait");
        peer.is_draining.store(true, Relaxed);
        hub.unlinked(peer);
        hub.withdrawn(peer.outbox.hold(link));
    }
}

/// What the peer says of its refusal.
fn refusal(status: &Status) -> String {
    let error = status_to_error(status);
    match error.kind() {
        ErrorKind::Unauthenticated => {
            format!("it refused our `cluster.secret`: {}", error.message())
        }
        _ => error.message().into(),
    }
}

/// The innermost reason: the outer ones say no more than "transport error".
fn cause(error: &dyn std::error::Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

/// What we say on a link: hello, then whatever is queued.
struct Outbound {
    hello: Option<Hello>,
    number: u64,
    outbox: Arc<Outbox>,
}

impl Stream for Outbound {
    type Item = Frames;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Frames>> {
        if let Some(hello) = self.hello.take() {
            let frame = Frame { frame: Some(Kind::Hello(hello)) };
            return Poll::Ready(Some(Frames { frames: vec![frame] }));
        }
        self.outbox.poll_take(self.number, cx)
    }
}
