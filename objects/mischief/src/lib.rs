//! `Mischief`: does what objects should not do, one method for each limit of the platform.
//!
//! Every method says how its turn ends under the default limits. Whatever it is, the object's
//! neighbours do not notice; that is what it is for.

use std::{hint::black_box, thread, time::Duration};

use wasmverse_sdk::prelude::*;

/// An object without a state and without manners.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Mischief;

/// Does what objects should not do, one method for each limit.
#[object]
impl Mischief {
    /// Never ends: `trapped` when its CPU time is used up.
    fn spin(&self) {
        let mut turns = 0_u64;
        while black_box(true) {
            turns = black_box(turns.wrapping_add(1));
        }
    }

    /// Fills so much memory: `trapped` where that is more than an instance may have.
    fn allocate(&self, bytes: u64) {
        let length = usize::try_from(bytes).unwrap_or(usize::MAX);
        black_box(vec![1_u8; length]);
    }

    /// Calls itself within its own code: `trapped` when the stack is used up.
    fn recurse(&self) {
        black_box(deeper(black_box(0)));
    }

    /// Panics: `trapped`, and the message is in the log.
    fn trap(&self) {
        panic!("mischief managed");
    }

    /// Answers so many letters: `trapped` where that is more than a payload may have.
    #[read_only]
    fn huge_reply(&self, bytes: u64) -> String {
        "x".repeat(usize::try_from(bytes).unwrap_or(usize::MAX))
    }

    /// Logs so many lines of about 100 bytes: what is over the limit is dropped and counted.
    fn log_flood(&self, ctx: &Context, lines: u64) {
        for line in 0..lines {
            ctx.info(&format!("line {line:8} of a flood {:.<80}", ""));
        }
    }

    /// Asks the platform so many times: `trapped` when its host calls are used up.
    fn call_storm(&self, ctx: &Context, calls: u64) {
        for _ in 0..calls {
            black_box(ctx.now_micros());
        }
    }

    /// Pushes so many events to nobody: `trapped` when its host calls are used up.
    fn push_storm(&self, ctx: &Context, pushes: u64) -> Result<()> {
        (0..pushes).try_for_each(|push| ctx.push("nowhere/nobody", "storm", &push))
    }

    /// Calls the object that it is: `cycle`.
    fn call_myself(&self, ctx: &Context) -> Result<()> {
        MischiefRef::at(ctx.id()).call_myself()
    }

    /// Has the next object call the next, so many times: `cycle` past 64.
    fn call_chain(&self, ctx: &Context, calls: u64) -> Result<()> {
        match calls.checked_sub(1) {
            None => Ok(()),
            Some(left) => MischiefRef::at(next_in_chain(ctx.id(), left)).call_chain(left),
        }
    }

    /// Ends well after so long, using no CPU.
    fn wait(&self, millis: u64) {
        thread::sleep(Duration::from_millis(millis));
    }

    /// Sends from a read-only method: `denied`.
    #[read_only]
    fn write_in_read_only(&self, ctx: &Context) -> Result<()> {
        MischiefRef::at(ctx.id()).send().log_flood(0)
    }
}

/// The id of the link that calls `left` more: each chain has objects of its own, named after the
/// one that began it.
fn next_in_chain(id: &str, left: u64) -> String {
    let link = id.strip_prefix("chain-").and_then(|rest| rest.rsplit_once('-'));
    let began = link.map_or(id, |(began, _)| began);
    format!("chain-{began}-{left}")
}

#[expect(unconditional_recursion, reason = "it is the mischief")]
#[inline(never)]
fn deeper(depth: u64) -> u64 {
    let frame = black_box([depth; 16]);
    // Used after the call, so that this is no loop.
    deeper(black_box(depth + 1)) + frame[15]
}

#[cfg(test)]
mod tests {
    use super::*;
    use wasmverse_sdk::TestContext;

    fn context() -> TestContext {
        TestContext::of::<Mischief>("m")
    }

    #[test]
    fn small_mischief_ends_well() {
        Mischief.allocate(1000);
        Mischief.wait(1);
        Mischief.call_storm(&context(), 3);
        assert_eq!(Mischief.huge_reply(3), "xxx");
    }

    #[test]
    #[should_panic(expected = "mischief managed")]
    fn a_trap_says_why() {
        Mischief.trap();
    }

    #[test]
    fn a_flood_is_lines_of_a_hundred_bytes() {
        let ctx = context();
        Mischief.log_flood(&ctx, 3);
        assert_eq!(ctx.lines().len(), 3);
        assert!(ctx.lines().iter().all(|line| (90..110).contains(&line.message.len())));
    }

    #[test]
    fn a_storm_is_pushes() {
        let ctx = context();
        Mischief.push_storm(&ctx, 3).unwrap();
        assert_eq!(ctx.pushed().len(), 3);
    }

    #[test]
    fn it_calls_itself_and_passes_on_what_the_platform_says() {
        let ctx = context();
        ctx.answer::<()>("Mischief", "m", "call_myself", Err(Error::of_kind(ErrorKind::Cycle, "")));
        assert_eq!(Mischief.call_myself(&ctx).unwrap_err().kind(), ErrorKind::Cycle);
    }

    #[test]
    fn a_chain_is_of_other_objects_and_ends() {
        let ctx = context();
        ctx.answer("Mischief", "chain-m-1", "call_chain", Ok(()));
        Mischief.call_chain(&ctx, 2).unwrap();
        assert_eq!(ctx.asked()[0].argument, 1);
        Mischief.call_chain(&ctx, 0).unwrap();
        assert_eq!(next_in_chain("chain-m-1", 0), "chain-m-0");
        assert_eq!(next_in_chain("chain-", 4), "chain-chain--4");
        assert_eq!(next_in_chain("chain-a-b-7", 6), "chain-a-b-6");
    }

    #[test]
    fn a_read_only_method_sends_nothing() {
        let ctx = context().in_read_only();
        assert_eq!(Mischief.write_in_read_only(&ctx).unwrap_err().kind(), ErrorKind::Denied);
    }
}
