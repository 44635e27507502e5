//! Claims about SQLite alone: the contract on disk and in memory, locks, damage.

use std::{path::PathBuf, sync::Arc};

use futures_util::future::BoxFuture;
use wasmverse_core::{Durability, Encoding, ObjectId, RevisionNumber, ShardId, State, Version};

use super::*;
use crate::{
    Change, Config, Effect, Expected,
    contract::{Subject, Unsure, check_cases, check_histories},
};

mod crash;
mod damage;
mod forgetting;
mod golden;
mod plans;
mod room;

const SHARDS: u16 = 8;

struct OnDisk(tempfile::TempDir);

impl Subject for OnDisk {
    fn open<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Arc<dyn Store>, Error>> {
        let data_dir = self.0.path().join(name);
        async move { crate::open(&Config { data_dir, shards: SHARDS, ..Config::default() }).await }
            .boxed()
    }

    fn survives(&self) -> bool {
        true
    }
}

struct InMemory;

impl Subject for InMemory {
    fn open<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<Arc<dyn Store>, Error>> {
        let url = Some("sqlite::memory:".to_owned());
        async move { crate::open(&Config { url, shards: SHARDS, ..Config::default() }).await }
            .boxed()
    }

    fn survives(&self) -> bool {
        false
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_disk_it_keeps_the_contract() {
    let subject = OnDisk(tempfile::tempdir().unwrap());
    check_cases(&subject).await.unwrap();
    check_histories(&subject, 0..4, 150).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_memory_it_keeps_the_contract() {
    check_cases(&InMemory).await.unwrap();
    check_histories(&InMemory, 100..112, 200).await.unwrap();
    check_histories(&Unsure(&InMemory), 200..212, 200).await.unwrap();
}

/// By the first owner of its shard; see [`claimed`].
fn row(id: &str, expected: Option<u64>, data: &str) -> Commit {
    Commit {
        object: ObjectId::parse("T", id).unwrap(),
        shard: ShardId(0),
        epoch: Epoch(1),
        expected: expected.map_or(Expected::Absent, |version| Expected::Version(Version(version))),
        change: Change::Put {
            state: Some(State { schema: 1, data: data.to_owned().into() }),
            encoding: Encoding::Json,
            durability: Durability::Periodic,
            revision: RevisionNumber(1),
        },
        storage: Vec::new(),
        effects: Vec::new(),
    }
}

/// Claims the shard of all rows, unless it was claimed before.
async fn claimed(store: SqliteStore) -> SqliteStore {
    if store.epochs().await.unwrap().is_empty() {
        let owner = Owner { node: "n".to_owned(), incarnation: "i".to_owned() };
        store.claim(owner, vec![(ShardId(0), Epoch(0))]).await.unwrap();
    }
    store
}

fn file() -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store.db");
    (directory, path)
}

async fn open_file(path: &std::path::Path) -> Result<SqliteStore, Error> {
    Ok(claimed(SqliteStore::open(Place::File(path.to_owned()), SHARDS).await?).await)
}

/// Runs SQL in a database, with nothing in between.
async fn sql(path: &std::path::Path, sql: &str) {
    use sqlx::Connection as _;
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path);
    let mut connection = sqlx::SqliteConnection::connect_with(&options).await.unwrap();
    sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

#[tokio::test]
async fn one_process_at_a_time_and_the_next_one_is_told_who_and_what_to_do() {
    let (_directory, path) = file();
    let store = open_file(&path).await.unwrap();
    let told = open_file(&path).await.unwrap_err();
    assert!(matches!(told, Error::InUse { .. }), "{told}");
    let told = told.to_string();
    assert!(
        told.contains(&std::process::id().to_string()) && told.contains("--data-dir"),
        "{told}"
    );
    store.close().await.unwrap();
    let store = open_file(&path).await.unwrap();
    // Not closed: whoever drops it lets go of the lock as well, once the writer has ended.
    let tasks = store.tasks.clone();
    drop(store);
    tasks.wait().await;
    open_file(&path).await.unwrap().close().await.unwrap();
}

#[tokio::test]
async fn a_store_of_another_shard_count_is_refused() {
    let (_directory, path) = file();
    let store = open_file(&path).await.unwrap();
    let cluster_id = store.cluster_id().to_owned();
    assert_eq!(cluster_id.len(), 32);
    store.close().await.unwrap();
    let told = SqliteStore::open(Place::File(path.clone()), 9).await.unwrap_err().to_string();
    assert!(told.contains("made for 8 shards and this cluster has 9"), "{told}");
    let again = open_file(&path).await.unwrap();
    assert_eq!(again.cluster_id(), cluster_id);
    again.close().await.unwrap();
}

#[tokio::test]
async fn a_store_of_a_newer_program_is_refused() {
    let (_directory, path) = file();
    open_file(&path).await.unwrap().close().await.unwrap();
    sql(
        &path,
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
         VALUES (9999, 'later', 1, x'00', 0)",
    )
    .await;
    let told = open_file(&path).await.unwrap_err();
    assert!(matches!(told, Error::NotOurs(_)), "{told}");
    assert!(told.to_string().contains("newer program"), "{told}");
}

#[tokio::test]
async fn what_is_no_database_is_damaged_and_says_how_to_go_on() {
    let (_directory, path) = file();
    std::fs::write(&path, "this is not a database, but it is long enough to be one".repeat(90))
        .unwrap();
    let told = open_file(&path).await.unwrap_err();
    assert!(matches!(told, Error::Damaged(_)), "{told}");
    let told = told.to_string();
    assert!(told.contains("store.db") && told.contains("backup"), "{told}");
}

#[tokio::test]
async fn a_damaged_page_is_an_error_of_who_reads_it() {
    let (_directory, path) = file();
    let store = open_file(&path).await.unwrap();
    let rows = (0..400).map(|n| row(&n.to_string(), None, &format!("\"{}\"", "x".repeat(900))));
    store.commit(rows.collect()).await.unwrap();
    store.close().await.unwrap();
    let mut bytes = std::fs::read(&path).unwrap();
    let from = bytes.len() / 3;
    bytes[from..].fill(0xa5);
    std::fs::write(&path, bytes).unwrap();
    let told = match open_file(&path).await {
        Err(told) => told,
        Ok(store) => {
            let mut told = Vec::new();
            for n in 0..400 {
                let object = ObjectId::parse("T", &n.to_string()).unwrap();
                told.extend(store.load(&object).await.err());
            }
            store.close().await.unwrap();
            told.pop().expect("two thirds of it are gone")
        }
    };
    assert!(matches!(told, Error::Damaged(_)), "{told}");
}

#[tokio::test]
async fn a_row_that_cannot_be_read_is_damaged_and_named() {
    let (_directory, path) = file();
    let store = open_file(&path).await.unwrap();
    store.commit(vec![row("a", None, "1"), row("b", None, "2")]).await.unwrap();
    store.close().await.unwrap();
    sql(&path, "UPDATE objects SET state_json = NULL WHERE id = 'a'").await;
    let store = open_file(&path).await.unwrap();
    let told = store.load(&ObjectId::parse("T", "a").unwrap()).await.unwrap_err();
    assert!(matches!(told, Error::Damaged(_)) && told.to_string().contains("T/a"), "{told}");
    assert!(store.load(&ObjectId::parse("T", "b").unwrap()).await.unwrap().is_some());
    store.close().await.unwrap();
}

#[tokio::test]
async fn a_component_that_changed_on_disk_is_damaged() {
    let (_directory, path) = file();
    let store = open_file(&path).await.unwrap();
    let component = Bytes::from_static(b"component");
    let digest: [u8; 32] = <sha2::Sha256 as sha2::Digest>::digest(&component).into();
    let type_name = TypeName::new("T").unwrap();
    let (description, author) = ("{}".to_owned(), "me".to_owned());
    let new = NewRevision { type_name, digest, component, description, author };
    store.add_revision(new).await.unwrap();
    store.close().await.unwrap();
    sql(&path, "UPDATE components SET bytes = x'00'").await;
    let store = open_file(&path).await.unwrap();
    let told = store.component(digest).await.unwrap_err();
    assert!(matches!(told, Error::Damaged(_)), "{told}");
    store.close().await.unwrap();
}

#[tokio::test]
async fn a_place_that_cannot_be_written_is_unavailable() {
    let file = tempfile::NamedTempFile::new().unwrap();
    for path in [file.path().join("below/a/file.db"), file.path().join("file.db")] {
        let told = open_file(&path).await.unwrap_err();
        assert!(matches!(told, Error::Unavailable(_)), "{told}");
        assert!(told.to_string().contains("failed to"), "{told}");
    }
    let directory = tempfile::tempdir().unwrap();
    let told = open_file(directory.path()).await.unwrap_err();
    assert!(matches!(told, Error::Unavailable(_)), "{told}");
}

#[tokio::test]
async fn a_row_that_the_database_refuses_fails_alone() {
    let (_directory, path) = file();
    open_file(&path).await.unwrap().close().await.unwrap();
    sql(
        &path,
        "CREATE TRIGGER no_bad BEFORE INSERT ON objects WHEN new.id LIKE 'bad%' \
         BEGIN SELECT RAISE(ABORT, 'no bad ones'); END; \
         CREATE TRIGGER no_worse BEFORE UPDATE ON objects WHEN new.state_json = '\"worse\"' \
         BEGIN SELECT RAISE(ABORT, 'no worse ones'); END;",
    )
    .await;
    let store = open_file(&path).await.unwrap();
    let id = |n: usize| if n % 50 == 7 { format!("bad{n}") } else { n.to_string() };
    let answers = store.commit((0..150).map(|n| row(&id(n), None, "1")).collect()).await.unwrap();
    for (n, answer) in answers.iter().enumerate() {
        let bad = matches!(answer, Err(Error::Refused(told)) if told.contains("no bad ones"));
        assert_eq!(bad, n % 50 == 7, "{n}: {answer:?}");
    }
    let data = |n: usize| if n % 50 == 8 { "\"worse\"" } else { "2" };
    let rows = (0..150).filter(|n| n % 50 != 7).map(|n| row(&id(n), Some(1), data(n)));
    let answers = store.commit(rows.collect()).await.unwrap();
    assert_eq!(answers.iter().filter(|answer| answer.is_err()).count(), 3, "{answers:?}");
    store.close().await.unwrap();
}

#[tokio::test]
async fn an_object_may_stand_in_a_batch_twice() {
    let store = claimed(SqliteStore::open(Place::Memory, SHARDS).await.unwrap()).await;
    let batch = vec![
        row("a", None, "1"),
        row("b", None, "1"),
        row("a", Some(1), "2"),
        row("a", Some(1), "3"),
        row("a", Some(2), "4"),
    ];
    let answers = store.commit(batch).await.unwrap();
    let versions: Vec<_> = answers.iter().map(|answer| answer.as_ref().ok().map(|v| v.0)).collect();
    assert_eq!(versions, [Some(1), Some(1), Some(2), None, Some(3)]);
    store.close().await.unwrap();
}

#[tokio::test]
async fn a_caller_that_gives_up_harms_nobody() {
    let store = claimed(SqliteStore::open(Place::Memory, SHARDS).await.unwrap()).await;
    for n in 0..50 {
        let id = n.to_string();
        let mut given_up = store.commit(vec![row(&id, None, "1")]);
        // Polled once: it may be in the queue.
        assert!(futures_util::poll!(&mut given_up).is_pending());
        drop(given_up);
        assert!(store.commit(vec![row(&format!("{id}b"), None, "1")]).await.unwrap()[0].is_ok());
    }
    store.close().await.unwrap();
}

#[tokio::test]
async fn what_was_told_before_close_is_done() {
    let (_directory, path) = file();
    let store = open_file(&path).await.unwrap();
    let saves = (0..40).map(|n| store.commit(vec![row(&n.to_string(), None, "1")]));
    let (saved, closed) =
        futures_util::future::join(futures_util::future::join_all(saves), store.close()).await;
    closed.unwrap();
    let answered = saved.iter().filter(|answer| answer.is_ok()).count();
    let store = open_file(&path).await.unwrap();
    assert_eq!(store.list(None, "", None, 100).await.unwrap().objects.len(), answered);
    assert_eq!(answered, 40, "they were told first");
    store.close().await.unwrap();
}
