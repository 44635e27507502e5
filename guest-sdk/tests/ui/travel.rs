//! Arguments and results that cannot travel.

#![allow(unused_variables)]

use wasmverse_sdk::prelude::*;

struct Opaque;

#[derive(Default, Serialize, Deserialize)]
struct Room;

#[object]
impl Room {
    fn take(&self, what: Opaque) {}
    fn give(&self) -> Opaque {
        Opaque
    }
}

fn main() {}
