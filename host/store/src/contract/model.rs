//! A store that is too simple to be wrong: what every answer must be.

use std::collections::BTreeMap;

use bytes::Bytes;
use wasmverse_core::{Encoding, Epoch, ObjectId, RevisionNumber, ShardId, State, Version};

use super::{Verdict, beside::Beside, ensure, revisions::type_name, same};
use crate::{
    Change, Commit, Effect, Error, Expected, RevisionRecord, StateDigest, Store, StoredObject,
};

#[derive(Clone, Default)]
pub(super) struct Model {
    pub(super) objects: BTreeMap<ObjectId, Row>,
    pub(super) types: BTreeMap<&'static str, Vec<RevisionRecord>>,
    pub(super) epochs: BTreeMap<ShardId, Epoch>,
    pub(super) beside: Beside,
}

/// An object that was there at some time.
#[derive(Clone, Default)]
pub(super) struct Row {
    /// How often it was written.
    pub(super) version: Version,
    pub(super) living: Option<Living>,
}

#[derive(Clone)]
pub(super) struct Living {
    state: Option<State>,
    encoding: Encoding,
    revision: RevisionNumber,
    /// None: not seen yet.
    created_at_micros: Option<i64>,
    pub(super) storage: BTreeMap<String, Bytes>,
}

/// Why a row is not written. Where there is more than one reason, a store may name any.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    Refused,
    Fenced,
    Conflict,
    Repeated,
}

impl Why {
    pub(super) fn says(self, error: &Error) -> bool {
        match self {
            Self::Refused => matches!(error, Error::Refused(_)),
            Self::Fenced => matches!(error, Error::Fenced(_)),
            Self::Conflict => matches!(error, Error::Conflict(_)),
            Self::Repeated => matches!(error, Error::Repeated(_)),
        }
    }
}

impl Model {
    pub(super) fn living(&self, object: &ObjectId) -> Option<&Living> {
        self.objects.get(object)?.living.as_ref()
    }

    /// What a claim of an epoch above `floor` gets.
    pub(super) fn claim(&mut self, shard: ShardId, floor: Epoch) -> Epoch {
        let epoch = self.epochs.entry(shard).or_default();
        *epoch = Epoch(floor.0.max(epoch.0) + 1);
        *epoch
    }

    /// What a commit is answered.
    pub(super) fn apply(&mut self, commit: &Commit) -> Result<Version, Vec<Why>> {
        let before = self.objects.get(&commit.object).cloned().unwrap_or_default();
        let mut why = Vec::new();
        if commit.check().is_err() {
            why.push(Why::Refused);
        }
        let epoch = self.epochs.get(&commit.shard).copied().unwrap_or_default();
        if epoch == Epoch(0) || epoch != commit.epoch {
            why.push(Why::Fenced);
        }
        let lives = before.living.is_some();
        let reminds = commit.effects.iter().any(|effect| matches!(effect, Effect::Remind(_)));
        let sends = commit.effects.iter().any(|effect| matches!(effect, Effect::Send(_)));
        let as_expected = match commit.expected {
            _ if commit.change == Change::Nothing => lives || !reminds,
            Expected::Absent => before.living.is_none(),
            Expected::Version(version) => before.living.is_some() && before.version == version,
            Expected::Any => true,
        };
        let touches_nothing = commit.change == Change::Touch && before.living.is_none();
        if !as_expected || touches_nothing {
            why.push(Why::Conflict);
        }
        if self.beside.lacks(commit) {
            why.push(Why::Repeated);
        }
        if !why.is_empty() {
            return Err(why);
        }
        let buries_nothing = commit.change == Change::Delete && !lives && !sends;
        if buries_nothing || commit.change == Change::Nothing {
            self.beside.apply(commit, before.version);
            return Ok(Version(0));
        }
        let version = Version(before.version.0 + 1);
        let living = changed(before.living, commit);
        self.objects.insert(commit.object.clone(), Row { version, living });
        self.beside.apply(commit, version);
        Ok(version)
    }

