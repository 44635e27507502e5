//! What operators and deploys write.

use wasmverse_core::{NodeId, RevisionNumber, ShardId, TypeName, cluster::ActiveType};

use super::{
    Cluster,
    keys::{DrainValue, Key, PlaceValue, TypeValue, decode, encode, senseless},
    pause::Pause,
    sight::active_type,
};
use crate::{Error, Guard, Op, Row};

/// So often something is tried.
const TRIES: usize = 5;

impl Cluster {
    /// Moves a shard to a node, as soon as the leader sees that. It stays there until something else
    /// moves it.
    ///
    /// # Errors
    /// [`Error::Refused`] if there is no such shard, or the node takes none; else what the
    /// coordination service says.
    pub async fn wish(&self, shard: ShardId, node: &NodeId) -> Result<(), Error> {
        self.check_shard(shard)?;
        if !self.view.borrow().is_eligible(node) {
            return Err(Error::Refused(format!(
                "the node `{node}` takes no shards: it is not registered, leaves, is drained or has no weight"
            )));
        }
        self.put(&Key::Wish(shard), &PlaceValue { node: node.to_string() }).await
    }

    /// Keeps a shard on a node while that is there.
    ///
    /// # Errors
    /// [`Error::Refused`] if there is no such shard; else what the coordination service says.
    pub async fn pin(&self, shard: ShardId, node: &NodeId) -> Result<(), Error> {
        self.check_shard(shard)?;
        self.put(&Key::Pin(shard), &PlaceValue { node: node.to_string() }).await
    }

    /// Lets a shard be moved again.
    ///
    /// # Errors
    /// As [`Self::pin`].
    pub async fn unpin(&self, shard: ShardId) -> Result<(), Error> {
        self.check_shard(shard)?;
        self.write_again(Op::Delete(Key::Pin(shard).text())).await
    }

    /// Takes all shards from a node, until it is registered anew or undrained.
    ///
    /// # Errors
    /// [`Error::Refused`] if there is no such node; else what the coordination service says.
    pub async fn drain(&self, node: &NodeId) -> Result<(), Error> {
        let member = self.view.borrow().nodes.get(node).cloned();
        let member =
            member.ok_or_else(|| Error::Refused(format!("no node `{node}` is registered")))?;
        let incarnation = member.incarnation.to_string();
        self.put(&Key::Drain(node.clone()), &DrainValue { incarnation }).await
    }

    /// Lets a node have shards again.
    ///
    /// # Errors
    /// What the coordination service says.
    pub async fn undrain(&self, node: &NodeId) -> Result<(), Error> {
        self.write_again(Op::Delete(Key::Drain(node.clone()).text())).await
    }

    /// The active revision of a type, as the coordination service has it now.
    ///
    /// # Errors
    /// What that says.
    pub async fn active_type(&self, name: &TypeName) -> Result<Option<ActiveType>, Error> {
        let key = Key::Type(name.clone()).text();
        let (_, row) = self.shared.coordination.get(&key).await?;
        row.map(|row| read_type(&key, &row)).transpose()
    }

    /// Makes a revision the active one of a type of which the cluster does not know yet.
    ///
    /// # Errors
    /// As [`Self::set_type`].
    pub async fn tell_type(
        &self,
        name: &TypeName,
        revision: RevisionNumber,
        digest: [u8; 32],
    ) -> Result<(), Error> {
        let key = Key::Type(name.clone()).text();
        let active = ActiveType { revision, digest, version: 1 };
        let mut pause = Pause::new();
        for _ in 1..TRIES {
            let (guard, put) = (Guard::Absent(key.clone()), put_type(&key, &active));
            // Whoever has told it before may have deployed something else since.
            match self.shared.commit(vec![guard], vec![put]).await {
                Ok(_) => return Ok(()),
                Err(Error::Unavailable(_) | Error::Unknown(_)) => pause.wait().await,
                Err(error) => return Err(error),
            }
        }
        Err(Error::Unavailable(format!("the key `{key}` cannot be written")))
    }

    /// Makes a revision of a type the active one, under the version after the last, and above another.
    ///
    /// # Errors
    /// [`Error::Unknown`] if nobody knows whether it became that, else what the coordination service
    /// says.
    pub async fn set_type(
        &self,
        name: &TypeName,
        revision: RevisionNumber,
        digest: [u8; 32],
        above: u64,
    ) -> Result<ActiveType, Error> {
        let key = Key::Type(name.clone()).text();
        let mut pause = Pause::new();
        let mut may_be_done = None;
        let mut last = Error::Unavailable("others deploy at the same time".to_owned());
        for _ in 0..TRIES {
            let (guard, before) = match self.shared.coordination.get(&key).await? {
                (_, None) => (Guard::Absent(key.clone()), 0),
                (_, Some(row)) => {
                    let found = read_type(&key, &row)?;
                    if may_be_done.as_ref() == Some(&found) {
                        return Ok(found);
                    }
                    (Guard::Revision(key.clone(), row.revision), found.version)
                }
            };
            if may_be_done.is_some_and(|active: ActiveType| active.version <= before) {
                // It may have been done, and something else after it.
                return Err(last);
            }
            let active = ActiveType { revision, digest, version: before.max(above) + 1 };
            let put = put_type(&key, &active);
            may_be_done = None;
            match self.shared.commit(vec![guard], vec![put]).await {
                Ok(Some(_)) => return Ok(active),
                Ok(None) => {}
                Err(error @ Error::Unknown(_)) => {
                    (may_be_done, last) = (Some(active), error);
                    pause.wait().await;
                }
                Err(error) => return Err(error),
            }
        }
        Err(last)
    }

    fn check_shard(&self, shard: ShardId) -> Result<(), Error> {
        let count = self.shared.settings.shards.get();
        if shard.0 < count {
            return Ok(());
        }
        Err(Error::Refused(format!("there is no shard {shard}: there are {count}")))
    }

    async fn put(&self, key: &Key, value: &impl serde::Serialize) -> Result<(), Error> {
        self.write_again(Op::Put { key: key.text(), value: encode(value), lease: None }).await
    }

    /// For what may be done twice.
    async fn write_again(&self, op: Op) -> Result<(), Error> {
        let mut pause = Pause::new();
        for _ in 1..TRIES {
            match self.shared.commit(Vec::new(), vec![op.clone()]).await {
                Ok(_) => return Ok(()),
                Err(Error::Unavailable(_) | Error::Unknown(_)) => pause.wait().await,
                Err(error) => return Err(error),
            }
        }
        self.shared.commit(Vec::new(), vec![op]).await.map(drop)
    }
}

fn put_type(key: &str, active: &ActiveType) -> Op {
    let (revision, digest) = (active.revision.0, hex::encode(active.digest));
    let value = encode(&TypeValue { revision, digest, version: active.version });
    Op::Put { key: key.to_owned(), value, lease: None }
}

fn read_type(key: &str, row: &Row) -> Result<ActiveType, Error> {
    let found = decode::<TypeValue>(&row.value).and_then(|it| active_type(&it));
    found.map_err(|why| senseless(key, &why))
}
