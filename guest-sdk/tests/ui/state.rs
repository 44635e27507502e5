//! A type that cannot be saved.

use wasmverse_sdk::prelude::*;

struct Stateless;

#[object]
impl Stateless {
    fn ping(&self) {}
}

fn main() {}
