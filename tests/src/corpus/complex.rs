//! Components that are too much: for the compiler, for the validator, for the machine.

use super::{
    Ill,
    bytes::{component_nest, instance_bomb, type_nest},
    ill,
};
use crate::forge::Forge;

/// All of them.
pub fn all() -> Vec<Ill> {
    let plain = Forge::new("Complex").component();
    let with = |fields: String| {
        let mut forge = Forge::new("Complex");
        forge.fields = fields;
        forge.component()
    };
    let adds = "(local.set 0 (i32.add (local.get 0) (i32.const 1)))".repeat(600_000);
    let depth = 60_000;
    let nest = format!("{}{}", "block ".repeat(depth), "end ".repeat(depth));
    vec![
        ill("200,000 functions", with("(func)".repeat(200_000)), &["function"]),
        ill("one function of 4 MB", with(format!("(func (local i32) {adds})")), &["function"]),
        ill("blocks nested deeply", with(format!("(func {nest})")), &["blocks"]),
        ill("components nested deeply", component_nest(&plain, 2_000), &[]),
        ill("types nested deeply", type_nest(&plain, 10_000), &[]),
        ill("a thousand instances", instance_bomb(&plain, 1, 1_000), &["instance"]),
        ill("memory in many instances", instance_bomb(&plain, 1_000, 20), &["memor"]),
    ]
}
