//! The link to a peer: dialled, greeted, kept, and dialled again.
//!
//! The request stream takes frames straight from the outbox whenever the connection has room, so
//! whatever has gathered meanwhile goes as one batch.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_stream::Stream;
use tokio_util::sync::CancellationToken;
use tonic::{Status, Streaming};
use wasmverse_core::{CallError, ErrorKind, NodeId};
use wasmverse_proto::{
    PROTOCOL,
    convert::{frame_to_reply, status_to_error},
    node::{Frame, Frames, Hello, NotOwner, frame::Frame as Kind},
};

use crate::{
    control,
    outbox::Outbox,
    peer::{Linked, Peer},
};

const BACKOFF_MIN: Duration = Duration::from_millis(50);
const BACKOFF_MAX: Duration = Duration::from_secs(1);
/// How often those who wait for a link are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// At shutdown, what is queued has so long to reach the node.
const FAREWELL: Duration = Duration::from_secs(2);

/// Keeps the link until shutdown; then lets go what is queued, and answers all who still wait.
pub(crate) async fn keep(peer: Arc<Peer>, shutdown: CancellationToken) {
    let mut linking = std::pin::pin!(keep_linked(&peer));
    tokio::select! {
        () = &mut linking => {}
        () = shutdown.cancelled() => {}
    }
    peer.outbox.finish();
    let mut linked = peer.linked.subscribe();
    // The node ends the link once it has read all of it.
    tokio::select! {
        () = &mut linking => {}
        _ = linked.wait_for(Option::is_none) => {}
        () = tokio::time::sleep(FAREWELL) => {}
    }
    peer.linked.send_replace(None);
    peer.outbox.close();
}

async fn keep_linked(peer: &Peer) {
    let mut backoff = BACKOFF_MIN;
    let mut lost_at = Instant::now();
    loop {
        let began = Instant::now();
        let (lost, was_up) = match while_waiting(peer, lost_at, dial_any(peer)).await {
            Ok(link) => {
                let lost = follow(peer, link).await;
                lost_at = Instant::now();
                (lost, true)
            }
            Err(error) => (error, false),
        };
        peer.trouble.store(Some(Arc::new(lost.clone())));
        if was_up {
            tracing::warn!(error = %lost, "lost the link to the node");
        } else {
            peer.metrics.dials_failed.increment(1);
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
/// It begins with the loss of the link: who waits since before has waited for a node that stops.
async fn while_waiting<F: Future>(peer: &Peer, lost_at: Instant, doing: F) -> F::Output {
    let mut doing = std::pin::pin!(doing);
    let mut look = interval(LOOK_EVERY);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            done = &mut doing => return done,
            _ = look.tick() => {
                let since = Instant::now().checked_sub(peer.config.bounds.patience);
                if let Some(since) = since.filter(|since| *since >= lost_at) {
                    peer.outbox.expire(since, &peer.unreachable());
                }
            }
        }
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

async fn dial_any(peer: &Peer) -> Result<Link, CallError> {
    let mut trouble = String::new();
    for address in &peer.config.nodes {
        match dial(peer, address).await {
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

async fn dial(peer: &Peer, address: &str) -> Result<Link, String> {
    let patience = peer.config.bounds.connect_timeout;
    let endpoint = control::endpoint(address, patience).map_err(|error| cause(&error))?;
    let channel = endpoint.connect().await.map_err(|error| cause(&error))?;
    let number = peer.outbox.begin();
    let stream = Outbound { hello: Some(hello(peer)), number, outbox: Arc::clone(&peer.outbox) };
    let mut client = control::client(channel, peer.bearer.clone());
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
    check(peer, &theirs)?;
    let control = control::client(endpoint.connect_lazy(), peer.bearer.clone());
    let linked = Arc::new(Linked {
        node: NodeId::new(&theirs.id),
        incarnation: theirs.incarnation,
        address: address.into(),
        cluster: theirs.cluster,
        control,
    });
    Ok(Link { number, linked, inbound, first })
}

fn hello(peer: &Peer) -> Hello {
    let cluster = peer.latest.load().as_ref().map(|linked| linked.cluster.clone());
    let taken = peer.pushes.lock();
    Hello {
        protocol: PROTOCOL,
        id: peer.config.id.clone(),
        incarnation: peer.config.incarnation.clone(),
        cluster: cluster.unwrap_or_default(),
        role: "gate".into(),
        shards: peer.config.shards.get().into(),
        address: peer.config.address.clone(),
        pushes_from: taken.incarnation.clone(),
        pushes_seen: taken.id,
    }
}

fn check(peer: &Peer, theirs: &Hello) -> Result<(), String> {
    let ours = hello(peer);
    wasmverse_proto::convert::agree(&ours, theirs).map_err(|error| error.to_string())
}

/// Serves an open link until it is lost; why.
async fn follow(peer: &Peer, mut link: Link) -> CallError {
    let linked = Arc::clone(&link.linked);
    tracing::info!(node = %linked.node, address = linked.address, "linked to the node");
    peer.latest.store(Some(Arc::clone(&linked)));
    peer.linked.send_replace(Some(Arc::clone(&linked)));
    peer.metrics.links.increment(1.0);
    peer.outbox.open(link.number);
    peer.met(&linked.incarnation);
    let mut frames = std::mem::take(&mut link.first);
    let end = loop {
        take_in(peer, link.number, frames);
        match link.inbound.message().await {
            Ok(Some(batch)) => frames = batch.frames,
            Ok(None) => break "it ended the link".to_owned(),
            Err(status) => break refusal(&status),
        }
    };
    peer.metrics.links.decrement(1.0);
    peer.metrics.links_lost.increment(1);
    peer.linked.send_replace(None);
    let problem =
        format!("the link to the node {} at {} was lost: {end}", linked.node, linked.address);
    let error = CallError::new(ErrorKind::Unavailable, problem);
    peer.outbox.lose(link.number, &error);
    error
}

fn take_in(peer: &Peer, link: u64, frames: Vec<Frame>) {
    let mut answers = Vec::with_capacity(frames.len());
    let mut pushed = None;
    for frame in frames {
        match frame.frame {
            Some(Kind::Reply(reply)) => answers.push((reply.id, frame_to_reply(reply))),
            Some(Kind::NotOwner(refused)) => answers.push((refused.id, Err(elsewhere(&refused)))),
            Some(Kind::Push(push)) => pushed = peer.take_push(push).or(pushed),
            Some(Kind::NoMoreCalls(_)) => {
                tracing::info!("the node is about to stop: calls wait for the next one");
                peer.linked.send_replace(None);
                peer.outbox.hold(link);
            }
            // Nothing that a node sends to a gate yet, or nothing that we know.
            Some(Kind::Hello(_) | Kind::Call(_) | Kind::PushAck(_) | Kind::Cancel(_)) | None => {
                tracing::debug!("ignored a frame from the node");
            }
        }
    }
    if let Some(id) = pushed {
        peer.outbox.acknowledge(link, id);
    }
    if !answers.is_empty() {
        peer.outbox.settle(answers);
    }
}

fn elsewhere(refused: &NotOwner) -> CallError {
    let problem = format!("the node does not own shard {}", refused.shard);
    CallError::new(ErrorKind::Unavailable, problem)
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
