//! What work the database does: the plans of what is read often, and how many rows a write changes.

use super::{
    super::{reads, storage},
    *,
};

async fn plan(store: &SqliteStore, query: &'static str) -> Vec<String> {
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
