//! All that one database holds can be carried to the other, and back.

use wasmverse_core::{Encoding, Epoch, State};
use wasmverse_store::{
    Change, Commit, Config, Store,
    dump::{export, import, verify},
};
use wasmverse_tests::postgres::Databases;

use crate::rows::{SHARDS, claim, commit, object, open, put, read};

async fn in_memory() -> std::sync::Arc<dyn Store> {
    let url = Some("sqlite::memory:".to_owned());
    wasmverse_store::open(&Config { url, shards: SHARDS, ..Config::default() }).await.unwrap()
}

async fn carry(from: &dyn Store, to: &dyn Store) -> Vec<u8> {
    let mut lines = Vec::new();
    export(from, &mut lines).await.unwrap();
    import(to, &mut lines.as_slice()).await.unwrap();
    assert_eq!(verify(to).await.unwrap(), [""; 0]);
    lines
}

#[tokio::test]
async fn what_one_database_exports_the_other_imports() {
    let databases = Databases::find();
    let (lite, back) = (in_memory().await, in_memory().await);
    let epoch = claim(&*lite, "one").await;
    let states = ["{\"b\":1,\"a\":[2]}", "\"\\u0000\"", "1e999", "{not json", "\"\\ud800\""];
    for (n, data) in states.iter().enumerate() {
        commit(&*lite, put(&n.to_string(), epoch, data)).await.unwrap();
    }
    let bytes = State { schema: 2, data: vec![0, 255].into() };
    let (encoding, row) = (Encoding::Bytes, put("bytes", epoch, ""));
    let Change::Put { durability, revision, .. } = row.change else { unreachable!() };
    let change = Change::Put { state: Some(bytes), encoding, durability, revision };
    commit(&*lite, Commit { change, ..row }).await.unwrap();

    let postgres = open(&databases.database()).await.unwrap();
    carry(&*lite, &*postgres).await;
    let lines = carry(&*postgres, &*back).await;
    for (n, data) in states.iter().enumerate() {
        let (left, right) =
            (lite.load(&object(&n.to_string())).await, back.load(&object(&n.to_string())).await);
        let (left, right) = (left.unwrap().unwrap(), right.unwrap().unwrap());
        assert_eq!(left.digest, right.digest, "{data}");
        assert_eq!(left.version, right.version, "{data}");
    }
    assert_eq!(read(&*back, "1").await.unwrap().1, states[1]);
    assert_eq!(back.epochs().await.unwrap(), lite.epochs().await.unwrap());
    let status = postgres.status().await.unwrap();
    assert_eq!(status.cluster_id, lite.status().await.unwrap().cluster_id);
    // Who owned a shard there still owns it here.
    commit(&*postgres, put("0", epoch, "2")).await.unwrap();
    let stale = commit(&*postgres, put("0", Epoch(epoch.0 + 1), "3")).await;
    assert!(stale.is_err(), "{stale:?}");
    assert!(lines.len() > 500);
}
