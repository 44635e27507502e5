//! A checker proves itself: stores that are broken on purpose are found out.

mod beside;
mod fault;
mod overlay;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use futures_util::{FutureExt as _, future::BoxFuture};
use wasmverse_core::{Epoch, ObjectId, ShardId, State, TypeName, Version};

use super::{Subject, check_cases, check_histories};
use crate::{
    Answer, Change, Commit, Error, Expected, KeptResult, NewRevision, Owner, Page, Raised,
    ResultKey, RevisionRecord, SendId, Shards, StoragePage, Store, StoredObject, StoredReminder,
    StoredSend,
    sqlite::{Place, SqliteStore},
};
use beside::Spoilt;
use fault::Fault;
use overlay::Overlay;

struct Broken {
    inner: Arc<dyn Store>,
    fault: Fault,
    rows: Mutex<u32>,
    forgotten: Mutex<HashMap<ObjectId, u64>>,
    storage: Overlay,
    spoilt: Spoilt,
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
        let answer = if self.fault.is_beside() {
            let before = self.before(&mut row).await?;
            let answer = self.inner.commit(vec![row.clone()]).await?.remove(0);
            self.after(&row, before, answer).await?
        } else {
            self.inner.commit(vec![row]).await?.remove(0)
        };
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

    fn raise(&self, owner: Owner, shards: Vec<(ShardId, Epoch)>) -> Answer<'_, Vec<Raised>> {
        async move {
            if self.fault == Fault::RaisesWhatever {
                let claimed = self.inner.claim(owner, shards).await?;
                return Ok(claimed.into_iter().map(|(_, epoch)| Raised::To(epoch)).collect());
            }
            self.inner.raise(owner, shards).await
        }
        .boxed()
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

    fn result(&self, object: &ObjectId, key: &ResultKey) -> Answer<'_, Option<KeptResult>> {
        let hidden = self.spoilt.hides(object, key);
        let found = self.inner.result(object, key);
        async move { found.await.map(|found| found.filter(|_| !hidden)) }.boxed()
    }

    fn result_keys(&self, object: &ObjectId, limit: u32) -> Answer<'_, (Vec<ResultKey>, bool)> {
        let object = object.clone();
        async move {
            let (mut keys, whole) = self.inner.result_keys(&object, limit).await?;
            keys.retain(|key| !self.spoilt.hides(&object, key));
            Ok((keys, whole))
        }
        .boxed()
    }

    fn forget_results(&self, kept: Duration) -> Answer<'_, bool> {
        async move {
            if self.fault == Fault::ForgetsWhatIsNeeded && kept.is_zero() {
                self.spoilt.hide_all();
            }
            self.inner.forget_results(kept).await
        }
        .boxed()
    }

    fn sends(
        &self,
        shards: Shards,
        after: Option<&SendId>,
        limit: u32,
    ) -> Answer<'_, Vec<StoredSend>> {
        match self.fault {
            Fault::LeavesDeadSends | Fault::NumbersSendsAnew => {
                self.spoilt_sends(shards, after.cloned(), limit).boxed()
            }
            _ => self.inner.sends(shards, after, limit),
        }
    }

    fn reminders(&self, object: &ObjectId) -> Answer<'_, Vec<StoredReminder>> {
        let object = object.clone();
        async move {
            let found = self.inner.reminders(&object).await?;
            Ok(self.spoilt_reminders(found, &object))
        }
        .boxed()
    }

    fn due(
        &self,
        shards: Shards,
        until_micros: i64,
        after: Option<&StoredReminder>,
        limit: u32,
    ) -> Answer<'_, Vec<StoredReminder>> {
        let is_last = after.is_some();
        let found = self.inner.due(shards, until_micros, after, limit);
        async move {
            let found = found.await?;
            Ok(if is_last { found } else { self.spoilt_due(found) })
        }
        .boxed()
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

    crate::pass_on! {
        inner: cluster_id, dead_letters, dead_letter, activate_revision, active_revisions, revision,
        component, settle, epochs, status, dump, restore, close
    }
}

mod tests;
