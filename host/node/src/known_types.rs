//! The types that a node knows: the active revision of each, and older ones while they are needed.

use std::{
    collections::BTreeMap,
    sync::{Arc, Weak, atomic::AtomicBool},
};

use arc_swap::ArcSwap;
use fnv::FnvHashMap;
use parking_lot::Mutex;
use tokio::sync::watch;
use wasmverse_core::{CallError, ErrorKind, RevisionNumber, TypeName, TypeSpec};
use wasmverse_engine::{Component, Digest};
use wasmverse_store::RevisionRecord;

use crate::rollout::Rollout;

/// One revision of a type, ready to run.
#[derive(Debug)]
pub(crate) struct Revision {
    pub(crate) number: RevisionNumber,
    pub(crate) component: Component,
    pub(crate) record: RevisionRecord,
    /// Its `snapshot` trapped when it was looked at for no need: it is not, any more.
    pub(crate) spared: AtomicBool,
}

impl Revision {
    pub(crate) fn new(component: Component, record: RevisionRecord) -> Arc<Self> {
        Arc::new(Self { number: record.number, component, record, spared: AtomicBool::new(false) })
    }

    pub(crate) fn spec(&self) -> &Arc<TypeSpec> {
        self.component.spec()
    }
}

/// The active revision of a type.
#[derive(Clone, Debug)]
pub struct TypeEntry {
    /// The type's name.
    pub type_name: TypeName,
    /// The revision's number.
    pub number: RevisionNumber,
    /// The SHA-256 of its component.
    pub digest: Digest,
    /// What it says of itself.
    pub spec: Arc<TypeSpec>,
}

/// The types that a node knows.
pub(crate) struct Types {
    active: ArcSwap<FnvHashMap<TypeName, Active>>,
    entries: watch::Sender<Arc<Vec<TypeEntry>>>,
    rollouts: Mutex<BTreeMap<TypeName, Arc<Rollout>>>,
    older: Mutex<BTreeMap<(TypeName, RevisionNumber), Weak<Revision>>>,
    /// Which version of each type this node runs, as the cluster counts them.
    versions: watch::Sender<BTreeMap<TypeName, u64>>,
}

/// What a type's calls meet.
#[derive(Clone)]
enum Active {
    Ready(Arc<Revision>),
    /// The active revision does not load on this node, and why.
    Broken(Arc<str>),
}

impl Types {
    pub(crate) fn new() -> Self {
        Self {
            active: ArcSwap::default(),
            entries: watch::Sender::default(),
            rollouts: Mutex::default(),
            older: Mutex::default(),
            versions: watch::Sender::default(),
        }
    }

    /// The active revision of a type.
    ///
    /// # Errors
    /// `not-found` for an unknown type, `internal` for one that does not load.
    pub(crate) fn get(&self, type_name: &TypeName) -> Result<Arc<Revision>, CallError> {
        match self.active.load().get(type_name) {
            Some(Active::Ready(revision)) => Ok(revision.clone()),
            Some(Active::Broken(why)) => Err(CallError::new(
                ErrorKind::Internal,
                format!("the active revision of {type_name} does not load on this node: {why}"),
            )),
            None => Err(CallError::new(
                ErrorKind::NotFound,
                format!("there is no type {type_name}: upload it with `wasmverse deploy`"),
            )),
        }
    }

    /// The active types, now and whenever they change.
    pub(crate) fn watch(&self) -> watch::Receiver<Arc<Vec<TypeEntry>>> {
        self.entries.subscribe()
    }

    /// Makes a revision the active one, on this node. Deploys do not overlap.
    pub(crate) fn activate(&self, revision: &Arc<Revision>) {
        if let Ok(before) = self.get(&revision.record.type_name) {
            self.remember(&before);
        }
        self.set(&revision.record.type_name, &Active::Ready(revision.clone()));
    }

    /// Notes that the active revision of a type does not load.
    pub(crate) fn break_down(&self, type_name: &TypeName, why: &str) {
        self.set(type_name, &Active::Broken(why.into()));
    }

    fn set(&self, type_name: &TypeName, active: &Active) {
        self.active.rcu(|types| {
            let mut types = FnvHashMap::clone(types);
            types.insert(type_name.clone(), active.clone());
            types
        });
        let mut entries: Vec<_> = self.active.load().values().filter_map(entry).collect();
        entries.sort_by(|a, b| a.type_name.cmp(&b.type_name));
        self.entries.send_replace(Arc::new(entries));
    }

    /// An older revision that something on this node still runs, or that was loaded before.
    pub(crate) fn older(
        &self,
        type_name: &TypeName,
        number: RevisionNumber,
    ) -> Option<Arc<Revision>> {
        if let Some(Active::Ready(active)) = self.active.load().get(type_name)
            && active.number == number
        {
            return Some(active.clone());
        }
        self.older.lock().get(&(type_name.clone(), number)).and_then(Weak::upgrade)
    }

    /// Keeps a revision findable for as long as somebody runs it.
    pub(crate) fn remember(&self, revision: &Arc<Revision>) {
        let key = (revision.record.type_name.clone(), revision.number);
        let mut older = self.older.lock();
        older.retain(|_, revision| revision.strong_count() > 0);
        older.insert(key, Arc::downgrade(revision));
    }

    /// Which version of a type this node runs, as the cluster counts them; 0: none.
    pub(crate) fn version(&self, type_name: &TypeName) -> u64 {
        self.versions.borrow().get(type_name).copied().unwrap_or_default()
    }

    /// From now on this version runs.
    pub(crate) fn adopted(&self, type_name: &TypeName, version: u64) {
        self.versions.send_modify(|versions| {
            versions.insert(type_name.clone(), version);
        });
    }

    /// Waits until this version of a type runs, or a later one.
    pub(crate) async fn until_adopted(&self, type_name: &TypeName, version: u64) {
        let runs = |versions: &BTreeMap<TypeName, u64>| {
            versions.get(type_name).is_some_and(|runs| *runs >= version)
        };
        // The sender is ours.
        let _ = self.versions.subscribe().wait_for(runs).await;
    }

    /// The versions that run, now and whenever they change.
    pub(crate) fn versions(&self) -> watch::Receiver<BTreeMap<TypeName, u64>> {
        self.versions.subscribe()
    }

    /// The latest rollout of a type.
    pub(crate) fn rollout(&self, type_name: &TypeName) -> Option<Arc<Rollout>> {
        self.rollouts.lock().get(type_name).cloned()
    }

    /// A rollout begins; the one before it ends.
    pub(crate) fn begin(&self, type_name: &TypeName, rollout: Arc<Rollout>) {
        let before = self.rollouts.lock().insert(type_name.clone(), rollout);
        if let Some(before) = before {
            before.supersede();
        }
    }
}

fn entry(active: &Active) -> Option<TypeEntry> {
    match active {
        Active::Ready(revision) => Some(TypeEntry {
            type_name: revision.record.type_name.clone(),
            number: revision.number,
            digest: revision.component.digest(),
            spec: revision.spec().clone(),
        }),
        Active::Broken(_) => None,
    }
}
