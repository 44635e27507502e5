//! The SDK is part of this binary (`wasmverse new` brings it along): rebuild when it changes.

fn main() {
    for path in ["src", "Cargo.toml", "macros/src", "macros/Cargo.toml"] {
        println!("cargo::rerun-if-changed=../../guest-sdk/{path}");
    }
    println!("cargo::rerun-if-changed=../../Cargo.toml");
    println!("cargo::rerun-if-changed=templates");
    println!("cargo::rerun-if-changed=build.rs");
}
