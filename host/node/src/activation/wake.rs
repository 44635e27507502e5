//! Waking: state from memory or the store, an instance, `activate`; or every caller hears why not.

use std::{sync::Arc, time::Instant};

use wasmverse_core::{
    Activation as Activates, CallError, Caller, Durability, ErrorKind, RevisionNumber, State,
};
use wasmverse_engine::Instance;
use wasmverse_store::{Change, StateDigest};

use super::{Activation, Awake, commit::Beside};
use crate::{
    budget::Charge, deploy::unstored, entry::Row, host::paused, known_types::Revision, letter,
    room::Slot,
};

/// A pause after traps that is longer than this is answered, not waited for.
pub(crate) const PAUSE_WAITED_FOR: std::time::Duration = std::time::Duration::from_secs(1);

/// What an object wakes from.
struct Before {
    state: Option<State>,
    /// Who wrote it.
    writer: Writer,
    exists: bool,
}

enum Writer {
    Nobody,
    InMemory(Arc<Revision>),
    Stored(RevisionNumber),
}

impl Activation {
    /// Gets an instance for those that wait at the head of the mailbox.
    pub(super) async fn wake(&mut self) {
        let Some(until) = self.drop_the_late() else { return };
        let pause = self.entry.lock().backoff.left(Instant::now());
        if pause > PAUSE_WAITED_FOR {
            return self.turn_away(&paused(pause)).await;
        }
        if !pause.is_zero() {
            tokio::time::sleep(pause).await;
        }
        let began = Instant::now();
        self.host.metrics.wakes.increment(1);
        match self.try_wake(until).await {
            Ok(()) => self.host.metrics.wake_time.record(began.elapsed().as_secs_f64()),
            Err(error) => {
                self.sleep_on();
                self.host.metrics.wake_failures.increment(1);
                if is_refusal(&error) {
                    let (object, now) = (self.object(), Instant::now());
                    tracing::warn!(%object, %error, "an object does not wake");
                    self.entry.lock().backoff.trapped(now);
                }
                self.turn_away(&error).await;
            }
        }
    }

    /// Answers those at the head that nobody waits for any more. The deadline of the first that
    /// is left; none: nobody.
    fn drop_the_late(&self) -> Option<Instant> {
        loop {
            let late = {
                let mut inner = self.entry.lock();
                let now = Instant::now();
                let first = inner.mailbox.front()?;
                if first.deadline > now && !first.is_abandoned() {
                    return Some(first.deadline);
                }
                inner.mailbox.pop_front()?
            };
            self.answer(late.reply, Err(letter::too_late()));
        }
    }

    /// Answers all methods at the head of the mailbox.
    async fn turn_away(&mut self, error: &CallError) {
        let letters = self.entry.lock().take_leading_invokes();
        for letter in letters {
            let kept = match error.kind() {
                ErrorKind::NotFound => self.answer_of_the_gone(&letter).await,
                _ => None,
            };
            self.answer(letter.reply, kept.unwrap_or_else(|| Err(error.clone())));
        }
    }

    async fn try_wake(&mut self, until: Instant) -> Result<(), CallError> {
        let active = self.host.types.get(self.object().type_name())?;
        let is_wanted_outside = || {
            let inner = self.entry.lock();
            inner.mailbox.iter().any(|letter| !matches!(letter.caller, Caller::Object(_)))
        };
        let known_bytes = self.entry.lock().memory_bytes;
        let charge = self.host.memory.take(known_bytes, until).await?;
        let slot = self.host.room.take(&self.host.directory, until, is_wanted_outside).await?;
        let before = self.look(&active).await?;
        if !before.exists && active.spec().activation == Activates::Explicit {
            let message = format!("{} was not created", self.object());
            return Err(CallError::new(ErrorKind::NotFound, message));
        }
        let schema = before.state.as_ref().map(|state| state.schema);
        let (instance, revision) = match self.start(&active, before.state.clone()).await {
            Ok(instance) => (instance, active),
            Err(error) if before.state.is_some() && is_refusal(&error) => {
                self.fall_back(&active, before, error).await?
            }
            Err(error) => return Err(error),
        };
        let is_migrated = schema.is_some_and(|schema| schema != revision.spec().schema);
        self.awaken(instance, revision, is_migrated, slot, charge);
        Ok(())
    }

