//! Brings sends to their targets, as [`wasmverse_core::outbox`] decides: those that were just
//! committed, and those that an earlier owner of their senders left in the store.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use futures_util::{StreamExt as _, stream::FuturesUnordered};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use wasmverse_core::{
    Action, Call, CallError, Caller, Chain, ErrorKind, Invocation, ObjectId, Reply, ShardId,
    outbox::{Bounds, Outbox, Pending, Place, Tried},
};
use wasmverse_store::{
    self as store, Change, Commit, Effect, Expected, SendId, Shards, StoredSend,
};

use crate::{activation::reason, host::Host, saver::gauge};

/// A send that is tried has so long to have its turn.
const TIMEOUT: Duration = Duration::from_secs(30);
/// What waits in memory.
const BYTES_MAX: usize = 64 << 20;
/// Under way at once.
const UNDER_WAY_MAX: usize = 4096;
/// Sends that are read from the store at once.
const PAGE: u32 = 500;
/// Between two tries to ask the store.
const READ_PAUSE: Duration = Duration::from_millis(500);

/// The sends of the objects of this node that have yet to arrive.
pub(crate) struct Sends {
    outbox: Mutex<Outbox>,
    /// The store has to settle, and then to be read again.
    is_unsure: AtomicBool,
    changed: Notify,
}

impl Sends {
    pub(crate) fn new(tries_max: u32) -> Self {
        let bounds = Bounds { bytes_max: BYTES_MAX, under_way_max: UNDER_WAY_MAX, tries_max };
        let outbox = Mutex::new(Outbox::new(bounds));
        Self { outbox, is_unsure: AtomicBool::default(), changed: Notify::new() }
    }

    /// Sends were committed.
    pub(crate) fn committed(
        &self,
        sends: impl IntoIterator<Item = Pending>,
        is_ours: impl Fn() -> bool,
    ) {
        let mut outbox = self.outbox.lock();
        if !is_ours() {
            // The next owner of their sender reads them.
            return;
        }
        outbox.committed(sends);
        drop(outbox);
        self.changed.notify_one();
    }

    /// There are sends in the store that nobody here knows of.
    pub(crate) fn read_again(&self) {
        self.opening(|| ());
    }

    /// The same for senders that come to work here as `open` says: what they send from then on waits
    /// until all that they have sent before is read.
    pub(crate) fn opening(&self, open: impl FnOnce()) {
        let mut outbox = self.outbox.lock();
        outbox.read_again();
        open();
        drop(outbox);
        self.changed.notify_one();
    }

    /// Forgets what objects of other shards send.
    pub(crate) fn keep_only(&self, is_ours: impl Fn(ShardId) -> bool) {
        self.outbox.lock().keep_only(is_ours);
    }

    /// Nobody knows whether a commit of sends was done.
    pub(crate) fn doubt(&self) {
        self.is_unsure.store(true, Relaxed);
        self.changed.notify_one();
    }

    /// How many wait in memory, and whether there are others in the store.
    pub(crate) fn size(&self) -> (usize, bool) {
        self.outbox.lock().size()
    }
}

/// Brings sends to their targets until it is told to end: what is left then is left in the store.
pub(crate) async fn run(host: Arc<Host>, end: CancellationToken) {
    end.run_until_cancelled(deliver_all(host)).await;
}

