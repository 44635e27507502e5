//! What goes to a peer and what is expected back: the queue of frames, and the calls that wait.
//!
//! One lock holds both, so that "was it written?" has one answer at any time. A link takes frames
//! under its own number; when it is lost the number changes, and the stream of the lost link takes
//! nothing more. Frames that were not taken wait for the next link, in order.

use std::{
    collections::{HashMap, VecDeque},
    hash::BuildHasherDefault,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use fnv::FnvHasher;
use parking_lot::Mutex;
use tokio::sync::oneshot;
use wasmverse_core::{CallError, ErrorKind, Reply};
use wasmverse_proto::node::{
    CallFrame, CancelFrame, Frame, Frames, NoMoreCalls, PushAck, frame::Frame as Kind,
};

use crate::{LinkBounds, metrics::Metrics};

/// What a writer takes at once, at most.
const BATCH_FRAMES_MAX: usize = 256;
const BATCH_BYTES_MAX: usize = 512 << 10;
/// About what a frame holds beside its payload.
const FRAME_OVERHEAD_BYTES: usize = 128;
/// When a caller that found a queue full may try again.
const OVERLOADED_RETRY: Duration = Duration::from_millis(100);

type Answer = Result<Reply, CallError>;
type IdMap<V> = HashMap<u64, V, BuildHasherDefault<FnvHasher>>;

/// The queue to one peer and the calls that wait for its answers.
pub(crate) struct Outbox {
    bounds: LinkBounds,
    pub(crate) metrics: Arc<Metrics>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    queue: VecDeque<Queued>,
    queue_bytes: usize,
    /// Calls that were written, and whose callers have gone.
    cancels: VecDeque<u64>,
    /// The last push that was taken, and is to be acknowledged.
    acknowledged: Option<u64>,
    waiting: IdMap<Waiting>,
    /// Of the latest call.
    id: u64,
    /// Of the latest link.
    link: u64,
    stage: Stage,
    /// No more calls.
    closed: bool,
    /// Of the latest link's stream.
    waker: Option<Waker>,
}

/// How far the latest link has come.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Stage {
    /// Its peer has not said hello, or it is lost.
    #[default]
    Shut,
    /// It takes what is queued.
    Open,
    /// Its peer wants no more calls, and is to be told that none will come.
    Asked,
    /// Calls wait for the next link; answers still come.
    Held,
}

struct Queued {
    frame: CallFrame,
    deadline: Instant,
    since: Instant,
}

struct Waiting {
    answer: oneshot::Sender<Answer>,
    written: bool,
}

/// A call's place in the queue, and its answer. Dropped early, it takes the call back if that is
/// still possible.
pub(crate) struct Ticket {
    id: u64,
    outbox: Arc<Outbox>,
    pub(crate) answer: oneshot::Receiver<Answer>,
    settled: bool,
}

impl Ticket {
    /// The answer is here: nothing is to be taken back.
    pub(crate) fn settle(&mut self) {
        self.settled = true;
    }

    /// Takes the call back; whether it may have been executed.
    pub(crate) fn abandon(&mut self) -> bool {
        self.settled = true;
        self.outbox.abandon(self.id)
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if !self.settled {
            self.outbox.abandon(self.id);
        }
    }
}

impl Outbox {
    pub(crate) fn new(bounds: LinkBounds, metrics: Arc<Metrics>) -> Self {
        Self { bounds, metrics, state: Mutex::default() }
    }

    /// Queues a call that waits for its answer.
    pub(crate) fn call(
        self: &Arc<Self>,
        frame: CallFrame,
        deadline: Instant,
    ) -> Result<Ticket, CallError> {
        let (sender, answer) = oneshot::channel();
        let mut state = self.state.lock();
        if state.waiting.len() >= self.bounds.calls_max {
            return Err(overloaded("too many calls wait for the node"));
        }
        let id = self.queue(&mut state, frame, deadline)?;
        state.waiting.insert(id, Waiting { answer: sender, written: false });
        self.metrics.waiting.increment(1.0);
        wake(state);
        Ok(Ticket { id, outbox: Arc::clone(self), answer, settled: false })
    }

    /// Queues a call that nobody waits for.
    pub(crate) fn send(&self, mut frame: CallFrame, deadline: Instant) -> Result<(), CallError> {
        frame.one_way = true;
        let mut state = self.state.lock();
        self.queue(&mut state, frame, deadline)?;
        wake(state);
        Ok(())
    }

