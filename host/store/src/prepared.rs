//! A commit made ready to be written: what can be worked out beforehand is, by who brings it.

use std::collections::HashSet;

use wasmverse_core::{Encoding, State, Version};

use crate::{Change, Commit, Effect, Error, Expected, SendId, StateDigest};

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
    /// Of its results, in order: by what they are found.
    pub(crate) hashes: Vec<i64>,
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
    /// The same, of any version, and if it does not live, there is a tombstone all the same.
    Buried,
    /// Nothing is there to be buried.
    NeverThere,
    /// The same, and there is a tombstone all the same.
    NeverThereBuried,
    /// It stays as it is, if it is there at all.
    Left,
    /// It stays as it is, and lives.
    LeftAlive,
}

impl Prepared {
    /// A commit of an owner. `is_json` says what the database can look into.
    pub(crate) fn new(commit: Commit, is_json: impl Fn(&[u8]) -> bool) -> Self {
        let refused = commit.check().err();
        let kind = if refused.is_none() { kind(&commit) } else { None };
        let unless = refused.unwrap_or_else(|| Error::Conflict(commit.object.to_string()));
        let (mut digest, mut json) = (None, false);
        if let Change::Put { state: Some(state), encoding, .. } = &commit.change {
            digest = Some(StateDigest::of(state));
            json = *encoding == Encoding::Json && is_json(&state.data);
        }
        let hashes = commit.effects.iter().filter_map(|effect| match effect {
            Effect::Result(kept) => Some(kept.key.hash_of(&commit.object)),
            _ => None,
        });
        let hashes = hashes.collect();
        Self { commit, kind, unless, digest, json, hashes }
    }

    pub(crate) fn state(&self) -> Option<&State> {
        match &self.commit.change {
            Change::Put { state, .. } => state.as_ref(),
            Change::Touch | Change::Delete | Change::Nothing => None,
        }
    }

    pub(crate) fn name(&self) -> (&str, &str) {
        (self.commit.object.type_name().as_str(), self.commit.object.id())
    }

    pub(crate) fn fenced_off(&self) -> Error {
        Error::Fenced(self.commit.object.to_string())
    }

    pub(crate) fn repeated(&self) -> Error {
        Error::Repeated(format!("something of {}", self.commit.object))
    }

    /// Whether it is never as expected only because another one came in between.
    pub(crate) fn takes_anything(&self) -> bool {
        matches!(self.kind, Some(Kind::Over | Kind::Deleted(None) | Kind::Buried))
    }

    /// What is set and cancelled of reminders: of each, what was said last.
    pub(crate) fn reminders(&self) -> Vec<&Effect> {
        if self.commit.change == Change::Delete {
            return Vec::new();
        }
        let mut seen = HashSet::new();
        let said = self.commit.effects.iter().rev().filter(|effect| match effect {
            Effect::Remind(reminder) => seen.insert(&reminder.name),
            Effect::Cancel(name) => seen.insert(name),
            _ => false,
        });
        said.collect()
    }

    /// The sends that are to be in an outbox still.
    pub(crate) fn settles(&self) -> impl Iterator<Item = &SendId> {
        self.commit.effects.iter().filter_map(|effect| match effect {
            Effect::Arrived(send) | Effect::Dead { send, .. } => Some(send),
            _ => None,
        })
    }
}

/// None: no row is ever as expected.
fn kind(commit: &Commit) -> Option<Kind> {
    let version = match (commit.expected, &commit.change) {
        (_, Change::Nothing) | (Expected::Absent | Expected::Any, _) => None,
        (Expected::Version(Version(0)), _) => return None,
        // The next one must be one, too.
        (Expected::Version(Version(version)), _) => {
            Some(i64::try_from(version).ok().filter(|version| *version < i64::MAX)?)
        }
    };
    let has = |wanted: fn(&Effect) -> bool| commit.effects.iter().any(wanted);
    let sends = || has(|effect| matches!(effect, Effect::Send(_)));
    let reminds = || has(|effect| matches!(effect, Effect::Remind(_)));
    match (&commit.change, commit.expected, version) {
        (Change::Put { .. }, Expected::Absent, _) => Some(Kind::New),
        (Change::Put { .. }, _, Some(version)) => Some(Kind::Changed(version)),
        (Change::Put { .. }, _, None) => Some(Kind::Over),
        (Change::Touch, Expected::Absent, _) => None,
        (Change::Touch, ..) => Some(Kind::Touched(version)),
        (Change::Delete, Expected::Absent, _) if sends() => Some(Kind::NeverThereBuried),
        (Change::Delete, Expected::Absent, _) => Some(Kind::NeverThere),
        (Change::Delete, _, None) if sends() => Some(Kind::Buried),
        (Change::Delete, ..) => Some(Kind::Deleted(version)),
        (Change::Nothing, ..) if reminds() => Some(Kind::LeftAlive),
        (Change::Nothing, ..) => Some(Kind::Left),
    }
}

/// Whether it is JSON, and UTF-8.
pub(crate) fn is_json(data: &[u8]) -> bool {
    let text = std::str::from_utf8(data);
    text.is_ok_and(|text| serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok())
}

/// How many of the rows from `begin` on are each of another object, and of other sends: a statement
/// sees each once, so one that stands in the batch again begins a new part.
pub(crate) fn distinct(rows: &[&Prepared], begin: usize) -> usize {
    let (mut objects, mut sends) = (HashSet::new(), HashSet::new());
    let mut within = 0;
    for row in &rows[begin..] {
        // One that is never written is in nobody's way, whatever it names twice.
        let mut settles = row.settles().filter(|_| row.kind.is_some());
        if !objects.insert(row.name()) || !settles.all(|send| sends.insert(send)) {
            break;
        }
        within += 1;
    }
    within
}
