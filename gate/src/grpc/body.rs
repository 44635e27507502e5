//! Bodies of gRPC requests, with what tonic leaves open: when they must have come, and what it
//! means that a client cancels them.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::time::{Sleep, sleep};

/// A request that ended before it was whole. A client's cancellation reads so, too: in its own
/// words tonic would take it for the end, and an upload that breaks off for one that is whole.
#[derive(Debug, thiserror::Error)]
#[error("the request broke off")]
pub(crate) struct BrokenOff;

/// A body that is whole or an error, and comes in time if there is a bound.
pub(crate) struct Whole {
    body: Incoming,
    within: Option<Duration>,
    /// Set when the body first keeps us waiting; most never do.
    clock: Option<Pin<Box<Sleep>>>,
}

impl Whole {
    /// However long it takes.
    pub(crate) fn new(body: Incoming) -> Self {
        Self { body, within: None, clock: None }
    }

    /// All of it within that time.
    pub(crate) fn within(body: Incoming, within: Duration) -> Self {
        Self { body, within: Some(within), clock: None }
    }
}

impl Body for Whole {
    type Data = Bytes;
    type Error = BrokenOff;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BrokenOff>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) {
            return Poll::Ready(frame.map(|frame| frame.map_err(|_| BrokenOff)));
        }
        let Some(within) = self.within else { return Poll::Pending };
        let clock = self.clock.get_or_insert_with(|| Box::pin(sleep(within)));
        ready!(clock.as_mut().poll(cx));
        Poll::Ready(Some(Err(BrokenOff)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
