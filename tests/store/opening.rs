//! A database is made once, by whoever comes first, and refused by whom it does not belong to.

use futures_util::future::join_all;
use wasmverse_store::{Config, Error};
use wasmverse_tests::postgres::{Databases, query};

use crate::rows::{SHARDS, open};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_may_open_an_empty_database_at_once() {
    let url = Databases::find();
    let url = (url.database(), url);
    let opened = join_all((0..8).map(|_| open(&url.0))).await;
    let mut ids = Vec::new();
    for store in opened {
        let store = store.unwrap();
        ids.push(store.status().await.unwrap().cluster_id);
        store.close().await.unwrap();
    }
    ids.dedup();
    assert_eq!(ids.len(), 1, "{ids:?}");
}

#[tokio::test]
async fn a_database_of_others_is_refused_in_words() {
    let databases = Databases::find();
    let url = databases.database();
    open(&url).await.unwrap().close().await.unwrap();
    let config = Config { url: Some(url.clone()), shards: SHARDS + 1, ..Config::default() };
    let told = wasmverse_store::open(&config).await.err().unwrap();
    assert!(matches!(told, Error::NotOurs(_)), "{told}");
    assert!(told.to_string().contains("made for 8 shards and this cluster has 9"), "{told}");

    let newer = "INSERT INTO _sqlx_migrations (version, description, success, checksum, \
                 execution_time) VALUES (9999, 'later', true, '\\x00', 0)";
    query(&url, newer).unwrap();
    let told = open(&url).await.err().unwrap();
    assert!(matches!(told, Error::NotOurs(_)), "{told}");
    assert!(told.to_string().contains("newer program"), "{told}");

    let (server, _) = url.rsplit_once('/').unwrap();
    let told = open(&format!("{server}/nobody")).await.err().unwrap();
    assert!(matches!(told, Error::NotOurs(_)), "{told}");
    assert!(told.to_string().contains("nobody"), "{told}");
}

#[tokio::test]
async fn states_can_be_queried() {
    let databases = Databases::find();
    let url = databases.database();
    let store = open(&url).await.unwrap();
    let epoch = crate::rows::claim(&*store, "one").await;
    for (id, data) in [("a", "{\"value\":3}"), ("b", "{\"value\":40}"), ("c", "\"\\u0000\"")] {
        crate::rows::commit(&*store, crate::rows::put(id, epoch, data)).await.unwrap();
    }
    let asked = "SELECT sum((state ->> 'value')::int) FROM object_states \
                 WHERE type = 'T' AND jsonb_typeof(state) = 'object'";
    assert_eq!(query(&url, asked).unwrap().trim(), "43");
    let asked = "SELECT id FROM object_states WHERE other_state IS NOT NULL";
    assert_eq!(query(&url, asked).unwrap().trim(), "c");
    let asked = "SELECT sum(storage_keys) FROM object_states";
    assert_eq!(query(&url, asked).unwrap().trim(), "3");
}
