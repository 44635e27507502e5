//! The gates that are linked up, and the pushes on their way to each: in order, bounded, and kept
//! until the gate has taken them, so that a lost link neither loses nor doubles any.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use fnv::{FnvHashMap, FnvHashSet};
use parking_lot::Mutex;
use tokio::sync::Notify;
use wasmverse_core::{ObjectId, Push, PushTo};
use wasmverse_proto::{convert::object_to_ref, node::PushFrame};

/// What may wait for one gate: frames, and bytes.
const FRAMES_MAX: usize = 65_536;
const BYTES_MAX: usize = 64 << 20;
/// The ids of clients that one frame carries, in bytes. If more than these lost something, all
/// clients of the gate are told.
const IDS_BYTES_MAX: usize = 256 << 10;
/// Gates that nobody has seen yet, but that may be about to come.
const UNSEEN_MAX: usize = 64;
/// About what a frame holds beside payload and ids.
const FRAME_BYTES: usize = 128;

/// A gate, and the last push that it is to take.
pub(crate) type Mark = (Arc<str>, u64);

/// Clients that are not there (any more), and the object that pushed to them.
pub(crate) type Gone = (ObjectId, Vec<Arc<str>>);

/// The gates of this node's clients.
pub(crate) struct Gates {
    state: Mutex<FnvHashMap<Arc<str>, Gate>>,
    /// A gate has taken something, or is gone.
    taken: Notify,
    began: Instant,
    /// How long pushes wait for a gate that is away.
    window: Duration,
    /// There is a cluster that knows which gates there are.
    asks: AtomicBool,
}

/// When a gate is given up.
#[derive(Clone, Copy)]
struct Patience {
    window: Duration,
    asks: bool,
}

struct Gate {
    incarnation: String,
    /// What is not acknowledged yet, the earliest first.
    frames: VecDeque<Queued>,
    /// So many of them are written to the link.
    written: usize,
    bytes: usize,
    last_id: u64,
    /// Counts links: only the latest counts.
    link: u64,
    /// Since when it is away; none: it is linked.
    away_since: Option<Instant>,
    /// Since when it is known to be in the cluster no more.
    absent_since: Option<Instant>,
    waker: Option<Waker>,
    lost: Option<Lost>,
}

struct Queued {
    frame: Arc<PushFrame>,
    bytes: usize,
    /// None: it tells of a loss.
    from: Option<ObjectId>,
}

/// Who must be told of pushes that were dropped.
enum Lost {
    /// And what their ids hold, in bytes.
    Clients(FnvHashSet<String>, usize),
    Everyone,
}

/// One link from a gate.
pub(crate) struct Line {
    gates: Arc<Gates>,
    address: Arc<str>,
    link: u64,
}

impl Gates {
    pub(crate) fn new(window: Duration) -> Arc<Self> {
        let (state, taken) = (Mutex::default(), Notify::new());
        Arc::new(Self { state, taken, began: Instant::now(), window, asks: AtomicBool::new(false) })
    }

    /// Queues a push for the gates of its clients. How many pushes were dropped, and the clients
    /// that have no gate.
    pub(crate) fn push(&self, from: &ObjectId, push: &Push) -> (usize, Vec<Arc<str>>) {
        let now = Instant::now();
        let mut gone = Vec::new();
        // Nobody waits for the lock while ids are sorted and copied.
        let sorted: Vec<_> = match &push.to {
            PushTo::Everyone => Vec::new(),
            PushTo::Clients(clients) => {
                let gates = by_gate(clients, &mut gone).into_iter();
                gates.map(|(address, clients)| (address, in_pieces(&clients), clients)).collect()
            }
        };
        let (mut dropped, mut wakers) = (0, Vec::new());
        let mut state = self.state.lock();
        if push.to == PushTo::Everyone {
            for gate in state.values_mut() {
                dropped += usize::from(!gate.queue(from, push, Vec::new()));
                wakers.extend(gate.waker.take());
            }
        }
        for (address, pieces, clients) in sorted {
            let Some(gate) = self.find(&mut state, address, now) else {
                gone.extend(clients.into_iter().map(Arc::clone));
                continue;
            };
            for clients in pieces {
                dropped += usize::from(!gate.queue(from, push, clients));
            }
            wakers.extend(gate.waker.take());
        }
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
        (dropped, gone)
    }

