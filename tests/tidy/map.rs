//! That documents speak of what exists: paths and spans in docs/architecture.md, links everywhere.

/// Top-level folders: a word in backticks that begins with one of them and a slash is a path.
const FOLDERS: &[&str] = &[
    "host",
    "gate",
    "inspector",
    "proto",
    "wit",
    "guest-sdk",
    "objects",
    "tests",
    "docs",
    "deploy",
    "benches",
];

/// The paths in backticks that do not exist.
pub(crate) fn missing_paths(text: &str, exists: &dyn Fn(&str) -> bool) -> Vec<String> {
    quoted(text)
        .filter(|word| {
            let first = word.split('/').next().unwrap_or_default();
            word.contains('/') && FOLDERS.contains(&first) && !word.contains([' ', '*', '{'])
        })
        .filter(|word| !exists(word))
        .map(|word| format!("names `{word}`, which does not exist"))
        .collect()
}

/// The spans, written as "span `crate.verb`", that no source file opens.
pub(crate) fn missing_spans(text: &str, exists: &dyn Fn(&str) -> bool) -> Vec<String> {
    text.split("span `")
        .skip(1)
        .filter_map(|rest| rest.split('`').next())
        .filter(|span| !exists(span))
        .map(|span| format!("names the span `{span}`, which no code opens"))
        .collect()
}

/// The targets of relative links that do not exist.
pub(crate) fn broken_links(text: &str, exists: &dyn Fn(&str) -> bool) -> Vec<String> {
    text.split("](")
        .skip(1)
        .filter_map(|rest| rest.split([')', ' ']).next())
        .filter(|target| !target.contains("://") && !target.starts_with(['#', '/']))
        .map(|target| target.split('#').next().unwrap_or(target))
        .filter(|target| !target.is_empty() && !exists(target))
        .map(|target| format!("links to {target}, which does not exist"))
        .collect()
}

/// The words in single backticks, outside fenced blocks.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    let prose = text.split("```").step_by(2);
    prose.flat_map(|part| part.lines()).flat_map(|line| line.split('`').skip(1).step_by(2))
}

#[test]
fn a_path_that_does_not_exist_is_found() {
    let text =
        "1. `host/node/src/gone.rs` asks `core::Call` and `host/core`.\n```\n`gate/x`\n```\n";
    let found = missing_paths(text, &|path| path == "host/core");
    assert_eq!(found, ["names `host/node/src/gone.rs`, which does not exist"]);
}

#[test]
fn a_span_that_nobody_opens_is_found() {
    let found = missing_spans("(span `gate.call`), (span `node.cal`)", &|s| s == "gate.call");
    assert_eq!(found, ["names the span `node.cal`, which no code opens"]);
}

#[test]
fn a_broken_link_is_found() {
    let text = "[a](guide.md#here) [b](gone.md) [c](https://example.org/x) [d](#part)";
    assert_eq!(
        broken_links(text, &|path| path == "guide.md"),
        ["links to gone.md, which does not exist"]
    );
}
