//! Calls over a WebSocket, in the frames of a session.

use std::fmt::Write as _;

use futures_util::{SinkExt as _, StreamExt as _};
use hyper::header::{AUTHORIZATION, HeaderValue};
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::net::TcpStream;
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{Message, Utf8Bytes, client::IntoClientRequest as _},
};
use wasmverse_core::ObjectId;

use super::Slip;
use crate::{
    client::{CONNECT_TIMEOUT, unreachable},
    failure::{CallFailure, Failure, Result},
    load::Plan,
};

/// A session whose events nobody reads: it is there to call.
#[derive(Debug)]
pub(super) struct Socket {
    stream: WebSocketStream<TcpStream>,
    last_id: u64,
}

/// What the gate says.
#[derive(Deserialize)]
#[serde(tag = "op", rename_all = "kebab-case")]
enum FromGate {
    Reply {
        id: u64,
    },
    Error {
        id: Option<u64>,
        error: Box<CallFailure>,
    },
    #[serde(other)]
    Other,
}

/// The part of a call's frame that stays the same; its key, id and end are to come.
pub(super) fn frame(plan: &Plan, object: &ObjectId) -> String {
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    let mut frame = format!(
        r#"{{"op":"call","type":{},"object":{},"method":{}"#,
        quoted(object.type_name().as_str()),
        quoted(object.id()),
        quoted(&plan.method)
    );
    if let Ok(payload) = serde_json::from_slice::<&RawValue>(&plan.payload) {
        frame += r#","payload":"#;
        frame += payload.get();
    }
    frame
}

impl Socket {
    /// Opens a session.
    pub(super) async fn open(
        plan: &Plan,
        authorization: Option<HeaderValue>,
        stream: TcpStream,
    ) -> Result<Self> {
        let endpoint = &plan.endpoint;
        let address = format!("ws://{}{}/v1/ws", endpoint.authority(), endpoint.prefix());
        let mut request = address
            .into_client_request()
            .map_err(|error| Failure::usage(format!("{endpoint}: {error}")))?;
        if let Some(authorization) = authorization {
            request.headers_mut().insert(AUTHORIZATION, authorization);
        }
        let opening = async {
            let (mut stream, _) = client_async(request, stream).await?;
            stream.send(Message::text(r#"{"op":"open"}"#)).await?;
            Ok::<_, tokio_tungstenite::tungstenite::Error>(stream)
        };
        let stream = tokio::time::timeout(CONNECT_TIMEOUT, opening)
            .await
            .map_err(|elapsed| unreachable(endpoint, &elapsed))?
            .map_err(|error| unreachable(endpoint, &error))?;
        Ok(Self { stream, last_id: 0 })
    }

    /// Sends a call and takes in what comes until its answer has come.
    pub(super) async fn call(
        &mut self,
        frame: &str,
        key: Option<String>,
    ) -> std::result::Result<(), Slip> {
        let broken = || Slip { code: "unavailable".to_owned(), is_broken: true };
        self.last_id += 1;
        let mut call = String::with_capacity(frame.len() + 64);
        call.push_str(frame);
        if let Some(key) = key {
            call += r#","key":"#;
            call += &serde_json::Value::from(key).to_string();
        }
        // Writing to a string does not fail.
        let _ = write!(call, r#","id":{}}}"#, self.last_id);
        self.stream.send(Message::text(call)).await.map_err(|_| broken())?;
        loop {
            let message = self.stream.next().await.and_then(std::result::Result::ok);
            let Message::Text(text) = message.ok_or_else(broken)? else { continue };
            match answer(&text, self.last_id) {
                Some(Ok(())) => return Ok(()),
                Some(Err(code)) => return Err(Slip { code, is_broken: false }),
                None => {}
            }
        }
    }
}

/// Whether a frame is the answer to the call of that id: well, or the code of its error.
fn answer(text: &Utf8Bytes, id: u64) -> Option<std::result::Result<(), String>> {
    match serde_json::from_str(text).ok()? {
        FromGate::Reply { id: answered } => (answered == id).then_some(Ok(())),
        // A frame that makes no sense is answered without an id.
        FromGate::Error { id: answered, error } => {
            answered.is_none_or(|answered| answered == id).then_some(Err(error.code))
        }
        FromGate::Other => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(text: &str) -> Option<std::result::Result<(), String>> {
        answer(&text.into(), 7)
    }

    #[test]
    fn only_the_answer_to_the_call_ends_it() {
        assert_eq!(heard(r#"{"op":"reply","id":7,"payload":[1]}"#), Some(Ok(())));
        for other in [
            r#"{"op":"reply","id":6,"payload":null}"#,
            r#"{"op":"session","client_id":"g/1","session":"s","seq":0}"#,
            r#"{"op":"heartbeat","seq":1}"#,
            r#"{"op":"later","id":7}"#,
        ] {
            assert_eq!(heard(other), None, "{other}");
        }
    }

    #[test]
    fn errors_are_those_of_the_call_or_of_its_frame() {
        for id in ["7", "null"] {
            let text =
                format!(r#"{{"op":"error","id":{id},"error":{{"code":"denied","message":"m"}}}}"#);
            assert_eq!(heard(&text), Some(Err("denied".to_owned())));
        }
    }
}
