//! Options that are none.

use wasmverse_sdk::prelude::*;

#[derive(Default, Serialize, Deserialize)]
struct One;

#[object(durability = "forever")]
impl One {}

#[derive(Default, Serialize, Deserialize)]
struct Two;

#[object(durable)]
impl Two {}

#[derive(Default, Serialize, Deserialize)]
struct Three;

#[object(limits(cpu = 5))]
impl Three {}

#[derive(Default, Serialize, Deserialize)]
struct Four<T>(T);

#[object]
impl<T> Four<T> {}

#[object]
struct Five;

#[derive(Default, Serialize, Deserialize)]
struct Six;

#[object(encoding = "bytes")]
impl Six {
    fn join(&self, _a: Vec<u8>, _b: Vec<u8>) {}
}

fn main() {}
