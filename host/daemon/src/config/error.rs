//! What is wrong with a configuration: which key, where it was set, and what would be right.

use std::{fmt, path::PathBuf};

/// Where a key was set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// In this file.
    File(PathBuf),
    /// By this variable of the environment.
    Variable(String),
    /// By the flag that stands for this key.
    Flag(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Variable(name) => f.write_str(name),
            Self::Flag(key) => write!(f, "the flag for {key}"),
        }
    }
}

/// Why a configuration was not loaded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The file cannot be read.
    #[error("failed to read the configuration {}: {problem}", file.display())]
    Read {
        /// Which file.
        file: PathBuf,
        /// Why not.
        problem: String,
    },
    /// The file is not TOML.
    #[error("{}, line {line}: {problem}", file.display())]
    Syntax {
        /// Which file.
        file: PathBuf,
        /// Its line, from 1.
        line: usize,
        /// What the parser says.
        problem: String,
    },
    /// No process has such a section.
    #[error("{origin}: unknown section `{section}`; {hint}")]
    UnknownSection {
        /// Where it stands.
        origin: Origin,
        /// Its name.
        section: String,
        /// The nearest known one, or all of them.
        hint: String,
    },
    /// The section has no such key.
    #[error("{origin}: unknown key `{key}`; {hint}")]
    UnknownKey {
        /// Where it was set.
        origin: Origin,
        /// The key with its section.
        key: String,
        /// The nearest known one, or all of them.
        hint: String,
    },
    /// A section was given a value.
    #[error("{origin}: `{key}` is a section: set its keys one by one")]
    Section {
        /// Where.
        origin: Origin,
        /// The section.
        key: String,
    },
    /// The value does not fit.
    #[error("{origin}: `{key}`: {problem}")]
    Value {
        /// Where it was set.
        origin: Origin,
        /// The key with its section.
        key: String,
        /// Why it does not fit.
        problem: String,
    },
    /// Each key is fine, but not all of them together.
    #[error("the configuration contradicts itself: {0}")]
    Together(String),
}
