//! What goes to a peer and what is expected back: the queue of frames, and the calls that wait.
//!
//! One lock holds both, so that "was it written?" has one answer at any time. A link takes frames
//! under its own number; when it is lost the number changes, and the stream of the lost link takes
//! nothing more. Frames that were not taken wait for the next link, in order, or come back once
//! their shard is served by another.

mod leaving;

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
use wasmverse_core::{CallError, ErrorKind};
use wasmverse_proto::node::{
    CallFrame, CancelFrame, Fence, Frame, Frames, NoMoreCalls, PushAck, frame::Frame as Kind,
};

use crate::{
    LinkBounds,
    letter::{Answer, Back, Letter, NotQueued, Settled, Word, not_there},
    metrics::Metrics,
};

/// What a writer takes at once, at most.
const BATCH_FRAMES_MAX: usize = 256;
const BATCH_BYTES_MAX: usize = 512 << 10;
/// About what a frame holds beside its payload.
const FRAME_OVERHEAD_BYTES: usize = 128;
/// When a caller that found a queue full may try again.
const OVERLOADED_RETRY: Duration = Duration::from_millis(100);

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
    /// Fences to be written.
    fences: VecDeque<u64>,
    /// Fences that the peer has not answered.
    fenced: Vec<u64>,
    waiting: IdMap<Waiting>,
    /// Of the latest link.
    link: u64,
    stage: Stage,
    /// Calls that were routed before this number must be routed anew.
    routes: u64,
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
    /// What it takes to send a one-way call on elsewhere.
    back: Option<Back>,
}

struct Waiting {
    answer: oneshot::Sender<Word>,
    deadline: Instant,
    written: bool,
    back: Option<Back>,
}

impl Outbox {
    pub(crate) fn new(bounds: LinkBounds, metrics: Arc<Metrics>) -> Self {
        Self { bounds, metrics, state: Mutex::default() }
    }

    /// Queues a call that was routed under this number of the routes.
    pub(crate) fn queue(
        &self,
        mut frame: CallFrame,
        letter: Letter,
        routes: u64,
    ) -> Result<(), Box<(Letter, NotQueued)>> {
        let bytes = bytes(&frame);
        let mut state = self.state.lock();
        if let Err(why) = self.admit(&state, &letter, bytes, routes) {
            return Err(Box::new((letter, why)));
        }
        let Letter { number, deadline, answer, back } = letter;
        (frame.id, frame.one_way) = (number, answer.is_none());
        let (mut queued, mut waiting) = (back, None);
        if let Some(answer) = answer {
            waiting = Some(Waiting { answer, deadline, written: false, back: queued.take() });
        }
        state.queue_bytes += bytes;
        state.queue.push_back(Queued { frame, deadline, since: Instant::now(), back: queued });
        if let Some(waiting) = waiting {
            state.waiting.insert(number, waiting);
            self.metrics.waiting.increment(1.0);
        }
        wake(state);
        Ok(())
    }

    fn admit(
        &self,
        state: &State,
        letter: &Letter,
        bytes: usize,
        routes: u64,
    ) -> Result<(), NotQueued> {
        let may_go_back = letter.back.is_some();
        if may_go_back && (state.closed || state.is_held() || routes < state.routes) {
            return Err(NotQueued::Elsewhere);
        }
        if state.closed {
            return Err(NotQueued::Error(closed()));
        }
        if letter.answer.is_some() && state.waiting.len() >= self.bounds.calls_max {
            return Err(NotQueued::Error(overloaded("too many calls wait for the node")));
        }
        if state.queue.len() >= self.bounds.queue_length_max
            || state.queue_bytes + bytes > self.bounds.queue_bytes_max
        {
            return Err(NotQueued::Error(overloaded("the queue to the node is full")));
        }
        Ok(())
    }

