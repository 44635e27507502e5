//! Upload and deploy: bytes are checked, compiled and stored; a revision becomes active; every
//! live object is told to change over.

pub(crate) mod everywhere;

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use parking_lot::Mutex;
use wasmverse_core::{CallError, ErrorKind, RevisionNumber, TypeName};
use wasmverse_engine::{Component, Digest, LoadError};
use wasmverse_store::{self as store, NewRevision, RevisionRecord};

use crate::{host::Host, known_types::Revision, rollout::Rollout};

/// What became of an upload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Uploaded {
    /// Its type.
    pub type_name: TypeName,
    /// The number of its revision.
    pub number: RevisionNumber,
    /// The SHA-256 of the component.
    pub digest: Digest,
    /// Whether it is the active one now.
    pub active: bool,
}

/// The order of deploys: one that began later wins, however long each takes to compile.
#[derive(Default)]
pub(crate) struct Deploys {
    begun: Mutex<u64>,
    /// For each type the latest that took effect. Held while store and memory change together.
    done: tokio::sync::Mutex<BTreeMap<TypeName, u64>>,
}

impl Deploys {
    fn begin(&self) -> u64 {
        let mut begun = self.begun.lock();
        *begun += 1;
        *begun
    }
}

impl Host {
    /// Checks a component, stores it and, if asked to, makes it active.
    pub(crate) async fn upload(
        &self,
        component: Bytes,
        author: &str,
        deploy: bool,
    ) -> Result<Uploaded, CallError> {
        let turn = self.deploys.begin();
        let loaded = self.engine.load(component.clone()).await.map_err(refused)?;
        let spec = loaded.spec().clone();
        let digest = loaded.digest();
        let new = NewRevision {
            type_name: spec.type_name.clone(),
            digest: digest.0,
            component,
            description: spec.json.clone(),
            author: author.to_owned(),
        };
        let record = self.store.add_revision(new).await.map_err(|e| unstored(&e))?;
        let mut uploaded = Uploaded {
            type_name: record.type_name.clone(),
            number: record.number,
            digest,
            active: record.active,
        };
        if deploy {
            uploaded.active = self.activate(turn, Revision::new(loaded, record)).await?.active;
        }
        Ok(uploaded)
    }

    /// Makes a stored revision active.
    pub(crate) async fn deploy(
        &self,
        type_name: &TypeName,
        number: RevisionNumber,
    ) -> Result<RevisionRecord, CallError> {
        let turn = self.deploys.begin();
        let revision = self.revision(type_name, number).await?;
        self.activate(turn, revision).await
    }

    /// A revision of a type, compiled if need be.
    pub(crate) async fn revision(
        &self,
        type_name: &TypeName,
        number: RevisionNumber,
    ) -> Result<Arc<Revision>, CallError> {
        if let Some(revision) = self.types.older(type_name, number) {
            return Ok(revision);
        }
        let _one_at_a_time = self.loading.lock().await;
        if let Some(revision) = self.types.older(type_name, number) {
            return Ok(revision);
        }
        let record = self.store.revision(type_name, number).await.map_err(|e| unstored(&e))?;
        let record = record.ok_or_else(|| {
            let message = format!("{type_name} has no revision {number}");
            CallError::new(ErrorKind::NotFound, message)
        })?;
        let revision = self.load(record).await?;
        self.types.remember(&revision);
        Ok(revision)
    }

    /// Compiles a stored revision.
    pub(crate) async fn load(&self, record: RevisionRecord) -> Result<Arc<Revision>, CallError> {
        let bytes = self.store.component(record.digest).await.map_err(|e| unstored(&e))?;
        let bytes = bytes.ok_or_else(|| {
            let message =
                format!("the component of {} {} is gone", record.type_name, record.number);
            CallError::new(ErrorKind::Internal, message)
        })?;
        let component: Component = self.engine.load(bytes).await.map_err(refused)?;
        Ok(Revision::new(component, record))
    }

    /// Makes a compiled revision active, unless a later deploy already did so with another.
    async fn activate(
        &self,
        turn: u64,
        revision: Arc<Revision>,
    ) -> Result<RevisionRecord, CallError> {
        match self.joined() {
            Some(joined) => self.activate_everywhere(joined, &revision).await,
            None => self.activate_here(turn, revision).await,
        }
    }

    async fn activate_here(
        &self,
        turn: u64,
        revision: Arc<Revision>,
    ) -> Result<RevisionRecord, CallError> {
        let type_name = &revision.record.type_name;
        let mut done = self.deploys.done.lock().await;
        if done.get(type_name).is_some_and(|latest| *latest > turn) {
            return Ok(RevisionRecord { active: false, ..revision.record.clone() });
        }
        let record = self
            .store
            .activate_revision(type_name, revision.number)
            .await
            .map_err(|e| unstored(&e))?;
        done.insert(type_name.clone(), turn);
        self.types.activate(&revision);
        self.roll_out(&revision);
        tracing::info!(r#type = %type_name, revision = %revision.number, "deployed");
        Ok(record)
    }

    /// Tells every live object of the type to change over. Those that begin to wake from now on
    /// do so on the new revision: it is active already.
    fn roll_out(&self, revision: &Arc<Revision>) {
        let type_name = &revision.record.type_name;
        let live = self
            .directory
            .filter(|entry, inner| entry.object.type_name() == type_name && inner.phase.is_live());
        let rollout = Rollout::new(revision.number, live.len());
        self.types.begin(type_name, rollout.clone());
        for entry in live {
            let mut ticket = Some(rollout.ticket(entry.object.clone()));
            entry.wish(|inner| {
                if inner.phase.is_live() {
                    std::mem::swap(&mut inner.wanted.upgrade, &mut ticket);
                }
            });
            // What it held before, or what came too late, reports outside the lock.
            drop(ticket);
        }
    }
}

/// A store's trouble, as a caller hears it.
pub(crate) fn unstored(error: &store::Error) -> CallError {
    let message = error.to_string();
    match error {
        store::Error::NotFound(_) => CallError::new(ErrorKind::NotFound, message),
        store::Error::Unavailable(_) | store::Error::Conflict(_) | store::Error::Fenced(_) => {
            CallError::new(ErrorKind::Unavailable, message)
        }
        store::Error::Unknown(_) => {
            CallError::new(ErrorKind::Unavailable, message).maybe_executed()
        }
        store::Error::Refused(_)
        | store::Error::Repeated(_)
        | store::Error::InUse { .. }
        | store::Error::NotOurs(_)
        | store::Error::Damaged(_) => CallError::new(ErrorKind::Internal, message),
    }
}

fn refused(error: LoadError) -> CallError {
    match error {
        LoadError::Refused(why) => refusal(&why.cause, &why.fix),
        LoadError::Internal(what) => {
            CallError::new(ErrorKind::Internal, format!("failed to {what}"))
        }
    }
}

fn refusal(cause: &str, fix: &str) -> CallError {
    CallError::new(ErrorKind::InvalidArgument, format!("{cause}: {fix}"))
        .with("cause", cause)
        .with("fix", fix)
}
