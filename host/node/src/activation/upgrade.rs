//! Hot reload of one object: between two turns its parcel goes from the old instance to a new one.

use std::sync::Arc;

use wasmverse_core::{CallError, Durability, State, Version};
use wasmverse_engine::{Instance, Leaving};

use super::Activation;
use crate::{deploy::unstored, known_types::Revision, rollout::Ticket};

/// What one instance hands to the next; the mailbox stays with the entry. Between nodes it will
/// be the same, the mailbox added.
struct Parcel {
    state: State,
    /// Of the object's row; none: there is none.
    version: Option<Version>,
}

impl Activation {
    /// Moves to the active revision, or stays on the old one and says why.
    pub(super) async fn upgrade(&mut self, ticket: Ticket) {
        let Ok(target) = self.host.types.get(self.object().type_name()) else { return };
        match self.move_to(&target).await {
            Ok(()) => {
                self.host.metrics.upgrades.increment(1);
                ticket.moved();
            }
            Err(error) => {
                self.host.metrics.upgrades_refused.increment(1);
                let (object, revision) = (self.object(), target.number);
                tracing::warn!(%object, %revision, %error, "an object stays on its old revision");
                ticket.refused(error.to_string());
            }
        }
    }

    async fn move_to(&mut self, target: &Arc<Revision>) -> Result<(), CallError> {
        let awake = self.awake.as_mut().expect("only a live object is upgraded");
        if awake.revision.number == target.number {
            return Ok(());
        }
        let host = self.host.clone();
        let _permit = host.upgrades.acquire().await;
        let snapshot = awake.instance.snapshot().await;
        if awake.instance.is_dead() {
            // It is as after any other trap, and wakes on the active revision.
            self.discard();
        }
        let mut parcel = Parcel { state: snapshot?, version: self.entry.lock().row.version };
        let becomes_periodic = target.spec().durability == Durability::Periodic
            && self.durability() != Some(Durability::Periodic);
        if becomes_periodic {
            // An earlier revision may have left a row.
            let stored = self.host.store.load(self.object()).await;
            parcel.version = stored.map_err(|error| unstored(&error))?.map(|row| row.version);
        }
        let new = self.start(target, Some(parcel.state)).await?;
        let old = self.take_over(new, target);
        let note = {
            let mut inner = self.entry.lock();
            inner.revision = Some(target.clone());
            inner.row.version = parcel.version;
            inner.dirty |= becomes_periodic;
            becomes_periodic && inner.is_to_be_noted()
        };
        if note {
            self.host.saver.note(self.entry.clone());
        }
        old.deactivate(Leaving::Upgraded).await;
        Ok(())
    }

    /// Makes an instance of a revision and activates it.
    pub(super) async fn start(
        &mut self,
        revision: &Arc<Revision>,
        state: Option<State>,
    ) -> Result<Instance, CallError> {
        let outbound = self.host.outgoing.clone();
        let object = self.object().clone();
        let mut instance =
            revision.component.instantiate(object, revision.number, outbound).await?;
        instance.activate(state).await?;
        Ok(instance)
    }

    fn take_over(&mut self, new: Instance, revision: &Arc<Revision>) -> Instance {
        let awake = self.awake.as_mut().expect("the old instance is still there");
        awake.revision = revision.clone();
        std::mem::replace(&mut awake.instance, new)
    }
}