    /// Whether a row was loaded as it should be.
    pub(super) fn agrees(&mut self, object: &ObjectId, found: Option<&StoredObject>) -> Verdict {
        let row = self.objects.get_mut(object);
        let version = row.as_ref().map_or(Version(0), |row| row.version);
        let living = row.and_then(|row| row.living.as_mut());
        let (Some(living), Some(found)) = (living, found) else {
            let living = self.living(object).is_some();
            ensure!(!living, "{object} is gone");
            ensure!(found.is_none(), "{object} is there: {found:?}");
            return Ok(());
        };
        let state = living.state.as_ref();
        let right = same(living.encoding, state, found.state.as_ref())
            && found.digest == state.map(StateDigest::of)
            && found.version == version
            && found.revision == living.revision
            && found.updated_at_micros >= found.created_at_micros
            && living.created_at_micros.is_none_or(|at| at == found.created_at_micros);
        ensure!(right, "{object}: {found:?}, not {state:?} of {version:?}");
        living.created_at_micros = Some(found.created_at_micros);
        Ok(())
    }

    pub(super) async fn compare(&mut self, store: &dyn Store, object: &ObjectId) -> Verdict {
        let found = store.load(object).await?;
        self.agrees(object, found.as_ref())?;
        let nothing = BTreeMap::new();
        let keys = self.living(object).map_or(&nothing, |living| &living.storage);
        let page = store.storage_scan(object, "", None, 100).await?;
        let right = page.rows.iter().map(|(key, value)| (key, value)).eq(keys);
        ensure!(right && !page.more, "{object} has {page:?}, not {keys:?}");
        let counted = store.storage_keys(object).await?;
        ensure!(counted == keys.len() as u64, "{object} has {counted} keys, not {}", keys.len());
        self.beside.agrees_on_results(store, object).await
    }

    /// All that there is, and no more.
    pub(super) async fn audit(&mut self, store: &dyn Store, all: &[ObjectId]) -> Verdict {
        for object in all {
            self.compare(store, object).await?;
        }
        self.beside.agrees(store).await?;
        let page = store.list(None, "", None, 1000).await?;
        let living = self.objects.iter().filter(|(_, row)| row.living.is_some());
        let found = page.objects.iter().map(|summary| &summary.object);
        ensure!(found.eq(living.map(|(object, _)| object)) && !page.more, "it lists {page:?}");
        let epochs = store.epochs().await?;
        let found = epochs.iter().map(|claimed| (&claimed.shard, &claimed.epoch));
        ensure!(found.eq(&self.epochs), "it has {epochs:?}, not {:?}", self.epochs);
        self.audit_types(store).await
    }

    async fn audit_types(&self, store: &dyn Store) -> Verdict {
        let active = self.types.values().flatten().filter(|record| record.active);
        let found = store.active_revisions().await?;
        ensure!(found.iter().eq(active), "active are {found:?}");
        for (name, records) in &self.types {
            for record in records {
                let found = store.revision(&type_name(name), record.number).await?;
                ensure!(found.as_ref() == Some(record), "{record:?} became {found:?}");
                let component = store.component(record.digest).await?;
                ensure!(component.is_some(), "the component of {record:?} is gone");
            }
        }
        Ok(())
    }
}

/// What becomes of a row that is as expected.
fn changed(before: Option<Living>, commit: &Commit) -> Option<Living> {
    let mut living = match &commit.change {
        Change::Delete => return None,
        Change::Touch | Change::Nothing => before?,
        Change::Put { state, encoding, revision, .. } => {
            let (created_at_micros, storage) =
                before.map(|living| (living.created_at_micros, living.storage)).unwrap_or_default();
            Living {
                state: state.clone(),
                encoding: *encoding,
                revision: *revision,
                created_at_micros,
                storage,
            }
        }
    };
    for (key, value) in &commit.storage {
        match value {
            Some(value) => living.storage.insert(key.clone(), value.clone()),
            None => living.storage.remove(key),
        };
    }
    Some(living)
}
