//! Deploys in a cluster: every node fetches and compiles a revision, then the coordination names it
//! the active one, then every node runs it.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use anyhow::Context as _;
use futures_util::future::try_join_all;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Status};
use wasmverse_core::{
    CallError, ErrorKind, NodeId, RevisionNumber, TypeName,
    cluster::{ActiveType, Member, View},
};
use wasmverse_proto::{
    convert::status_to_error,
    node::{AdoptTypeRequest, PrepareTypeRequest},
};
use wasmverse_router::Control;
use wasmverse_store::RevisionRecord;

use super::unstored;
use crate::{cluster::Joined, host::Host, known_types::Revision, node::Node};

/// A node has so long to fetch and compile a component.
const PREPARE_LIMIT: Duration = Duration::from_secs(120);
/// A node has so long to run what it has prepared.
const ADOPT_LIMIT: Duration = Duration::from_secs(30);
/// Before a revision that could not be loaded is tried again.
const LOAD_PAUSE: Duration = Duration::from_millis(500);

impl Host {
    /// Makes a revision the active one of the whole cluster; answers when all live nodes run it.
    pub(super) async fn activate_everywhere(
        &self,
        joined: &Joined,
        revision: &Arc<Revision>,
    ) -> Result<RevisionRecord, CallError> {
        let record = &revision.record;
        let (type_name, number) = (&record.type_name, record.number);
        // Found by the one who makes it active, too.
        self.types.remember(revision);
        self.ask_others(joined, PREPARE_LIMIT, |mut node| {
            let asked = PrepareTypeRequest {
                r#type: type_name.as_str().into(),
                revision: number.0,
                digest: record.digest.to_vec().into(),
            };
            async move { node.prepare_type(Request::new(asked)).await.map(drop) }
        })
        .await?;
        // Also above what runs here: a coordination that has lost all counts anew.
        let above = self.types.version(type_name);
        let active = joined.cluster.set_type(type_name, number, record.digest, above).await;
        let ActiveType { version, .. } = active.map_err(|error| {
            CallError::new(ErrorKind::Unavailable, error.to_string()).maybe_executed()
        })?;
        // It is the active one now, whatever becomes of the rest.
        let running = self.run_everywhere(joined, type_name, number, version);
        let mut stored = running.await.map_err(CallError::maybe_executed)?;
        // Another deploy may have begun later.
        stored.active = self.types.version(type_name) == version;
        Ok(stored)
    }

