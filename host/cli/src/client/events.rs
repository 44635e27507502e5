//! What a session is told, over either side: one connection of it, from its opening to its loss.

use std::time::Duration;

use eventsource_stream::Eventsource as _;
use futures_util::{
    StreamExt as _,
    stream::{self, BoxStream},
};
use reqwest::{Method, header::ACCEPT};
use serde::Deserialize;
use serde_json::Value;
use wasmverse_proto::gate::{OpenSessionRequest, session_event::Event as Kind};

use super::{Client, Patience};
use crate::failure::{Failure, Result};

/// A link on which nothing came for so long is dead: gates say something more often.
const QUIET_MAX: Duration = Duration::from_secs(40);

/// Where a session is to go on.
#[derive(Clone, Debug, Default)]
pub(crate) struct Mark {
    /// The session's secret.
    pub(crate) token: String,
    /// The last event that was received.
    seq: u64,
    /// The same, as the HTTP side names it.
    id: String,
}

/// Something that a session is told.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Told {
    /// First of all. Calls that show the token are this client's.
    Opened {
        client_id: String,
        token: String,
    },
    Push {
        event: String,
        payload: Value,
    },
    Gap {
        missed: Option<u64>,
    },
}

/// An event, and where to go on after it. The last item says why there are no more.
pub(crate) type Events = BoxStream<'static, std::result::Result<(Told, Mark), String>>;

#[derive(Deserialize)]
struct Session {
    client_id: String,
    session: String,
}

#[derive(Deserialize)]
struct Gap {
    missed: Option<u64>,
}

impl Client {
    /// Opens a session, or goes on with one.
    ///
    /// # Errors
    /// If the gate is not reached, or refuses.
    pub(crate) async fn events(&mut self, mark: &Mark) -> Result<Events> {
        match self {
            Self::Http(http) => {
                let mut request =
                    http.request(Method::GET, "/v1/events").header(ACCEPT, "text/event-stream");
                if !mark.id.is_empty() {
                    request = request.header("last-event-id", &mark.id);
                }
                let response = http.send(request, Patience::READ).await?;
                let bytes = response.bytes_stream();
                let bytes =
                    tokio_stream::StreamExt::timeout(bytes, QUIET_MAX).map(|bytes| match bytes {
                        Ok(Ok(bytes)) => Ok(bytes),
                        Ok(Err(error)) => Err(std::io::Error::other(error)),
                        Err(_) => Err(std::io::Error::other("nothing came any more")),
                    });
                let mark = mark.clone();
                let events = bytes.eventsource().scan(mark, |mark, event| {
                    std::future::ready(Some(match event {
                        Ok(event) => of_http(mark, &event),
                        Err(error) => Err(error.to_string()),
                    }))
                });
                Ok(ended(events.boxed()))
            }
            Self::Grpc(grpc) => {
                let (session_token, last_seq) = (mark.token.clone(), mark.seq);
                let request = grpc.signed(OpenSessionRequest { session_token, last_seq });
                let opening = grpc.gate.open_session(request);
                let answer = Patience::READ.wait(&grpc.endpoint, opening).await?;
                let stream =
                    answer.map_err(|status| super::grpc::failure(&grpc.endpoint, &status))?;
                let stream = tokio_stream::StreamExt::timeout(stream.into_inner(), QUIET_MAX);
                let events = stream.boxed().scan(mark.clone(), |mark, event| {
                    std::future::ready(Some(match event {
                        Ok(Ok(event)) => of_grpc(mark, event).transpose(),
                        Ok(Err(status)) => Some(Err(status.message().to_owned())),
                        Err(_) => Some(Err("nothing came any more".to_owned())),
                    }))
                });
                Ok(ended(events.filter_map(std::future::ready).boxed()))
            }
        }
    }
}

/// A stream that ends without a word ends with one.
fn ended(events: Events) -> Events {
    let closed = Err("the connection was closed".to_owned());
    events.chain(stream::once(std::future::ready(closed))).boxed()
}

fn of_http(
    mark: &mut Mark,
    event: &eventsource_stream::Event,
) -> std::result::Result<(Told, Mark), String> {
    mark.id.clone_from(&event.id);
    let odd = |error: serde_json::Error| format!("the gate said what cannot be read: {error}");
    let told = match event.event.as_str() {
        "session" => {
            let session: Session = serde_json::from_str(&event.data).map_err(odd)?;
            mark.token.clone_from(&session.session);
            Told::Opened { client_id: session.client_id, token: session.session }
        }
        "gap" => {
            Told::Gap { missed: serde_json::from_str::<Gap>(&event.data).map_err(odd)?.missed }
        }
        name => Told::Push {
            event: name.to_owned(),
            payload: serde_json::from_str(&event.data).map_err(odd)?,
        },
    };
    Ok((told, mark.clone()))
}

fn of_grpc(
    mark: &mut Mark,
    event: wasmverse_proto::gate::SessionEvent,
) -> std::result::Result<Option<(Told, Mark)>, String> {
    mark.seq = event.seq;
    let told = match event.event {
        Some(Kind::Opened(opened)) => {
            mark.token.clone_from(&opened.session_token);
            Told::Opened { client_id: opened.client_id, token: opened.session_token }
        }
        Some(Kind::Push(push)) => {
            let text = || Value::from(String::from_utf8_lossy(&push.payload));
            let payload = match push.payload.is_empty() {
                true => Value::Null,
                false => serde_json::from_slice(&push.payload).unwrap_or_else(|_| text()),
            };
            Told::Push { event: push.event, payload }
        }
        Some(Kind::Gap(gap)) => Told::Gap { missed: gap.missed },
        Some(Kind::Heartbeat(_)) | None => return Ok(None),
    };
    Ok(Some((told, mark.clone())))
}

/// Whether to try again makes sense: nobody is there, or it is not ready.
pub(crate) fn is_passing(failure: &Failure) -> bool {
    match failure {
        Failure::Unreachable { .. } | Failure::Away(_) => true,
        Failure::Call(call) => ["unavailable", "overloaded", "timeout"].contains(&&*call.code),
        Failure::Usage(_) | Failure::Local(_) | Failure::Found(_) => false,
    }
}
