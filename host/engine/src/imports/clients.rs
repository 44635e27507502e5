//! The import `clients`: events for connected clients, collected until the turn ends.

use std::sync::Arc;

use bytes::Bytes;
use wasmverse_core::{CallError, Push, PushTo};

use crate::{
    bindings::{Failure, wasmverse::object::clients},
    host::{EFFECT_BYTES, Host, invalid},
};

/// The longest name of an event, in bytes.
const EVENT_BYTES_MAX: usize = 128;
/// The longest client id, in bytes.
const CLIENT_BYTES_MAX: usize = 512;
/// Clients that one push may name.
const CLIENTS_MAX: usize = 10_000;
/// Events that gates send on their own.
const RESERVED: [&str; 2] = ["session", "gap"];

impl clients::Host for Host {
    fn push(
        &mut self,
        to: Vec<String>,
        event: String,
        payload: Vec<u8>,
    ) -> wasmtime::Result<Result<(), Failure>> {
        self.count(1)?;
        let answer = self.write_turn("clients.push").map(drop).and_then(|()| {
            check_count(to.len())?;
            let clients = to.iter().map(|id| client(id)).collect::<Result<Vec<_>, _>>()?;
            self.collect(PushTo::Clients(clients), &event, payload)
        });
        Ok(self.answer(answer))
    }

    fn broadcast(
        &mut self,
        event: String,
        payload: Vec<u8>,
    ) -> wasmtime::Result<Result<(), Failure>> {
        self.count(1)?;
        let answer = self.write_turn("clients.broadcast").map(drop);
        let answer = answer.and_then(|()| self.collect(PushTo::Everyone, &event, payload));
        Ok(self.answer(answer))
    }
}

impl Host {
    fn collect(&mut self, to: PushTo, event: &str, payload: Vec<u8>) -> Result<(), CallError> {
        check_event(event)?;
        self.check_payload(&payload)?;
        let ids = match &to {
            PushTo::Clients(ids) if ids.is_empty() => return Ok(()),
            PushTo::Clients(ids) => ids.iter().map(|id| EFFECT_BYTES + id.len()).sum(),
            PushTo::Everyone => 0,
        };
        self.take_effect_bytes(EFFECT_BYTES + payload.len() + event.len() + ids)?;
        self.effects.pushes.push(Push { to, event: event.into(), payload: Bytes::from(payload) });
        Ok(())
    }
}

fn check_count(clients: usize) -> Result<(), CallError> {
    if clients <= CLIENTS_MAX {
        return Ok(());
    }
    Err(invalid(format!(
        "the push names {clients} clients of at most {CLIENTS_MAX}: push to some at a time, or \
         broadcast"
    )))
}

fn client(id: &str) -> Result<Arc<str>, CallError> {
    if id.is_empty() || id.len() > CLIENT_BYTES_MAX || id.chars().any(char::is_control) {
        return Err(invalid(format!("`{}` is no client id", cut(id))));
    }
    Ok(id.into())
}

fn check_event(event: &str) -> Result<(), CallError> {
    if event.is_empty() || event.len() > EVENT_BYTES_MAX || event.chars().any(char::is_control) {
        return Err(invalid(format!(
            "an event's name has 1 to {EVENT_BYTES_MAX} bytes and no control characters, this is \
             `{}`",
            cut(event)
        )));
    }
    if RESERVED.contains(&event) {
        return Err(invalid(format!("the event `{event}` is reserved: choose another name")));
    }
    Ok(())
}

/// Enough of a wrong name to know it again.
fn cut(text: &str) -> String {
    text.chars().take(80).flat_map(char::escape_debug).collect()
}

#[cfg(test)]
mod tests {
    use wasmverse_core::ErrorKind;

    use super::*;

    #[test]
    fn events_have_short_names_that_are_not_the_gates_own() {
        for good in ["message", "Größe", "a b", &"x".repeat(128)] {
            assert!(check_event(good).is_ok(), "{good}");
        }
        for bad in ["", "session", "gap", "a\nb", "\u{85}", &"x".repeat(129), &"ö".repeat(65)] {
            let error = check_event(bad).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{bad}");
        }
    }

    #[test]
    fn one_push_names_only_so_many_clients() {
        assert!(check_count(10_000).is_ok());
        let error = check_count(10_001).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        assert!(error.message().contains("10001 clients of at most 10000"), "{error}");
    }

    #[test]
    fn client_ids_are_short_text() {
        assert!(client("127.0.0.1:49000/abc").is_ok());
        for bad in ["", "a\rb", &"x".repeat(513)] {
            assert!(client(bad).is_err());
        }
    }
}
