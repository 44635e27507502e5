//! The architecture as a test: layers, owners of foreign crates, names, sizes, first lines, and
//! that docs/architecture.md speaks of files that exist. Each rule is a function over text, and
//! each is seen below to find what it is there to find.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    fs,
    path::{Path, PathBuf},
};

#[path = "tidy/layers.rs"]
mod layers;
#[path = "tidy/map.rs"]
mod map;
#[path = "tidy/source.rs"]
mod source;

#[test]
fn crates_name_only_what_lies_below_them() {
    let root = root();
    check(manifests(&root).into_iter().flat_map(|(path, text)| {
        layers::violations(&text).into_iter().map(move |what| (path.clone(), what))
    }));
}

#[test]
fn source_files_are_short_named_for_what_they_do_and_finished() {
    let root = root();
    let files = files(&root, &|path| source::is_source(path));
    assert!(files.len() > 30, "the walk found only {} files", files.len());
    check(files.into_iter().flat_map(|path| {
        let text = fs::read_to_string(root.join(&path)).unwrap();
        source::violations(&path, &text).into_iter().map(move |what| (path.clone(), what))
    }));
}

#[test]
fn the_architecture_names_files_and_spans_that_exist() {
    let root = root();
    let path = PathBuf::from("docs/architecture.md");
    let text = fs::read_to_string(root.join(&path)).unwrap();
    let mut found = map::missing_paths(&text, &|name| root.join(name).exists());
    let sources: Vec<_> = files(&root, &|path| path.extension().is_some_and(|e| e == "rs"))
        .into_iter()
        .filter(|path| !path.starts_with("tests"))
        .map(|path| fs::read_to_string(root.join(path)).unwrap())
        .collect();
    found.extend(map::missing_spans(&text, &|span| {
        let literal = format!("\"{span}\"");
        sources.iter().any(|source| source.contains(&literal))
    }));
    check(found.into_iter().map(|what| (path.clone(), what)));
}

#[test]
fn documents_link_to_files_that_exist() {
    let root = root();
    check(files(&root, &|path| path.extension().is_some_and(|e| e == "md")).into_iter().flat_map(
        |path| {
            let text = fs::read_to_string(root.join(&path)).unwrap();
            let folder = root.join(&path).parent().unwrap().to_owned();
            let broken = map::broken_links(&text, &|name| folder.join(name).exists());
            broken.into_iter().map(move |what| (path.clone(), what))
        },
    ));
}

/// Fails with one line per violation.
#[track_caller]
fn check(violations: impl Iterator<Item = (PathBuf, String)>) {
    let lines: Vec<_> =
        violations.map(|(path, what)| format!("  {}: {what}", path.display())).collect();
    assert!(lines.is_empty(), "{} violations:\n{}", lines.len(), lines.join("\n"));
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// All manifests but those of tests and their guests, who may name anything.
fn manifests(root: &Path) -> Vec<(PathBuf, String)> {
    files(root, &|path| path.ends_with("Cargo.toml"))
        .into_iter()
        .filter(|path| !path.starts_with("tests"))
        .map(|path| (path.clone(), fs::read_to_string(root.join(path)).unwrap()))
        .collect()
}

/// The files below `root`, relative to it, without what is built or fetched.
fn files(root: &Path, wanted: &dyn Fn(&Path) -> bool) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() {
                if !name.starts_with('.') && !["target", "node_modules"].contains(&name.as_str()) {
                    folders.push(path);
                }
            } else if wanted(&path) {
                found.push(path.strip_prefix(root).unwrap().to_owned());
            }
        }
    }
    found.sort();
    found
}
