//! Configuration: one TOML file, a section per component; variables of the environment win over
//! the file, flags over both. An unknown key is an error that names the nearest known one.
//!
//! The struct is the schema: its `Default`, serialized, says which keys there are, and what a text
//! from the environment becomes is whatever the struct takes. So all structs are
//! `#[serde(default)]`, and none skips a field when it is serialized.

mod error;
mod keys;
pub mod sample;
mod secret;
mod sections;
pub mod span;

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use serde::{Serialize, de::DeserializeOwned};
use toml::{Table, Value};

pub use error::{Error, Origin};
use keys::{Keys, Place};
pub use secret::{Secret, SecretError};
pub use sections::{AdminConfig, ClusterConfig, LogConfig, LogFormat, Placement};

/// The file that is read if it is there and no other is named.
pub const DEFAULT_FILE: &str = "wasmverse.toml";

const VARIABLE_PREFIX: &str = "WASMVERSE_";

/// Where a configuration comes from, weakest first.
#[derive(Clone, Debug, Default)]
pub struct Source {
    /// The file named by `--config`, which must exist. None: [`DEFAULT_FILE`] if it exists.
    pub file: Option<PathBuf>,
    /// Variables by name; those of the form `WASMVERSE_SECTION__KEY` count.
    pub environment: Vec<(String, String)>,
    /// Flags, as keys: `("gate.http_listen", "0.0.0.0:8080")`.
    pub overrides: Vec<(String, String)>,
}

impl Source {
    /// The file named by `--config` and the environment of this process.
    pub fn from_args(file: Option<PathBuf>) -> Self {
        let environment = std::env::vars_os()
            .filter_map(|(name, value)| {
                let name = name.into_string().ok()?;
                name.starts_with(VARIABLE_PREFIX)
                    .then(|| (name, value.to_string_lossy().into_owned()))
            })
            .collect();
        Self { file, environment, overrides: Vec::new() }
    }

    /// With a flag: it wins over file and environment. `None` leaves the key alone.
    #[must_use]
    pub fn flag(mut self, key: &str, value: Option<impl ToString>) -> Self {
        self.overrides.extend(value.map(|value| (key.to_owned(), value.to_string())));
        self
    }
}

/// A configuration, and what in it was said rather than left to the defaults.
#[derive(Clone, Debug)]
pub struct Loaded<T> {
    /// The configuration.
    pub config: T,
    /// The keys that file, environment or flags set: `gate.http_listen`.
    pub explicit: BTreeSet<String>,
}

/// Loads a configuration.
///
/// # Errors
/// [`Error`] says which key is wrong, where it was set, and what is right.
pub fn load<T: DeserializeOwned + Serialize + Default>(source: &Source) -> Result<T, Error> {
    load_explicit(source).map(|loaded| loaded.config)
}

/// Loads a configuration, and says which keys were set.
///
/// # Errors
/// As [`load`].
pub fn load_explicit<T: DeserializeOwned + Serialize + Default>(
    source: &Source,
) -> Result<Loaded<T>, Error> {
    load_from(source, Path::new(DEFAULT_FILE))
}

/// The configuration as a file would say it, secrets hidden.
pub fn print<T: Serialize>(config: &T) -> String {
    Value::try_from(config)
        .map_err(|error| error.to_string())
        .and_then(|value| toml::to_string_pretty(&value).map_err(|error| error.to_string()))
        .unwrap_or_else(|problem| format!("# failed to print the configuration: {problem}\n"))
}

fn load_from<T: DeserializeOwned + Serialize + Default>(
    source: &Source,
    default_file: &Path,
) -> Result<Loaded<T>, Error> {
    let keys = Keys::of(&T::default());
    let mut settings = Vec::new();
    if let Some((path, table)) = read_file(source.file.as_deref(), default_file)? {
        flatten(&keys, &Origin::File(path), &mut Vec::new(), table, &mut settings)?;
    }
    for (name, text) in &source.environment {
        let Some(key) = variable_key(name) else { continue };
        settings.extend(said(&keys, Origin::Variable(name.clone()), key, text)?);
    }
    for (key, text) in &source.overrides {
        let path = key.split('.').map(str::to_owned).collect();
        settings.extend(said(&keys, Origin::Flag(key.clone()), path, text)?);
    }
    let mut merged = Table::new();
    let mut explicit = BTreeSet::new();
    for setting in settings {
        let key = setting.path.join(".");
        let value = accepted::<T>(&keys, &setting, &key)?;
        explicit.insert(key);
        insert(&mut merged, &setting.path, value);
    }
    let config = T::deserialize(Value::Table(merged))
        .map_err(|error| Error::Together(error.message().trim().to_owned()))?;
    Ok(Loaded { config, explicit })
}

/// A key that was set, with all that its value may mean, likeliest first.
struct Setting {
    origin: Origin,
    path: Vec<String>,
    meanings: Vec<Value>,
}

