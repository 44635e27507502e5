//! A commit made ready to be written: what can be worked out beforehand is, by who brings it.

use wasmverse_core::{Encoding, State, Version};

use crate::{Change, Commit, Error, Expected, StateDigest};

/// A commit made ready.
pub(crate) struct Prepared {
    pub(crate) commit: Commit,
    /// None: no store would ever write it, and `unless` says why.
    pub(crate) kind: Option<Kind>,
    /// What it is answered unless it is written.
    pub(crate) unless: Error,
    /// Of its state.
    pub(crate) digest: Option<StateDigest>,
    /// Whether the state is kept so that the database can look into it.
    pub(crate) json: bool,
}

/// What is done with a row, and what it must be, as the database has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Put where there is none, or a tombstone.
    New,
    /// Put over a living row of this version.
    Changed(i64),
    /// Put over whatever is there.
    Over,
    /// A living row, of this version if there is one, gets another version.
    Touched(Option<i64>),
    /// Buried, if it lives; of this version if there is one.
    Deleted(Option<i64>),
    /// Nothing is there to be buried.
    NeverThere,
}

impl Prepared {
    /// A commit of an owner. `is_json` says what the database can look into.
    pub(crate) fn new(commit: Commit, is_json: impl Fn(&[u8]) -> bool) -> Self {
        let refused = commit.check().err();
        let kind = if refused.is_none() { kind(commit.expected, &commit.change) } else { None };
        let unless = refused.unwrap_or_else(|| Error::Conflict(commit.object.to_string()));
        let (mut digest, mut json) = (None, false);
        if let Change::Put { state: Some(state), encoding, .. } = &commit.change {
            digest = Some(StateDigest::of(state));
            json = *encoding == Encoding::Json && is_json(&state.data);
        }
        Self { commit, kind, unless, digest, json }
    }

    pub(crate) fn state(&self) -> Option<&State> {
        match &self.commit.change {
            Change::Put { state, .. } => state.as_ref(),
            Change::Touch | Change::Delete => None,
        }
    }

    pub(crate) fn name(&self) -> (&str, &str) {
        (self.commit.object.type_name().as_str(), self.commit.object.id())
    }

    pub(crate) fn fenced_off(&self) -> Error {
        Error::Fenced(self.commit.object.to_string())
    }
}

/// None: no row is ever as expected.
fn kind(expected: Expected, change: &Change) -> Option<Kind> {
    let version = match expected {
        Expected::Version(Version(0)) => return None,
        // The next one must be one, too.
        Expected::Version(Version(version)) => {
            Some(i64::try_from(version).ok().filter(|version| *version < i64::MAX)?)
        }
        Expected::Absent | Expected::Any => None,
    };
    match (change, expected, version) {
        (Change::Put { .. }, Expected::Absent, _) => Some(Kind::New),
        (Change::Put { .. }, _, Some(version)) => Some(Kind::Changed(version)),
        (Change::Put { .. }, _, None) => Some(Kind::Over),
        (Change::Touch, Expected::Absent, _) => None,
        (Change::Touch, ..) => Some(Kind::Touched(version)),
        (Change::Delete, Expected::Absent, _) => Some(Kind::NeverThere),
        (Change::Delete, ..) => Some(Kind::Deleted(version)),
    }
}

/// Whether it is JSON, and UTF-8.
pub(crate) fn is_json(data: &[u8]) -> bool {
    let text = std::str::from_utf8(data);
    text.is_ok_and(|text| serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok())
}

/// How many of the rows from `begin` on are each of another object: a statement sees each object
/// once, so one that stands in the batch again begins a new part.
pub(crate) fn distinct(rows: &[&Prepared], begin: usize) -> usize {
    let mut seen = std::collections::HashSet::new();
    rows[begin..].iter().take_while(|row| seen.insert(row.name())).count()
}