    /// Begins a link: its number. Nothing is taken before it is opened.
    pub(crate) fn begin(&self) -> u64 {
        let mut state = self.state.lock();
        state.link += 1;
        state.stage = Stage::Shut;
        let link = state.link;
        wake(state);
        link
    }

    /// The peer has said hello: its link may take what is queued.
    pub(crate) fn open(&self, link: u64) {
        let mut state = self.state.lock();
        if state.link == link {
            state.stage = Stage::Open;
        }
        wake(state);
    }

    /// All pushes up to this one are taken.
    pub(crate) fn acknowledge(&self, link: u64, id: u64) {
        let mut state = self.state.lock();
        if state.link == link {
            state.acknowledged = Some(id);
        }
        wake(state);
    }

    /// The peer wants no more calls on this link: they wait for the next one.
    pub(crate) fn hold(&self, link: u64) {
        let mut state = self.state.lock();
        if state.link == link && state.stage == Stage::Open {
            state.stage = Stage::Asked;
        }
        wake(state);
    }

    /// Takes what has gathered, for this link. `None` once the link is over.
    pub(crate) fn poll_take(&self, link: u64, cx: &mut Context<'_>) -> Poll<Option<Frames>> {
        let mut state = self.state.lock();
        if state.link != link {
            return Poll::Ready(None);
        }
        let frames = self.take(&mut state, Instant::now());
        if frames.is_empty() && state.closed {
            return Poll::Ready(None);
        }
        if frames.is_empty() {
            match &mut state.waker {
                Some(waker) => waker.clone_from(cx.waker()),
                none => *none = Some(cx.waker().clone()),
            }
            return Poll::Pending;
        }
        drop(state);
        Poll::Ready(Some(Frames { frames }))
    }

    /// Hands answers to those who wait for them. One that nobody waits for is dropped.
    pub(crate) fn settle(&self, answers: Vec<(u64, Answer)>) {
        let mut settled = Vec::with_capacity(answers.len());
        let mut state = self.state.lock();
        for (id, answer) in answers {
            if let Some(waiting) = state.waiting.remove(&id) {
                settled.push((waiting.answer, answer));
            }
        }
        drop(state);
        self.hand_out(settled);
    }

    /// The link is over. What it had taken may have been executed; the rest waits on.
    pub(crate) fn lose(&self, link: u64, error: &CallError) {
        let mut state = self.state.lock();
        if state.link != link {
            return;
        }
        state.link += 1;
        state.stage = Stage::Shut;
        state.cancels.clear();
        state.acknowledged = None;
        let written = state.waiting.extract_if(|_, waiting| waiting.written);
        let lost = written.map(|(_, w)| (w.answer, Err(error.clone().maybe_executed()))).collect();
        wake(state);
        self.hand_out(lost);
    }

    /// Gives up on what was queued before `since`, while there is no link.
    pub(crate) fn expire(&self, since: Instant, error: &CallError) {
        let mut state = self.state.lock();
        let mut expired = Vec::new();
        while state.queue.front().is_some_and(|queued| queued.since <= since) {
            let Some((frame, _)) = pop_call(&mut state) else { break };
            if frame.one_way {
                self.metrics.sends_lost.increment(1);
            } else if let Some(waiting) = state.waiting.remove(&frame.id) {
                expired.push((waiting.answer, Err(error.clone())));
            }
        }
        drop(state);
        self.hand_out(expired);
    }

    /// No more calls; what is queued still goes, and the stream ends after it.
    pub(crate) fn finish(&self) {
        let mut state = self.state.lock();
        state.closed = true;
        wake(state);
    }

    /// No more calls; those that wait are answered.
    pub(crate) fn close(&self) {
        let mut state = self.state.lock();
        state.closed = true;
        state.link += 1;
        state.stage = Stage::Shut;
        state.cancels.clear();
        state.acknowledged = None;
        state.queue.clear();
        state.queue_bytes = 0;
        let ended = std::mem::take(&mut state.waiting).into_values().map(|waiting| {
            let error = if waiting.written { closed().maybe_executed() } else { closed() };
            (waiting.answer, Err(error))
        });
        let ended = ended.collect();
        wake(state);
        self.hand_out(ended);
    }