    /// A gate has linked up, and has taken all pushes up to `seen`; none: it never was linked to
    /// this incarnation of the node.
    pub(crate) fn attach(
        self: &Arc<Self>,
        address: &str,
        incarnation: &str,
        seen: Option<u64>,
    ) -> Line {
        let now = Instant::now();
        let mut state = self.state.lock();
        let address: Arc<str> = address.into();
        let gate = state.entry(Arc::clone(&address)).or_insert_with(Gate::new);
        if gate.incarnation == incarnation {
            gate.acknowledge(seen.unwrap_or_default());
            if gate.is_over(now, self.patience()) {
                // Nothing was kept for it any more, and its clients were called gone.
                gate.lost = Some(Lost::Everyone);
            }
        } else {
            // What was meant for all clients was meant for those of the gate before.
            gate.frames.retain(|queued| !queued.frame.clients.is_empty());
            gate.bytes = gate.frames.iter().map(|queued| queued.bytes).sum();
            gate.incarnation = incarnation.into();
            if let Some(seen) = seen {
                // It was given up on, with what was pushed to it meanwhile. It takes no id twice.
                gate.last_id = gate.last_id.max(seen);
                gate.lost = Some(Lost::Everyone);
            }
        }
        gate.written = 0;
        gate.link += 1;
        (gate.away_since, gate.absent_since) = (None, None);
        let (link, waker) = (gate.link, gate.waker.take());
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
        Line { gates: Arc::clone(self), address, link }
    }

    /// What every gate that is linked has yet to take, up to the latest push.
    pub(crate) fn marks(&self) -> Vec<Mark> {
        let state = self.state.lock();
        let owing = state.iter().filter(|(_, gate)| gate.away_since.is_none());
        let owing = owing.filter(|(_, gate)| !gate.frames.is_empty());
        owing.map(|(address, gate)| (Arc::clone(address), gate.last_id)).collect()
    }

    /// Waits until all of these are taken, or their gates are away.
    pub(crate) async fn until_acknowledged(&self, marks: Vec<Mark>) {
        for (address, last) in marks {
            loop {
                let mut taken = std::pin::pin!(self.taken.notified());
                taken.as_mut().enable();
                let is_owing = {
                    let state = self.state.lock();
                    let gate = state.get(&address).filter(|gate| gate.away_since.is_none());
                    let first = gate.and_then(|gate| gate.frames.front());
                    first.is_some_and(|queued| queued.frame.id <= last)
                };
                if !is_owing {
                    break;
                }
                taken.await;
            }
        }
    }

    /// From now on it is asked whether a gate that is away is in the cluster still.
    pub(crate) fn ask(&self) {
        self.asks.store(true, Relaxed);
    }

    fn patience(&self) -> Patience {
        Patience { window: self.window, asks: self.asks.load(Relaxed) }
    }

    /// Gives up on the gates that stayed away for too long: their clients are gone. Their addresses,
    /// and who pushed in vain.
    pub(crate) fn sweep(
        &self,
        now: Instant,
        is_no_more: impl Fn(&str) -> bool,
    ) -> (Vec<Arc<str>>, Vec<Gone>) {
        let patience = self.patience();
        let mut state = self.state.lock();
        for (address, gate) in state.iter_mut().filter(|(_, gate)| gate.away_since.is_some()) {
            let since = gate.absent_since.unwrap_or(now);
            gate.absent_since = is_no_more(address).then_some(since);
        }
        let over = state.extract_if(|_, gate| gate.is_over(now, patience));
        let (mut addresses, mut gone) = (Vec::new(), Vec::new());
        for (address, gate) in over {
            addresses.push(address);
            gone.extend(gate.frames.into_iter().filter_map(|Queued { frame, from, .. }| {
                Some((from?, frame.clients.iter().map(|client| client.as_str().into()).collect()))
            }));
        }
        (addresses, gone)
    }

    /// The gate at an address; one that was never seen may be about to come while the node is
    /// young.
    fn find<'a>(
        &self,
        state: &'a mut FnvHashMap<Arc<str>, Gate>,
        address: &str,
        now: Instant,
    ) -> Option<&'a mut Gate> {
        if !state.contains_key(address) {
            let is_young = now.saturating_duration_since(self.began) < self.window;
            if !is_young || state.len() >= UNSEEN_MAX {
                return None;
            }
            state.insert(address.into(), Gate::new());
        }
        let patience = self.patience();
        state.get_mut(address).filter(|gate| !gate.is_over(now, patience))
    }
}

impl Gate {
    fn new() -> Self {
        Self {
            incarnation: String::new(),
            frames: VecDeque::new(),
            written: 0,
            bytes: 0,
            last_id: 0,
            link: 0,
            away_since: Some(Instant::now()),
            absent_since: None,
            waker: None,
            lost: None,
        }
    }

    /// Whether it has been away for too long; or, where there is somebody to ask, away and in the
    /// cluster no more: a way that is cut says nothing of the clients at its other end.
    fn is_over(&self, now: Instant, Patience { window, asks }: Patience) -> bool {
        let since = if asks { self.absent_since } else { self.away_since };
        let is_long = since.is_some_and(|since| now.saturating_duration_since(since) >= window);
        is_long && self.away_since.is_some()
    }

