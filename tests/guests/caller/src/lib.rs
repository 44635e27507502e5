//! An object that calls others: by their interface, by the references of their crate, by name.

use std::time::Duration;

use tally::{CalleeRef, TallyRef};
use wasmverse_sdk::prelude::*;

/// An object without a state.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Caller;

/// Calls others.
#[object]
impl Caller {
    /// Through the interface that both share.
    fn add_by_interface(&self, tally: String, by: i64) -> Result<i64> {
        TallyRef::at(tally).add(by)
    }

    /// Through the other's crate, which exports nothing.
    fn add_by_crate(&self, tally: String, by: i64) -> Result<i64> {
        CalleeRef::at(tally).timeout(Duration::from_secs(5)).add(by)
    }

    /// By names alone.
    fn add_by_name(&self, ctx: &Context, tally: String, by: i64) -> Result<i64> {
        ctx.call("Tally", &tally, "add", &by)
    }

    /// Several side by side.
    fn add_to_all(&self, ctx: &Context, tallies: Vec<String>, by: i64) -> Result<Vec<i64>> {
        let requests = tallies.into_iter().map(|tally| TallyRef::at(tally).request().add(by));
        ctx.call_many(requests).into_iter().collect()
    }

    /// Two arguments, one way.
    fn send_product(&self, tally: String, left: i64, right: i64) -> Result<()> {
        TallyRef::at(tally).send().add_product(left, right)
    }

    /// Makes a tally, finds it and deletes it.
    fn make_and_delete(&self, tally: String) -> Result<bool> {
        let tally = TallyRef::at(tally);
        tally.create()?;
        let existed = tally.exists()?;
        tally.delete()?;
        Ok(existed)
    }

    /// Has the other ask another caller for its name.
    #[read_only]
    fn name_by_way_of(&self, tally: String, caller: String) -> Result<String> {
        TallyRef::at(tally).name_of(caller)
    }

    /// Its name.
    #[read_only]
    fn name(&self, ctx: &Context) -> String {
        format!("I am {}", ctx.me())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tally::Callee;
    use wasmverse_sdk::{Object, TestContext};

    /// A platform with one tally, that really runs.
    fn context() -> TestContext {
        let ctx = TestContext::of::<Caller>("c");
        let mut tally = Callee::default();
        ctx.answer_with(move |asked| {
            let there = TestContext::of::<Callee>(&asked.to.id).called_by("Caller", "c");
            Some(tally.handle(&there, &asked.method, asked.payload.clone()))
        });
        ctx
    }

    #[test]
    fn every_way_of_knowing_the_other_calls_it() {
        let ctx = context();
        assert_eq!(Caller.add_by_interface("t".into(), 1).unwrap(), 1);
        assert_eq!(Caller.add_by_crate("t".into(), 2).unwrap(), 3);
        assert_eq!(Caller.add_by_name(&ctx, "t".into(), 3).unwrap(), 6);
        assert_eq!(Caller.add_to_all(&ctx, vec!["t".into(), "t".into()], 1).unwrap(), [7, 8]);
        assert_eq!(ctx.asked()[1].timeout, Some(Duration::from_secs(5)));
        assert!(ctx.asked().iter().all(|asked| asked.to.to_string() == "Tally/t"));
    }

    #[test]
    fn several_arguments_travel_by_name() {
        let ctx = context();
        Caller.send_product("t".into(), 6, 7).unwrap();
        assert_eq!(ctx.asked()[0].payload, br#"{"left":6,"right":7}"#);
    }
}
