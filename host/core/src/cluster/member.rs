//! What the members of a cluster say of themselves, and what all of them agree on.

use std::{fmt, sync::Arc};

use crate::{NodeId, RevisionNumber};

/// One registration of a process: after it is lost, the process registers under a new one and owns
/// nothing. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Incarnation(Arc<str>);

impl Incarnation {
    /// Any text, as long as none is used twice.
    pub fn new(text: &str) -> Self {
        Self(text.into())
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A node that is registered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its name.
    pub id: NodeId,
    /// Of this registration.
    pub incarnation: Incarnation,
    /// The process that is registered, as it calls itself on its links; empty: it does not say. Another
    /// one that answers at the same address is not who is meant.
    pub process: Arc<str>,
    /// Where others reach it (`HOST:PORT`): the first that answers. One, but where nodes are
    /// configured by hand.
    pub addresses: Arc<[String]>,
    /// How much of the shards it should have, beside others; 0: none.
    pub weight: u32,
    /// It is about to stop, and wants to own nothing.
    pub is_leaving: bool,
    /// What it runs, for people.
    pub version: Arc<str>,
    /// The coordination's revision of its key: to assert that it still is what was seen.
    pub revision: u64,
}

/// A gate that is registered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GateMember {
    /// Its name.
    pub id: NodeId,
    /// Of this registration.
    pub incarnation: Incarnation,
    /// What the ids of its clients begin with.
    pub address: Arc<str>,
    /// What it runs, for people.
    pub version: Arc<str>,
}

/// The active revision of a type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActiveType {
    /// Which one.
    pub revision: RevisionNumber,
    /// The SHA-256 of its component.
    pub digest: [u8; 32],
    /// Grows with every deploy of the type.
    pub version: u64,
}