async fn deliver_all(host: Arc<Host>) {
    let sends = &host.sends;
    let mut under_way = FuturesUnordered::new();
    let (mut reading, mut settling) = (FuturesUnordered::new(), FuturesUnordered::new());
    loop {
        if settling.is_empty() && sends.is_unsure.swap(false, Relaxed) {
            settling.push(host.settled());
        }
        let next_try = {
            let (mut outbox, now) = (sends.outbox.lock(), Instant::now());
            while let Some(send) = outbox.start(now) {
                under_way.push(deliver(&host, send));
            }
            if let Some(after) = outbox.next_page() {
                reading.push(read(&host, after));
            }
            outbox.next_try()
        };
        host.metrics.sends_pending.set(gauge(sends.size().0));
        tokio::select! {
            Some((send, tried)) = under_way.next() => {
                sends.outbox.lock().ended(&send, tried, Instant::now());
            }
            Some(page) = reading.next() => {
                let mut outbox = sends.outbox.lock();
                match page {
                    // Under the lock: what is another's by now is not put in after it was taken out.
                    Some(page) => outbox.page(page, |shard| host.owned.shards.is_open(shard)),
                    None => outbox.no_page(),
                }
            }
            Some(()) = settling.next() => sends.outbox.lock().read_again(),
            () = sends.changed.notified() => {}
            () = until(next_try) => {}
        }
    }
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

/// A page of what is in the store of the shards that are at work here, empty at its end; none: it
/// cannot be read now. A shard that opens meanwhile has all be read again.
async fn read(host: &Host, after: Option<Place>) -> Option<Vec<Pending>> {
    let mut from = after.as_ref().map_or(ShardId(0), |(shard, ..)| *shard);
    let after = after.map(|(shard, from, number)| SendId { shard, from, number });
    loop {
        let Some(run) = host.owned.shards.open_run(from) else { return Some(Vec::new()) };
        let next = run.end().0.checked_add(1).map(ShardId);
        let after = after.as_ref().filter(|after| run.contains(&after.shard));
        match (host.store.sends(run, after, PAGE).await, next) {
            (Ok(page), Some(next)) if page.is_empty() => from = next,
            (Ok(page), _) => return Some(page.into_iter().map(pending).collect()),
            (Err(error), _) => {
                tracing::warn!(%error, "failed to read the sends that wait");
                tokio::time::sleep(READ_PAUSE).await;
                return None;
            }
        }
    }
}

fn pending(stored: StoredSend) -> Pending {
    let StoredSend { id: SendId { shard, from, number }, send, .. } = stored;
    Pending { from, shard, number, to: send.to, method: send.method, payload: send.payload }
}

/// One try. Given up if it was tried often enough.
async fn deliver(host: &Arc<Host>, send: Pending) -> (Pending, Tried) {
    let error = match host.bring(call_of(&send)).await {
        // The target's own commit took it out of the outbox.
        Ok(Reply::Done) => return (send, Tried::Gone),
        // The target is not durable: it may have been run before, too.
        Ok(Reply::Payload(_) | Reply::Exists(_)) => {
            let tried = settle(host, &send, Effect::Arrived).await;
            return (send, tried);
        }
        Err(error) => error,
    };
    let tried = match error.kind() {
        _ if error.may_have_executed() => Tried::Unsure,
        // Its own failure, of one that is not durable.
        ErrorKind::Application => bury(host, &send, &error).await,
        // Nobody's fault, and it passes.
        ErrorKind::Unavailable => Tried::Unsure,
        _ if host.sends.outbox.lock().is_last_try(&send) => bury(host, &send, &error).await,
        _ => Tried::NotExecuted,
    };
    (send, tried)
}

/// The send becomes a dead letter.
async fn bury(host: &Host, send: &Pending, error: &CallError) -> Tried {
    let reason = reason(error);
    let tried = settle(host, send, |send| Effect::Dead { send, reason }).await;
    if tried == Tried::Gone {
        host.note_dead(&send.from, &send.to, error);
    }
    tried
}

/// What has become of a send, in a commit of its sender's.
async fn settle(host: &Host, send: &Pending, effect: impl FnOnce(SendId) -> Effect) -> Tried {
    let id = SendId { shard: send.shard, from: send.from.clone(), number: send.number };
    let commit = host.beside(send.from.clone(), send.shard, vec![effect(id)]);
    match host.write(commit).await {
        Ok(_) | Err(store::Error::Repeated(_)) => Tried::Gone,
        Err(error) => {
            tracing::debug!(from = %send.from, %error, "what became of a send was not stored");
            Tried::Unsure
        }
    }
}

fn call_of(send: &Pending) -> Call {
    Call {
        object: send.to.clone(),
        action: Action::Deliver(
            Invocation {
                method: Arc::clone(&send.method),
                payload: send.payload.clone(),
                key: None,
                read_only: false,
            },
            send.number,
        ),
        caller: Caller::Object(send.from.clone()),
        // Nobody waits.
        chain: Chain::default(),
        deadline: Instant::now() + TIMEOUT,
        traceparent: None,
    }
}

impl Host {
    /// A send has become a dead letter.
    pub(crate) fn note_dead(&self, from: &ObjectId, to: &ObjectId, error: &CallError) {
        self.metrics.dead_letters.increment(1);
        tracing::warn!(%from, %to, %error, "a send is a dead letter");
    }

    /// Waits until nothing is written any more of which nobody knows whether it was.
    pub(crate) async fn settled(&self) {
        while let Err(error) = self.store.settle().await {
            tracing::warn!(%error, "the store does not say what it has written");
            tokio::time::sleep(READ_PAUSE).await;
        }
    }

    /// The shards of this node.
    pub(crate) fn all_shards(&self) -> Shards {
        ShardId(0)..=ShardId(self.shards.get() - 1)
    }

    /// A commit that leaves the object's row alone.
    pub(crate) fn beside(&self, object: ObjectId, shard: ShardId, effects: Vec<Effect>) -> Commit {
        let (epoch, expected, change) = (self.epoch(shard), Expected::Any, Change::Nothing);
        Commit { object, shard, epoch, expected, change, storage: Vec::new(), effects }
    }
}
