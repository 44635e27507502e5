//! Objects of type `Tally`, and both things that a caller can use: the interface, or the references
//! of the object itself. Linking this crate exports nothing.

use wasmverse_sdk::prelude::*;

/// A sum that others add to.
#[interface]
pub trait Tally {
    /// Adds to the sum and answers it.
    fn add(&mut self, by: i64) -> Result<i64>;

    /// Adds a product, to have a method with two arguments.
    fn add_product(&mut self, left: i64, right: i64) -> Result<i64>;

    /// The sum.
    #[read_only]
    fn total(&self) -> i64;

    /// What another object says that its name is.
    #[read_only]
    fn name_of(&self, caller: String) -> Result<String>;
}

/// What this object asks of others: written where it is needed, no crate is shared.
#[interface]
trait Caller {
    #[read_only]
    fn name(&self) -> String;
}

/// A sum.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Callee {
    total: i64,
}

/// A sum that others add to.
#[object(type_name = "Tally", exports = false)]
impl Tally for Callee {
    fn add(&mut self, by: i64) -> Result<i64> {
        let sum = self.total.checked_add(by);
        self.total = sum.ok_or_else(|| Error::new("overflow", "too much"))?;
        Ok(self.total)
    }

    fn add_product(&mut self, left: i64, right: i64) -> Result<i64> {
        self.add(left.saturating_mul(right))
    }

    #[read_only]
    fn total(&self) -> i64 {
        self.total
    }

    #[read_only]
    fn name_of(&self, caller: String) -> Result<String> {
        CallerRef::at(caller).name()
    }
}
