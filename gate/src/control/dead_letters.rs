//! Dead letters and reminders: any node reads them; who sent a letter retries and forgets it.

use tokio::time::Instant;
use tonic::Request;
use wasmverse_core::{CallError, ObjectId};
use wasmverse_proto::{
    admin::{
        DeadLetter, DropDeadLetterRequest, GetDeadLetterRequest, ListDeadLettersRequest,
        ListDeadLettersResponse, ListRemindersRequest, Reminder, RetryDeadLetterRequest,
    },
    convert::{object_to_ref, ref_to_object},
};

use super::{Control, Node, check_page_length, until};

impl Control {
    /// A page of dead letters.
    pub(crate) async fn dead_letters(
        &self,
        from: Option<&ObjectId>,
        after: u64,
        limit: u32,
        deadline: Instant,
    ) -> Result<ListDeadLettersResponse, CallError> {
        check_page_length(limit)?;
        let object = from.map(object_to_ref);
        let request = Request::new(ListDeadLettersRequest { object, after, limit });
        let mut node = self.node()?;
        until(deadline, node.list_dead_letters(request)).await
    }

    /// One dead letter.
    pub(crate) async fn dead_letter(
        &self,
        number: u64,
        deadline: Instant,
    ) -> Result<DeadLetter, CallError> {
        let mut node = self.node()?;
        until(deadline, node.get_dead_letter(GetDeadLetterRequest { number })).await
    }

    /// Sends a dead letter again.
    pub(crate) async fn retry_dead_letter(
        &self,
        number: u64,
        deadline: Instant,
    ) -> Result<(), CallError> {
        let mut node = self.sender(number, deadline).await?;
        let retrying = node.retry_dead_letter(RetryDeadLetterRequest { number });
        until(deadline, retrying).await.map(drop)
    }

    /// Forgets a dead letter.
    pub(crate) async fn drop_dead_letter(
        &self,
        number: u64,
        deadline: Instant,
    ) -> Result<(), CallError> {
        let mut node = self.sender(number, deadline).await?;
        let dropping = node.drop_dead_letter(DropDeadLetterRequest { number });
        until(deadline, dropping).await.map(drop)
    }

    /// The reminders of an object.
    pub(crate) async fn reminders(
        &self,
        object: &ObjectId,
        deadline: Instant,
    ) -> Result<Vec<Reminder>, CallError> {
        let request = ListRemindersRequest { object: Some(object_to_ref(object)) };
        let mut node = self.node()?;
        let found = until(deadline, node.list_reminders(request)).await;
        found.map(|found| found.reminders).map_err(|error| error.about(object))
    }

    /// The node that has the object which sent a dead letter: the commit that settles it is the
    /// object's.
    async fn sender(&self, number: u64, deadline: Instant) -> Result<Node, CallError> {
        let letter = self.dead_letter(number, deadline).await?;
        self.owner(&ref_to_object(letter.from.as_ref())?)
    }
}
