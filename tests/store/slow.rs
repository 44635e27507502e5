//! What takes long is not in the way of what does not, and what takes long by its nature may.

use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::{StreamExt as _, future::join, stream::FuturesUnordered};
use wasmverse_core::Version;
use wasmverse_store::{
    Change, Commit, Error, Store,
    dump::{export, verify},
    postgres::{Limits, PostgresStore},
};
use wasmverse_tests::{
    postgres::{Databases, query},
    proxy::Proxy,
};

use crate::rows::{SHARDS, claim, commit, object, open, put, read};

const LIMITS: Limits = Limits {
    statement: Duration::from_millis(700),
    apart: Duration::from_millis(500),
    slow: Duration::from_secs(3),
};

async fn open_within(url: &str, limits: Limits) -> PostgresStore {
    PostgresStore::open_within(url, 4, SHARDS, limits).await.unwrap()
}

/// Lets rows sleep for the seconds that their id says: `slow-1.5`.
fn slow_down(url: &str) {
    let trigger = "CREATE FUNCTION sleepy() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
            PERFORM pg_sleep(substr(new.id, 6)::float); RETURN new; END $$; \
        CREATE TRIGGER sleepy BEFORE INSERT OR UPDATE OF version ON objects \
            FOR EACH ROW WHEN (new.id LIKE 'slow-%') EXECUTE FUNCTION sleepy()";
    query(url, trigger).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_row_harms_no_other_of_its_batch_and_has_time_of_its_own() {
    let databases = Databases::find();
    let url = databases.database();
    let store = open_within(&url, LIMITS).await;
    let epoch = claim(&store, "one").await;
    slow_down(&url);
    let id = |n: usize| match n {
        7 => "slow-1.2".to_owned(),
        40 => "slow-60".to_owned(),
        _ => n.to_string(),
    };
    let mut batch: Vec<Commit> = (0..100).map(|n| put(&id(n), epoch, "1")).collect();
    // What comes after the slow one sees what it left.
    batch.push(put(&id(7), epoch, "2"));
    batch.push(put(&id(8), epoch, "2"));
    let answers = store.commit(batch).await.unwrap();
    for (n, answer) in answers.iter().enumerate() {
        let right = match n {
            // The store gives up with it, and with what the same caller wanted of slow ones then.
            40 | 100 => matches!(answer, Err(Error::Unavailable(told)) if told.contains("long")),
            101 => *answer == Ok(Version(2)),
            _ => *answer == Ok(Version(1)),
        };
        assert!(right, "{n}: {answer:?}");
    }
    assert_eq!(read(&store, &id(7)).await, Some((Version(1), "1".to_owned())));
    assert_eq!(read(&store, &id(8)).await, Some((Version(2), "2".to_owned())));
    assert_eq!(read(&store, &id(40)).await, None);
    store.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_slow_is_waited_for_by_nobody_else() {
    let databases = Databases::find();
    let url = databases.database();
    let store = open_within(&url, LIMITS).await;
    let epoch = claim(&store, "one").await;
    slow_down(&url);
    let ids = ["slow-2", "a", "b", "slow-1.9", "c"];
    let commits: FuturesUnordered<_> = ids
        .iter()
        .map(|id| {
            let store = &store;
            async move { (*id, commit(store, put(id, epoch, "1")).await) }
        })
        .collect();
    let answered: Vec<_> = commits.collect().await;
    assert!(answered.iter().all(|(_, answer)| *answer == Ok(Version(1))), "{answered:?}");
    let slow: Vec<bool> = answered.iter().map(|(id, _)| id.starts_with("slow")).collect();
    assert_eq!(slow, [false, false, false, true, true], "{answered:?}");

    // Nor by who comes later.
    let begun = Instant::now();
    let later = async {
        tokio::time::sleep(LIMITS.statement + Duration::from_millis(300)).await;
        for n in 2..12 {
            assert_eq!(commit(&store, put("a", epoch, "2")).await, Ok(Version(n)));
        }
        begun.elapsed()
    };
    let (slow, later) = join(commit(&store, put("slow-2.5", epoch, "1")), later).await;
    assert_eq!(slow, Ok(Version(1)));
    assert!(later + Duration::from_millis(500) < begun.elapsed(), "{later:?}");
    store.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_slow_ends_with_who_wanted_it() {
    let databases = Databases::find();
    let url = databases.database();
    let (who, server) = url.rsplit_once('@').unwrap();
    let (address, database) = server.split_once('/').unwrap();
    let proxy = Proxy::start(address.parse().unwrap()).await;
    let behind = format!("{who}@{}/{database}", proxy.address());
    let limits = Limits { slow: Duration::from_secs(40), ..LIMITS };
    let store = open_within(&behind, limits).await;
    let epoch = claim(&store, "one").await;
    slow_down(&url);
    let long = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
                AND query LIKE 'CALL commit_turns%' AND state = 'active' \
                AND clock_timestamp() - query_start > '1 s'";
    let committing = commit(&store, put("slow-30", epoch, "1"));
    let cutting = async {
        while query(&url, long).unwrap().trim() == "0" {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        proxy.cut();
    };
    let (answer, ()) = join(committing, cutting).await;
    assert!(matches!(answer, Err(Error::Unknown(_))), "{answer:?}");
    let (begun, other) = (Instant::now(), open(&url).await.unwrap());
    claim(&*other, "two").await;
    assert!(begun.elapsed() < Duration::from_secs(8), "it took {:?}", begun.elapsed());
    assert_eq!(read(&*other, "slow-30").await, None);
    store.close().await.unwrap();
    other.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_everything_is_slow_callers_are_told_soon() {
    let databases = Databases::find();
    let url = databases.database();
    let limits = Limits { apart: Duration::from_millis(100), slow: LIMITS.statement, ..LIMITS };
    let store = open_within(&url, limits).await;
    let epoch = claim(&store, "one").await;
    let locked = "BEGIN; LOCK TABLE objects; SELECT pg_sleep(6); COMMIT";
    let locking = tokio::task::spawn_blocking({
        let url = url.clone();
        move || query(&url, locked).unwrap()
    });
    let waits = "SELECT count(*) FROM pg_locks WHERE relation = 'objects'::regclass AND granted \
                 AND mode = 'AccessExclusiveLock'";
    while query(&url, waits).unwrap().trim() == "0" {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let begun = Instant::now();
    let answer = store.commit((0..300).map(|n| put(&n.to_string(), epoch, "1")).collect()).await;
    assert!(matches!(answer, Err(Error::Unavailable(_))), "{answer:?}");
    assert!(begun.elapsed() < Duration::from_secs(5), "it took {:?}", begun.elapsed());
    locking.await.unwrap();
    assert_eq!(commit(&store, put("1", epoch, "1")).await, Ok(Version(1)));
    store.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn much_storage_can_be_deleted_however_long_that_takes() {
    let databases = Databases::find();
    let url = databases.database();
    let store = open_within(&url, LIMITS).await;
    let epoch = claim(&store, "one").await;
    let keys = (0..200).map(|n| (n.to_string(), Some(Bytes::from("x")))).collect();
    commit(&store, Commit { storage: keys, ..put("a", epoch, "1") }).await.unwrap();
    let trigger = "CREATE FUNCTION sleepy() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
            PERFORM pg_sleep(0.005); RETURN old; END $$; \
        CREATE TRIGGER sleepy BEFORE DELETE ON storage FOR EACH ROW EXECUTE FUNCTION sleepy()";
    query(&url, trigger).unwrap();
    let gone = Commit { change: Change::Delete, storage: Vec::new(), ..put("a", epoch, "") };
    assert_eq!(commit(&store, gone).await, Ok(Version(2)));
    assert_eq!(store.storage_keys(&object("a")).await, Ok(0));
    assert_eq!(query(&url, "SELECT count(*) FROM storage").unwrap().trim(), "0");
    store.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_goes_through_all_of_a_store_takes_as_long_as_it_takes() {
    let databases = Databases::find();
    let url = databases.database();
    let store = open(&url).await.unwrap();
    let epoch = claim(&*store, "one").await;
    commit(&*store, put("a", epoch, "1")).await.unwrap();
    store.close().await.unwrap();
    // Each of these tables is slow.
    for table in ["shards", "_sqlx_migrations"] {
        let columns = "SELECT t.* FROM pg_sleep(0.8) AS s";
        let slow = format!(
            "ALTER TABLE {table} RENAME TO {table}_within; \
             CREATE VIEW {table} AS {columns} CROSS JOIN {table}_within AS t"
        );
        query(&url, &slow).unwrap();
    }
    let limits = Limits { statement: Duration::from_millis(400), ..LIMITS };
    // The migrations are looked over.
    let store = open_within(&url, limits).await;
    let answer = store.epochs().await;
    assert!(
        matches!(&answer, Err(Error::Unavailable(told)) if told.contains("long")),
        "{answer:?}"
    );
    assert_eq!(store.status().await.unwrap().claimed, 1);
    assert_eq!(verify(&store).await.unwrap(), [""; 0]);
    let mut lines = Vec::new();
    assert_eq!(export(&store, &mut lines).await.unwrap(), 5);
    // Nobody else may take as long on the connections that they used.
    let (one, two) = join(store.epochs(), store.epochs()).await;
    assert!(one.is_err() && two.is_err(), "{one:?}, {two:?}");
    store.close().await.unwrap();
}

/// Closes a store, and waits for the server, which counts what its sessions did when they end.
async fn close(store: &dyn Store, url: &str) {
    store.close().await.unwrap();
    let sessions = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
                    AND application_name = 'wasmverse'";
    while query(url, sessions).unwrap().trim() != "0" {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// How many entries of an index were read.
fn entries_read(url: &str, index: &str) -> u64 {
    let asked = format!(
        "SELECT pg_stat_clear_snapshot(); SELECT idx_tup_read FROM pg_stat_user_indexes \
         WHERE indexrelname = '{index}'"
    );
    query(url, &asked).unwrap().trim().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_costs_the_same_wherever_it_is() {
    let databases = Databases::find();
    let url = databases.database();
    let store = open(&url).await.unwrap();
    let epoch = claim(&*store, "one").await;
    commit(&*store, put("a", epoch, "1")).await.unwrap();
    store.close().await.unwrap();
    let fill = "INSERT INTO storage SELECT 'T', 'a', 'k' || to_char(n, 'FM00000'), 'x' \
                    FROM generate_series(1, 5000) n; \
                INSERT INTO objects (type, id, shard, version, encoding, durability, revision, \
                    created_at, updated_at) \
                SELECT 'T', 'k' || to_char(n, 'FM00000'), 3, 1, 'json', 'durable', 1, 1, 1 \
                    FROM generate_series(1, 5000) n; ANALYZE";
    query(&url, fill).unwrap();
    // One plan for all values: what a server makes in time, if it takes that for cheap.
    let (_, database) = url.rsplit_once('/').unwrap();
    query(&url, &format!("ALTER DATABASE {database} SET plan_cache_mode = force_generic_plan"))
        .unwrap();
    for index in ["storage_pkey", "objects_living"] {
        let before = entries_read(&url, index);
        let store = open(&url).await.unwrap();
        for _ in 0..12 {
            if index == "storage_pkey" {
                let page = store.storage_scan(&object("a"), "k", Some("k04900"), 10).await.unwrap();
                assert_eq!(page.rows[0].0, "k04901");
                let page = store.storage_scan(&object("a"), "k00017", None, 10).await.unwrap();
                assert_eq!(page.rows.len(), 1);
            } else {
                let after = object("k04900");
                let page = store.list(None, "k", Some(&after), 10).await.unwrap();
                assert_eq!(page.objects[0].object, object("k04901"));
                let page = store.list(None, "k00017", None, 10).await.unwrap();
                assert_eq!(page.objects.len(), 1);
            }
        }
        close(&*store, &url).await;
        let read = entries_read(&url, index) - before;
        assert!((24..1000).contains(&read), "{index}: {read} entries were read");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_costs_the_same_however_many_there_are() {
    let databases = Databases::find();
    let url = databases.database();
    let store = open(&url).await.unwrap();
    let epoch = claim(&*store, "one").await;
    commit(&*store, put("a", epoch, "1")).await.unwrap();
    close(&*store, &url).await;
    let before = entries_read(&url, "storage_pkey");
    let store = open(&url).await.unwrap();
    for held in [Some(Bytes::from("x")), Some(Bytes::from("y")), None] {
        let keys = (0..2000).map(|n| (n.to_string(), held.clone())).collect();
        let row = Commit { change: Change::Touch, storage: keys, ..put("a", epoch, "") };
        commit(&*store, row).await.unwrap();
    }
    assert_eq!(store.storage_keys(&object("a")).await, Ok(1));
    close(&*store, &url).await;
    let read = entries_read(&url, "storage_pkey") - before;
    assert!(read < 20_000, "{read} entries were read");
}
