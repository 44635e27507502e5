//! A checker proves itself: stores that are broken on purpose are found out.

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
    Answer, Claimed, Commit, Error, NewRevision, Owner, Page, RevisionRecord, Save, StoragePage,
    Store, StoredObject,
    dump::{Record, Status},
    sqlite::{Place, SqliteStore},
};

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
}

struct Broken {
    inner: Arc<dyn Store>,
    fault: Fault,
    rows: Mutex<u32>,
    forgotten: Mutex<HashMap<ObjectId, u64>>,
}

impl Broken {
    fn forgotten(&self, object: &ObjectId) -> u64 {
        self.forgotten.lock().unwrap().get(object).copied().unwrap_or(0)
    }

    async fn save_row(&self, mut row: Save) -> Result<Result<Version, Error>, Error> {
        let counted = {
            let mut rows = self.rows.lock().unwrap();
            *rows += 1;
            *rows
        };
        let is_new = row.expected.is_none();
        match self.fault {
            Fault::DropsSaves if counted.is_multiple_of(11) => {
                if let Some(Version(version)) = row.expected {
                    return Ok(Ok(Version(version + 1)));
                }
            }
            Fault::ForgetsTombstones => {
                let base = self.forgotten(&row.object);
                row.expected = row.expected.map(|Version(version)| Version(version + base));
            }
            Fault::SavesOverConflicts => {
                row.expected = self.inner.load(&row.object).await?.map(|found| found.version);
            }
            Fault::LosesEmptiness => row.state = row.state.filter(|state| !state.data.is_empty()),
            _ => {}
        }
        let object = row.object.clone();
        let saved = self.inner.save(vec![row]).await?.remove(0);
        if self.fault == Fault::ForgetsTombstones {
            if let (true, Ok(Version(version))) = (is_new, &saved) {
                self.forgotten.lock().unwrap().insert(object.clone(), version - 1);
            }
            return Ok(saved.map(|Version(version)| Version(version - self.forgotten(&object))));
        }
        Ok(saved)
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

    fn save(&self, batch: Vec<Save>) -> Answer<'_, Vec<Result<Version, Error>>> {
        async move {
            if self.fault == Fault::Nothing {
                return self.inner.save(batch).await;
            }
            let mut answers = Vec::new();
            for row in batch {
                answers.push(self.save_row(row).await?);
            }
            Ok(answers)
        }
        .boxed()
    }

    fn delete(&self, object: &ObjectId) -> Answer<'_, bool> {
        let object = object.clone();
        async move {
            let found = self.inner.load(&object).await?;
            let kept = found.as_ref().is_some_and(|found| found.version > Version(1));
            match self.fault == Fault::KeepsTheDeleted && kept {
                true => Ok(true),
                false => self.inner.delete(&object).await,
            }
        }
        .boxed()
    }

    fn commit(&self, batch: Vec<Commit>) -> Answer<'_, Vec<Result<Version, Error>>> {
        self.inner.commit(batch)
    }

    fn claim(
        &self,
        owner: Owner,
        shards: Vec<(ShardId, Epoch)>,
    ) -> Answer<'_, Vec<(ShardId, Epoch)>> {
        self.inner.claim(owner, shards)
    }

    fn epochs(&self) -> Answer<'_, Vec<Claimed>> {
        self.inner.epochs()
    }

    fn storage_get(&self, object: &ObjectId, key: &str) -> Answer<'_, Option<Bytes>> {
        self.inner.storage_get(object, key)
    }

    fn storage_scan(
        &self,
        object: &ObjectId,
        prefix: &str,
        after: Option<&str>,
        limit: u32,
    ) -> Answer<'_, StoragePage> {
        self.inner.storage_scan(object, prefix, after, limit)
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

struct BrokenStores(Fault);

impl Subject for BrokenStores {
    fn open<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<Arc<dyn Store>, Error>> {
        async move {
            let inner = Arc::new(SqliteStore::open(Place::Memory, 8).await?);
            let (rows, forgotten) = (Mutex::default(), Mutex::default());
            Ok(Arc::new(Broken { inner, fault: self.0, rows, forgotten }) as Arc<dyn Store>)
        }
        .boxed()
    }

    fn survives(&self) -> bool {
        false
    }
}

async fn history(fault: Fault) -> Result<(), super::Violation> {
    check_histories(&BrokenStores(fault), 1..4, 200).await
}

#[tokio::test]
async fn a_store_without_a_fault_passes() {
    history(Fault::Nothing).await.unwrap();
}

#[tokio::test]
async fn random_histories_find_every_fault_and_tell_their_seed() {
    for fault in [
        Fault::DropsSaves,
        Fault::ForgetsTombstones,
        Fault::SavesOverConflicts,
        Fault::LosesEmptiness,
        Fault::ListsByPattern,
        Fault::KnowsNoMore,
        Fault::KeepsTheDeleted,
        Fault::ActivatesUploads,
    ] {
        let found = history(fault).await.expect_err(&format!("{fault:?} was not found"));
        assert!(found.to_string().contains("seed 1, step "), "{fault:?}: {found}");
    }
}

#[tokio::test]
async fn the_named_cases_find_faults_and_tell_the_claim() {
    for (fault, claim) in [
        (Fault::DropsSaves, "no state is not the same as empty state"),
        (Fault::ForgetsTombstones, "a version only grows"),
        (Fault::SavesOverConflicts, "a row that is not as expected is a conflict"),
        (Fault::LosesEmptiness, "no state is not the same as empty state"),
        (Fault::ListsByPattern, "a prefix is taken at its word"),
        (Fault::KnowsNoMore, "pages together are the whole list"),
        (Fault::KeepsTheDeleted, "what was saved is loaded"),
        (Fault::ActivatesUploads, "stored is not active"),
    ] {
        let found = check_cases(&BrokenStores(fault)).await;
        let found = found.expect_err(&format!("{fault:?} was not found")).to_string();
        assert!(found.contains(claim), "{fault:?}: {found}");
    }
}

#[test]
fn json_is_compared_by_meaning_and_all_else_by_bytes() {
    let state = |text: &'static str| Some(State { schema: 1, data: text.into() });
    let same =
        |encoding, left, right| super::same(encoding, state(left).as_ref(), state(right).as_ref());
    use wasmverse_core::Encoding::{Bytes, Json};
    assert!(same(Json, "{\"a\":1,\"b\":2}", "{\"b\": 2, \"a\": 1}"));
    assert!(!same(Json, "{\"a\":1}", "{\"a\":2}"));
    assert!(!same(Json, "{", "{ "));
    assert!(!same(Bytes, "{}", "{ }"));
    assert!(!super::same(Json, None, state("").as_ref()));
}
