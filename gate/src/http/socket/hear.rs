//! What a client says over its WebSocket, frame by frame.

use std::{
    error::Error as _,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
};

use axum::extract::ws::{Message, WebSocket};
use futures_util::{
    FutureExt as _, StreamExt as _,
    future::BoxFuture,
    stream::{FuturesUnordered, SplitStream},
};
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::Error;
use wasmverse_core::{CallError, ErrorKind};

use super::{
    End,
    frame::{Answer, Asked, refused},
};
use crate::{
    call::Desk,
    metrics::{Operation, Surface},
    sessions::Client,
};

/// Calls of one connection under way.
const CALLS_MAX: usize = 1024;

/// The side that listens.
pub(super) struct Ear<'a> {
    desk: &'a Arc<Desk>,
    client: Client,
    calls: FuturesUnordered<BoxFuture<'static, Answer>>,
    /// Pings since something was heard.
    unanswered: &'a AtomicU32,
}

impl<'a> Ear<'a> {
    pub(super) fn new(desk: &'a Arc<Desk>, client: Client, unanswered: &'a AtomicU32) -> Self {
        Self { desk, client, calls: FuturesUnordered::new(), unanswered }
    }

    /// Hears until the client is gone, or says what nobody can read on from. When the gate ends,
    /// only what was begun is answered; and the other side ends the connection.
    pub(super) async fn hear(
        mut self,
        frames: &mut SplitStream<WebSocket>,
        answers: mpsc::Sender<Answer>,
        mut first: Option<Message>,
    ) -> End {
        let mut ending = pin!(self.desk.ending.cancelled());
        loop {
            let Ok(place) = answers.reserve().await else { return End::Gone };
            let message = match first.take() {
                Some(message) => message,
                None => tokio::select! {
                    Some(answer) = self.calls.next() => {
                        place.send(answer);
                        continue;
                    }
                    message = frames.next() => match message {
                        Some(Ok(message)) => message,
                        Some(Err(error)) => return end_of(&error),
                        None => return End::Gone,
                    },
                    () = &mut ending => break,
                },
            };
            self.unanswered.store(0, Relaxed);
            let answer = match message {
                Message::Text(text) => self.take(&text),
                Message::Binary(_) => Some(Answer::Failure {
                    id: None,
                    error: refused("frames are JSON text, not binary"),
                }),
                Message::Ping(_) | Message::Pong(_) => None,
                Message::Close(_) => return End::Gone,
            };
            if let Some(answer) = answer {
                place.send(answer);
            }
        }
        while let Some(answer) = self.calls.next().await {
            if answers.send(answer).await.is_err() {
                break;
            }
        }
        drop(answers);
        std::future::pending().await
    }

    /// A call takes its place before the next frame is read. What is no call is answered at once.
    fn take(&self, text: &str) -> Option<Answer> {
        let asking = match Asked::read(text) {
            Ok(Asked::Call(asking)) => asking,
            Ok(Asked::Opening(_)) => {
                let problem = "a session is opened or resumed by the first frame alone, and soon";
                return Some(Answer::Failure { id: None, error: refused(problem) });
            }
            Err((id, error)) => return Some(Answer::Failure { id, error }),
        };
        let id = asking.id();
        let queued = if self.calls.len() >= CALLS_MAX {
            let problem = format!("this connection has {CALLS_MAX} calls under way");
            Err(CallError::new(ErrorKind::Overloaded, problem))
        } else {
            asking.queue(self.desk, self.client.clone())
        };
        let (encoding, answering) = match queued {
            Ok(queued) => queued,
            Err(error) => {
                let failed = Err::<(), _>(error);
                self.desk.meter.begin(Surface::Http, Operation::Call).end(&failed);
                return failed.err().map(|error| Answer::Failure { id, error });
            }
        };
        let desk = Arc::clone(self.desk);
        let call = async move {
            let measure = desk.meter.begin(Surface::Http, Operation::Call);
            let answer = answering.await;
            measure.end(&answer);
            match answer {
                Ok(payload) => Answer::Reply { id, encoding, payload },
                Err(error) => Answer::Failure { id, error },
            }
        };
        self.calls.push(call.boxed());
        None
    }
}

/// What a connection ends with that cannot be read on from.
pub(super) fn end_of(error: &axum::Error) -> End {
    match error.source().and_then(|source| source.downcast_ref::<Error>()) {
        Some(Error::Capacity(_)) => End::TOO_LARGE,
        Some(Error::Utf8(_)) => End::NO_TEXT,
        Some(Error::Protocol(_)) => End::PROTOCOL,
        _ => End::Gone,
    }
}
