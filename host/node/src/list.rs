//! What is known of objects: those in memory and those in the store, as one list.

use std::collections::BTreeMap;

use wasmverse_core::{CallError, ObjectId, RevisionNumber, TypeName};
use wasmverse_store::LIST_LIMIT_MAX;

use crate::{
    deploy::unstored,
    entry::{Entry, Inner},
    node::Node,
};

/// What is known of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectStatus {
    /// Which one.
    pub object: ObjectId,
    /// Where it is.
    pub state: ObjectState,
    /// The revision that runs it, or that wrote its state; 0: neither has happened.
    pub revision: RevisionNumber,
    /// When its state was last saved, in microseconds since 1970; 0: never.
    pub updated_at_micros: i64,
}

/// Where an object is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ObjectState {
    /// It has an instance, or is about to.
    Live,
    /// It sleeps in memory.
    Asleep,
    /// It is in the store.
    Stored,
}

impl ObjectState {
    /// The word that all surfaces use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Asleep => "asleep",
            Self::Stored => "stored",
        }
    }
}

impl Node {
    /// Objects in order of type and id, after `after`, each once; and whether there may be more.
    /// At most 1,000 at a time.
    ///
    /// # Errors
    /// `unavailable` if the store cannot be reached.
    pub async fn list(
        &self,
        type_name: Option<&TypeName>,
        prefix: &str,
        after: Option<&ObjectId>,
        limit: u32,
    ) -> Result<(Vec<ObjectStatus>, bool), CallError> {
        let limit = limit.clamp(1, LIST_LIMIT_MAX);
        let length = usize::try_from(limit).unwrap_or(usize::MAX);
        // The store first: who falls asleep meanwhile is in both.
        let page = self.0.store.list(type_name, prefix, after, limit).await;
        let page = page.map_err(|error| unstored(&error))?;
        let mut found = First::new(length);
        for row in page.objects {
            found.insert(ObjectStatus {
                object: row.object,
                state: ObjectState::Stored,
                revision: row.revision,
                updated_at_micros: row.updated_at_micros,
            });
        }
        // Whoever lists holds up others for a moment: not many at once, nor for all at a time.
        let _one_of_few = self.0.listing.acquire().await;
        for part in 0..self.0.directory.parts() {
            self.0.directory.each_in(part, |entry, inner| {
                let object = &entry.object;
                let listed = type_name.is_none_or(|name| name == object.type_name())
                    && object.id().starts_with(prefix)
                    && after.is_none_or(|after| object > after)
                    && found.has_room_for(object);
                if let (true, Some(status)) = (listed, status(entry, inner)) {
                    found.insert(status);
                }
            });
            tokio::task::yield_now().await;
        }
        let more = page.more || found.overflows;
        Ok((found.objects.into_values().collect(), more))
    }

    /// What is known of an object; none: it is a stranger.
    ///
    /// # Errors
    /// `unavailable` if the store cannot be reached.
    pub async fn get(&self, object: &ObjectId) -> Result<Option<ObjectStatus>, CallError> {
        let entry = self.0.directory.get(object);
        if let Some(status) = entry.and_then(|entry| status(&entry, &entry.lock())) {
            return Ok(Some(status));
        }
        let stored = self.0.store.load(object).await.map_err(|error| unstored(&error))?;
        Ok(stored.map(|stored| ObjectStatus {
            object: object.clone(),
            state: ObjectState::Stored,
            revision: stored.revision,
            updated_at_micros: stored.updated_at_micros,
        }))
    }
}

/// The first objects of a list, however many there are.
struct First {
    length: usize,
    objects: BTreeMap<ObjectId, ObjectStatus>,
    /// There are more.
    overflows: bool,
}

impl First {
    fn new(length: usize) -> Self {
        Self { length, objects: BTreeMap::new(), overflows: false }
    }

    /// Whether an object is among the first, so far.
    fn has_room_for(&mut self, object: &ObjectId) -> bool {
        self.objects.len() < self.length
            || self.objects.last_key_value().is_some_and(|(last, _)| object <= last)
            || {
                self.overflows = true;
                false
            }
    }

    fn insert(&mut self, status: ObjectStatus) {
        self.objects.insert(status.object.clone(), status);
        if self.objects.len() > self.length {
            self.objects.pop_last();
            self.overflows = true;
        }
    }
}

/// What memory knows of an object; none: nothing.
fn status(entry: &Entry, inner: &Inner) -> Option<ObjectStatus> {
    let (state, revision) = match (&inner.revision, &inner.nap) {
        (Some(running), _) => (ObjectState::Live, running.number),
        (None, Some(nap)) => {
            let writer = nap.state.as_ref().map(|(_, revision)| revision.number);
            (ObjectState::Asleep, writer.unwrap_or_default())
        }
        (None, None) => return None,
    };
    Some(ObjectStatus {
        object: entry.object.clone(),
        state,
        revision,
        updated_at_micros: inner.row.updated_at_micros,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(id: u32) -> ObjectStatus {
        ObjectStatus {
            object: ObjectId::parse("T", &format!("{id:04}")).unwrap(),
            state: ObjectState::Stored,
            revision: RevisionNumber(1),
            updated_at_micros: 0,
        }
    }

    #[test]
    fn a_list_never_holds_more_than_it_shows() {
        let mut first = First::new(3);
        for n in (0..1000).rev() {
            let status = stored(n);
            assert!(first.has_room_for(&status.object));
            first.insert(status);
            assert!(first.objects.len() <= 3);
        }
        assert!(first.overflows && !first.has_room_for(&stored(3).object));
        assert!(first.objects.into_values().eq([0, 1, 2].map(stored)));
        let mut whole = First::new(3);
        [2, 1, 2, 0].into_iter().map(stored).for_each(|status| whole.insert(status));
        assert!(!whole.overflows);
    }
}
