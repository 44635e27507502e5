//! Methods that nobody could call from afar.

#![allow(unused_variables)]

use wasmverse_sdk::prelude::*;

#[derive(Default, Serialize, Deserialize)]
struct Room;

#[object]
impl Room {
    async fn wait(&self) {}
    fn pick<T>(&self, from: Vec<T>) {}
    fn leave(self) {}
    fn greet(&self, name: &str) {}
    fn sum(&self, numbers: &[u32]) {}
    fn print(&self, what: impl ToString) {}
    fn split(&self, (left, right): (u8, u8)) {}
    #[read_only]
    fn peek(&mut self) {}
    #[callers(everyone)]
    fn open(&self) {}
}

fn main() {}