fn read_file(named: Option<&Path>, default: &Path) -> Result<Option<(PathBuf, Table)>, Error> {
    let path = named.unwrap_or(default);
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if named.is_none() && error.kind() == std::io::ErrorKind::NotFound => {
            return Ok(None);
        }
        Err(error) => return Err(Error::Read { file: path.into(), problem: error.to_string() }),
    };
    let table = text.parse::<Table>().map_err(|error| Error::Syntax {
        file: path.into(),
        line: error.span().map_or(1, |span| 1 + text[..span.start].matches('\n').count()),
        problem: error.message().to_owned(),
    })?;
    Ok(Some((path.into(), table)))
}

/// Takes a file's tables apart into settings.
fn flatten(
    keys: &Keys,
    origin: &Origin,
    path: &mut Vec<String>,
    table: Table,
    settings: &mut Vec<Setting>,
) -> Result<(), Error> {
    for (key, value) in table {
        path.push(key);
        match (keys.place(origin, path)?, value) {
            (Place::Foreign, _) => {}
            (Place::Section, Value::Table(table)) => {
                flatten(keys, origin, path, table, settings)?;
            }
            (Place::Section, _) => {
                return Err(Error::Section { origin: origin.clone(), key: path.join(".") });
            }
            (Place::Key, value) => settings.push(Setting {
                origin: origin.clone(),
                path: path.clone(),
                meanings: vec![value],
            }),
        }
        path.pop();
    }
    Ok(())
}

/// `WASMVERSE_SECTION__KEY` as a path; none: no key.
fn variable_key(name: &str) -> Option<Vec<String>> {
    let rest = name.strip_prefix(VARIABLE_PREFIX)?;
    let mut parts = rest.split("__").map(str::to_ascii_lowercase);
    let section = parts.next().filter(|section| !section.is_empty())?;
    let path: Vec<_> = std::iter::once(section).chain(parts).collect();
    (path.len() > 1).then_some(path)
}

/// A text from the environment or a flag; none: it is for another process.
fn said(
    keys: &Keys,
    origin: Origin,
    path: Vec<String>,
    text: &str,
) -> Result<Option<Setting>, Error> {
    match keys.place(&origin, &path)? {
        Place::Foreign => Ok(None),
        Place::Section => Err(Error::Section { origin, key: path.join(".") }),
        Place::Key => Ok(Some(Setting { origin, path, meanings: meanings(text) })),
    }
}

/// What a text may mean: itself, the TOML value that it spells, or a list with commas.
fn meanings(text: &str) -> Vec<Value> {
    let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
    let list = items.map(|item| Value::String(item.to_owned())).collect();
    let candidates = [
        Some(Value::String(text.to_owned())),
        spelled(text),
        Some(Value::Array(list)),
        spelled(&format!("[{text}]")),
    ];
    candidates.into_iter().flatten().collect()
}

fn spelled(text: &str) -> Option<Value> {
    let mut table = format!("value = {text}").parse::<Table>().ok()?;
    table.remove("value").filter(|_| table.is_empty())
}

/// The first meaning that the struct takes.
fn accepted<T: DeserializeOwned>(
    keys: &Keys,
    setting: &Setting,
    key: &str,
) -> Result<Value, Error> {
    let mut problems = Vec::new();
    for meaning in &setting.meanings {
        let mut alone = Table::new();
        insert(&mut alone, &setting.path, meaning.clone());
        match T::deserialize(Value::Table(alone)) {
            Ok(_) => return Ok(meaning.clone()),
            Err(error) => problems.push((meaning, error.message().trim().to_owned())),
        }
    }
    let telling = problems.iter().position(|(meaning, _)| keys.alike(&setting.path, meaning));
    let (_, problem) = problems.swap_remove(telling.unwrap_or(0));
    Err(Error::Value { origin: setting.origin.clone(), key: key.to_owned(), problem })
}

fn insert(table: &mut Table, path: &[String], value: Value) {
    let (key, sections) = path.split_last().expect("a setting has a key");
    let mut table = table;
    for section in sections {
        let inner = table.entry(section.clone()).or_insert_with(|| Value::Table(Table::new()));
        if !inner.is_table() {
            *inner = Value::Table(Table::new());
        }
        table = inner.as_table_mut().expect("made a table above");
    }
    table.insert(key.clone(), value);
}

/// Whether others can be told an address. `key` is the one that names it.
///
/// # Errors
/// If it stands for every address of this machine: then it is nobody's to reach.
pub fn check_advertised(key: &str, address: &str) -> Result<(), String> {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    match host.trim_matches(['[', ']']).parse::<std::net::IpAddr>() {
        Ok(ip) if ip.is_unspecified() => Err(format!(
            "others of the cluster cannot reach {address}: set {key} to the address at which they do"
        )),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
