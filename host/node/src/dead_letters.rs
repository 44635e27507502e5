//! What was given up, for operators: to look at, to send again, to forget.

use wasmverse_core::{CallError, ErrorKind, ObjectId};
use wasmverse_store::{self as store, DeadLetter, Effect, StoredReminder};

use crate::{deploy::unstored, node::Node};

impl Node {
    /// Dead letters, of this sender or of all, by number, after `after`, at most `limit`.
    ///
    /// # Errors
    /// As the store.
    pub async fn dead_letters(
        &self,
        from: Option<&ObjectId>,
        after: u64,
        limit: u32,
    ) -> Result<Vec<DeadLetter>, CallError> {
        let found = self.0.store.dead_letters(from, after, limit).await;
        found.map_err(|error| unstored(&error))
    }

    /// One dead letter.
    ///
    /// # Errors
    /// `not-found` if there is none of that number.
    pub async fn dead_letter(&self, number: u64) -> Result<DeadLetter, CallError> {
        let found = self.0.store.dead_letter(number).await.map_err(|error| unstored(&error))?;
        found.ok_or_else(|| unknown(number))
    }

    /// Sends a dead letter again, as a new send of its sender.
    ///
    /// # Errors
    /// `not-found` if there is none of that number.
    pub async fn retry_dead_letter(&self, number: u64) -> Result<(), CallError> {
        self.change(number, Effect::Revive(number)).await?;
        self.0.sends.read_again();
        Ok(())
    }

    /// Forgets a dead letter.
    ///
    /// # Errors
    /// `not-found` if there is none of that number.
    pub async fn drop_dead_letter(&self, number: u64) -> Result<(), CallError> {
        self.change(number, Effect::Forget(number)).await
    }

    async fn change(&self, number: u64, effect: Effect) -> Result<(), CallError> {
        let DeadLetter { from, shard, .. } = self.dead_letter(number).await?;
        match self.0.write(self.0.beside(from, shard, vec![effect])).await {
            Ok(_) => Ok(()),
            // Somebody else was quicker.
            Err(store::Error::Repeated(_)) => Err(unknown(number)),
            Err(error) => Err(unstored(&error)),
        }
    }

    /// The reminders of an object, by name.
    ///
    /// # Errors
    /// As the store.
    pub async fn reminders(&self, object: &ObjectId) -> Result<Vec<StoredReminder>, CallError> {
        self.0.reminders_of(object).await
    }

    /// Sets the clock by which reminders are due forward, or (less than 0) back: for tests.
    #[doc(hidden)]
    pub fn shift_clock(&self, micros: i64) {
        self.0.clock.shift(micros);
    }
}

fn unknown(number: u64) -> CallError {
    CallError::new(ErrorKind::NotFound, format!("there is no dead letter {number}"))
}
