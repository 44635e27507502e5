//! A store that loses acknowledgements: of some commits, claims and raises nobody learns whether they were
//! done.

use std::sync::{Arc, Mutex};

use futures_util::{FutureExt as _, future::BoxFuture};
use wasmverse_core::{Epoch, ShardId, Version};

use super::{Subject, dice::Dice};
use crate::{Answer, Commit, Error, Owner, Raised, Store};

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

    fn roll_claim(&self) -> Fate {
        match self.roll() {
            // A history would only ask again.
            Fate::Unavailable => Fate::Answered,
            fate => fate,
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

    fn claim(
        &self,
        owner: Owner,
        shards: Vec<(ShardId, Epoch)>,
    ) -> Answer<'_, Vec<(ShardId, Epoch)>> {
        self.met(self.roll_claim(), self.inner.claim(owner, shards)).boxed()
    }

    fn raise(&self, owner: Owner, shards: Vec<(ShardId, Epoch)>) -> Answer<'_, Vec<Raised>> {
        self.met(self.roll_claim(), self.inner.raise(owner, shards)).boxed()
    }

    crate::pass_on! {
        inner: cluster_id, add_revision, activate_revision, active_revisions, revision, component, load, settle,
        epochs, storage_get, storage_keys, storage_scan, result, result_keys, forget_results, sends,
        reminders, due, dead_letters, dead_letter, status, dump, restore, list, close
    }
}
