//! The check of an upload before anything of it is compiled: is it a component, does it export
//! the world `object`, and does it import only what objects are given?

use std::collections::BTreeMap;

use anyhow::Context as _;
use wasmparser::Parser;
use wit_parser::{Resolve, UnresolvedPackageGroup, WorldId, decoding::DecodedWasm};

use crate::Refusal;

/// The contract and, in the order in which they name each other, the parts of WASI that are
/// linked. The latter are copies from the crate `wasmtime-wasi` (Apache-2.0 WITH LLVM-exception).
const SOURCES: [(&str, &str); 8] = [
    ("object.wit", include_str!("../../../wit/object.wit")),
    ("wasi/io.wit", include_str!("../wit/wasi/io.wit")),
    ("wasi/clocks.wit", include_str!("../wit/wasi/clocks.wit")),
    ("wasi/random.wit", include_str!("../wit/wasi/random.wit")),
    ("wasi/filesystem.wit", include_str!("../wit/wasi/filesystem.wit")),
    ("wasi/sockets.wit", include_str!("../wit/wasi/sockets.wit")),
    ("wasi/cli.wit", include_str!("../wit/wasi/cli.wit")),
    ("accept.wit", include_str!("../wit/accept.wit")),
];
/// What every object exports, without its version.
const GUEST: &str = "wasmverse:object/guest";
const BUILD_FIX: &str = "build it against `wit/object.wit` of this version";

const WASI_FIX: &str = "build it with a toolchain for WASI 0.2, or without WASI";

/// The world that an upload is checked against.
#[derive(Debug)]
pub(crate) struct World {
    resolve: Resolve,
    world: WorldId,
    /// What may be imported: interfaces without their versions, and with them.
    offered: BTreeMap<String, String>,
}

impl World {
    pub(crate) fn new() -> anyhow::Result<Self> {
        let mut resolve = Resolve::default();
        let mut package = None;
        for (name, text) in SOURCES {
            let group = UnresolvedPackageGroup::parse(name, text)
                .map_err(|error| anyhow::anyhow!("{error:?}"))
                .with_context(|| format!("parse {name}"))?;
            package = Some(resolve.push_group(group).with_context(|| format!("resolve {name}"))?);
        }
        let package = package.context("there is no world")?;
        let world = resolve.select_world(&[package], Some("accept"))?;
        let imports = resolve.worlds[world].imports.keys();
        let offered = imports.map(|key| resolve.name_world_key(key));
        let offered = offered.map(|name| (base(&name).to_owned(), name)).collect();
        Ok(Self { resolve, world, offered })
    }

    /// Does this component export what an object exports, and import no more than it is given?
    pub(crate) fn check(&self, bytes: &[u8]) -> Result<(), Refusal> {
        let decoded = wit_component::decode(bytes).map_err(|error| {
            Refusal::new(
                format!("it is a damaged component ({})", root(&error)),
                "build it again, and upload the whole file",
            )
        })?;
        let DecodedWasm::Component(resolve, world) = decoded else {
            return Err(Refusal::new(
                "it is a WIT package, which holds interfaces and no code",
                "upload the component that implements them",
            ));
        };
        self.check_imports(&resolve, world)?;
        check_exports(&resolve, world)?;
        wit_component::targets(&self.resolve, self.world, bytes, true).map_err(|error| {
            Refusal::new(
                format!("it does not fit the world `object`: {}", mismatch(&error)),
                BUILD_FIX,
            )
        })
    }

    fn check_imports(&self, resolve: &Resolve, world: WorldId) -> Result<(), Refusal> {
        for key in resolve.worlds[world].imports.keys() {
            let name = resolve.name_world_key(key);
            let Some(ours) = self.offered.get(base(&name)) else {
                return Err(unknown_import(&name));
            };
            if track(&name) != track(ours) {
                let fix = if name.starts_with("wasi:") { WASI_FIX } else { BUILD_FIX };
                let cause = format!("it imports `{name}`, this host has `{ours}`");
                return Err(Refusal::new(cause, fix));
            }
        }
        Ok(())
    }
}

/// Is it a component at all?
pub(crate) fn form(bytes: &[u8]) -> Result<(), Refusal> {
    let component =
        "upload the component that `wasmverse build` or `wasm-tools component new` makes";
    if bytes.is_empty() {
        return Err(Refusal::new("the file is empty", component));
    }
    if Parser::is_core_wasm(bytes) {
        return Err(Refusal::new("it is a core module and no component", component));
    }
    if Parser::is_component(bytes) {
        return Ok(());
    }
    let text = std::str::from_utf8(bytes).is_ok_and(|text| text.trim_start().starts_with('('));
    let cause = if text { "it is WebAssembly text" } else { "it is no WebAssembly component" };
    Err(Refusal::new(cause, component))
}

fn check_exports(resolve: &Resolve, world: WorldId) -> Result<(), Refusal> {
    let mut exports = resolve.worlds[world].exports.keys().map(|key| resolve.name_world_key(key));
    if exports.any(|name| base(&name) == GUEST) {
        return Ok(());
    }
    Err(Refusal::new(
        format!("it exports no `{GUEST}`, and so is no type of object"),
        "implement the world `object` of `wit/object.wit`",
    ))
}

fn unknown_import(name: &str) -> Refusal {
    let package = name.split(['/', '@']).next().unwrap_or(name);
    let (missing, fix) = match package {
        "wasi:http" => {
            ("no HTTP", "remove it, and let a client or a service beside the cluster ask")
        }
        "wasi:nn" | "wasi:keyvalue" | "wasi:blobstore" | "wasi:config" | "wasi:messaging" => {
            ("none of that", "remove it, and keep state in the object itself")
        }
        "wasmverse:object" => {
            ("nothing of that name on this host", "upgrade the host, or remove it")
        }
        _ => ("no such import", "remove it, or build without what needs it"),
    };
    Refusal::new(format!("it imports `{name}`: objects have {missing}"), fix)
}

/// An interface's name without its version.
fn base(name: &str) -> &str {
    name.split_once('@').map_or(name, |(base, _)| base)
}

/// The part of a version within which interfaces stay compatible: `0.2` of `0.2.6`, `1` of `1.4`.
fn track(name: &str) -> &str {
    let version = name.split_once('@').map_or("", |(_, version)| version);
    let dots = if version.starts_with("0.") { 2 } else { 1 };
    let end = version.match_indices('.').nth(dots - 1).map_or(version.len(), |(end, _)| end);
    &version[..end]
}

/// What does not fit, without the words that say only how it was found out.
fn mismatch(error: &anyhow::Error) -> String {
    let reason = root(error);
    let reason = reason.strip_prefix("type mismatch for import `accept` ").unwrap_or(&reason);
    reason.split(" (at offset").next().unwrap_or(reason).to_owned()
}

/// The innermost reason, on one line.
fn root(error: &anyhow::Error) -> String {
    let text = error.root_cause().to_string();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
