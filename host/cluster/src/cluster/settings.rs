//! What a process brings along, and what all processes of a cluster must have in common.

use std::time::Duration;

use wasmverse_core::{NodeId, ShardCount};

use super::keys::{ClusterValue, Key, decode, encode, senseless};
use crate::{Coordination, Error, Guard, Op};

/// Who takes part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Who {
    /// A node.
    Node {
        /// Its name.
        id: NodeId,
        /// The name of this very process, as its links tell it; empty: they do not.
        process: String,
        /// Where others reach it (`HOST:PORT`).
        addresses: Vec<String>,
        /// How much of the shards it should have, beside others.
        weight: u32,
    },
    /// A gate.
    Gate {
        /// Its name.
        id: NodeId,
        /// What the ids of its clients begin with.
        address: String,
    },
}

/// What a process brings along.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Who it is.
    pub who: Who,
    /// The name of the cluster, as the store of its nodes has it; none: this process does not know. All
    /// must agree that know.
    pub cluster: Option<String>,
    /// How many shards the cluster has. All must agree.
    pub shards: ShardCount,
    /// Which protocol is spoken between processes. All must agree.
    pub protocol: u32,
    /// What it runs, for people.
    pub version: String,
    /// How long others wait for it when it is silent.
    pub lease_ttl: Duration,
    /// Membership must not have changed for so long before shards are moved for balance.
    pub stability: Duration,
    /// With fewer nodes no targets are written.
    pub min_nodes: usize,
    /// So many shards may be on their way at once.
    pub moves_max: usize,
    /// Shards are placed by what they have to do, as nodes tell it, and not by their count.
    pub by_load: bool,
}

/// So often it is tried to make the cluster.
const TRIES: usize = 5;

/// Makes the cluster if there is none, or names it if nobody knew its name, and checks that it is as
/// the settings have it.
pub(super) async fn agree(
    coordination: &dyn Coordination,
    settings: &Settings,
) -> Result<(), Error> {
    let key = Key::Cluster.text();
    for _ in 0..TRIES {
        let (_, row) = coordination.get(&key).await?;
        let guard = match &row {
            Some(row) => {
                let found: ClusterValue =
                    decode(&row.value).map_err(|why| senseless(&key, &why))?;
                check(&found, settings)?;
                if !found.id.is_empty() || settings.cluster.is_none() {
                    return Ok(());
                }
                Guard::Revision(key.clone(), row.revision)
            }
            None => Guard::Absent(key.clone()),
        };
        let id = settings.cluster.clone().unwrap_or_default();
        let shards = settings.shards.get();
        let value = encode(&ClusterValue { id, shards, protocol: settings.protocol });
        let put = Op::Put { key: key.clone(), value, lease: None };
        // Whatever becomes of it is read then.
        match coordination.commit(vec![guard], vec![put]).await {
            Ok(_) | Err(Error::Unknown(_)) => {}
            Err(error) => return Err(error),
        }
    }
    Err(Error::Unavailable("the cluster's settings can neither be read nor written".to_owned()))
}

fn check(found: &ClusterValue, settings: &Settings) -> Result<(), Error> {
    let (shards, protocol) = (settings.shards.get(), settings.protocol);
    if (found.shards, found.protocol) != (shards, protocol) {
        return Err(Error::Refused(format!(
            "the cluster has {} shards and speaks protocol {}, but this process is set to {shards} \
             shards and protocol {protocol}",
            found.shards, found.protocol,
        )));
    }
    match &settings.cluster {
        Some(ours) if *ours != found.id && !found.id.is_empty() => Err(Error::Refused(format!(
            "the coordination service is that of the cluster {}, but the store is that of the \
             cluster {ours}: each cluster wants a `cluster.prefix` and a database of its own",
            found.id,
        ))),
        Some(_) | None => Ok(()),
    }
}
