//! One link, as the stream of our answers: polling it takes in what has come, looks after the
//! calls under way, and gives out the answers that are ready. All of it is one task, so a call
//! costs no task of its own, and a peer that reads no answers is read no further.

use std::{
    mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Instant,
};

use fnv::FnvHashSet;
use futures_util::{Stream, StreamExt as _, stream::FuturesUnordered};
use metrics::Gauge;
use tokio_util::sync::WaitForCancellationFutureOwned;
use tonic::Status;
use wasmverse_core::{CallError, Reply};
use wasmverse_proto::{
    convert::{agree, error_to_status, frame_to_call, reply_to_frame},
    node::{CallFrame, Frame, Frames, Hello, frame::Frame as Kind},
};
use wasmverse_router::Callee;

use super::{
    Bounds, Ending, draining, overloaded, passable,
    running::{Ended, Running},
    size,
};

/// What goes out at once, at most.
const BATCH_FRAMES_MAX: usize = 256;
const BATCH_BYTES_MAX: usize = 512 << 10;
/// Batches that are taken in before answers get their turn.
const TAKE_IN_MAX: usize = 8;

/// One link, as the stream of our answers.
pub(crate) struct LinkStream<S> {
    callee: Arc<dyn Callee>,
    hello: Hello,
    bounds: Bounds,
    inbound: Option<S>,
    stage: Stage,
    running: FuturesUnordered<Running>,
    running_bytes: usize,
    /// Answers that are ready.
    out: Vec<Frame>,
    out_bytes: usize,
    /// Others were given the time to get ready, too.
    gathered: bool,
    draining: bool,
    drain: Pin<Box<WaitForCancellationFutureOwned>>,
    cut: Pin<Box<WaitForCancellationFutureOwned>>,
    up: Gauge,
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
        hello: Hello,
        bounds: Bounds,
        ending: Ending,
        up: Gauge,
        inbound: S,
    ) -> Self {
        Self {
            callee,
            hello,
            bounds,
            inbound: Some(inbound),
            stage: Stage::Silent,
            running: FuturesUnordered::new(),
            running_bytes: 0,
            out: Vec::new(),
            out_bytes: 0,
            gathered: false,
            draining: false,
            drain: Box::pin(ending.drain.cancelled_owned()),
            cut: Box::pin(ending.cut.cancelled_owned()),
            up,
        }
    }

    /// Takes in what the peer has sent.
    fn take_in(&mut self, cx: &mut Context<'_>) -> Result<(), Status> {
        for _ in 0..TAKE_IN_MAX {
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
        let mut cancelled = FnvHashSet::default();
        for frame in batch.frames {
            match (frame.frame, self.stage) {
                (Some(Kind::Hello(theirs)), Stage::Greeted) => {
                    agree(&self.hello, &theirs).map_err(|error| error_to_status(&error))?;
                    tracing::info!(peer = theirs.id, role = theirs.role, "a peer has linked up");
                    self.stage = Stage::Open;
                    self.up.increment(1.0);
                }
                (Some(Kind::Call(frame)), Stage::Open) => self.take_call(frame, now),
                (Some(Kind::Cancel(frame)), Stage::Open) => {
                    cancelled.insert(frame.id);
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
                        | Kind::Push(_),
                    )
                    | None,
                    _,
                ) => {
                    tracing::debug!("ignored a frame from a peer");
                }
            }
        }
        if !cancelled.is_empty() {
            let running = self.running.iter_mut();
            running.filter(|call| cancelled.contains(&call.id)).for_each(Running::cancel);
        }
        Ok(())
    }

    /// Hands a call to the callee, which queues it before it returns: so turns are in the order of
    /// arrival.
    fn take_call(&mut self, frame: CallFrame, now: Instant) {
        let (id, one_way) = (frame.id, frame.one_way);
        let bytes = frame.payload.len() + frame.method.len();
        let call = if self.draining { Err(draining()) } else { frame_to_call(frame, now) };
        let full = self.running.len() >= self.bounds.calls_max
            || self.running_bytes + bytes > self.bounds.bytes_max;
        match call {
            Ok(call) if one_way => self.callee.send(call),
            Err(error) if one_way => tracing::debug!(%error, "dropped a one-way call"),
            Ok(call) if full => self.give_out(id, Err(overloaded().about(&call.object))),
            Ok(call) => {
                self.running_bytes += bytes;
                self.running.push(Running::new(id, bytes, self.callee.call(call)));
            }
            Err(error) => self.give_out(id, Err(error)),
        }
    }

    fn give_out(&mut self, id: u64, answer: Result<Reply, CallError>) {
        let answer = passable(answer);
        self.out_bytes += size(&answer);
        self.out.push(Frame { frame: Some(Kind::Reply(reply_to_frame(id, answer))) });
    }

    /// Looks after the calls under way until a batch of answers is full or none is ready.
    fn look_after_calls(&mut self, cx: &mut Context<'_>) {
        while !self.is_full() {
            let Poll::Ready(Some(ended)) = self.running.poll_next_unpin(cx) else { return };
            let Ended { id, bytes, answer } = ended;
            self.running_bytes -= bytes;
            if let Some(answer) = answer {
                self.give_out(id, answer);
            }
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
        self.out_bytes = 0;
        Poll::Ready(Frames { frames: mem::take(&mut self.out) })
    }

    fn poll_link(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frames, Status>>> {
        if self.stage == Stage::Silent {
            self.stage = Stage::Greeted;
            let hello = Frame { frame: Some(Kind::Hello(self.hello.clone())) };
            return Poll::Ready(Some(Ok(Frames { frames: vec![hello] })));
        }
        if self.stage == Stage::Over || self.cut.as_mut().poll(cx).is_ready() {
            return self.end(None);
        }
        self.draining = self.draining || self.drain.as_mut().poll(cx).is_ready();
        if let Err(status) = self.take_in(cx) {
            tracing::debug!(%status, "a peer's link has failed");
            return self.end(Some(status));
        }
        self.look_after_calls(cx);
        if let Poll::Ready(frames) = self.batch(cx) {
            return Poll::Ready(Some(Ok(frames)));
        }
        let no_more = self.draining || self.inbound.is_none();
        if no_more && self.running.is_empty() && self.out.is_empty() {
            return self.end(None);
        }
        Poll::Pending
    }

    /// Calls under way are taken back: nobody could be told what became of them.
    fn end(&mut self, why: Option<Status>) -> Poll<Option<Result<Frames, Status>>> {
        self.close();
        self.inbound = None;
        self.running.clear();
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
