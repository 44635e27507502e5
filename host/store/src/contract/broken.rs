//! A checker proves itself: stores that are broken on purpose are found out.

mod overlay;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use futures_util::{FutureExt as _, future::BoxFuture};
use tokio::sync::mpsc;
use wasmverse_core::{Epoch, ObjectId, RevisionNumber, ShardId, State, TypeName, Version};

use super::{Subject, check_cases, check_histories};
use crate::{
    Answer, Change, Claimed, Commit, Error, Expected, NewRevision, Owner, Page, RevisionRecord,
    StoragePage, Store, StoredObject,
    dump::{Record, Status},
    sqlite::{Place, SqliteStore},
};
use overlay::Overlay;

/// What a store does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    Nothing,
    /// Of every eleven rows one is answered and not saved.
    DropsSaves,
    /// Versions begin anew with each life of an object.
    ForgetsTombstones,
    /// Whoever comes last wins.
    SavesOverConflicts,
    /// Empty state is no state.
    LosesEmptiness,
    /// `_` stands for any character.
    ListsByPattern,
    /// The last page is every page.
    KnowsNoMore,
    /// Deletes nothing that has been saved twice.
    KeepsTheDeleted,
    /// A digest that is there is activated by storing it.
    ActivatesUploads,
    /// Whoever claimed a shard once may write for good.
    ChecksNoEpoch,
    /// Two claims may get the same epoch.
    RepeatsEpochs,
    /// Storage is written, whatever becomes of the state.
    CommitsStorageApart,
    /// Storage outlives its object.
    KeepsStorageOfTheDeleted,
    /// What is unset stays.
    UnsetsNothing,
    /// Keys are counted as often as they are set.
    MiscountsKeys,
    /// A touched row is not written.
    CountsNoTouches,
}

impl Fault {
    fn is_of_storage(self) -> bool {
        matches!(
            self,
            Self::CommitsStorageApart | Self::KeepsStorageOfTheDeleted | Self::UnsetsNothing
        )
    }
}

struct Broken {
    inner: Arc<dyn Store>,
    fault: Fault,
    rows: Mutex<u32>,
    forgotten: Mutex<HashMap<ObjectId, u64>>,
    storage: Overlay,
}

impl Broken {
    fn forgotten(&self, object: &ObjectId) -> u64 {
        self.forgotten.lock().unwrap().get(object).copied().unwrap_or(0)
    }

    async fn commit_row(&self, mut row: Commit) -> Result<Result<Version, Error>, Error> {
        let counted = {
            let mut rows = self.rows.lock().unwrap();
            *rows += 1;
            *rows
        };
        if let Some(answer) = self.answer_instead(&row, counted).await? {
            return Ok(Ok(answer));
        }
        match (self.fault, &mut row.expected, &mut row.change) {
            (Fault::ForgetsTombstones, Expected::Version(version), _) => {
                version.0 += self.forgotten(&row.object);
            }
            (Fault::SavesOverConflicts, expected, Change::Put { .. }) => *expected = Expected::Any,
            (Fault::LosesEmptiness, _, Change::Put { state, .. }) => {
                *state = state.take().filter(|state| !state.data.is_empty());
            }
            (Fault::ChecksNoEpoch, ..) => {
                let epochs = self.inner.epochs().await?;
                let epoch = epochs.iter().find(|claimed| claimed.shard == row.shard);
                row.epoch = epoch.map_or(row.epoch, |claimed| claimed.epoch);
            }
            _ => {}
        }
        let is_new = row.expected == Expected::Absent;
        let (object, told) = (row.object.clone(), row.clone());
        if self.fault.is_of_storage() && row.check().is_ok() {
            row.storage.clear();
        }
        let answer = self.inner.commit(vec![row]).await?.remove(0);
        if self.fault.is_of_storage() {
            self.storage.committed(self.fault, &told, answer.is_ok());
        }
        if self.fault != Fault::ForgetsTombstones {
            return Ok(answer);
        }
        if let (true, Ok(Version(version))) = (is_new, &answer) {
            self.forgotten.lock().unwrap().insert(object.clone(), version.saturating_sub(1));
        }
        Ok(answer.map(|version| Version(version.0.saturating_sub(self.forgotten(&object)))))
    }

    /// What some faults answer without doing anything.
    async fn answer_instead(&self, row: &Commit, counted: u32) -> Result<Option<Version>, Error> {
        let found = self.inner.load(&row.object).await?;
        Ok(match (self.fault, &row.change, row.expected) {
            (Fault::DropsSaves, _, Expected::Version(version)) if counted.is_multiple_of(11) => {
                Some(Version(version.0 + 1))
            }
            (Fault::KeepsTheDeleted, Change::Delete, _) => {
                found.map(|found| found.version).filter(|version| *version > Version(1))
            }
            (Fault::CountsNoTouches, Change::Touch, _) if row.storage.is_empty() => {
                found.map(|found| found.version)
            }
            _ => None,
        })
    }
}

