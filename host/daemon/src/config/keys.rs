//! Which keys a configuration knows, read off its default, and what a misspelt one meant.

use serde::Serialize;
use serde_json::Value as Json;
use toml::Value;

use super::{Error, Origin};

/// The sections of all processes: each process ignores those that are not its own.
const SECTIONS: [&str; 8] =
    ["node", "gate", "inspector", "cluster", "store", "admin", "log", "dev"];

/// The keys of a configuration: its default as JSON, in which an unset key is there, as null.
pub(super) struct Keys(Json);

/// What a path names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Something that has a value.
    Key,
    /// Something that has keys.
    Section,
    /// Another process's business.
    Foreign,
}

impl Keys {
    pub(super) fn of<T: Serialize>(default: &T) -> Self {
        Self(serde_json::to_value(default).unwrap_or(Json::Null))
    }

    /// What a path names, or what it should have been.
    pub(super) fn place(&self, origin: &Origin, path: &[String]) -> Result<Place, Error> {
        let mut place = &self.0;
        for (depth, part) in path.iter().enumerate() {
            let inner = match place {
                // A map or an unset struct: what it takes, its own parser says.
                Json::Null => return Ok(Place::Key),
                Json::Object(keys) if keys.is_empty() && depth > 0 => return Ok(Place::Key),
                Json::Object(keys) => keys.get(part),
                Json::Bool(_) | Json::Number(_) | Json::String(_) | Json::Array(_) => None,
            };
            match inner {
                Some(inner) => place = inner,
                None if depth == 0 && SECTIONS.contains(&part.as_str()) => {
                    return Ok(Place::Foreign);
                }
                None if depth == 0 => return Err(self.unknown_section(origin, part)),
                None => return Err(unknown_key(origin, path, depth, place)),
            }
        }
        let section = place.as_object().is_some_and(|keys| !keys.is_empty());
        Ok(if section { Place::Section } else { Place::Key })
    }

    /// Whether a value is of the kind that the key's default has.
    pub(super) fn alike(&self, path: &[String], value: &Value) -> bool {
        let default = path.iter().try_fold(&self.0, |place, part| place.get(part));
        match default {
            Some(Json::Bool(_) | Json::Number(_)) => !value.is_str() && !value.is_array(),
            Some(Json::Array(_)) => value.is_array(),
            Some(Json::Null | Json::String(_) | Json::Object(_)) | None => value.is_str(),
        }
    }

    /// Every key with its section, in order.
    pub(super) fn all(&self) -> Vec<String> {
        let mut keys = Vec::new();
        gather(&self.0, "", &mut keys);
        keys
    }

    fn unknown_section(&self, origin: &Origin, section: &str) -> Error {
        let own = self.0.as_object().into_iter().flat_map(|keys| keys.keys().map(String::as_str));
        let mut known: Vec<&str> = own.chain(SECTIONS).collect();
        known.sort_unstable();
        known.dedup();
        Error::UnknownSection {
            origin: origin.clone(),
            section: section.to_owned(),
            hint: hint("", section, &known),
        }
    }
}

fn unknown_key(origin: &Origin, path: &[String], depth: usize, place: &Json) -> Error {
    let section = path[..depth].join(".");
    let hint = match place.as_object() {
        Some(keys) => {
            let known: Vec<&str> = keys.keys().map(String::as_str).collect();
            hint(&format!("{section}."), &path[depth], &known)
        }
        None => format!("`{section}` is a key and has none of its own"),
    };
    Error::UnknownKey { origin: origin.clone(), key: path.join("."), hint }
}

/// The known name that is likeliest to be meant; if none is like it, all of them.
fn hint(section: &str, name: &str, known: &[&str]) -> String {
    let nearest = known
        .iter()
        .map(|known| (strsim::normalized_damerau_levenshtein(name, known), known))
        .max_by(|left, right| left.0.total_cmp(&right.0));
    match nearest {
        Some((likeness, nearest)) if likeness >= 0.4 => {
            format!("the nearest known one is `{section}{nearest}`")
        }
        _ => format!("known are {}", known.join(", ")),
    }
}

fn gather(place: &Json, prefix: &str, keys: &mut Vec<String>) {
    match place.as_object() {
        Some(inner) if !inner.is_empty() || prefix.is_empty() => {
            for (key, place) in inner {
                let dot = if prefix.is_empty() { "" } else { "." };
                gather(place, &format!("{prefix}{dot}{key}"), keys);
            }
        }
        _ => keys.push(prefix.to_owned()),
    }
}
