//! What work the database does: the plans of what is read often, and how many rows a write changes.

use super::{
    super::{dead_letters, outbox, reads, reminders, results, statements::texts, storage},
    *,
};

async fn plan(store: &SqliteStore, query: &str) -> Vec<String> {
    let rows: Vec<(i64, i64, i64, String)> =
        sqlx::query_as(sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {query}")))
            .fetch_all(&store.reads)
            .await
            .unwrap();
    rows.into_iter().map(|(.., told)| told).collect()
}

#[tokio::test]
async fn a_page_begins_where_it_begins_in_the_index_and_ends_where_it_ends() {
    let store = claimed(SqliteStore::open(Place::Memory, SHARDS).await.unwrap()).await;
    for (query, index, range) in [
        (storage::SCAN_AT, "storage_1 ", "(type=? AND id=? AND key>? AND key<?)"),
        (storage::SCAN_AFTER, "storage_1 ", "(type=? AND id=? AND key>? AND key<?)"),
        (reads::LIST_AT, "objects_living ", "(type=? AND id>? AND id<?)"),
        (reads::LIST_AFTER, "objects_living ", "(type=? AND id>? AND id<?)"),
        (storage::COUNT_NEW, "INTEGER PRIMARY KEY ", "(rowid>?)"),
    ] {
        let plan = plan(&store, query).await;
        let found = plan.iter().any(|step| step.contains(index) && step.ends_with(range));
        assert!(found, "{query}: {plan:#?}");
        assert!(!plan.iter().any(|step| step.starts_with("SCAN storage")), "{query}: {plan:#?}");
    }
    store.close().await.unwrap();
}

#[tokio::test]
async fn what_is_beside_objects_is_found_by_its_keys() {
    let store = claimed(SqliteStore::open(Place::Memory, SHARDS).await.unwrap()).await;
    let (find, settle) = (texts::find(4), texts::settle(4));
    let by_number = "(shard=? AND type=? AND id=? AND version=? AND place=?)";
    for (query, table, range) in [
        (
            outbox::SENDS,
            "outbox USING PRIMARY KEY",
            "((shard,type,id,version,place)>(?,?,?,?,?) AND shard<?)",
        ),
        (outbox::SENDS, "o USING PRIMARY KEY", by_number),
        (find.as_str(), "o USING PRIMARY KEY", by_number),
        (settle.as_str(), "outbox USING PRIMARY KEY", by_number),
        (
            reminders::DUE,
            "reminders USING INDEX reminders_due",
            "((due_at,type,id,name)>(?,?,?,?) AND due_at<?)",
        ),
        (reminders::DUE, "r USING PRIMARY KEY", "(type=? AND id=? AND name=?)"),
        (dead_letters::OF_ALL, "dead_letters USING INTEGER PRIMARY KEY", "(rowid>?)"),
        (
            dead_letters::OF_ONE,
            "dead_letters USING INDEX dead_letters_from",
            "(type=? AND id=? AND number>?)",
        ),
        (results::GET, "r USING INDEX results_3_found", "(chunk=? AND hash>? AND hash<?)"),
        (results::KEYS, "r USING INDEX results_3_found", "(chunk=? AND hash>? AND hash<?)"),
    ] {
        let plan = plan(&store, query).await;
        let found = plan.iter().any(|step| step.contains(table) && step.ends_with(range));
        assert!(found, "{query}: {plan:#?}");
        let scans = ["SCAN outbox", "SCAN o", "SCAN reminders", "SCAN dead", "SCAN results_"];
        let scans = plan.iter().any(|step| scans.iter().any(|scan| step.starts_with(scan)));
        assert!(!scans, "{query}: {plan:#?}");
    }
    store.close().await.unwrap();
}

#[tokio::test]
async fn a_write_of_keys_changes_the_row_of_the_object_and_its_count_once() {
    let store = claimed(SqliteStore::open(Place::Memory, SHARDS).await.unwrap()).await;
    let changes = async || -> i64 {
        let query = sqlx::query_scalar("SELECT total_changes()");
        query.fetch_one(&store.writes).await.unwrap()
    };
    let keyed = |of: Commit, held: bool| {
        let keys = (0..500).map(|n| (n.to_string(), held.then(|| Bytes::from("x"))));
        Commit { storage: keys.collect(), ..of }
    };
    for (n, (row, wanted)) in [
        (keyed(row("a", None, "1"), true), 502),
        // None of them is new.
        (keyed(row("a", Some(1), "2"), true), 501),
        (keyed(row("a", Some(2), "3"), false), 502),
    ]
    .into_iter()
    .enumerate()
    {
        let before = changes().await;
        assert_eq!(store.commit(vec![row]).await.unwrap()[0], Ok(Version(n as u64 + 1)));
        assert_eq!(changes().await - before, wanted, "step {n}");
    }
    store.close().await.unwrap();
}
