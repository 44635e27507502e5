//! What an object asks of the world, as the node answers it.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use wasmverse_core::{Call, CallError, ObjectId, Reminder, Reply};

use crate::TurnId;

/// The world of the objects of a node. One value serves all instances of the node.
pub trait Outbound: Send + Sync + 'static {
    /// Carries out a call that an object makes: its chain holds the object already, its deadline
    /// is that of the turn or earlier, and what a read-only turn may not do was refused before.
    fn call(&self, call: Call) -> BoxFuture<'static, Result<Reply, CallError>>;

    /// The committed value under a key of an object's storage.
    fn storage_get(
        &self,
        object: &ObjectId,
        key: &str,
    ) -> BoxFuture<'static, Result<Option<Bytes>, CallError>>;

    /// How many keys an object's storage has, as committed.
    fn storage_keys(&self, object: &ObjectId) -> BoxFuture<'static, Result<u64, CallError>>;

    /// Committed pairs of an object's storage whose keys begin with `prefix` and come after
    /// `after`, in the order of their bytes, at most `limit`. An empty page is the end.
    fn storage_scan(
        &self,
        object: &ObjectId,
        prefix: &str,
        after: &str,
        limit: u32,
    ) -> BoxFuture<'static, Result<Vec<(String, Bytes)>, CallError>>;

    /// The committed reminders of an object, by their names.
    fn reminders(
        &self,
        object: &ObjectId,
    ) -> BoxFuture<'static, Result<BTreeMap<Arc<str>, Reminder>, CallError>>;

    /// Takes a line of an object's log. Never blocks.
    fn log(&self, line: LogLine);
}

/// A line of an object's log.
#[derive(Clone, Debug)]
pub struct LogLine {
    /// Who wrote it.
    pub object: ObjectId,
    /// The turn that wrote it; none outside turns.
    pub turn: Option<TurnId>,
    /// How grave it is.
    pub level: LogLevel,
    /// What it says.
    pub message: String,
    /// Names and values.
    pub fields: Vec<(String, String)>,
    /// When, in microseconds since 1970.
    pub at_micros: i64,
}

/// How grave a line of a log is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// The finest detail.
    Trace,
    /// For debugging.
    Debug,
    /// Worth knowing. Also what an unknown level reads as.
    Info,
    /// Something is off.
    Warn,
    /// Something failed.
    Error,
}

impl LogLevel {
    /// The level of that name; an unknown one reads as `info`.
    pub fn from_name(name: &str) -> Self {
        match name {
            "trace" => Self::Trace,
            "debug" => Self::Debug,
            "warn" => Self::Warn,
            "error" => Self::Error,
            _ => Self::Info,
        }
    }

    /// The level's name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Trace => "trace",
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
        }
    }
}

impl Outbound for Arc<dyn Outbound> {
    fn call(&self, call: Call) -> BoxFuture<'static, Result<Reply, CallError>> {
        (**self).call(call)
    }

    fn storage_get(
        &self,
        object: &ObjectId,
        key: &str,
    ) -> BoxFuture<'static, Result<Option<Bytes>, CallError>> {
        (**self).storage_get(object, key)
    }

    fn storage_keys(&self, object: &ObjectId) -> BoxFuture<'static, Result<u64, CallError>> {
        (**self).storage_keys(object)
    }

    fn storage_scan(
        &self,
        object: &ObjectId,
        prefix: &str,
        after: &str,
        limit: u32,
    ) -> BoxFuture<'static, Result<Vec<(String, Bytes)>, CallError>> {
        (**self).storage_scan(object, prefix, after, limit)
    }

    fn reminders(
        &self,
        object: &ObjectId,
    ) -> BoxFuture<'static, Result<BTreeMap<Arc<str>, Reminder>, CallError>> {
        (**self).reminders(object)
    }

    fn log(&self, line: LogLine) {
        (**self).log(line);
    }
}
