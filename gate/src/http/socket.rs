//! `GET /v1/ws`: a session over WebSocket, with calls on the same connection.

mod frame;

use std::{
    ops::ControlFlow,
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    extract::{
        State,
        ws::{
            CloseFrame, Message, WebSocket, WebSocketUpgrade, rejection::WebSocketUpgradeRejection,
        },
    },
    http::{HeaderMap, Uri},
    response::Response,
};
use bytes::Bytes;
use futures_util::{
    FutureExt as _, SinkExt as _, StreamExt as _,
    future::BoxFuture,
    stream::{FuturesUnordered, SplitSink, SplitStream},
};
use tokio::time::timeout;
use wasmverse_core::{CallError, ErrorKind};

use super::{error::Refusal, terms::check_page};
use crate::{
    call::Desk,
    metrics::{Operation, Surface},
    sessions::{Attached, Said, Talk, Told},
};
use frame::Asked;

/// A client that wants to resume says so within this time.
const FIRST_FRAME_WITHIN: Duration = Duration::from_millis(300);
/// Calls of one connection under way; beyond it no further one is read.
const CALLS_MAX: usize = 1024;
/// What surrounds a payload in a frame.
const ENVELOPE_BYTES: usize = 64 << 10;
/// What a quiet connection holds for reading, and for writing.
const BUFFER_BYTES: usize = 4 << 10;

mod close {
    pub(super) const AWAY: u16 = 1001;
    pub(super) const TRY_LATER: u16 = 1013;
    pub(super) const REPLACED: u16 = 4001;
}

/// Turns a request into a connection of frames.
pub(crate) async fn socket(
    State(desk): State<Arc<Desk>>,
    uri: Uri,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, Refusal> {
    check_page(&desk, &headers, &uri)?;
    let upgrade = upgrade.map_err(|rejection| {
        CallError::new(ErrorKind::InvalidArgument, format!("{rejection}: this is a WebSocket"))
    })?;
    let bytes_max = desk.body_bytes_max + ENVELOPE_BYTES;
    // Whoever waits for requests to end waits for this connection, too.
    let under_way = desk.requests.token();
    Ok(upgrade
        .max_message_size(bytes_max)
        .max_frame_size(bytes_max)
        .read_buffer_size(BUFFER_BYTES)
        .write_buffer_size(0)
        .on_upgrade(async move |socket| {
            let killing = desk.killing.clone();
            killing.run_until_cancelled(converse(&desk, socket)).await;
            drop(under_way);
        }))
}

async fn converse(desk: &Arc<Desk>, socket: WebSocket) {
    let (sink, mut frames) = socket.split();
    let Some(first) = first(&mut frames).await else { return };
    let is_opening = first.as_ref().is_some_and(|asked| asked.is_about_session());
    let attached = match first.as_ref().filter(|_| is_opening).and_then(Asked::resumed) {
        Some((token, seq)) => desk.sessions.resume(token, seq),
        None => desk.sessions.open(),
    };
    let heartbeats = first.as_ref().is_some_and(|asked| asked.heartbeat);
    let measure = desk.meter.begin(Surface::Http, Operation::Session);
    measure.end(&attached);
    let mut sink = Sink { sink, patience: desk.write_timeout };
    let attached = match attached {
        Ok(attached) => attached,
        Err(error) => {
            sink.say(frame::failure(None, error)).await;
            return sink.close(close::TRY_LATER, "too many sessions").await;
        }
    };
    let first = first.filter(|_| !is_opening);
    Conversation::new(desk, attached, sink, frames, heartbeats).run(first).await;
}

/// The first frame, if one comes soon: `None` within: none came. `None`: the client is gone.
async fn first(frames: &mut SplitStream<WebSocket>) -> Option<Option<Asked>> {
    let coming = async {
        loop {
            match frames.next().await {
                Some(Ok(Message::Text(text))) => return Some(Asked::read(text.as_bytes())),
                Some(Ok(Message::Binary(_))) => return Some(Asked::binary()),
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                Some(Ok(Message::Close(_)) | Err(_)) | None => return None,
            }
        }
    };
    match timeout(FIRST_FRAME_WITHIN, coming).await {
        Ok(first) => first.map(Some),
        Err(_) => Some(None),
    }
}

/// The way to a client that must not keep us waiting for ever.
struct Sink {
    sink: SplitSink<WebSocket, Message>,
    patience: Duration,
}

impl Sink {
    /// `false`: the client is gone, or reads nothing.
    async fn say(&mut self, text: String) -> bool {
        self.send(Message::Text(text.into())).await
    }

    async fn send(&mut self, message: Message) -> bool {
        matches!(timeout(self.patience, self.sink.send(message)).await, Ok(Ok(())))
    }

    async fn close(mut self, code: u16, reason: &'static str) {
        self.send(Message::Close(Some(CloseFrame { code, reason: reason.into() }))).await;
    }
}

/// One open connection.
struct Conversation<'a> {
    desk: &'a Arc<Desk>,
    talk: Talk,
    sink: Sink,
    frames: SplitStream<WebSocket>,
    calls: FuturesUnordered<BoxFuture<'static, String>>,
    /// It wants to see heartbeats, as pages cannot see pings.
    heartbeats: bool,
    heard_at: Instant,
}

