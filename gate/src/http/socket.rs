//! `GET /v1/ws`: a session over WebSocket, with calls on the same connection.
//!
//! Two sides take turns in one task: one hears frames and begins their calls, the other speaks.
//! Whatever is said passes a short queue: while the client reads nothing, nothing of it is read.

mod frame;
mod hear;
mod speak;

use std::{sync::Arc, sync::atomic::AtomicU32, time::Duration};

use axum::{
    Extension,
    extract::{
        State,
        ws::{
            CloseFrame, Message, WebSocket, WebSocketUpgrade, rejection::WebSocketUpgradeRejection,
        },
    },
    http::{HeaderMap, Uri},
    response::Response,
};
use futures_util::{SinkExt as _, StreamExt as _, stream::SplitStream};
use serde::Deserialize;
use tokio::{sync::mpsc, time::timeout};
use wasmverse_core::{CallError, ErrorKind};

use super::{error::Refusal, query::parameters, terms::check_page};
use crate::{
    call::Desk,
    metrics::{Operation, Surface},
    seat::Seat,
    sessions::{Attached, Talk},
};
use frame::{Asked, Opening};
use hear::Ear;
use speak::Mouth;

/// A client that says nothing gets its session after this time.
const FIRST_FRAME_WITHIN: Duration = Duration::from_millis(300);
/// One that announced its first frame (`?opening=frame`) is waited for: on a bad link it takes long.
const ANNOUNCED_FRAME_WITHIN: Duration = Duration::from_secs(10);
/// Both sides have so long to say farewell.
const FAREWELL: Duration = Duration::from_secs(1);
/// Answers that wait to be sent; beyond it nothing is read.
const ANSWERS_MAX: usize = 64;
/// What surrounds a payload in a frame.
const ENVELOPE_BYTES: usize = 64 << 10;
/// What a quiet connection holds for reading.
const READ_BUFFER_BYTES: usize = 4 << 10;
/// What is written at once.
const WRITE_BUFFER_BYTES: usize = 16 << 10;

/// Why a connection ends, as its client is told.
#[derive(Clone, Copy, Debug)]
enum End {
    /// There is nobody to tell.
    Gone,
    Code(u16, &'static str),
}

impl End {
    const AWAY: Self = Self::Code(1001, "the gate ends");
    const PROTOCOL: Self = Self::Code(1002, "that is no WebSocket");
    const NO_TEXT: Self = Self::Code(1007, "that is no UTF-8");
    const TOO_LARGE: Self = Self::Code(1009, "the frame is too large");
    const TRY_LATER: Self = Self::Code(1013, "too many sessions");
    const REPLACED: Self = Self::Code(4001, "resumed elsewhere");
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Parameters {
    opening: Option<Announced>,
}

/// What a client says it will say.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Announced {
    Frame,
}

/// Turns a request into a connection of frames.
pub(crate) async fn socket(
    State(desk): State<Arc<Desk>>,
    seat: Option<Extension<Arc<Seat>>>,
    uri: Uri,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, Refusal> {
    check_page(&desk, &headers, &uri)?;
    let within = match parameters::<Parameters>(&uri)?.opening {
        Some(Announced::Frame) => ANNOUNCED_FRAME_WITHIN,
        None => FIRST_FRAME_WITHIN,
    };
    let upgrade = upgrade.map_err(|rejection| {
        let problem = format!("this is a WebSocket: {}", rejection.body_text());
        let error = CallError::new(ErrorKind::InvalidArgument, problem);
        Refusal::with_status(rejection.status(), error)
    })?;
    let Some(Extension(seat)) = seat else {
        return Err(CallError::new(ErrorKind::Internal, "this connection has no seat").into());
    };
    let bytes_max = desk.body_bytes_max + ENVELOPE_BYTES;
    Ok(upgrade
        .max_message_size(bytes_max)
        .max_frame_size(bytes_max)
        .read_buffer_size(READ_BUFFER_BYTES)
        .write_buffer_size(WRITE_BUFFER_BYTES)
        // Who waits for connections to end waits for this one, since it keeps the seat.
        .on_upgrade(async move |socket| {
            seat.killing.run_until_cancelled(converse(&desk, &seat, socket, within)).await;
        }))
}

async fn converse(desk: &Arc<Desk>, seat: &Seat, socket: WebSocket, within: Duration) {
    let (mut sink, mut frames) = socket.split();
    let end = match first(desk, &mut frames, within).await {
        Err(end) => end,
        Ok((first, opening)) => match attach(desk, opening) {
            Ok(attached) => {
                let mouth = Mouth::new(desk, seat, &mut sink);
                talk(desk, attached, mouth, &mut frames, first).await
            }
            Err(error) => {
                let refused = Message::Text(frame::failure(None, &error).into());
                match timeout(seat.write_timeout, sink.send(refused)).await {
                    Ok(Ok(())) => End::TRY_LATER,
                    _ => End::Gone,
                }
            }
        },
    };
    let farewell = async {
        if let End::Code(code, reason) = end {
            let close = CloseFrame { code, reason: reason.into() };
            if sink.send(Message::Close(Some(close))).await.is_err() {
                return;
            }
        }
        // What is not read yet would cut off what was said last.
        while let Some(Ok(_)) = frames.next().await {}
    };
    // Not in time: it is gone all the same.
    let _ = timeout(FAREWELL, farewell).await;
}

fn attach(desk: &Desk, opening: Opening) -> Result<Attached, CallError> {
    let measure = desk.meter.begin(Surface::Http, Operation::Session);
    let attached = match opening {
        Opening::New => desk.sessions.open(),
        Opening::Resume { token, seq } => desk.sessions.resume(&token, seq),
    };
    measure.end(&attached);
    attached
}

async fn talk(
    desk: &Arc<Desk>,
    attached: Attached,
    mouth: Mouth<'_>,
    frames: &mut SplitStream<WebSocket>,
    first: Option<Message>,
) -> End {
    let (answers, outbox) = mpsc::channel(ANSWERS_MAX);
    let unanswered = AtomicU32::new(0);
    let ear = Ear::new(desk, attached.client.clone(), &unanswered);
    let talk = Talk::new(attached, &desk.ending);
    tokio::select! {
        end = ear.hear(frames, answers, first) => end,
        end = mouth.speak(talk, outbox, &unanswered) => end,
    }
}

/// How a session begins, and the first frame if it says nothing of that.
async fn first(
    desk: &Desk,
    frames: &mut SplitStream<WebSocket>,
    within: Duration,
) -> Result<(Option<Message>, Opening), End> {
    let coming = async {
        loop {
            match frames.next().await {
                Some(Ok(Message::Text(text))) => {
                    return match Asked::read(&text) {
                        Ok(Asked::Opening(opening)) => Ok((None, opening)),
                        // It is read again in its turn.
                        Ok(Asked::Call(_)) | Err(_) => {
                            Ok((Some(Message::Text(text)), Opening::New))
                        }
                    };
                }
                Some(Ok(binary @ Message::Binary(_))) => return Ok((Some(binary), Opening::New)),
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                Some(Ok(Message::Close(_))) | None => return Err(End::Gone),
                Some(Err(error)) => return Err(hear::end_of(&error)),
            }
        }
    };
    tokio::select! {
        first = timeout(within, coming) => first.unwrap_or(Ok((None, Opening::New))),
        () = desk.ending.cancelled() => Err(End::AWAY),
    }
}
