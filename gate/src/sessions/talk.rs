//! What is said to a connected client, as a stream: all surfaces speak from it, each in its words.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures_util::Stream;
use tokio::time::{Instant, Sleep, sleep};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use super::{Attached, Told};

/// Something to say to a client.
#[derive(Clone, Debug)]
pub(crate) enum Said {
    /// First of all: who it is, and from where on it is told.
    Opened {
        client: Arc<str>,
        seq: u64,
    },
    Told(Told),
    /// Nothing happened for a while; the last that it was told.
    Heartbeat(u64),
    /// Last: somebody else has resumed the session.
    Replaced,
    /// Last: the gate ends.
    Ending,
}

/// A connected client and what it is told.
#[derive(Debug)]
pub(crate) struct Talk {
    attached: Attached,
    stage: Stage,
    every: Duration,
    said_at: Instant,
    heartbeat: Pin<Box<Sleep>>,
    ending: Pin<Box<WaitForCancellationFutureOwned>>,
}

#[derive(Debug, PartialEq, Eq)]
enum Stage {
    Silent,
    Open,
    Over,
}

impl Talk {
    pub(crate) fn new(attached: Attached, ending: &CancellationToken) -> Self {
        let every = attached.heartbeat();
        Self {
            attached,
            stage: Stage::Silent,
            every,
            said_at: Instant::now(),
            heartbeat: Box::pin(sleep(every)),
            ending: Box::pin(ending.clone().cancelled_owned()),
        }
    }

    /// Who is spoken to.
    pub(crate) fn attached(&self) -> &Attached {
        &self.attached
    }

    fn poll_said(&mut self, cx: &mut Context<'_>) -> Poll<Option<Said>> {
        match self.stage {
            Stage::Over => return Poll::Ready(None),
            Stage::Silent => {
                self.stage = Stage::Open;
                let client = Arc::clone(self.attached.client.id());
                return Poll::Ready(Some(Said::Opened { client, seq: self.attached.seq }));
            }
            Stage::Open => {}
        }
        match self.attached.poll_next(cx) {
            Poll::Ready(Some(told)) => return Poll::Ready(Some(Said::Told(told))),
            Poll::Ready(None) => {
                self.stage = Stage::Over;
                return Poll::Ready(Some(Said::Replaced));
            }
            Poll::Pending => {}
        }
        if self.ending.as_mut().poll(cx).is_ready() {
            self.stage = Stage::Over;
            return Poll::Ready(Some(Said::Ending));
        }
        while self.heartbeat.as_mut().poll(cx).is_ready() {
            let due = self.said_at + self.every;
            let now = Instant::now();
            if due <= now {
                self.heartbeat.as_mut().reset(now + self.every);
                return Poll::Ready(Some(Said::Heartbeat(self.attached.told())));
            }
            self.heartbeat.as_mut().reset(due);
        }
        Poll::Pending
    }
}

impl Stream for Talk {
    type Item = Said;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Said>> {
        let said = self.poll_said(cx);
        if said.is_ready() {
            self.said_at = Instant::now();
        }
        said
    }
}
