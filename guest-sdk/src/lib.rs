//! Objects in Rust.
