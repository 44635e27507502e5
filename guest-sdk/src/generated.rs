//! The bindings of the guest contract, generated beforehand so that guests need no generator.
//!
//! To make them anew after a change of `wit/object.wit`, in the folder of this crate:
//! ```text
//! cargo install wit-bindgen-cli@0.63.0
//! wit-bindgen rust ../wit --world object --out-dir src/generated --format --generate-all \
//!   --ownership borrowing-duplicate-if-necessary --pub-export-macro \
//!   --default-bindings-module wasmverse_sdk::__private::bindings \
//!   --export-macro-name __export_object
//! ```
//! Then `tests/contract.rs` says what to write into `src/generated/contract.fnv1a`.

#[cfg(target_family = "wasm")]
#[allow(missing_docs, unreachable_pub, unsafe_code, clippy::all, reason = "generated")]
#[allow(clippy::pedantic, clippy::nursery, clippy::restriction, reason = "generated")]
#[rustfmt::skip]
pub mod object;
