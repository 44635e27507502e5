//! Create and delete: they wait for their turn, and need no instance.

use std::time::Instant;

use wasmverse_core::{CallError, Durability, Reply, Version};
use wasmverse_engine::Leaving;
use wasmverse_store::{self as store, Change, Commit, Effect, Expected};

use super::{Activation, Awake};
use crate::{
    deploy::unstored,
    entry::Row,
    host::already_exists,
    letter::{self, Letter, Work},
    saver::now_micros,
};

impl Activation {
    /// Creates or deletes the object.
    pub(super) async fn settle(&mut self, letter: Letter) {
        if letter.is_abandoned() {
            self.host.metrics.abandoned.increment(1);
            return;
        }
        let done = if letter.deadline <= Instant::now() {
            Err(letter::too_late())
        } else if matches!(letter.work, Work::Create) {
            self.create().await
        } else {
            let erased = self.erase(Vec::new()).await;
            erased.map(|_| self.host.reminders.deleted(self.object())).map_err(|e| unstored(&e))
        };
        self.answer(letter.reply, done.map(|()| Reply::Done));
    }

    async fn create(&mut self) -> Result<(), CallError> {
        let revision = match &self.awake {
            Some(awake) => awake.revision.clone(),
            None => self.host.types.get(self.object().type_name())?,
        };
        if self.awake.is_none() {
            self.make_sure().await.map_err(|error| unstored(&error))?;
        }
        if self.entry.lock().exists {
            return Err(already_exists(self.object()));
        }
        if revision.spec().durability == Durability::Volatile {
            let mut inner = self.entry.lock();
            (inner.exists, inner.looked) = (true, true);
            return Ok(());
        }
        // The row comes before the answer; two who create at once meet there.
        let _ = self.entry.saved().await;
        let (spec, number) = (revision.spec(), revision.number);
        let change = Change::Put {
            state: None,
            encoding: spec.encoding,
            durability: spec.durability,
            revision: number,
        };
        let written = self.host.write(self.commit_of(Expected::Absent, change)).await;
        let mut inner = self.entry.lock();
        match written {
            Ok(version) => {
                inner.row.version = Some(version);
                inner.row.digest = None;
                inner.row.updated_at_micros = now_micros();
                (inner.exists, inner.looked) = (true, true);
            }
            Err(store::Error::Conflict(_)) => {
                // An instance that did not know of the row is not the truth.
                inner.wanted.overtaken = self.awake.is_some();
                drop(inner);
                return Err(already_exists(self.object()));
            }
            Err(error) => {
                inner.row.unsure |= matches!(error, store::Error::Unknown(_));
                return Err(unstored(&error));
            }
        }
        let note = self.is_periodic() && inner.is_to_be_noted();
        drop(inner);
        if note {
            self.host.saver.note(self.entry.clone());
        }
        Ok(())
    }

    /// Removes the object with all its state. A good end also if there was none. Answers the version of
    /// what is left of its row, 0 if nothing is.
    pub(super) async fn erase(&mut self, effects: Vec<Effect>) -> Result<Version, store::Error> {
        let _ = self.entry.saved().await;
        let mut erased = Version(0);
        if self.may_have_row() || !effects.is_empty() {
            let version = self.row_version().await?;
            if version.is_some() || !effects.is_empty() {
                let expected = version.map_or(Expected::Absent, Expected::Version);
                let delete = self.commit_of(expected, Change::Delete);
                erased = self.write_delete(Commit { effects, ..delete }).await?;
            }
        }
        let nap = {
            let mut inner = self.entry.lock();
            (inner.exists, inner.looked, inner.dirty) = (false, true, false);
            (inner.row, inner.revision, inner.left_row) = (Row::default(), None, false);
            inner.wanted.overtaken = false;
            inner.nap.take()
        };
        if let Some(nap) = nap {
            self.host.asleep.leave(nap.place);
        }
        if let Some(Awake { instance, slot, .. }) = self.awake.take() {
            instance.deactivate(Leaving::Deleted).await;
            drop(slot);
        }
        Ok(erased)
    }

    async fn write_delete(&mut self, delete: Commit) -> Result<Version, store::Error> {
        let written = self.host.write(delete).await;
        if matches!(written, Err(store::Error::Unknown(_) | store::Error::Conflict(_))) {
            self.doubt_row();
            if self.durability() == Some(Durability::Durable) {
                // The truth is in the store.
                self.discard();
            }
        }
        written
    }

    /// The version of the row, which is read unless it is known: a delete that comes late, after
    /// nobody knew of its end, must find another version and do nothing.
    async fn row_version(&mut self) -> Result<Option<Version>, store::Error> {
        self.make_sure().await?;
        let known = {
            let inner = self.entry.lock();
            inner.row.version.filter(|_| !inner.left_row)
        };
        if known.is_some() {
            return Ok(known);
        }
        let stored = self.host.store.load(self.object()).await?;
        Ok(stored.map(|stored| stored.version))
    }

    /// Whether there still is a row, nobody knows: what memory holds has to be written again.
    fn doubt_row(&self) {
        let mut inner = self.entry.lock();
        inner.row.unsure = true;
        inner.dirty |= self.awake.is_some();
        let note = self.is_periodic() && inner.is_to_be_noted();
        drop(inner);
        if note {
            self.host.saver.note(self.entry.clone());
        }
    }

    /// Only an object whose type was volatile ever since is sure to have no row.
    fn may_have_row(&self) -> bool {
        let active = self.host.types.get(self.object().type_name());
        let volatile = active.is_ok_and(|active| {
            active.spec().durability == Durability::Volatile && active.number.0 == 1
        });
        if !volatile {
            return true;
        }
        let inner = self.entry.lock();
        inner.left_row || inner.row.version.is_some()
    }
}