    /// Whether calls that may go elsewhere are taken.
    pub(crate) fn takes_calls(&self) -> bool {
        let state = self.state.lock();
        !state.closed && !state.is_held()
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

    /// Hands answers to those who wait for them. One that nobody waits for is dropped. Calls that
    /// the peer has refused come back, and the fences that it has answered.
    pub(crate) fn settle(&self, answers: Vec<(u64, Answer)>) -> Settled {
        let mut settled = Vec::with_capacity(answers.len());
        let mut back = Settled::default();
        let mut state = self.state.lock();
        for (id, answer) in answers {
            let refused = answer.as_ref().err().and_then(CallError::as_elsewhere);
            match (state.waiting.remove(&id), refused) {
                (Some(waiting), Some(elsewhere)) if waiting.back.is_some() => {
                    self.metrics.waiting.decrement(1.0);
                    back.refused.push((waiting.into_letter(id), elsewhere));
                }
                (Some(waiting), Some(elsewhere)) => {
                    settled.push((waiting.answer, Err(not_there(elsewhere.shard))));
                }
                (Some(waiting), None) => settled.push((waiting.answer, answer)),
                (None, _) if state.fenced.contains(&id) => {
                    state.fenced.retain(|fence| *fence != id);
                    back.fences.push(id);
                }
                (None, _) => {}
            }
        }
        drop(state);
        self.hand_out(settled);
        back
    }

    /// The link is over. What it had taken may have been executed; the rest waits on. The fences
    /// that it took along.
    pub(crate) fn lose(&self, link: u64, error: &CallError) -> Vec<u64> {
        let mut state = self.state.lock();
        if state.link != link {
            return Vec::new();
        }
        let fences = state.cut();
        let written = state.waiting.extract_if(|_, waiting| waiting.written);
        let lost = written.map(|(_, w)| (w.answer, Err(error.clone().maybe_executed()))).collect();
        wake(state);
        self.hand_out(lost);
        fences
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
        let fences = state.fences.len().min(BATCH_FRAMES_MAX - frames.len());
        let fences = state.fences.drain(..fences);
        frames.extend(fences.map(|id| Frame { frame: Some(Kind::Fence(Fence { id })) }));
        let cancels = state.cancels.len().min(BATCH_FRAMES_MAX - frames.len());
        let cancels = state.cancels.drain(..cancels);
        frames.extend(cancels.map(|id| Frame { frame: Some(Kind::Cancel(CancelFrame { id })) }));
        let mut taken_bytes = 0;
        while is_open && frames.len() < BATCH_FRAMES_MAX && taken_bytes < BATCH_BYTES_MAX {
            let Some(Queued { mut frame, deadline, .. }) = pop_call(state) else { break };
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

    /// The caller is gone. Whether the call may have been executed; none: it is not here.
    pub(crate) fn abandon(&self, id: u64) -> Option<bool> {
        let mut state = self.state.lock();
        let waiting = state.waiting.remove(&id)?;
        self.metrics.waiting.decrement(1.0);
        if waiting.written && state.stage != Stage::Shut {
            state.cancels.push_back(id);
            wake(state);
        }
        Some(waiting.written)
    }

    fn hand_out(&self, answers: Vec<(oneshot::Sender<Word>, Answer)>) {
        #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
        self.metrics.waiting.decrement(answers.len() as f64);
        for (waiting, answer) in answers {
            // One whose caller has just gone takes the answer along.
            let _ = waiting.send(Word::Answer(answer));
        }
    }
}

impl State {
    fn is_held(&self) -> bool {
        matches!(self.stage, Stage::Asked | Stage::Held)
    }

    /// Nothing more passes on the link; the fences that it took along.
    fn cut(&mut self) -> Vec<u64> {
        self.link += 1;
        self.stage = Stage::Shut;
        self.cancels.clear();
        self.acknowledged = None;
        self.fences.clear();
        std::mem::take(&mut self.fenced)
    }
}

impl Waiting {
    fn into_letter(self, number: u64) -> Letter {
        let Self { answer, deadline, back, .. } = self;
        Letter { number, deadline, answer: Some(answer), back }
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

fn pop_call(state: &mut State) -> Option<Queued> {
    let queued = state.queue.pop_front()?;
    state.queue_bytes -= bytes(&queued.frame);
    Some(queued)
}

/// What a frame takes, about. Whatever a client can make long counts: a batch over the size of a
/// message would cost the link.
pub(crate) fn bytes(frame: &CallFrame) -> usize {
    let texts = frame.method.len() + frame.key.len() + frame.traceparent.len();
    let clients: usize = frame.clients.iter().map(String::len).sum();
    FRAME_OVERHEAD_BYTES + frame.payload.len() + texts + clients + 300 * frame.chain.len()
}

pub(crate) fn overloaded(problem: &str) -> CallError {
    CallError::new(ErrorKind::Overloaded, problem).retry_after(OVERLOADED_RETRY)
}

pub(crate) fn closed() -> CallError {
    CallError::new(ErrorKind::Unavailable, "the process is shutting down")
}

#[cfg(test)]
mod tests;