/// Why a connection ends, if it is not the client that ends it.
type End = Option<(u16, &'static str)>;

impl<'a> Conversation<'a> {
    fn new(
        desk: &'a Arc<Desk>,
        attached: Attached,
        sink: Sink,
        frames: SplitStream<WebSocket>,
        heartbeats: bool,
    ) -> Self {
        Self {
            desk,
            talk: Talk::new(attached, &desk.ending),
            sink,
            frames,
            calls: FuturesUnordered::new(),
            heartbeats,
            heard_at: Instant::now(),
        }
    }

    async fn run(mut self, first: Option<Asked>) {
        if let Some(asked) = first {
            self.take(asked);
        }
        let end = loop {
            let step = tokio::select! {
                biased;
                said = self.talk.next() => match said {
                    Some(said) => self.say(said).await,
                    None => ControlFlow::Break(None),
                },
                Some(answer) = self.calls.next(), if !self.calls.is_empty() => {
                    self.pass(answer).await
                }
                frame = self.frames.next(), if self.calls.len() < CALLS_MAX => self.hear(frame),
            };
            if let ControlFlow::Break(end) = step {
                break end;
            }
        };
        if let Some((code, reason)) = end {
            if code == close::AWAY {
                // What was asked before is still answered, as everywhere when a gate ends.
                while let Some(answer) = self.calls.next().await {
                    self.pass(answer).await;
                }
            }
            self.sink.close(code, reason).await;
        }
    }

    async fn pass(&mut self, text: String) -> ControlFlow<End> {
        if self.sink.say(text).await { ControlFlow::Continue(()) } else { ControlFlow::Break(None) }
    }

    async fn say(&mut self, said: Said) -> ControlFlow<End> {
        let text = match said {
            Said::Opened { client, .. } => {
                frame::session(&client, self.talk.attached().token.expose())
            }
            Said::Told(Told::Push { seq, event }) => frame::push(seq, &event),
            Said::Told(Told::Gap { missed, .. }) => frame::gap(missed),
            Said::Heartbeat(seq) => {
                if self.heard_at.elapsed() > 3 * self.desk.sessions.bounds.heartbeat {
                    return ControlFlow::Break(None);
                }
                if !self.sink.send(Message::Ping(Bytes::new())).await {
                    return ControlFlow::Break(None);
                }
                if !self.heartbeats {
                    return ControlFlow::Continue(());
                }
                frame::heartbeat(seq)
            }
            Said::Replaced => {
                return ControlFlow::Break(Some((close::REPLACED, "resumed elsewhere")));
            }
            Said::Ending => return ControlFlow::Break(Some((close::AWAY, "the gate ends"))),
        };
        self.pass(text).await
    }

    fn hear(&mut self, frame: Option<Result<Message, axum::Error>>) -> ControlFlow<End> {
        self.heard_at = Instant::now();
        match frame {
            Some(Ok(Message::Text(text))) => self.take(Asked::read(text.as_bytes())),
            Some(Ok(Message::Binary(_))) => self.take(Asked::binary()),
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
            Some(Ok(Message::Close(_)) | Err(_)) | None => return ControlFlow::Break(None),
        }
        ControlFlow::Continue(())
    }

    /// The call takes its place before the next frame is read.
    fn take(&mut self, asked: Asked) {
        let client = self.talk.attached().client.clone();
        let measure_desk = Arc::clone(self.desk);
        let (id, encoding, answering) = asked.call(self.desk, client);
        self.calls.push(
            async move {
                let measure = measure_desk.meter.begin(Surface::Http, Operation::Call);
                let answer = answering.await;
                measure.end(&answer);
                match answer {
                    Ok(payload) => frame::reply(id.as_ref(), encoding, &payload),
                    Err(error) => frame::failure(id.as_ref(), error),
                }
            }
            .boxed(),
        );
    }
}
