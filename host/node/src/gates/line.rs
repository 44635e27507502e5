//! A link from a gate: what is written to it, and what it has taken.

use std::{
    sync::Arc,
    task::{Context, Poll},
    time::Instant,
};

use wasmverse_proto::node::PushFrame;

use super::Gates;

/// One link from a gate.
pub(crate) struct Line {
    pub(super) gates: Arc<Gates>,
    pub(super) address: Arc<str>,
    pub(super) link: u64,
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
