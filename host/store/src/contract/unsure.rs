//! A store that loses acknowledgements: of some commits and claims nobody learns whether they were
//! done.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures_util::{FutureExt as _, future::BoxFuture};
use tokio::sync::mpsc;
use wasmverse_core::{Epoch, ObjectId, RevisionNumber, ShardId, TypeName, Version};

use super::{Subject, dice::Dice};
use crate::{
    Answer, Claimed, Commit, Error, NewRevision, Owner, Page, RevisionRecord, StoragePage, Store,
    StoredObject,
    dump::{Record, Status},
};

/// Stores of another kind, made unsure.
#[expect(missing_debug_implementations, reason = "a subject has nothing to show")]
pub struct Unsure<'a>(pub &'a dyn Subject);

impl Subject for Unsure<'_> {
    fn open<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Arc<dyn Store>, Error>> {
        async move {
            let inner = self.0.open(name).await?;
            let dice = Mutex::new(Dice(u64::try_from(name.len()).unwrap_or(0)));
            Ok(Arc::new(UnsureStore { inner, dice }) as Arc<dyn Store>)
        }
        .boxed()
    }

    fn survives(&self) -> bool {
        self.0.survives()
    }

    fn sure(&self) -> bool {
        false
    }
}

struct UnsureStore {
    inner: Arc<dyn Store>,
    dice: Mutex<Dice>,
}

/// What becomes of a write.
enum Fate {
    Answered,
    /// Done, and nobody learns.
    DoneUnknown,
    /// Not done, and nobody learns.
    LostUnknown,
    Unavailable,
}

impl UnsureStore {
    fn roll(&self) -> Fate {
        let mut dice = self.dice.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        match dice.below(12) {
            0 | 1 => Fate::DoneUnknown,
            2 | 3 => Fate::LostUnknown,
            4 => Fate::Unavailable,
            _ => Fate::Answered,
        }
    }

    async fn met<T>(&self, fate: Fate, work: Answer<'_, T>) -> Result<T, Error> {
        let unknown = || Error::Unknown("the acknowledgement was lost".to_owned());
        match fate {
            Fate::Answered => work.await,
            Fate::DoneUnknown => work.await.and_then(|_| Err(unknown())),
            Fate::LostUnknown => Err(unknown()),
            Fate::Unavailable => Err(Error::Unavailable("it is away".to_owned())),
        }
    }
}

impl Store for UnsureStore {
    fn commit(&self, batch: Vec<Commit>) -> Answer<'_, Vec<Result<Version, Error>>> {
        self.met(self.roll(), self.inner.commit(batch)).boxed()
    }

    fn settle(&self) -> Answer<'_, ()> {
        self.inner.settle()
    }

    fn claim(
        &self,
        owner: Owner,
        shards: Vec<(ShardId, Epoch)>,
    ) -> Answer<'_, Vec<(ShardId, Epoch)>> {
        let fate = match self.roll() {
            // A history would only ask again.
            Fate::Unavailable => Fate::Answered,
            fate => fate,
        };
        self.met(fate, self.inner.claim(owner, shards)).boxed()
    }

    fn add_revision(&self, new: NewRevision) -> Answer<'_, RevisionRecord> {
        self.inner.add_revision(new)
    }

    fn activate_revision(
        &self,
        type_name: &TypeName,
        number: RevisionNumber,
    ) -> Answer<'_, RevisionRecord> {
        self.inner.activate_revision(type_name, number)
    }

    fn active_revisions(&self) -> Answer<'_, Vec<RevisionRecord>> {
        self.inner.active_revisions()
    }

    fn revision(
        &self,
        type_name: &TypeName,
        number: RevisionNumber,
    ) -> Answer<'_, Option<RevisionRecord>> {
        self.inner.revision(type_name, number)
    }

    fn component(&self, digest: [u8; 32]) -> Answer<'_, Option<Bytes>> {
        self.inner.component(digest)
    }

    fn load(&self, object: &ObjectId) -> Answer<'_, Option<StoredObject>> {
        self.inner.load(object)
    }

    fn epochs(&self) -> Answer<'_, Vec<Claimed>> {
        self.inner.epochs()
    }

    fn storage_get(&self, object: &ObjectId, key: &str) -> Answer<'_, Option<Bytes>> {
        self.inner.storage_get(object, key)
    }

    fn storage_keys(&self, object: &ObjectId) -> Answer<'_, u64> {
        self.inner.storage_keys(object)
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
        self.inner.list(type_name, prefix, after, limit)
    }

    fn close(&self) -> Answer<'_, ()> {
        self.inner.close()
    }
}
