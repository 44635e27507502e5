//! The gates that are linked up, and the pushes on their way to each: in order, bounded, and kept
//! until the gate has taken them, so that a lost link neither loses nor doubles any.

mod line;
mod queue;

use std::{
    sync::{Arc, OnceLock},
    task::Waker,
    time::{Duration, Instant},
};

use fnv::FnvHashMap;
use parking_lot::Mutex;
use tokio::sync::Notify;
use wasmverse_core::{ObjectId, Push, PushTo};

use crate::callers::Callers;
pub(crate) use line::Line;
use queue::{Gate, IDS_BYTES_MAX, Lost, Patience, Queued};

/// Gates that nobody has seen yet, but that may be about to come.
const UNSEEN_MAX: usize = 64;

/// A gate, and the last push that it is to take.
pub(crate) type Mark = (Arc<str>, u64);

/// Clients that are not there (any more), and an object that pushed to them, or that they called.
pub(crate) type Gone = (ObjectId, Vec<Arc<str>>);

/// The gates of this node's clients.
pub(crate) struct Gates {
    state: Mutex<FnvHashMap<Arc<str>, Gate>>,
    /// Who called what: whoever wants to know is told when a gate is gone.
    pub(crate) callers: Callers,
    /// Of gates whose places others have taken: who is to be told.
    replaced: Mutex<Vec<Gone>>,
    /// There is somebody to be told.
    has_replaced: Notify,
    /// A gate has taken something, or is gone.
    taken: Notify,
    began: Instant,
    /// How long pushes wait for a gate that is away.
    window: Duration,
    /// Whether the cluster has a gate at an address; none: there is nobody to ask.
    knows: OnceLock<Knows>,
}

type Knows = Box<dyn Fn(&str) -> bool + Send + Sync>;

impl Gates {
    pub(crate) fn new(window: Duration) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::default(),
            callers: Callers::default(),
            replaced: Mutex::default(),
            has_replaced: Notify::new(),
            taken: Notify::new(),
            began: Instant::now(),
            window,
            knows: OnceLock::new(),
        })
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
            if !gate.incarnation.is_empty() {
                // Started again, with other clients; before any of these is heard of.
                self.replaced.lock().extend(self.callers.take(&address));
                self.has_replaced.notify_one();
            }
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

    /// From now on it is asked whether the cluster has a gate that is away.
    pub(crate) fn ask(&self, knows: impl Fn(&str) -> bool + Send + Sync + 'static) {
        // It is the same cluster for ever.
        let _ = self.knows.set(Box::new(knows));
    }

    fn patience(&self) -> Patience {
        Patience { window: self.window, asks: self.knows.get().is_some() }
    }

    /// As soon as a gate has taken another's place.
    pub(crate) async fn until_replaced(&self) {
        self.has_replaced.notified().await;
    }

    /// Gives up on the gates that stayed away for too long, or were replaced: their clients are gone.
    /// Who called or pushed to them, and is to be told.
    pub(crate) fn sweep(&self, now: Instant, is_no_more: impl Fn(&str) -> bool) -> Vec<Gone> {
        let patience = self.patience();
        let mut state = self.state.lock();
        for (address, gate) in state.iter_mut().filter(|(_, gate)| gate.away_since.is_some()) {
            let since = gate.absent_since.unwrap_or(now);
            gate.absent_since = is_no_more(address).then_some(since);
        }
        let over = state.extract_if(|_, gate| gate.is_over(now, patience));
        let mut gone = std::mem::take(&mut *self.replaced.lock());
        for (address, gate) in over {
            gone.extend(self.callers.take(&address));
            gone.extend(gate.frames.into_iter().filter_map(|Queued { frame, from, .. }| {
                Some((from?, frame.clients.iter().map(|client| client.as_str().into()).collect()))
            }));
        }
        gone
    }

    /// The gate at an address; one that was never seen may be about to come if the cluster has it, or
    /// while the node is young.
    fn find<'a>(
        &self,
        state: &'a mut FnvHashMap<Arc<str>, Gate>,
        address: &str,
        now: Instant,
    ) -> Option<&'a mut Gate> {
        if !state.contains_key(address) {
            let is_young = now.saturating_duration_since(self.began) < self.window;
            let may_come = is_young && state.len() < UNSEEN_MAX;
            if !may_come && !self.knows.get().is_some_and(|knows| knows(address)) {
                return None;
            }
            state.insert(address.into(), Gate::new());
        }
        let patience = self.patience();
        state.get_mut(address).filter(|gate| !gate.is_over(now, patience))
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
