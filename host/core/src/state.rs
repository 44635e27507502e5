//! The state of an object, as it is handed over, stored and loaded.

use std::fmt;

use bytes::Bytes;

/// The whole state of an object at one moment, as its `snapshot` gave it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// The version of the type's state that wrote `data`.
    pub schema: u32,
    /// In the type's encoding.
    pub data: Bytes,
}

/// How often an object's row has been written; only grows, also across delete and re-creation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Version(pub u64);

/// The number the platform gives each revision of a type: 1, 2, 3 …
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RevisionNumber(pub u32);

impl fmt::Display for RevisionNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
