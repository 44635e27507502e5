//! `OpenSession`: a session as a stream of events.

use std::pin::Pin;

use futures_util::{Stream, StreamExt as _};
use tonic::Status;
use wasmverse_core::{CallError, ErrorKind};
use wasmverse_proto::{
    convert::error_to_status,
    gate::{
        SessionEvent, SessionGap, SessionHeartbeat, SessionOpened, SessionPush,
        session_event::Event as Kind,
    },
};

use crate::sessions::{Said, Talk, Told};

/// The events of one session.
pub(crate) type Events = Pin<Box<dyn Stream<Item = Result<SessionEvent, Status>> + Send>>;

/// What a client is told, in the words of the protocol.
pub(crate) fn events(talk: Talk) -> Events {
    let token = talk.attached().token.clone();
    Box::pin(talk.map(move |said| {
        let (seq, event) = match said {
            Said::Opened { client, seq } => {
                let session_token = token.expose().to_owned();
                (seq, Kind::Opened(SessionOpened { client_id: (*client).into(), session_token }))
            }
            Said::Told(Told::Push { seq, event }) => {
                let payload = event.payload.clone();
                (seq, Kind::Push(SessionPush { event: (*event.name).into(), payload }))
            }
            Said::Told(Told::Gap { seq, missed }) => (seq, Kind::Gap(SessionGap { missed })),
            Said::Heartbeat(seq) => (seq, Kind::Heartbeat(SessionHeartbeat {})),
            Said::Replaced => {
                let problem = "the session was resumed by another connection";
                return Err(Status::aborted(problem));
            }
            Said::Ending => {
                let error = CallError::new(ErrorKind::Unavailable, "the gate ends");
                return Err(error_to_status(&error));
            }
        };
        Ok(SessionEvent { seq, event: Some(event) })
    }))
}
