//! The state of schema 1, in which the latest messages were.

use std::collections::BTreeMap;

use wasmverse_sdk::prelude::*;

use crate::{Message, User};

/// A room as it was saved.
#[derive(Debug, Deserialize)]
pub(crate) struct Room {
    pub(crate) clients: BTreeMap<String, String>,
    pub(crate) users: BTreeMap<String, User>,
    /// None, once messages went to the storage: for a while that was schema 1, too.
    #[serde(default)]
    pub(crate) history: History,
}

/// The latest messages, the earliest first. Their numbers have no gaps.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct History {
    pub(crate) messages: Vec<Message>,
    /// The number of the last one; 0: nothing was ever said.
    pub(crate) last_seq: u64,
}

impl Room {
    /// Reads a state of this schema, and of no other.
    pub(crate) fn read(schema: u32, data: &[u8]) -> Result<Self> {
        if schema != 1 {
            let message = format!("the state is of schema {schema}, this code reads 1 and 2");
            return Err(Error::new("unknown-schema", message));
        }
        serde_json::from_slice(data)
            .map_err(|error| Error::new("unreadable-state", format!("schema 1: {error}")))
    }
}