impl Store for Broken {
    fn add_revision(&self, new: NewRevision) -> Answer<'_, RevisionRecord> {
        async move {
            let made = self.inner.add_revision(new).await?;
            if self.fault == Fault::ActivatesUploads {
                self.inner.activate_revision(&made.type_name, made.number).await?;
            }
            Ok(made)
        }
        .boxed()
    }

    fn activate_revision(
        &self,
        t: &TypeName,
        number: RevisionNumber,
    ) -> Answer<'_, RevisionRecord> {
        self.inner.activate_revision(t, number)
    }

    fn active_revisions(&self) -> Answer<'_, Vec<RevisionRecord>> {
        self.inner.active_revisions()
    }

    fn revision(&self, t: &TypeName, number: RevisionNumber) -> Answer<'_, Option<RevisionRecord>> {
        self.inner.revision(t, number)
    }

    fn component(&self, digest: [u8; 32]) -> Answer<'_, Option<Bytes>> {
        self.inner.component(digest)
    }

    fn load(&self, object: &ObjectId) -> Answer<'_, Option<StoredObject>> {
        let object = object.clone();
        async move {
            let base = self.forgotten(&object);
            let found = self.inner.load(&object).await?;
            Ok(found
                .map(|found| StoredObject { version: Version(found.version.0 - base), ..found }))
        }
        .boxed()
    }

    fn commit(&self, batch: Vec<Commit>) -> Answer<'_, Vec<Result<Version, Error>>> {
        async move {
            if self.fault == Fault::Nothing {
                return self.inner.commit(batch).await;
            }
            let mut answers = Vec::new();
            for row in batch {
                answers.push(self.commit_row(row).await?);
            }
            Ok(answers)
        }
        .boxed()
    }

    fn settle(&self) -> Answer<'_, ()> {
        self.inner.settle()
    }

    fn claim(
        &self,
        owner: Owner,
        shards: Vec<(ShardId, Epoch)>,
    ) -> Answer<'_, Vec<(ShardId, Epoch)>> {
        async move {
            let mut claimed = self.inner.claim(owner, shards).await?;
            if self.fault == Fault::RepeatsEpochs {
                for (_, epoch) in &mut claimed {
                    epoch.0 = (epoch.0 / 2).max(1);
                }
            }
            Ok(claimed)
        }
        .boxed()
    }

    fn epochs(&self) -> Answer<'_, Vec<Claimed>> {
        self.inner.epochs()
    }

    fn storage_get(&self, object: &ObjectId, key: &str) -> Answer<'_, Option<Bytes>> {
        let (found, held) = (self.inner.storage_get(object, key), self.storage.get(object, key));
        let instead = self.fault.is_of_storage();
        async move { found.await.map(|found| if instead { held } else { found }) }.boxed()
    }

    fn storage_keys(&self, object: &ObjectId) -> Answer<'_, u64> {
        let counted = self.inner.storage_keys(object);
        if self.fault.is_of_storage() {
            let held = self.storage.scan(object, "", None, 1000).rows.len() as u64;
            return async move { Ok(held) }.boxed();
        }
        let too_many = u64::from(self.fault == Fault::MiscountsKeys);
        async move { counted.await.map(|keys| keys * (1 + too_many)) }.boxed()
    }

    fn storage_scan(
        &self,
        object: &ObjectId,
        prefix: &str,
        after: Option<&str>,
        limit: u32,
    ) -> Answer<'_, StoragePage> {
        let found = self.inner.storage_scan(object, prefix, after, limit);
        let held = self.storage.scan(object, prefix, after, limit);
        let instead = self.fault.is_of_storage();
        async move { found.await.map(|found| if instead { held } else { found }) }.boxed()
    }

    fn status(&self) -> Answer<'_, Status> {
        self.inner.status()
    }

    fn dump(&self, into: mpsc::Sender<Result<Record, Error>>) -> Answer<'_, ()> {
        self.inner.dump(into)
    }

    fn restore(&self, from: mpsc::Receiver<Record>) -> Answer<'_, ()> {
        self.inner.restore(from)
    }

    fn list(
        &self,
        type_name: Option<&TypeName>,
        prefix: &str,
        after: Option<&ObjectId>,
        limit: u32,
    ) -> Answer<'_, Page> {
        let (type_name, after) = (type_name.cloned(), after.cloned());
        let prefix = match self.fault {
            Fault::ListsByPattern => prefix.split('_').next().unwrap_or("").to_owned(),
            _ => prefix.to_owned(),
        };
        async move {
            let page = self.inner.list(type_name.as_ref(), &prefix, after.as_ref(), limit).await?;
            let more = page.more && self.fault != Fault::KnowsNoMore;
            Ok(Page { more, ..page })
        }
        .boxed()
    }

    fn close(&self) -> Answer<'_, ()> {
        self.inner.close()
    }
}

mod tests;
