//! A call under way at the callee, on behalf of a peer.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use futures_util::future::{AbortHandle, Abortable, BoxFuture};
use wasmverse_core::{CallError, Reply};

type Answer = Result<Reply, CallError>;

/// A call under way. It ends with its answer, or with none once the peer has taken it back.
pub(super) struct Running {
    id: u64,
    bytes: usize,
    calling: Abortable<BoxFuture<'static, Answer>>,
}

/// A call that has ended.
pub(super) struct Ended {
    pub(super) id: u64,
    pub(super) bytes: usize,
    /// None: the peer has taken the call back.
    pub(super) answer: Option<Answer>,
}

impl Running {
    /// The call, and what takes it back: one that is still queued is dropped then, a running turn
    /// goes on.
    pub(super) fn new(
        id: u64,
        bytes: usize,
        calling: BoxFuture<'static, Answer>,
    ) -> (Self, AbortHandle) {
        let (handle, registration) = AbortHandle::new_pair();
        (Self { id, bytes, calling: Abortable::new(calling, registration) }, handle)
    }
}

impl Future for Running {
    type Output = Ended;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Ended> {
        let ended = Pin::new(&mut self.calling).poll(cx);
        ended.map(|answer| Ended { id: self.id, bytes: self.bytes, answer: answer.ok() })
    }
}
