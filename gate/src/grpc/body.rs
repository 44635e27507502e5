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
use tonic::Status;
use wasmverse_proto::convert::error_to_status;

use crate::budget::Share;

/// A request that ended before it was whole. A client's cancellation reads so, too: in its own
/// words tonic would take it for the end, and an upload that breaks off for one that is whole.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refused {
    #[error("the request broke off")]
    BrokenOff,
    /// There is no room for it; tonic finds the status and passes it on.
    #[error("there is no room for the request")]
    NoRoom(#[source] Status),
}

/// A body that is whole or an error, and comes in time if there is a bound.
pub(crate) struct Whole {
    body: Incoming,
    within: Option<Duration>,
    /// What it holds while it comes in; for requests that are taken in whole.
    share: Option<Share>,
    /// Set when the body first keeps us waiting; most never do.
    clock: Option<Pin<Box<Sleep>>>,
}

impl Whole {
    /// However long it takes.
    pub(crate) fn new(body: Incoming) -> Self {
        Self { body, within: None, share: None, clock: None }
    }

    /// All of it within that time, as long as there is room.
    pub(crate) fn within(body: Incoming, within: Duration, share: Share) -> Self {
        Self { body, within: Some(within), share: Some(share), clock: None }
    }
}

impl Whole {
    fn count(&mut self, frame: Frame<Bytes>) -> Result<Frame<Bytes>, Refused> {
        if let (Some(share), Some(data)) = (&mut self.share, frame.data_ref()) {
            share.grow(data.len()).map_err(|error| Refused::NoRoom(error_to_status(&error)))?;
        }
        Ok(frame)
    }
}

impl Body for Whole {
    type Data = Bytes;
    type Error = Refused;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Refused>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) {
            let Some(frame) = frame else { return Poll::Ready(None) };
            let frame = frame.map_err(|_| Refused::BrokenOff);
            return Poll::Ready(Some(frame.and_then(|frame| self.count(frame))));
        }
        let Some(within) = self.within else { return Poll::Pending };
        let clock = self.clock.get_or_insert_with(|| Box::pin(sleep(within)));
        ready!(clock.as_mut().poll(cx));
        Poll::Ready(Some(Err(Refused::BrokenOff)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
