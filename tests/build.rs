//! Compiles the sample objects and the guests of the tests to components, in a target folder of
//! their own that all profiles share, and tells the tests where they are.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

const TARGET: &str = "wasm32-wasip2";
const PROFILE: &str = "guest";

fn main() {
    let here = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    let root = here.parent().expect("the tests lie in the workspace");
    let guests = guests(root);
    for folder in ["Cargo.toml", "wit", "guest-sdk", "objects", "tests/guests"] {
        println!("cargo::rerun-if-changed={}", root.join(folder).display());
    }
    let target = target_folder();
    build(root, &target, &guests);
    for guest in &guests {
        let file = format!("{}.wasm", guest.replace('-', "_"));
        let path = target.join(TARGET).join(PROFILE).join(file);
        assert!(path.exists(), "{guest} made no component at {}", path.display());
        let variable = format!("GUEST_{}", guest.replace('-', "_").to_uppercase());
        println!("cargo::rustc-env={variable}={}", path.display());
    }
}

/// The packages below `objects` and `tests/guests`: folders are named like them.
fn guests(root: &Path) -> Vec<String> {
    let mut guests: Vec<_> = ["objects", "tests/guests"]
        .into_iter()
        .flat_map(|folder| {
            std::fs::read_dir(root.join(folder)).expect("the folder of guests can be read")
        })
        .map(|entry| entry.expect("its entries can be read").path())
        .filter(|path| path.join("Cargo.toml").exists())
        .map(|path| path.file_name().expect("a name").to_string_lossy().into_owned())
        .collect();
    guests.sort();
    guests
}

/// `target/guests`, whatever profile is built.
fn target_folder() -> PathBuf {
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
    // target / debug / build / wasmverse-tests-0123 / out
    out.ancestors().nth(4).expect("cargo's layout").join("guests")
}

fn build(root: &Path, target: &Path, guests: &[String]) {
    let mut cargo = Command::new(env::var_os("CARGO").expect("cargo sets it"));
    cargo.current_dir(root).args(["build", "--quiet", "--target", TARGET, "--profile", PROFILE]);
    cargo.arg("--target-dir").arg(target);
    for setting in [
        r#"inherits="release""#,
        r#"opt-level="s""#,
        "lto=true",
        "codegen-units=1",
        r#"panic="abort""#,
        "strip=true",
        "debug=false",
    ] {
        cargo.arg("--config").arg(format!("profile.{PROFILE}.{setting}"));
    }
    cargo.args(guests.iter().flat_map(|guest| ["--package", guest]));
    // What cargo set for this script concerns the host, not the guests.
    for variable in [
        "RUSTFLAGS",
        "CARGO_ENCODED_RUSTFLAGS",
        "RUSTC_WRAPPER",
        "RUSTC_WORKSPACE_WRAPPER",
        "CARGO_BUILD_TARGET",
        "CARGO_RESOLVER_FEATURE_UNIFICATION",
        "CARGO_UNSTABLE_FEATURE_UNIFICATION",
        "__CARGO_TEST_CHANNEL_OVERRIDE_DO_NOT_USE_THIS",
    ] {
        cargo.env_remove(variable);
    }
    // A quarter of the default stack: each object has one.
    cargo.env("CARGO_TARGET_WASM32_WASIP2_RUSTFLAGS", "-C link-arg=-zstack-size=262144");
    let status = cargo.status().expect("cargo runs");
    assert!(
        status.success(),
        "the guests did not build; if {TARGET} is missing: rustup target add {TARGET}"
    );
}
