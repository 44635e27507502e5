//! Hot reload of one object: between two turns its state goes from the old instance to a new one.

use std::{pin::Pin, sync::Arc, time::Duration};

use tokio::sync::{AcquireError, OwnedSemaphorePermit};
use wasmverse_core::{CallError, Durability, ErrorKind, State, StorageWrites, life::Phase};
use wasmverse_engine::{Instance, Leaving};

use super::Activation;
use crate::{deploy::unstored, known_types::Revision, rollout::Ticket};

/// An object may block the way of others so long: it sleeps in its snapshot, or its successor
/// does. Far more than an honest one needs while hundreds change over.
const HAND_OVER: Duration = Duration::from_secs(10);

/// Held while instances of two revisions live side by side.
type Permit = OwnedSemaphorePermit;

/// One that stands in line to change over, and serves on meanwhile.
pub(super) struct InLine {
    ticket: Ticket,
    permit: Pin<Box<dyn Future<Output = Result<Permit, AcquireError>> + Send>>,
}

impl InLine {
    /// It is its turn.
    pub(super) async fn head(&mut self) -> Permit {
        self.permit.as_mut().await.expect("the permits are never closed")
    }
}

impl Activation {
    /// Changes over if not too many do so now; else stands in line for it.
    pub(super) async fn upgrade(&mut self, ticket: Ticket) {
        let awake = self.awake.as_mut().expect("only a live object is upgraded");
        let upgrades = &self.host.upgrades;
        if let Ok(permit) = upgrades.clone().try_acquire_owned() {
            awake.in_line = None;
            return self.change_over(ticket, permit).await;
        }
        let permit = match awake.in_line.take() {
            // Its earlier ticket goes.
            Some(InLine { permit, .. }) => permit,
            None => Box::pin(upgrades.clone().acquire_owned()),
        };
        awake.in_line = Some(InLine { ticket, permit });
    }

    /// Its turn in the line has come.
    pub(super) async fn upgrade_at_last(&mut self, permit: Permit) {
        let in_line = self.awake.as_mut().and_then(|awake| awake.in_line.take());
        if let Some(InLine { ticket, .. }) = in_line {
            self.entry.lock().phase = Phase::Upgrading;
            self.change_over(ticket, permit).await;
        }
    }

    /// Moves to the active revision, or stays on the old one and says why.
    async fn change_over(&mut self, ticket: Ticket, permit: Permit) {
        let Ok(target) = self.host.types.get(self.object().type_name()) else { return };
        match self.move_to(&target, permit).await {
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

    async fn move_to(&mut self, target: &Arc<Revision>, permit: Permit) -> Result<(), CallError> {
        let awake = self.awake.as_mut().expect("only a live object is upgraded");
        if awake.revision.number == target.number {
            return Ok(());
        }
        let (snapshot, permit) = {
            let mut snapshot = std::pin::pin!(awake.instance.snapshot());
            match tokio::time::timeout(HAND_OVER, &mut snapshot).await {
                Ok(snapshot) => (snapshot, Some(permit)),
                Err(_) => {
                    // Others go first. It is not cut: its state would be lost.
                    drop(permit);
                    (snapshot.await, self.host.upgrades.clone().try_acquire_owned().ok())
                }
            }
        };
        if awake.instance.is_dead() {
            // It is as after any other trap, and wakes on the active revision.
            self.discard();
        }
        let state = snapshot?;
        let _permit = permit.ok_or_else(|| too_slow("its snapshot"))?;
        let (before, after) = (self.durability(), target.spec().durability);
        let becomes_periodic = after == Durability::Periodic && before != Some(after);
        let becomes_durable = after == Durability::Durable && before != Some(after);
        // The row that an earlier revision left. Of one that is known, a save may be under way:
        // its version is nothing to carry along.
        let mut left = None;
        if (becomes_periodic || becomes_durable) && self.is_volatile() {
            let stored = self.host.store.load(self.object()).await;
            left = stored.map_err(|error| unstored(&error))?.map(|row| row.version);
        }
        if before == Some(Durability::Durable) {
            self.commit_carried(&state).await?;
            if self.awake.is_none() {
                return Ok(());
            }
        }
        if becomes_durable && self.entry.lock().exists {
            // What it holds was acknowledged out of memory: from now on it is kept.
            let _ = self.entry.saved().await;
            let version = left.take().or(self.entry.lock().row.version);
            self.write_state(version, state.clone(), StorageWrites::default()).await?;
        }
        let start = self.start(target, Some(state));
        let new = tokio::time::timeout(HAND_OVER, start).await;
        let new = new.map_err(|_| too_slow("`activate` of the new revision"))??;
        let old = self.take_over(new, target);
        let note = {
            let mut inner = self.entry.lock();
            inner.revision = Some(target.clone());
            if target.spec().durability == Durability::Volatile {
                inner.leave_row();
            } else if left.is_some() {
                inner.row.version = left;
            }
            inner.dirty = (inner.dirty && !becomes_durable) | becomes_periodic;
            becomes_periodic && inner.is_to_be_noted()
        };
        if note {
            self.host.saver.note(self.entry.clone());
        }
        old.deactivate(Leaving::Upgraded).await;
        Ok(())
    }

    /// What `activate` wrote to storage belongs to the state that it made: both are stored before
    /// that state goes to another instance, which would not write it again. An object that is not
    /// there has nothing to lose: its instance goes.
    async fn commit_carried(&mut self, state: &State) -> Result<(), CallError> {
        let awake = self.awake.as_mut().expect("only a live object is upgraded");
        let carried = awake.instance.take_carried();
        if carried.is_empty() {
            return Ok(());
        }
        let version = self.entry.lock().row.version;
        let written = match version {
            None => {
                self.discard();
                Ok(())
            }
            Some(_) => self.write_state(version, state.clone(), carried).await,
        };
        written.inspect_err(|_| self.discard())
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
        // What the old instance held tells nothing of a failed turn of the new one.
        awake.is_migrated |= awake.revision.spec().schema != revision.spec().schema;
        awake.before = None;
        awake.revision = revision.clone();
        std::mem::replace(&mut awake.instance, new)
    }
}

fn too_slow(what: &str) -> CallError {
    CallError::new(ErrorKind::Timeout, format!("{what} took longer than {HAND_OVER:?}"))
}
