//! What every source file keeps to: a length that fits in a head, a name that says what it does, a
//! first line that says why it is there, and nothing left for later.

use std::path::Path;

const LINES_MAX: usize = 500;

/// Names that say where code is kept rather than what it does.
const DRAWERS: &[&str] = &[
    "util", "utils", "common", "type", "types", "helper", "helpers", "misc", "shared", "manager",
    "managers",
];

/// What is left for later; written apart, so that this file does not find itself.
const UNFINISHED: &[&str] = &[
    concat!("to", "do!("),
    concat!("unimple", "mented!("),
    concat!("FIX", "ME"),
    concat!("TO", "DO:"),
    concat!("XX", "X:"),
];

/// Is this a file that people write and read as code?
pub(crate) fn is_source(path: &Path) -> bool {
    let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default();
    ["rs", "proto", "wit", "py", "js", "ts", "c", "h", "sh", "toml"].contains(&extension)
}

/// What is wrong with a file. What is generated is exempt.
pub(crate) fn violations(path: &Path, text: &str) -> Vec<String> {
    let parts: Vec<_> = path.iter().map(|part| part.to_string_lossy()).collect();
    if parts.iter().any(|part| part == "generated") {
        return Vec::new();
    }
    let mut found = Vec::new();
    let lines = text.lines().count();
    if lines > LINES_MAX {
        found.push(format!("{lines} lines: split it"));
    }
    for word in UNFINISHED {
        if text.contains(word) {
            found.push(format!("`{word}`: finish it, or leave it out"));
        }
    }
    if path.extension().is_none_or(|e| e != "rs") {
        return found;
    }
    if path.file_name().is_some_and(|name| name == "mod.rs") {
        found.push("mod.rs: name the file for its module, beside the folder".to_owned());
    }
    let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
    let folders = parts[..parts.len() - 1].iter().map(ToString::to_string);
    for name in folders.chain(stem).chain(inline_modules(text)) {
        if is_drawer(&name) {
            found.push(format!("`{name}` says where code is kept, not what it does"));
        }
    }
    if !text.starts_with("//! ") {
        found.push("the first line must be `//!` and say what this file is for".to_owned());
    }
    if text.lines().any(|line| line.trim_start().starts_with(concat!("#[ig", "nore"))) {
        found.push("an ignored test proves nothing: mend it or remove it".to_owned());
    }
    found
}

fn is_drawer(name: &str) -> bool {
    let last = name.rsplit(['_', '-']).next().unwrap_or(name);
    DRAWERS.contains(&name) || (last != "type" && last != "types" && DRAWERS.contains(&last))
}

fn inline_modules(text: &str) -> Vec<String> {
    text.lines()
        .filter_map(|line| {
            let line = line.trim_start();
            let line =
                line.strip_prefix("pub ").or(line.strip_prefix("pub(crate) ")).unwrap_or(line);
            let name = line.strip_prefix("mod ")?.strip_suffix(" {")?;
            Some(name.to_owned())
        })
        .collect()
}

fn of(path: &str, text: &str) -> Vec<String> {
    violations(Path::new(path), text)
}

#[test]
fn a_plain_file_passes() {
    assert!(of("host/node/src/directory.rs", "//! Where objects are.\nfn f() {}\n").is_empty());
    assert!(of("host/engine/src/object_types.rs", "//! Which there are.\n").is_empty());
}

#[test]
fn a_long_file_is_found_unless_it_is_generated() {
    let long = "//! Long.\n".repeat(LINES_MAX + 1);
    assert_eq!(of("a/src/long.rs", &long).len(), 1);
    assert_eq!(of("a/long.py", &long).len(), 1);
    assert!(of("a/src/generated/long.rs", &long).is_empty());
    assert!(of("a/src/long.rs", &"//! Long.\n".repeat(LINES_MAX)).is_empty());
}

#[test]
fn drawers_are_found_as_files_folders_and_modules() {
    let text = "//! Things.\n";
    assert_eq!(of("a/src/utils.rs", text).len(), 1);
    assert_eq!(of("a/src/types.rs", text).len(), 1);
    assert_eq!(of("a/common/src/lib.rs", text).len(), 1);
    assert_eq!(of("a/src/shard_manager.rs", text).len(), 1);
    assert_eq!(of("a/src/lib.rs", "//! Things.\npub mod helpers {\n}\n").len(), 1);
}

#[test]
fn mod_rs_and_a_missing_first_line_are_found() {
    assert_eq!(of("a/src/b/mod.rs", "//! B.\n").len(), 1);
    assert_eq!(of("a/src/b.rs", "use c;\n//! B.\n").len(), 1);
}

#[test]
fn what_is_left_for_later_is_found() {
    for word in UNFINISHED {
        assert_eq!(of("a/src/b.rs", &format!("//! B.\n// {word} later\n")).len(), 1, "{word}");
    }
    let ignored = concat!("//! B.\n    #[ig", "nore = \"slow\"]\n");
    assert_eq!(of("a/src/b.rs", ignored).len(), 1);
}
