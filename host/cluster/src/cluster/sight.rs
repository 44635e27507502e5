//! What has been read of the keys: the view, and what only the leader needs.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use tracing::warn;
use wasmverse_core::{
    Epoch, NodeId, RevisionNumber, ShardCount, ShardId,
    cluster::{ActiveType, GateMember, Incarnation, Member, OwnerKey, TargetKey, View, Why},
};

use super::keys::{
    ClusterValue, DrainValue, GateValue, Key, LeaderValue, LoadValue, NodeValue, OwnerValue,
    PlaceValue, TargetValue, TypeValue, decode,
};
use crate::{Batch, Change, Row, Snapshot};

/// What has been read up to a revision. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) view: Arc<View>,
    pub(crate) leader: Option<LeaderKey>,
    /// The revisions of wishes, to delete what was seen and nothing newer.
    pub(crate) wishes: BTreeMap<ShardId, u64>,
    /// What nodes tell of their shards' load.
    pub(crate) loads: BTreeMap<NodeId, Arc<LoadValue>>,
}

/// Who leads, and since which revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LeaderKey {
    pub(crate) incarnation: Incarnation,
    pub(crate) revision: u64,
}

impl Seen {
    fn nothing(shards: ShardCount) -> Self {
        let view = Arc::new(View::empty(shards));
        Self { view, leader: None, wishes: BTreeMap::new(), loads: BTreeMap::new() }
    }
}

/// It reads keys, and complains of each one that makes no sense once.
#[derive(Debug)]
pub(crate) struct Sight {
    seen: Seen,
    shards: ShardCount,
    complained: BTreeSet<String>,
}

impl Sight {
    pub(crate) fn new(shards: ShardCount) -> Self {
        Self { seen: Seen::nothing(shards), shards, complained: BTreeSet::new() }
    }

    pub(crate) fn seen(&self) -> &Seen {
        &self.seen
    }

    /// Forgets all and reads the whole.
    pub(crate) fn read_all(&mut self, snapshot: &Snapshot) {
        self.seen = Seen::nothing(self.shards);
        for row in &snapshot.rows {
            self.put(row);
        }
        self.view().revision = snapshot.revision;
    }

    /// Reads what has changed.
    pub(crate) fn read(&mut self, batch: &Batch) {
        for change in &batch.changes {
            match change {
                Change::Put(row) => self.put(row),
                Change::Deleted { key } => {
                    if let Some(key) = self.known(key) {
                        self.delete(&key);
                    }
                }
            }
        }
        self.view().revision = batch.revision;
    }

    /// The view, to be changed: copied if others have it.
    fn view(&mut self) -> &mut View {
        Arc::make_mut(&mut self.seen.view)
    }

    fn known(&mut self, text: &str) -> Option<Key> {
        let key = Key::parse(text).filter(|key| match key {
            Key::Target(shard) | Key::Owner(shard) | Key::Pin(shard) | Key::Wish(shard) => {
                shard.0 < self.shards.get()
            }
            Key::Cluster
            | Key::Leader
            | Key::Node(_)
            | Key::Gate(_)
            | Key::Drain(_)
            | Key::Load(_)
            | Key::Type(_) => true,
        });
        if key.is_none() {
            self.complain(text, "no such key is known");
        }
        key
    }

    fn complain(&mut self, key: &str, why: &str) {
        if self.complained.insert(key.to_owned()) {
            warn!(key, why, "a key of the cluster is ignored");
        }
    }

    fn put(&mut self, row: &Row) {
        let Some(key) = self.known(&row.key) else { return };
        if let Err(why) = self.write(&key, row) {
            self.complain(&row.key, &why);
            self.delete(&key);
        }
    }

    fn write(&mut self, key: &Key, row: &Row) -> Result<(), String> {
        match key {
            Key::Cluster => {
                let value: ClusterValue = decode(&row.value)?;
                self.view().cluster = value.id.into();
            }
            Key::Leader => {
                let value: LeaderValue = decode(&row.value)?;
                let incarnation = Incarnation::new(&value.incarnation);
                self.seen.leader = Some(LeaderKey { incarnation, revision: row.revision });
                self.view().leader = Some(NodeId::new(&value.node));
            }
            Key::Node(id) => {
                let member = node(id, decode(&row.value)?, row.revision);
                self.view().nodes.insert(id.clone(), Arc::new(member));
            }
            Key::Gate(id) => {
                let member = gate(id, &decode(&row.value)?);
                self.view().gates.insert(id.clone(), Arc::new(member));
            }
            Key::Target(shard) => {
                let value: TargetValue = decode(&row.value)?;
                // A reason that only later versions know is a reason still.
                let why = Why::from_name(&value.why).unwrap_or(Why::Balance);
                let node = NodeId::new(&value.node);
                let target = TargetKey { node, why, revision: row.revision };
                self.view().slot_mut(*shard).target = Some(target);
            }
            Key::Owner(shard) => {
                let owner = owner(&decode(&row.value)?, row.revision);
                self.view().slot_mut(*shard).owner = Some(owner);
            }
            Key::Pin(shard) => {
                let value: PlaceValue = decode(&row.value)?;
                self.view().pins.insert(*shard, NodeId::new(&value.node));
            }
            Key::Wish(shard) => {
                let value: PlaceValue = decode(&row.value)?;
                self.view().wishes.insert(*shard, NodeId::new(&value.node));
                self.seen.wishes.insert(*shard, row.revision);
            }
            Key::Drain(id) => {
                let value: DrainValue = decode(&row.value)?;
                let incarnation = Incarnation::new(&value.incarnation);
                self.view().drains.insert(id.clone(), incarnation);
            }
            Key::Load(id) => {
                self.seen.loads.insert(id.clone(), Arc::new(decode(&row.value)?));
            }
            Key::Type(name) => {
                let active = active_type(&decode(&row.value)?)?;
                self.view().types.insert(name.clone(), active);
            }
        }
        Ok(())
    }

