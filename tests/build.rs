//! Compiles the sample objects and the guests of the tests to components, in a target folder of
//! their own that all profiles share, and tells the tests where they are.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

const TARGET: &str = "wasm32-wasip2";
const PROFILE: &str = "guest";

/// Guests that are members of the workspace, beside the sample objects.
const MEMBERS: [&str; 2] = ["chameleon", "prober"];
/// Guests that are workspaces of their own: one is built in two ways. Whoever names another as a
/// dependency stands before it.
const LONERS: [&str; 2] = ["caller", "callee"];

fn main() {
    let here = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    let root = here.parent().expect("the tests lie in the workspace");
    for folder in ["Cargo.toml", "wit", "guest-sdk", "objects", "tests/guests"] {
        println!("cargo::rerun-if-changed={}", root.join(folder).display());
    }
    let target = target_folder();
    let mut members = objects(root);
    members.extend(MEMBERS.map(str::to_owned));
    build(root, &target, members.iter().flat_map(|member| ["--package", member]));
    for loner in LONERS {
        build(&here.join("guests").join(loner), &target, []);
    }
    for guest in members.iter().map(String::as_str).chain(LONERS) {
        let name = guest.replace('-', "_");
        let path = target.join(TARGET).join(PROFILE).join(format!("{name}.wasm"));
        assert!(path.exists(), "{guest} made no component at {}", path.display());
        println!("cargo::rustc-env=GUEST_{}={}", name.to_uppercase(), path.display());
    }
}

/// The sample objects: packages named like their folders.
fn objects(root: &Path) -> Vec<String> {
    let entries = fs::read_dir(root.join("objects")).expect("the folder of objects can be read");
    let mut objects: Vec<_> = entries
        .map(|entry| entry.expect("its entries can be read").path())
        .filter(|path| path.join("Cargo.toml").exists())
        .map(|path| path.file_name().expect("a name").to_string_lossy().into_owned())
        .collect();
    objects.sort();
    objects
}

/// `target/guests`, whatever profile is built.
fn target_folder() -> PathBuf {
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
    // target / debug / build / wasmverse-tests-0123 / out
    out.ancestors().nth(4).expect("cargo's layout").join("guests")
}

fn build<'a>(folder: &Path, target: &Path, packages: impl IntoIterator<Item = &'a str>) {
    let mut cargo = Command::new(env::var_os("CARGO").expect("cargo sets it"));
    cargo.current_dir(folder).args(["build", "--quiet", "--target", TARGET, "--profile", PROFILE]);
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
    cargo.args(packages);
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
        "the guests of {} did not build; if {TARGET} is missing: rustup target add {TARGET}",
        folder.display()
    );
}