    /// Waits until all live nodes run what has become the active revision.
    async fn run_everywhere(
        &self,
        joined: &Joined,
        type_name: &TypeName,
        number: RevisionNumber,
        version: u64,
    ) -> Result<RevisionRecord, CallError> {
        let stored = self.store_active(joined, type_name, number).await?;
        let adopted =
            tokio::time::timeout(ADOPT_LIMIT, self.types.until_adopted(type_name, version));
        let late = || CallError::new(ErrorKind::Unavailable, "this node does not run it yet");
        adopted.await.map_err(|_| late())?;
        self.types.get(type_name)?;
        self.ask_others(joined, ADOPT_LIMIT, |mut node| {
            let asked = AdoptTypeRequest { r#type: type_name.as_str().into(), version };
            async move { node.adopt_type(Request::new(asked)).await.map(drop) }
        })
        .await?;
        Ok(stored)
    }

    /// Has the store name the same revision as the coordination. Whoever deploys at the same time does
    /// so, too: the last one to write the store has looked at the coordination afterwards.
    async fn store_active(
        &self,
        joined: &Joined,
        type_name: &TypeName,
        number: RevisionNumber,
    ) -> Result<RevisionRecord, CallError> {
        let stored = self.store.activate_revision(type_name, number).await;
        let stored = stored.map_err(|error| unstored(&error))?;
        let mut written = number;
        loop {
            let active = joined.cluster.active_type(type_name).await;
            let active = active
                .map_err(|error| CallError::new(ErrorKind::Unavailable, error.to_string()))?;
            let Some(active) = active.filter(|active| active.revision != written) else {
                return Ok(stored);
            };
            written = active.revision;
            let again = self.store.activate_revision(type_name, written).await;
            again.map_err(|error| unstored(&error))?;
        }
    }

    /// Asks all other nodes for something. One that is gone meanwhile is not waited for.
    async fn ask_others<F>(
        &self,
        joined: &Joined,
        limit: Duration,
        ask: impl Fn(Control) -> F,
    ) -> Result<(), CallError>
    where
        F: Future<Output = Result<(), Status>>,
    {
        let view = joined.cluster.view();
        let others: Vec<Arc<Member>> = {
            let view = view.borrow();
            let others = view.nodes.values().filter(|it| it.id.as_str() != self.config.id());
            others.cloned().collect()
        };
        let asked = others.iter().map(|member| {
            let (mut gone, ask) = (view.clone(), &ask);
            async move {
                let answered = async {
                    let node = joined.router.control_of(&member.id).ok_or_else(|| {
                        CallError::new(ErrorKind::Unavailable, "it is not reached")
                    })?;
                    let asked = tokio::time::timeout(limit, ask(node)).await;
                    let late = || CallError::new(ErrorKind::Timeout, "it did not answer in time");
                    asked.map_err(|_| late())?.map_err(|status| status_to_error(&status))
                };
                let is_gone =
                    |view: &Arc<View>| !view.is_registered(&member.id, &member.incarnation);
                tokio::select! {
                    answer = answered => answer.map_err(|error| of_node(&member.id, &error)),
                    _ = gone.wait_for(is_gone) => Ok(()),
                }
            }
        });
        try_join_all(asked).await.map(drop)
    }

    /// Fetches, verifies and compiles a revision.
    pub(crate) async fn prepare(
        &self,
        type_name: &TypeName,
        number: RevisionNumber,
        digest: &[u8],
    ) -> Result<(), CallError> {
        let revision = self.revision(type_name, number).await?;
        if revision.record.digest != *digest {
            let problem = format!("revision {number} of {type_name} has another digest here");
            return Err(CallError::new(ErrorKind::Internal, problem));
        }
        // Until it is active, or another is.
        self.prepared.lock().insert(type_name.clone(), revision);
        Ok(())
    }

    /// Runs what the cluster runs.
    async fn adopt(&self, type_name: &TypeName, active: &ActiveType) -> Result<(), CallError> {
        let revision = self.revision(type_name, active.revision).await?;
        self.types.activate(&revision);
        self.roll_out(&revision);
        self.prepared.lock().remove(type_name);
        tracing::info!(r#type = %type_name, revision = %active.revision, "deployed");
        Ok(())
    }
}

fn of_node(node: &NodeId, error: &CallError) -> CallError {
    CallError::new(error.kind(), format!("the node {node} cannot run it: {}", error.message()))
}

impl Node {
    /// Loads what the cluster runs, and tells it of types that only the store knows.
    pub(crate) async fn load_cluster_types(&self) -> anyhow::Result<()> {
        let host = &self.0;
        let Some(joined) = host.joined() else { return Ok(()) };
        let stored = host.store.active_revisions().await;
        let stored = stored.context("failed to read the active types")?;
        let known = joined.cluster.view().borrow().types.clone();
        for record in stored.iter().filter(|record| !known.contains_key(&record.type_name)) {
            let told = joined.cluster.tell_type(&record.type_name, record.number, record.digest);
            told.await.context("failed to tell the cluster of a type")?;
        }
        let (mut records, mut versions) = (Vec::new(), BTreeMap::new());
        for (type_name, active) in joined.cluster.view().borrow().types.clone() {
            let record = host.store.revision(&type_name, active.revision).await;
            match record.context("failed to read a type")? {
                Some(record) => records.push(record),
                None => host.types.break_down(&type_name, "the store does not have it"),
            }
            versions.insert(type_name, active.version);
        }
        self.load(records).await;
        for (type_name, version) in versions {
            host.types.adopted(&type_name, version);
        }
        Ok(())
    }
}

/// Runs whatever the cluster runs, as soon as it does.
pub(crate) async fn follow(
    host: Arc<Host>,
    mut view: watch::Receiver<Arc<View>>,
    end: CancellationToken,
) {
    let following = async {
        loop {
            let types = view.borrow_and_update().types.clone();
            let mut has_failed = false;
            for (type_name, active) in types {
                if host.types.version(&type_name) >= active.version {
                    continue;
                }
                match host.adopt(&type_name, &active).await {
                    Ok(()) => host.types.adopted(&type_name, active.version),
                    Err(error) if error.kind() == ErrorKind::Unavailable => has_failed = true,
                    Err(error) => {
                        tracing::error!(r#type = %type_name, %error, "failed to run a type");
                        host.types.break_down(&type_name, error.message());
                        host.types.adopted(&type_name, active.version);
                    }
                }
            }
            if has_failed {
                tokio::time::sleep(LOAD_PAUSE).await;
            } else if view.changed().await.is_err() {
                return;
            }
        }
    };
    end.run_until_cancelled(following).await;
}
