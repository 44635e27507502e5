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
        let mut found: BTreeMap<_, _> = page
            .objects
            .into_iter()
            .map(|row| {
                let status = ObjectStatus {
                    object: row.object.clone(),
                    state: ObjectState::Stored,
                    revision: row.revision,
                    updated_at_micros: row.updated_at_micros,
                };
                (row.object, status)
            })
            .collect();
        self.0.directory.each(|entry, inner| {
            let object = &entry.object;
            let listed = type_name.is_none_or(|name| name == object.type_name())
                && object.id().starts_with(prefix)
                && after.is_none_or(|after| object > after);
            if let (true, Some(status)) = (listed, status(entry, inner)) {
                found.insert(object.clone(), status);
            }
        });
        let more = page.more || found.len() > length;
        Ok((found.into_values().take(length).collect(), more))
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
