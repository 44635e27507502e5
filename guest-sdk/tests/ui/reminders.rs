//! What can be reminded of.

use wasmverse_sdk::{TestContext, prelude::*};

fn main() {
    let ctx = TestContext::new("Garden", "g");
    let soon = || after(std::time::Duration::from_secs(1));
    let _ = ctx.remind("weed", soon(), 7);
    let _ = ctx.remind("weed", soon(), ("weed", 7));
}
