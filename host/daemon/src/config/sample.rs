//! Holds a sample file against the configuration that it explains.
//!
//! The sample is the manual: it names every key, each with its default. A key without a default
//! stands commented out, as an example: `# secret = "file:/run/secrets/wasmverse"`.

use std::{collections::BTreeSet, path::Path};

use serde::{Serialize, de::DeserializeOwned};

use super::{Origin, Source, keys::Keys, load_explicit, print};

/// What a sample gets wrong about `T`, in words; none: nothing. The file is loaded like any other,
/// so sections of other processes may stand in it.
pub fn differences<T: DeserializeOwned + Serialize + Default>(file: &Path) -> Vec<String> {
    let text = match std::fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) => return vec![format!("failed to read {}: {error}", file.display())],
    };
    let source = Source { file: Some(file.into()), ..Source::default() };
    let loaded = match load_explicit::<T>(&source) {
        Ok(loaded) => loaded,
        Err(error) => return vec![error.to_string()],
    };
    let keys = Keys::of(&T::default());
    let examples = commented_keys(&text);
    let mut differences = Vec::new();
    for key in keys.all() {
        if !loaded.explicit.contains(&key) && !examples.contains(&key) {
            differences.push(format!("`{key}` is missing"));
        }
    }
    for key in &examples {
        let path: Vec<_> = key.split('.').map(str::to_owned).collect();
        if let Err(error) = keys.place(&Origin::File(file.into()), &path) {
            differences.push(error.to_string());
        }
    }
    let (said, default) = (print(&loaded.config), print(&T::default()));
    let lines = said.lines().zip(default.lines()).filter(|(said, default)| said != default);
    differences
        .extend(lines.map(|(said, default)| format!("says `{said}`, default is `{default}`")));
    differences
}

/// The keys that stand commented out, with the sections that they stand in.
fn commented_keys(text: &str) -> BTreeSet<String> {
    let mut section = String::new();
    let mut keys = BTreeSet::new();
    for line in text.lines().map(str::trim) {
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            section = format!("{name}.");
            continue;
        }
        let Some((key, _)) = line.strip_prefix('#').and_then(|rest| rest.split_once(" = ")) else {
            continue;
        };
        let key = key.trim();
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
        if !key.is_empty() && key.bytes().all(plain) {
            keys.insert(format!("{section}{key}"));
        }
    }
    keys
}