    /// What is known of the object, in memory or in the store.
    async fn look(&mut self, active: &Revision) -> Result<Before, CallError> {
        let mut before = {
            let inner = self.entry.lock();
            let nap = inner.nap.as_ref().and_then(|nap| nap.state.clone());
            match nap {
                Some((state, revision)) => Before {
                    state: Some(state),
                    writer: Writer::InMemory(revision),
                    exists: inner.exists,
                },
                None => Before { state: None, writer: Writer::Nobody, exists: inner.exists },
            }
        };
        if active.spec().durability == Durability::Volatile {
            let mut inner = self.entry.lock();
            inner.looked = true;
            inner.leave_row();
            drop(inner);
            return Ok(before);
        }
        self.make_sure().await.map_err(|error| unstored(&error))?;
        let stored = self.host.store.load(self.object()).await.map_err(|e| unstored(&e))?;
        before.exists = {
            let mut inner = self.entry.lock();
            inner.row = Row::of(stored.as_ref());
            // What memory alone knows of is true without a row.
            inner.exists = stored.is_some() || inner.nap.is_some() && inner.exists;
            inner.looked = true;
            inner.exists
        };
        if let (None, Some(stored)) = (&before.state, stored) {
            before.state = stored.state;
            before.writer = Writer::Stored(stored.revision);
        }
        if active.spec().durability == Durability::Durable {
            self.keep_what_memory_alone_has(&before).await?;
        }
        Ok(before)
    }

    /// What a durable object brings from a life in memory was acknowledged: from now on it is kept.
    async fn keep_what_memory_alone_has(&mut self, before: &Before) -> Result<(), CallError> {
        let (Some(state), Writer::InMemory(writer), true) =
            (&before.state, &before.writer, before.exists)
        else {
            return Ok(());
        };
        let digest = StateDigest::of(state);
        let (encoding, revision) = (writer.spec().encoding, writer.number);
        let (state, durability) = (Some(state.clone()), Durability::Durable);
        let change = Change::Put { state, encoding, durability, revision };
        let version = self.entry.lock().row.version;
        let written = self.write(version, change, Beside::default(), Some(digest)).await;
        written.map(drop).map_err(|error| unstored(&error))
    }

    /// The active revision refuses the state: the one that wrote it may take it.
    async fn fall_back(
        &mut self,
        active: &Revision,
        before: Before,
        refused: CallError,
    ) -> Result<(Instance, Arc<Revision>), CallError> {
        let writer = match before.writer {
            Writer::InMemory(revision) => revision,
            Writer::Stored(number) if number != active.number => {
                self.host.revision(self.object().type_name(), number).await?
            }
            Writer::Stored(_) | Writer::Nobody => return Err(refused),
        };
        if writer.number == active.number {
            return Err(refused);
        }
        let (object, revision) = (self.object(), writer.number);
        tracing::warn!(%object, %revision, %refused, "an object wakes on an older revision");
        self.host.metrics.fallbacks.increment(1);
        Ok((self.start(&writer, before.state).await?, writer))
    }

    fn awaken(
        &mut self,
        instance: Instance,
        revision: Arc<Revision>,
        is_migrated: bool,
        slot: Slot,
        charge: Charge,
    ) {
        let durability = revision.spec().durability;
        let periodic = durability == Durability::Periodic;
        let (nap, note) = {
            let mut inner = self.entry.lock();
            inner.revision = Some(revision.clone());
            inner.last_used = Instant::now();
            inner.restless_until = None;
            inner.wanted.overtaken = false;
            let nap = inner.nap.take();
            // What was in memory alone is in no row.
            let is_in_memory = nap.as_ref().is_some_and(|nap| nap.state.is_some());
            inner.dirty = is_in_memory && durability != Durability::Durable;
            (nap, periodic && inner.is_to_be_noted())
        };
        if let Some(nap) = nap {
            self.host.asleep.leave(nap.place);
        }
        if note {
            self.host.saver.note(self.entry.clone());
        }
        self.awake = Some(Awake {
            instance,
            revision,
            slot,
            charge,
            in_line: None,
            before: None,
            is_migrated,
            ledger: None,
        });
    }
}

/// Whether the component is to blame, not the moment.
fn is_refusal(error: &CallError) -> bool {
    match error.kind() {
        ErrorKind::Overloaded
        | ErrorKind::Unavailable
        | ErrorKind::Internal
        | ErrorKind::NotFound
        | ErrorKind::Timeout => false,
        ErrorKind::Application
        | ErrorKind::AlreadyExists
        | ErrorKind::InvalidArgument
        | ErrorKind::Denied
        | ErrorKind::Unauthenticated
        | ErrorKind::Cycle
        | ErrorKind::Trapped => true,
    }
}