    fn queue(
        &self,
        state: &mut State,
        mut frame: CallFrame,
        deadline: Instant,
    ) -> Result<u64, CallError> {
        if state.closed {
            return Err(closed());
        }
        let bytes = bytes(&frame);
        if state.queue.len() >= self.bounds.queue_length_max
            || state.queue_bytes + bytes > self.bounds.queue_bytes_max
        {
            return Err(overloaded("the queue to the node is full"));
        }
        state.id += 1;
        frame.id = state.id;
        state.queue_bytes += bytes;
        state.queue.push_back(Queued { frame, deadline, since: Instant::now() });
        Ok(state.id)
    }

    fn take(&self, state: &mut State, now: Instant) -> Vec<Frame> {
        if state.stage == Stage::Shut {
            return Vec::new();
        }
        let is_open = state.stage == Stage::Open;
        let queued = state.cancels.len() + if is_open { state.queue.len() } else { 1 };
        let mut frames = Vec::with_capacity(queued.min(BATCH_FRAMES_MAX));
        if state.stage == Stage::Asked {
            state.stage = Stage::Held;
            frames.push(Frame { frame: Some(Kind::NoMoreCalls(NoMoreCalls {})) });
        }
        if let Some(id) = state.acknowledged.take() {
            frames.push(Frame { frame: Some(Kind::PushAck(PushAck { id })) });
        }
        let cancels = state.cancels.len().min(BATCH_FRAMES_MAX - frames.len());
        let cancels = state.cancels.drain(..cancels);
        frames.extend(cancels.map(|id| Frame { frame: Some(Kind::Cancel(CancelFrame { id })) }));
        let mut taken_bytes = 0;
        while is_open && frames.len() < BATCH_FRAMES_MAX && taken_bytes < BATCH_BYTES_MAX {
            let Some((mut frame, deadline)) = pop_call(state) else { break };
            let left = deadline.saturating_duration_since(now);
            frame.timeout_micros = u64::try_from(left.as_micros()).unwrap_or(u64::MAX);
            match state.waiting.get_mut(&frame.id) {
                // Its caller's own clock says so, too.
                _ if left.is_zero() && !frame.one_way => continue,
                Some(waiting) => waiting.written = true,
                None if frame.one_way => {}
                // Its caller is gone.
                None => continue,
            }
            taken_bytes += bytes(&frame);
            frames.push(Frame { frame: Some(Kind::Call(frame)) });
        }
        #[expect(clippy::cast_precision_loss, reason = "at most 256")]
        if !frames.is_empty() {
            self.metrics.batch_frames.record(frames.len() as f64);
        }
        frames
    }

    /// The caller is gone. Whether the call may have been executed.
    fn abandon(&self, id: u64) -> bool {
        let mut state = self.state.lock();
        let Some(waiting) = state.waiting.remove(&id) else { return true };
        self.metrics.waiting.decrement(1.0);
        if waiting.written && state.stage != Stage::Shut {
            state.cancels.push_back(id);
            wake(state);
        }
        waiting.written
    }

    fn hand_out(&self, answers: Vec<(oneshot::Sender<Answer>, Answer)>) {
        #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
        self.metrics.waiting.decrement(answers.len() as f64);
        for (waiting, answer) in answers {
            // One whose caller has just gone takes the answer along.
            let _ = waiting.send(answer);
        }
    }
}

/// Wakes the writer, outside the lock.
fn wake(mut state: parking_lot::MutexGuard<'_, State>) {
    let waker = state.waker.take();
    drop(state);
    if let Some(waker) = waker {
        waker.wake();
    }
}

fn pop_call(state: &mut State) -> Option<(CallFrame, Instant)> {
    let Queued { frame, deadline, .. } = state.queue.pop_front()?;
    state.queue_bytes -= bytes(&frame);
    Some((frame, deadline))
}

/// What a frame takes, about. Whatever a client can make long counts: a batch over the size of a
/// message would cost the link.
fn bytes(frame: &CallFrame) -> usize {
    let texts = frame.method.len() + frame.key.len() + frame.traceparent.len();
    let clients: usize = frame.clients.iter().map(String::len).sum();
    FRAME_OVERHEAD_BYTES + frame.payload.len() + texts + clients + 300 * frame.chain.len()
}

fn overloaded(problem: &str) -> CallError {
    CallError::new(ErrorKind::Overloaded, problem).retry_after(OVERLOADED_RETRY)
}

fn closed() -> CallError {
    CallError::new(ErrorKind::Unavailable, "the process is shutting down")
}

#[cfg(test)]
mod tests;