    fn delete(&mut self, key: &Key) {
        match key {
            Key::Cluster => self.view().cluster = "".into(),
            Key::Leader => {
                self.seen.leader = None;
                self.view().leader = None;
            }
            Key::Node(id) => drop(self.view().nodes.remove(id)),
            Key::Gate(id) => drop(self.view().gates.remove(id)),
            Key::Target(shard) => self.view().slot_mut(*shard).target = None,
            Key::Owner(shard) => self.view().slot_mut(*shard).owner = None,
            Key::Pin(shard) => drop(self.view().pins.remove(shard)),
            Key::Wish(shard) => {
                self.seen.wishes.remove(shard);
                self.view().wishes.remove(shard);
            }
            Key::Drain(id) => drop(self.view().drains.remove(id)),
            Key::Load(id) => drop(self.seen.loads.remove(id)),
            Key::Type(name) => drop(self.view().types.remove(name)),
        }
    }
}

fn node(id: &NodeId, value: NodeValue, revision: u64) -> Member {
    Member {
        id: id.clone(),
        incarnation: Incarnation::new(&value.incarnation),
        process: value.process.into(),
        addresses: value.addresses.into(),
        weight: value.weight,
        is_leaving: value.leaving,
        version: value.version.into(),
        revision,
    }
}

fn gate(id: &NodeId, value: &GateValue) -> GateMember {
    GateMember {
        id: id.clone(),
        incarnation: Incarnation::new(&value.incarnation),
        address: value.address.as_str().into(),
        version: value.version.as_str().into(),
    }
}

fn owner(value: &OwnerValue, revision: u64) -> OwnerKey {
    let is_released = value.node.is_empty() && value.incarnation.is_empty();
    let holder =
        (!is_released).then(|| (NodeId::new(&value.node), Incarnation::new(&value.incarnation)));
    OwnerKey { holder, epoch: Epoch(value.epoch), revision }
}

/// Also for whoever reads the key alone.
pub(super) fn active_type(value: &TypeValue) -> Result<ActiveType, String> {
    let mut digest = [0; 32];
    hex::decode_to_slice(&value.digest, &mut digest).map_err(|error| error.to_string())?;
    Ok(ActiveType { revision: RevisionNumber(value.revision), digest, version: value.version })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(key: &str, value: &str, revision: u64) -> Row {
        Row { key: key.to_owned(), value: value.to_owned().into(), revision, lease: None }
    }

    fn sight(rows: &[Row]) -> Sight {
        let mut sight = Sight::new(ShardCount::new(4).unwrap());
        sight.read_all(&Snapshot { revision: 9, rows: rows.to_vec() });
        sight
    }

    #[test]
    fn what_makes_no_sense_hides_nothing_else() {
        let mut sight = sight(&[
            row("owners/0", r#"{"node":"a","incarnation":"1","epoch":3}"#, 4),
            row("owners/1", "{", 5),
            row("owners/4", r#"{"node":"a","incarnation":"1","epoch":3}"#, 6),
            row("strange", "", 7),
            row("types/T", r#"{"revision":1,"digest":"zz","version":1}"#, 8),
        ]);
        let view = &sight.seen().view;
        assert_eq!(view.revision, 9);
        assert_eq!(view.slot(ShardId(0)).owner.as_ref().unwrap().epoch, Epoch(3));
        assert_eq!(view.slot(ShardId(1)).owner, None);
        assert!(view.types.is_empty());
        assert_eq!(sight.complained.len(), 4);

        let nonsense = Change::Put(row("owners/0", "[]", 10));
        sight.read(&Batch { revision: 10, changes: vec![nonsense.clone()] });
        assert_eq!(sight.seen().view.slot(ShardId(0)).owner, None);
        sight.read(&Batch { revision: 11, changes: vec![nonsense] });
        assert_eq!(sight.complained.len(), 5, "it complains of each key once");
    }

    #[test]
    fn a_view_that_was_given_away_does_not_change() {
        let mut sight = sight(&[row("pins/1", r#"{"node":"a"}"#, 4)]);
        let before = sight.seen().clone();
        let gone = Change::Deleted { key: "pins/1".to_owned() };
        sight.read(&Batch { revision: 10, changes: vec![gone] });
        assert_eq!(before.view.pins.len(), 1);
        assert_eq!(before.view.revision, 9);
        assert!(sight.seen().view.pins.is_empty());
    }
}
