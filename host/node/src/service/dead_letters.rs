//! What was given up, and what is still to come: dead letters and reminders, for operators.

use tonic::Status;
use wasmverse_core::ObjectId;
use wasmverse_proto::{
    admin::{
        DeadLetter, ListDeadLettersRequest, ListDeadLettersResponse, ListRemindersRequest,
        ListRemindersResponse,
    },
    convert::{error_to_status, ref_to_object},
};

use super::{Service, page_length};
use crate::terms;

impl Service {
    pub(super) async fn dead_letters(
        &self,
        asked: &ListDeadLettersRequest,
    ) -> Result<ListDeadLettersResponse, Status> {
        let limit = page_length(asked.limit)?;
        let from = asked.object.as_ref().map(|from| ref_to_object(Some(from))).transpose();
        let from = from.map_err(|error| error_to_status(&error))?;
        let letters = self.letters(from.as_ref(), asked.after, limit).await?;
        let next_after = match letters.last().map(|last| last.number) {
            // A page may be short for what it carries: whether there are more shows the next letter.
            Some(last) if !self.letters(from.as_ref(), last, 1).await?.is_empty() => last,
            Some(_) | None => 0,
        };
        let letters = letters.into_iter().map(terms::dead_letter).collect();
        Ok(ListDeadLettersResponse { letters, next_after })
    }

    async fn letters(
        &self,
        from: Option<&ObjectId>,
        after: u64,
        limit: u32,
    ) -> Result<Vec<wasmverse_store::DeadLetter>, Status> {
        self.node.dead_letters(from, after, limit).await.map_err(|error| error_to_status(&error))
    }

    pub(super) async fn dead_letter(&self, number: u64) -> Result<DeadLetter, Status> {
        self.node
            .dead_letter(number)
            .await
            .map(terms::dead_letter)
            .map_err(|error| error_to_status(&error))
    }

    /// Whoever asks for it may be gone: what is in the outbox is sent all the same.
    pub(super) async fn retry(&self, number: u64) -> Result<(), Status> {
        let node = self.node.clone();
        self.carry_through(async move { node.retry_dead_letter(number).await }).await
    }

    pub(super) async fn drop_letter(&self, number: u64) -> Result<(), Status> {
        let node = self.node.clone();
        self.carry_through(async move { node.drop_dead_letter(number).await }).await
    }

    pub(super) async fn reminders(
        &self,
        asked: &ListRemindersRequest,
    ) -> Result<ListRemindersResponse, Status> {
        let object =
            ref_to_object(asked.object.as_ref()).map_err(|error| error_to_status(&error))?;
        let found = self.node.reminders(&object).await;
        let found = found.map_err(|error| error_to_status(&error.about(&object)))?;
        Ok(ListRemindersResponse { reminders: found.into_iter().map(terms::reminder).collect() })
    }
}
