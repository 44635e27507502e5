//! The one commit step: every outcome passes it before anything leaves.

use wasmverse_core::{CallError, Durability, ErrorKind, Outcome};

use super::Activation;

impl Activation {
    /// Makes what a turn did the truth.
    ///
    /// # Errors
    /// Nothing of it happened, and nothing may leave; or (`maybe_executed`) nobody knows.
    pub(super) async fn commit(&mut self, outcome: &Outcome) -> Result<(), CallError> {
        match self.durability() {
            // The saver, or nobody, has what memory holds; only a delete is for the store.
            None | Some(Durability::Volatile | Durability::Periodic) => {}
            Some(Durability::Durable) => {
                return Err(CallError::new(ErrorKind::Internal, "durable types do not run yet"));
            }
        }
        if outcome.effects.delete { Box::pin(self.erase()).await } else { Ok(()) }
    }
}
