//! One run of cargo: guests are small release builds, whatever the profile of their workspace says.

use std::{
    io::BufReader,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, anyhow};
use cargo_metadata::{Artifact, CrateType, Message};

use super::Package;
use crate::failure::Result;

const TARGET: &str = "wasm32-wasip2";

/// Small, stripped, and with a stack that makes an instance cost little memory.
const SETTINGS: &[&str] = &[
    r#"profile.release.opt-level="s""#,
    "profile.release.lto=true",
    "profile.release.codegen-units=1",
    r#"profile.release.panic="abort""#,
    "profile.release.strip=true",
    r#"target.wasm32-wasip2.rustflags=["-C","link-arg=-zstack-size=262144"]"#,
];

/// What an outer build (a build script, a wrapper) leaves in the environment and must not reach
/// this one.
const FOREIGN: &[&str] = &[
    "RUSTC_WORKSPACE_WRAPPER",
    "CARGO_ENCODED_RUSTFLAGS",
    "RUSTFLAGS",
    "CARGO_BUILD_TARGET",
    "CARGO_RESOLVER_FEATURE_UNIFICATION",
    "CARGO_UNSTABLE_FEATURE_UNIFICATION",
    "__CARGO_TEST_CHANNEL_OVERRIDE_DO_NOT_USE_THIS",
];

/// Compiles packages of one workspace; the components are in their order.
pub(super) fn build(packages: &[&Package]) -> Result<Vec<PathBuf>> {
    let Some(first) = packages.first() else { return Ok(Vec::new()) };
    let mut command = cargo(first);
    for package in packages {
        command.args(["--package", &package.name]);
    }
    let mut child = command.spawn().context("failed to run cargo")?;
    let stdout = child.stdout.take().expect("standard output is piped");
    let mut artifacts = Vec::new();
    for message in Message::parse_stream(BufReader::new(stdout)) {
        match message.context("failed to read what cargo says")? {
            Message::CompilerArtifact(artifact) => artifacts.push(artifact),
            Message::TextLine(line) => eprintln!("{line}"),
            _ => {}
        }
    }
    let status = child.wait().context("failed to wait for cargo")?;
    if !status.success() {
        return Err(why_failed(packages).into());
    }
    let components = packages.iter().map(|package| {
        component(&artifacts, package)
            .ok_or_else(|| anyhow!("cargo built {} and named no component", package.name))
    });
    Ok(components.collect::<anyhow::Result<_>>()?)
}

fn cargo(package: &Package) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command
        .args(["build", "--release", "--target", TARGET])
        .args(["--message-format", "json-render-diagnostics"])
        .arg("--manifest-path")
        .arg(&package.manifest)
        .arg("--target-dir")
        .arg(package.target_dir.join("wasmverse-build"))
        .stdout(Stdio::piped());
    for setting in SETTINGS {
        command.args(["--config", setting]);
    }
    for name in FOREIGN {
        command.env_remove(name);
    }
    command
}

fn component(artifacts: &[Artifact], package: &Package) -> Option<PathBuf> {
    artifacts
        .iter()
        .filter(|artifact| Path::new(&artifact.manifest_path) == package.manifest)
        .filter(|artifact| artifact.target.crate_types.contains(&CrateType::CDyLib))
        .flat_map(|artifact| &artifact.filenames)
        .find(|file| file.extension() == Some("wasm"))
        .map(|file| file.clone().into())
}

/// Cargo has said what is wrong with the code; a missing target it says less clearly.
fn why_failed(packages: &[&Package]) -> anyhow::Error {
    let names: Vec<_> = packages.iter().map(|package| package.name.as_str()).collect();
    let names = names.join(", ");
    match target_is_there() {
        true => anyhow!("failed to build {names}: see above"),
        false => {
            anyhow!("this Rust cannot build for {TARGET} yet; run: rustup target add {TARGET}")
        }
    }
}

fn target_is_there() -> bool {
    Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()))
        .args(["--print", "target-libdir", "--target", TARGET])
        .output()
        .ok()
        .and_then(|output| String::from_utf8(output.stdout).ok())
        .is_none_or(|folder| Path::new(folder.trim()).is_dir())
}
