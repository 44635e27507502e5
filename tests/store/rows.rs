//! Rows and stores, as the tests of this folder want them.

use std::sync::Arc;

use wasmverse_core::{
    Durability, Encoding, Epoch, ObjectId, RevisionNumber, ShardId, State, Version,
};
use wasmverse_store::{Change, Commit, Config, Error, Expected, Owner, Store};

pub(crate) const SHARDS: u16 = 8;
pub(crate) const SHARD: ShardId = ShardId(3);

pub(crate) async fn open(url: &str) -> Result<Arc<dyn Store>, Error> {
    let url = Some(url.to_owned());
    wasmverse_store::open(&Config { url, shards: SHARDS, ..Config::default() }).await
}

pub(crate) fn object(id: &str) -> ObjectId {
    ObjectId::parse("T", id).unwrap()
}

pub(crate) fn owner(incarnation: &str) -> Owner {
    Owner { node: "node".to_owned(), incarnation: incarnation.to_owned() }
}

/// Claims the shard of all rows; answers the epoch.
pub(crate) async fn claim(store: &dyn Store, incarnation: &str) -> Epoch {
    let claimed = store.claim(owner(incarnation), vec![(SHARD, Epoch(0))]).await.unwrap();
    claimed[0].1
}

/// A row of any version.
pub(crate) fn put(id: &str, epoch: Epoch, data: &str) -> Commit {
    Commit {
        object: object(id),
        shard: SHARD,
        epoch,
        expected: Expected::Any,
        change: Change::Put {
            state: Some(State { schema: 1, data: data.to_owned().into() }),
            encoding: Encoding::Json,
            durability: Durability::Durable,
            revision: RevisionNumber(1),
        },
        storage: vec![("of".to_owned(), Some(data.to_owned().into()))],
        effects: Vec::new(),
    }
}

/// The version and the state of a row; its storage must say the same.
pub(crate) async fn read(store: &dyn Store, id: &str) -> Option<(Version, String)> {
    let found = store.load(&object(id)).await.unwrap()?;
    let data = String::from_utf8(found.state.unwrap().data.to_vec()).unwrap();
    let stored = store.storage_get(&object(id), "of").await.unwrap();
    assert_eq!(stored, Some(data.clone().into()), "state and storage of {id} disagree");
    Some((found.version, data))
}

/// Commits one row.
pub(crate) async fn commit(store: &dyn Store, row: Commit) -> Result<Version, Error> {
    store.commit(vec![row]).await.and_then(|mut answers| answers.remove(0))
}
