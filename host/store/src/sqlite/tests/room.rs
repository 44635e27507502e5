//! Claims about a database that has no room: whatever was to be written fails, and once there is
//! room everything can be written again.

use super::*;

/// More than there is room for.
const LARGE: usize = 1 << 20;

/// A store whose room can be taken and given back.
struct Bounded {
    store: SqliteStore,
    writes: SqlitePool,
    _directory: tempfile::TempDir,
}

impl Bounded {
    async fn new() -> Self {
        let (directory, path) = file();
        let opened = open::open(&Place::File(path), SHARDS).await.unwrap();
        let store = claimed(SqliteStore::of(opened, SHARDS)).await;
        let writes = store.writes.clone();
        Self { store, writes, _directory: directory }
    }

    /// Leaves room for so many pages more.
    async fn limit(&self, more: i64) {
        let pages: i64 =
            sqlx::query_scalar("PRAGMA page_count").fetch_one(&self.writes).await.unwrap();
        let pragma = format!("PRAGMA max_page_count = {}", pages + more);
        sqlx::query(sqlx::AssertSqlSafe(pragma)).execute(&self.writes).await.unwrap();
    }

    async fn close(self) {
        drop(self.writes);
        self.store.close().await.unwrap();
    }
}

fn large(times: usize) -> String {
    format!("\"{}\"", "x".repeat(LARGE * times))
}

fn revision(component: Vec<u8>) -> NewRevision {
    let component = Bytes::from(component);
    let digest: [u8; 32] = <sha2::Sha256 as sha2::Digest>::digest(&component).into();
    let type_name = TypeName::new("T").unwrap();
    let (description, author) = ("{}".to_owned(), "me".to_owned());
    NewRevision { type_name, digest, component, description, author }
}

fn lacks_room<T: std::fmt::Debug>(answer: &Result<T, Error>) -> bool {
    matches!(answer, Err(Error::Unavailable(told)) if told.contains("room"))
}

#[tokio::test]
async fn lack_of_room_is_unavailable_and_passes() {
    let bounded = Bounded::new().await;
    let store = &bounded.store;
    bounded.limit(16).await;
    let all = futures_util::future::join_all(
        [row("small", None, "1"), row("large", None, &large(1)), row("other", None, "2")]
            .map(|row| store.commit(vec![row])),
    )
    .await;
    assert!(lacks_room(&all[1]), "{all:?}");
    for neighbour in [&all[0], &all[2]] {
        assert!(matches!(neighbour.as_deref(), Ok([Ok(Version(1))])), "{all:?}");
    }
    bounded.limit(1 << 20).await;
    let answers = store.commit(vec![row("large", None, &large(1))]).await.unwrap();
    assert_eq!(answers, [Ok(Version(1))]);
    bounded.close().await;
}

#[tokio::test]
async fn whatever_lacked_room_is_written_once_there_is_some() {
    let bounded = Bounded::new().await;
    let store = &bounded.store;
    let (object, t) = (ObjectId::parse("T", "there").unwrap(), TypeName::new("T").unwrap());
    store.commit(vec![row("there", None, "1")]).await.unwrap();
    store.add_revision(revision(b"first".to_vec())).await.unwrap();
    for round in 0..2_u8 {
        // More than all pages that have become free.
        let times = if round == 0 { 1 } else { 4 };
        let larger = large(times);
        bounded.limit(8).await;
        // Of some failures SQLite rolls back by itself, and of others it does not.
        for _ in 0..2 {
            assert!(lacks_room(&store.add_revision(revision(vec![round; times * LARGE])).await));
            let expected = Some(u64::from(round) + 1);
            assert!(lacks_room(&store.commit(vec![row("there", expected, &larger)]).await));
            let new = format!("new{round}");
            let many = vec![row("fits", None, "1"), row(&new, None, &larger)];
            assert!(lacks_room(&store.commit(many).await));
        }
        let found = store.load(&object).await.unwrap().unwrap();
        assert_eq!(found.version, Version(u64::from(round) + 1));
        assert!(store.load(&row("fits", None, "").object).await.unwrap().is_none());

        bounded.limit(1 << 20).await;
        let added = store.add_revision(revision(vec![round; times * LARGE])).await.unwrap();
        assert_eq!(added.number, RevisionNumber(u32::from(round) + 2));
        assert!(store.activate_revision(&t, added.number).await.unwrap().active);
        let saved = vec![row("there", Some(u64::from(round) + 1), &larger)];
        let saved = store.commit(saved).await.unwrap();
        assert_eq!(saved, [Ok(Version(u64::from(round) + 2))]);
        store.commit(vec![row("gone", None, "1")]).await.unwrap();
        let gone = Commit { change: Change::Delete, ..row("gone", None, "") };
        let gone = Commit { expected: Expected::Any, ..gone };
        assert!(store.commit(vec![gone]).await.unwrap()[0].is_ok());
    }
    bounded.close().await;
}

#[tokio::test]
async fn a_transaction_that_was_left_open_harms_nobody() {
    let bounded = Bounded::new().await;
    let store = &bounded.store;
    sqlx::query("BEGIN").execute(&bounded.writes).await.unwrap();
    // Whoever comes upon it may fail.
    let _ = store.commit(vec![row("first", None, "1")]).await;
    assert_eq!(store.commit(vec![row("second", None, "1")]).await.unwrap(), [Ok(Version(1))]);
    bounded.close().await;
}
