//! One link, as the stream of our answers: polling it takes in what has come, looks after the
//! calls under way, and gives out the answers that are ready. All of it is one task, so a call
//! costs no task of its own, and a peer that reads no answers is read no further.

use std::{
    collections::VecDeque,
    mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use fnv::FnvHashMap;
use futures_util::{
    FutureExt as _, Stream, StreamExt as _, future::AbortHandle, stream::FuturesUnordered,
};
use metrics::Gauge;
use tokio::time::{Sleep, sleep};
use tokio_util::sync::WaitForCancellationFutureOwned;
use tonic::Status;
use wasmverse_core::{CallError, Reply, ShardId};
use wasmverse_proto::{
    convert::{agree, elsewhere_to_frame, error_to_status, frame_to_call, reply_to_frame},
    node::{CallFrame, Frame, Frames, Hello, NoMoreCalls, PushFrame, frame::Frame as Kind},
};
use wasmverse_router::Callee;

use crate::{
    gates::{Gates, Line},
    shards::Shards,
};

use super::{
    Bounds, Ending, not_taken, overloaded, passable,
    running::{Ended, Running},
    size,
};

/// What goes out at once, at most.
const BATCH_FRAMES_MAX: usize = 256;
const BATCH_BYTES_MAX: usize = 512 << 10;
/// Batches that are taken in before answers get their turn.
const TAKE_IN_MAX: usize = 8;
/// Answers that are collected before a batch of them goes out, at most.
const COLLECT_MAX: usize = 4 * BATCH_FRAMES_MAX;
/// About what a frame holds beside its payload.
const FRAME_OVERHEAD_BYTES: usize = 128;
/// However large answers are, so many calls may be under way.
const CALLS_MIN: usize = 64;
/// How long a peer that is asked for no more calls may take to say that none will come.
const LAST_CALLS: Duration = Duration::from_secs(2);

/// One link, as the stream of our answers.
pub(crate) struct LinkStream<S> {
    callee: Arc<dyn Callee>,
    gates: Arc<Gates>,
    shards: Option<Arc<Shards>>,
    /// What is pushed to the clients of the peer, if it is a gate.
    line: Option<Line>,
    hello: Hello,
    bounds: Bounds,
    inbound: Option<S>,
    stage: Stage,
    running: FuturesUnordered<Running>,
    running_bytes: usize,
    /// What takes back the calls under way.
    handles: FnvHashMap<u64, AbortHandle>,
    /// Answers that are ready, and what they hold.
    out: VecDeque<(usize, Frame)>,
    out_bytes: usize,
    /// What an answer holds, on average of late.
    answer_bytes: usize,
    /// Others were given the time to get ready, too.
    gathered: bool,
    calls: Calls,
    drain: Pin<Box<WaitForCancellationFutureOwned>>,
    cut: Pin<Box<WaitForCancellationFutureOwned>>,
    up: Gauge,
}

/// Whether calls still come.
enum Calls {
    Come,
    /// The peer is asked for no more; those on their way are still taken.
    Last(Pin<Box<Sleep>>),
    /// None is taken.
    Over,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// We have said nothing yet.
    Silent,
    /// We have said hello, the peer has not.
    Greeted,
    /// Both have.
    Open,
    /// Nothing more is said.
    Over,
}

impl<S: Stream<Item = Result<Frames, Status>> + Unpin> LinkStream<S> {
    pub(super) fn new(
        callee: Arc<dyn Callee>,
        (gates, shards): (Arc<Gates>, Option<Arc<Shards>>),
        hello: Hello,
        bounds: Bounds,
        ending: Ending,
        up: Gauge,
        inbound: S,
    ) -> Self {
        Self {
            callee,
            gates,
            shards,
            line: None,
            hello,
            bounds,
            inbound: Some(inbound),
            stage: Stage::Silent,
            running: FuturesUnordered::new(),
            running_bytes: 0,
            handles: FnvHashMap::default(),
            out: VecDeque::new(),
            out_bytes: 0,
            answer_bytes: 0,
            gathered: false,
            calls: Calls::Come,
            drain: Box::pin(ending.drain.cancelled_owned()),
            cut: Box::pin(ending.cut.cancelled_owned()),
            up,
        }
    }

    /// Takes in what the peer has sent, unless too much waits for it to read.
    fn take_in(&mut self, cx: &mut Context<'_>) -> Result<(), Status> {
        for _ in 0..TAKE_IN_MAX {
            if self.out_bytes > self.bounds.answers_bytes_max {
                return Ok(());
            }
            let Some(inbound) = &mut self.inbound else { return Ok(()) };
            match inbound.poll_next_unpin(cx) {
                Poll::Pending => return Ok(()),
                Poll::Ready(Some(Ok(batch))) => self.take_batch(batch)?,
                Poll::Ready(Some(Err(status))) => return Err(status),
                Poll::Ready(None) => self.inbound = None,
            }
        }
        cx.waker().wake_by_ref();
        Ok(())
    }

    fn take_batch(&mut self, batch: Frames) -> Result<(), Status> {
        let now = Instant::now();
        for frame in batch.frames {
            match (frame.frame, self.stage) {
                (Some(Kind::Hello(theirs)), Stage::Greeted) => {
                    agree(&self.hello, &theirs).map_err(|error| error_to_status(&error))?;
                    tracing::info!(peer = theirs.id, role = theirs.role, "a peer has linked up");
                    self.stage = Stage::Open;
                    self.up.increment(1.0);
                    if theirs.role == "gate" && !theirs.address.is_empty() {
                        let ours = theirs.pushes_from == self.hello.incarnation;
                        let seen = ours.then_some(theirs.pushes_seen);
                        let (address, incarnation) = (&theirs.address, &theirs.incarnation);
                        self.line = Some(self.gates.attach(address, incarnation, seen));
                    }
                }
                (Some(Kind::Call(frame)), Stage::Open) => self.take_call(frame, now),
                (Some(Kind::Cancel(frame)), Stage::Open) => {
                    if let Some(handle) = self.handles.remove(&frame.id) {
                        handle.abort();
                    }
                }
                (Some(Kind::NoMoreCalls(_)), Stage::Open) => self.calls = Calls::Over,
                (Some(Kind::Fence(fence)), Stage::Open) => self.take_fence(fence.id),
                (Some(Kind::PushAck(ack)), Stage::Open) => {
                    if let Some(line) = &self.line {
                        line.acknowledge(ack.id);
                    }
                }
                (_, Stage::Greeted) => {
                    return Err(Status::invalid_argument("the first frame must be a hello"));
                }
                (Some(Kind::Hello(_)), _) => {
                    return Err(Status::invalid_argument("hello is said once"));
                }
                // Nothing that peers send to a node yet, or nothing that we know.
                (
                    Some(
                        Kind::Call(_)
                        | Kind::Cancel(_)
                        | Kind::Reply(_)
                        | Kind::NotOwner(_)
                        | Kind::Push(_)
                        | Kind::PushAck(_)
                        | Kind::Fence(_)
                        | Kind::NoMoreCalls(_),
                    )
                    | None,
                    _,
                ) => {
                    tracing::debug!("ignored a frame from a peer");
                }
            }
        }
        Ok(())
    }

    /// Hands a call to the callee, which queues it before it returns: so turns are in the order of
    /// arrival.
    fn take_call(&mut self, frame: CallFrame, now: Instant) {
        let (id, one_way) = (frame.id, frame.one_way);
        let bytes = frame.payload.len() + frame.method.len();
        let over = matches!(self.calls, Calls::Over);
        let call = match self.outdated(&frame) {
            Some(error) if !one_way => Err(error),
            _ if over => Err(not_taken(&frame)),
            _ => frame_to_call(frame, now),
        };
        let full = self.is_crowded() || self.running_bytes + bytes > self.bounds.bytes_max;
        match call {
            Ok(call) if one_way => self.callee.send(call),
            Err(error) if one_way => tracing::debug!(%error, "dropped a one-way call"),
            Ok(call) if full => self.give_out(id, Err(overloaded().about(&call.object))),
            Ok(call) => {
                self.running_bytes += bytes;
                let (running, handle) = Running::new(id, bytes, self.callee.call(call));
                self.handles.insert(id, handle);
                self.running.push(running);
            }
            Err(error) => self.give_out(id, Err(error)),
        }
    }

    /// A call that was made before its shard left this node and came back: others, made later, may have
    /// been refused meanwhile, and shall not be overtaken.
    fn outdated(&self, frame: &CallFrame) -> Option<CallError> {
        let shards = self.shards.as_ref().filter(|_| frame.epoch > 0)?;
        let shard = ShardId(u16::try_from(frame.shard).ok()?);
        let epoch = shards.epoch(shard);
        (epoch.0 > frame.epoch).then(|| CallError::elsewhere(shard, epoch))
    }

    /// It is looked at behind the calls that came before: those that are refused at once are answered
    /// first.
    fn take_fence(&mut self, id: u64) {
        let passed = std::future::ready(Ok(Reply::Done)).boxed();
        self.running.push(Running::new(id, 0, passed).0);
    }

    /// Too many calls are under way, be it for the answers that they are likely to bring.
    fn is_crowded(&self) -> bool {
        let calls = self.running.len();
        let expected = calls.saturating_mul(self.answer_bytes).saturating_add(self.out_bytes);
        calls >= self.bounds.calls_max
            || (calls >= CALLS_MIN && expected > self.bounds.answers_bytes_max)
    }

    fn give_out(&mut self, id: u64, answer: Result<Reply, CallError>) {
        if let Some(elsewhere) = answer.as_ref().err().and_then(CallError::as_elsewhere) {
            return self.put_out(0, Kind::NotOwner(elsewhere_to_frame(id, elsewhere)));
        }
        let answer = passable(answer);
        self.put_out(size(&answer), Kind::Reply(reply_to_frame(id, answer)));
    }

    fn put_out(&mut self, bytes: usize, frame: Kind) {
        let bytes = bytes + FRAME_OVERHEAD_BYTES;
        self.out_bytes += bytes;
        self.out.push_back((bytes, Frame { frame: Some(frame) }));
    }

    /// Collects the answers of the calls under way, also those that the peer is slow to read: what
    /// they hold is known then.
    fn look_after_calls(&mut self, cx: &mut Context<'_>) {
        for _ in 0..COLLECT_MAX {
            if self.out_bytes > self.bounds.answers_bytes_max {
                return;
            }
            let Poll::Ready(Some(ended)) = self.running.poll_next_unpin(cx) else { return };
            let Ended { id, bytes, answer } = ended;
            self.running_bytes -= bytes;
            self.handles.remove(&id);
            if let Some(answer) = answer {
                self.answer_bytes = (self.answer_bytes * 63 + size(&answer)) / 64;
                self.give_out(id, answer);
            }
        }
        cx.waker().wake_by_ref();
    }

    /// Takes what was pushed, as long as the batch has room: the rest waits where it is counted.
    /// One at least, so that answers without end never keep pushes back.
    fn take_pushes(&mut self, cx: &mut Context<'_>) {
        let mut is_first = true;
        while (mem::take(&mut is_first) || !self.is_full())
            && let Some(line) = &self.line
            && let Poll::Ready((bytes, frame)) = line.poll_take(cx)
        {
            self.put_out(bytes, Kind::Push(PushFrame::clone(&frame)));
        }
    }

    fn is_full(&self) -> bool {
        self.out.len() >= BATCH_FRAMES_MAX || self.out_bytes >= BATCH_BYTES_MAX
    }

    /// The answers that are ready, once those that are about to be had the time to join them.
    fn batch(&mut self, cx: &mut Context<'_>) -> Poll<Frames> {
        if self.out.is_empty() {
            return Poll::Pending;
        }
        if !self.gathered && !self.is_full() {
            self.gathered = true;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.gathered = false;
        let mut frames = Vec::with_capacity(self.out.len().min(BATCH_FRAMES_MAX));
        let mut batch_bytes = 0;
        while frames.len() < BATCH_FRAMES_MAX && batch_bytes < BATCH_BYTES_MAX {
            let Some((bytes, frame)) = self.out.pop_front() else { break };
            batch_bytes += bytes;
            frames.push(frame);
        }
        self.out_bytes -= batch_bytes;
        Poll::Ready(Frames { frames })
    }

    /// Asks for no more calls when the node is to end, and waits for the last ones, for a while.
    fn look_after_end(&mut self, cx: &mut Context<'_>) {
        if matches!(self.calls, Calls::Come) && self.drain.as_mut().poll(cx).is_ready() {
            self.calls = Calls::Last(Box::pin(sleep(LAST_CALLS)));
            self.put_out(0, Kind::NoMoreCalls(NoMoreCalls {}));
        }
        if let Calls::Last(patience) = &mut self.calls
            && patience.as_mut().poll(cx).is_ready()
        {
            self.calls = Calls::Over;
        }
    }

    fn poll_link(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frames, Status>>> {
        if self.stage == Stage::Silent {
            self.stage = Stage::Greeted;
            let hello = Frame { frame: Some(Kind::Hello(self.hello.clone())) };
            return Poll::Ready(Some(Ok(Frames { frames: vec![hello] })));
        }
        if self.stage == Stage::Over {
            return self.end(None);
        }
        if self.cut.as_mut().poll(cx).is_ready() {
            // A gate whose link ends well knows that it has missed nothing.
            let lost = self.line.as_ref().is_some_and(|line| !line.is_flushed());
            return self.end(lost.then(|| Status::unavailable("pushes were not taken in time")));
        }
        self.look_after_end(cx);
        if let Err(status) = self.take_in(cx) {
            tracing::debug!(%status, "a peer's link has failed");
            return self.end(Some(status));
        }
        self.look_after_calls(cx);
        self.take_pushes(cx);
        if let Poll::Ready(frames) = self.batch(cx) {
            return Poll::Ready(Some(Ok(frames)));
        }
        let no_more = matches!(self.calls, Calls::Over) || self.inbound.is_none();
        let pushed = self.inbound.is_none() || self.line.as_ref().is_none_or(Line::is_flushed);
        if no_more && self.running.is_empty() && self.out.is_empty() && pushed {
            return self.end(None);
        }
        Poll::Pending
    }

    /// Calls under way are taken back: nobody could be told what became of them.
    fn end(&mut self, why: Option<Status>) -> Poll<Option<Result<Frames, Status>>> {
        self.close();
        self.inbound = None;
        self.line = None;
        self.running.clear();
        self.handles.clear();
        Poll::Ready(why.map(Err))
    }
}

impl<S> LinkStream<S> {
    fn close(&mut self) {
        if mem::replace(&mut self.stage, Stage::Over) == Stage::Open {
            self.up.decrement(1.0);
        }
    }
}

impl<S> Drop for LinkStream<S> {
    fn drop(&mut self) {
        self.close();
    }
}

impl<S: Stream<Item = Result<Frames, Status>> + Unpin> Stream for LinkStream<S> {
    type Item = Result<Frames, Status>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        // One poll serves many calls: what bounds it is the size of a batch, not the runtime's
        // budget for one small task.
        let link = self.get_mut();
        let whole = tokio::task::coop::unconstrained(std::future::poll_fn(|cx| link.poll_link(cx)));
        std::pin::pin!(whole).poll(cx)
    }
}
