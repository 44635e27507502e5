//! `Counter`: one number that grows. The first object of the guide.

use wasmverse_sdk::prelude::*;

/// One number.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Counter {
    value: i64,
}

/// One number that grows.
#[object(durability = "durable")]
impl Counter {
    /// Adds to the value and answers the new one. Too large a value is the error `overflow`.
    fn add(&mut self, by: i64) -> Result<i64> {
        let sum = self.value.checked_add(by);
        self.value = sum.ok_or_else(|| {
            Error::new("overflow", format!("{} and {by} are more than fits", self.value))
        })?;
        Ok(self.value)
    }

    /// The value now.
    #[read_only]
    fn value(&self) -> i64 {
        self.value
    }

    /// Starts from zero again.
    fn reset(&mut self) {
        self.value = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wasmverse_sdk::{Object, TestContext};

    #[test]
    fn it_adds_and_starts_again() {
        let mut counter = Counter::default();
        assert_eq!(counter.add(5).unwrap(), 5);
        assert_eq!(counter.add(-7).unwrap(), -2);
        counter.reset();
        assert_eq!(counter.value(), 0);
    }

    #[test]
    fn an_overflow_is_an_error_and_changes_nothing() {
        let mut counter = Counter { value: i64::MAX };
        assert_eq!(counter.add(1).unwrap_err().code(), "overflow");
        assert_eq!(counter.value(), i64::MAX);
    }

    #[test]
    fn a_wrong_argument_is_named() {
        let ctx = TestContext::of::<Counter>("visits");
        let error = ctx.invoke::<_, i64>(&mut Counter::default(), "add", "five").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        assert!(error.message().contains("`by`"), "{error}");
    }

    #[test]
    fn it_wakes_as_it_went_to_sleep() {
        let ctx = TestContext::of::<Counter>("visits");
        let state = Counter { value: 7 }.snapshot().unwrap();
        assert_eq!(state.data, br#"{"value":7}"#);
        assert_eq!(Counter::activate(&ctx, Some(state)).unwrap().value(), 7);
    }
}
