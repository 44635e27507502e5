//! What waits for one gate: pushes in order, and what it is to be told of those that were dropped.

use std::{
    collections::VecDeque,
    sync::Arc,
    task::Waker,
    time::{Duration, Instant},
};

use fnv::FnvHashSet;
use wasmverse_core::{ObjectId, Push};
use wasmverse_proto::{convert::object_to_ref, node::PushFrame};

/// What may wait for one gate: frames, and bytes.
const FRAMES_MAX: usize = 65_536;
pub(super) const BYTES_MAX: usize = 64 << 20;
/// The ids of clients that one frame carries, in bytes. If more than these lost something, all
/// clients of the gate are told.
pub(super) const IDS_BYTES_MAX: usize = 256 << 10;
/// About what a frame holds beside payload and ids.
const FRAME_BYTES: usize = 128;

/// When a gate is given up.
#[derive(Clone, Copy)]
pub(super) struct Patience {
    pub(super) window: Duration,
    pub(super) asks: bool,
}

/// A gate.
pub(super) struct Gate {
    pub(super) incarnation: String,
    /// What is not acknowledged yet, the earliest first.
    pub(super) frames: VecDeque<Queued>,
    /// So many of them are written to the link.
    pub(super) written: usize,
    pub(super) bytes: usize,
    pub(super) last_id: u64,
    /// Counts links: only the latest counts.
    pub(super) link: u64,
    /// Since when it is away; none: it is linked.
    pub(super) away_since: Option<Instant>,
    /// Since when it is known to be in the cluster no more.
    pub(super) absent_since: Option<Instant>,
    pub(super) waker: Option<Waker>,
    pub(super) lost: Option<Lost>,
}

pub(super) struct Queued {
    pub(super) frame: Arc<PushFrame>,
    pub(super) bytes: usize,
    /// None: it tells of a loss.
    pub(super) from: Option<ObjectId>,
}

/// Who must be told of pushes that were dropped.
pub(super) enum Lost {
    /// And what their ids hold, in bytes.
    Clients(FnvHashSet<String>, usize),
    Everyone,
}

impl Gate {
    pub(super) fn new() -> Self {
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
    pub(super) fn is_over(&self, now: Instant, Patience { window, asks }: Patience) -> bool {
        let since = if asks { self.absent_since } else { self.away_since };
        let is_long = since.is_some_and(|since| now.saturating_duration_since(since) >= window);
        is_long && self.away_since.is_some()
    }

    /// `false`: there was no room; its clients will be told.
    pub(super) fn queue(&mut self, from: &ObjectId, push: &Push, clients: Vec<String>) -> bool {
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
    pub(super) fn tell_lost(&mut self) {
        let (clients, ids) = match self.lost.take() {
            None => return,
            Some(Lost::Everyone) => (Vec::new(), 0),
            Some(Lost::Clients(clients, bytes)) => (clients.into_iter().collect(), bytes),
        };
        let frame = PushFrame { clients, lost: true, ..PushFrame::default() };
        self.add(frame, FRAME_BYTES + ids, None);
    }

    pub(super) fn acknowledge(&mut self, id: u64) {
        while self.frames.front().is_some_and(|queued| queued.frame.id <= id) {
            if let Some(queued) = self.frames.pop_front() {
                self.bytes -= queued.bytes;
                self.written = self.written.saturating_sub(1);
            }
        }
    }
}
