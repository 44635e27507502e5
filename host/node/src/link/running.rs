//! A call under way at the callee, on behalf of a peer.

use std::{
    pin::Pin,
    task::{Context, Poll, Waker},
};

use futures_util::future::BoxFuture;
use wasmverse_core::{CallError, Reply};

type Answer = Result<Reply, CallError>;

/// A call under way. It ends with its answer, or with none once the peer has taken it back.
pub(super) struct Running {
    pub(super) id: u64,
    pub(super) bytes: usize,
    calling: Option<BoxFuture<'static, Answer>>,
    waker: Option<Waker>,
}

/// A call that has ended.
pub(super) struct Ended {
    pub(super) id: u64,
    pub(super) bytes: usize,
    /// None: the peer has taken the call back.
    pub(super) answer: Option<Answer>,
}

impl Running {
    pub(super) fn new(id: u64, bytes: usize, calling: BoxFuture<'static, Answer>) -> Self {
        Self { id, bytes, calling: Some(calling), waker: None }
    }

    /// The peer no longer waits: a call that is still queued is dropped, a running turn goes on.
    pub(super) fn cancel(&mut self) {
        self.calling = None;
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

impl Future for Running {
    type Output = Ended;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Ended> {
        let answer = match self.calling.as_mut().map(|calling| calling.as_mut().poll(cx)) {
            None => None,
            Some(Poll::Ready(answer)) => Some(answer),
            Some(Poll::Pending) => {
                match &mut self.waker {
                    Some(waker) => waker.clone_from(cx.waker()),
                    none => *none = Some(cx.waker().clone()),
                }
                return Poll::Pending;
            }
        };
        self.calling = None;
        Poll::Ready(Ended { id: self.id, bytes: self.bytes, answer })
    }
}