    /// `false`: there was no room; its clients will be told.
    fn queue(&mut self, from: &ObjectId, push: &Push, clients: Vec<String>) -> bool {
        let ids: usize = clients.iter().map(String::len).sum();
        let bytes = FRAME_BYTES + push.payload.len() + ids;
        if self.frames.len() >= FRAMES_MAX || self.bytes + bytes > BYTES_MAX {
            self.lose(clients);
            return false;
        }
        self.tell_lost();
        let frame = PushFrame {
            from: Some(object_to_ref(from)),
            clients,
            event: (*push.event).into(),
            payload: push.payload.clone(),
            ..PushFrame::default()
        };
        self.add(frame, bytes, Some(from.clone()));
        true
    }

    fn add(&mut self, mut frame: PushFrame, bytes: usize, from: Option<ObjectId>) {
        self.last_id += 1;
        frame.id = self.last_id;
        self.bytes += bytes;
        self.frames.push_back(Queued { frame: Arc::new(frame), bytes, from });
    }

    fn lose(&mut self, clients: Vec<String>) {
        let lost = self.lost.get_or_insert_with(|| Lost::Clients(FnvHashSet::default(), 0));
        let Lost::Clients(known, bytes) = lost else { return };
        let is_everyone = clients.is_empty();
        for client in clients {
            let length = client.len();
            if known.insert(client) {
                *bytes += length;
            }
        }
        if is_everyone || *bytes > IDS_BYTES_MAX {
            *lost = Lost::Everyone;
        }
    }

    /// Before anything else is told: what was dropped.
    fn tell_lost(&mut self) {
        let (clients, ids) = match self.lost.take() {
            None => return,
            Some(Lost::Everyone) => (Vec::new(), 0),
            Some(Lost::Clients(clients, bytes)) => (clients.into_iter().collect(), bytes),
        };
        let frame = PushFrame { clients, lost: true, ..PushFrame::default() };
        self.add(frame, FRAME_BYTES + ids, None);
    }

    fn acknowledge(&mut self, id: u64) {
        while self.frames.front().is_some_and(|queued| queued.frame.id <= id) {
            if let Some(queued) = self.frames.pop_front() {
                self.bytes -= queued.bytes;
                self.written = self.written.saturating_sub(1);
            }
        }
    }
}

impl Line {
    /// The next frame to write, and about what it holds, in bytes.
    pub(crate) fn poll_take(&self, cx: &mut Context<'_>) -> Poll<(usize, Arc<PushFrame>)> {
        let mut state = self.gates.state.lock();
        let Some(gate) = state.get_mut(&self.address).filter(|gate| gate.link == self.link) else {
            return Poll::Pending;
        };
        // One such word at a time: what is lost before it is taken is told with the next.
        if gate.written == gate.frames.len()
            && gate.frames.back().is_none_or(|queued| !queued.frame.lost)
        {
            gate.tell_lost();
        }
        if let Some(queued) = gate.frames.get(gate.written) {
            gate.written += 1;
            return Poll::Ready((queued.bytes, Arc::clone(&queued.frame)));
        }
        match &mut gate.waker {
            Some(waker) => waker.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
        Poll::Pending
    }

    /// Whether the gate has taken all that was pushed.
    pub(crate) fn is_flushed(&self) -> bool {
        let state = self.gates.state.lock();
        let gate = state.get(&self.address).filter(|gate| gate.link == self.link);
        gate.is_none_or(|gate| gate.frames.is_empty())
    }

    /// The gate has taken all up to this one.
    pub(crate) fn acknowledge(&self, id: u64) {
        let mut state = self.gates.state.lock();
        if let Some(gate) = state.get_mut(&self.address).filter(|gate| gate.link == self.link) {
            gate.acknowledge(id);
        }
        drop(state);
        self.gates.taken.notify_waiters();
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        let mut state = self.gates.state.lock();
        if let Some(gate) = state.get_mut(&self.address).filter(|gate| gate.link == self.link) {
            gate.away_since = Some(Instant::now());
            gate.waker = None;
        }
        drop(state);
        self.gates.taken.notify_waiters();
    }
}

/// Clients by the address of their gate; what is no client's id goes to `gone`.
fn by_gate<'a>(
    clients: &'a [Arc<str>],
    gone: &mut Vec<Arc<str>>,
) -> FnvHashMap<&'a str, Vec<&'a Arc<str>>> {
    let mut gates: FnvHashMap<&str, Vec<&Arc<str>>> = FnvHashMap::default();
    for client in clients {
        match client.rsplit_once('/') {
            Some((address, _)) => gates.entry(address).or_default().push(client),
            None => gone.push(Arc::clone(client)),
        }
    }
    gates
}

/// Ids in as many lists as frames must carry them.
fn in_pieces(clients: &[&Arc<str>]) -> Vec<Vec<String>> {
    let (mut pieces, mut bytes) = (vec![Vec::new()], 0);
    for client in clients {
        if bytes + client.len() > IDS_BYTES_MAX {
            pieces.push(Vec::new());
            bytes = 0;
        }
        bytes += client.len();
        if let Some(piece) = pieces.last_mut() {
            piece.push(client.to_string());
        }
    }
    pieces
}

#[cfg(test)]
pub(crate) mod tests;
