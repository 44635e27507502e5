//! An event on its way to many clients: one copy of its payload, whatever their number.

use std::sync::{Arc, OnceLock};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::Bytes;
use serde::de::IgnoredAny;
use wasmverse_core::{Encoding, Push};

use crate::budget::Share;

/// An event that is pushed, shared by all clients that it is for.
#[derive(Debug)]
pub(crate) struct Event {
    /// Its name.
    pub(crate) name: Arc<str>,
    /// As the object wrote it.
    pub(crate) payload: Bytes,
    encoding: Encoding,
    json: OnceLock<Bytes>,
    /// And its share of the room.
    lines: OnceLock<(Bytes, Share)>,
    share: Share,
}

impl Event {
    pub(super) fn new(push: &Push, encoding: Encoding, share: Share) -> Self {
        let (name, payload) = (Arc::clone(&push.event), push.payload.clone());
        let (json, lines) = (OnceLock::new(), OnceLock::new());
        Self { name, payload, encoding, json, lines, share }
    }

    /// The payload as JSON: as it is from a type that speaks JSON, else as base64 in a string;
    /// `null` for none.
    pub(crate) fn json(&self) -> &str {
        let json = self.json.get_or_init(|| {
            let is_json = || serde_json::from_slice::<IgnoredAny>(&self.payload).is_ok();
            if self.payload.is_empty() {
                Bytes::from_static(b"null")
            } else if self.encoding == Encoding::Json && is_json() {
                self.payload.clone()
            } else {
                Bytes::from(format!("\"{}\"", BASE64_STANDARD.encode(&self.payload)))
            }
        });
        std::str::from_utf8(json).expect("JSON that was read, and base64, are UTF-8")
    }

    /// The lines of a server-sent event, all but its id: made once for all clients.
    pub(crate) fn lines(&self) -> Bytes {
        let (lines, _) = self.lines.get_or_init(|| {
            let json = self.json();
            let mut text = String::with_capacity(json.len() + self.name.len() + 32);
            text.push_str("event: ");
            text.push_str(&self.name);
            text.push('\n');
            // JSON may have line breaks between its parts, and each of them ends a line here.
            for line in json.split(['\r', '\n']).filter(|line| !line.is_empty()) {
                text.push_str("data: ");
                text.push_str(line);
                text.push('\n');
            }
            text.push('\n');
            let share = self.share.beside(text.len());
            (text.into(), share)
        });
        lines.clone()
    }
}
