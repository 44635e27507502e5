//! What is answered, and what is stored, when the network or the server fails around a commit.

use std::{
    io::Read as _,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use wasmverse_core::{Epoch, Version};
use wasmverse_store::{Error, Store};
use wasmverse_tests::{
    postgres::{Databases, Postgres, query},
    proxy::{Passage, Proxy},
};

use crate::rows::{claim, commit, open, put, read};

/// A store behind a proxy, and the URL of its database.
struct Behind {
    proxy: Proxy,
    store: Arc<dyn Store>,
    epoch: Epoch,
    url: String,
}

impl Behind {
    async fn new(url: String) -> Self {
        let (front, database) = url.rsplit_once('/').unwrap();
        let (who, address) = front.rsplit_once('@').unwrap();
        let server: SocketAddr = address.parse().unwrap();
        let proxy = Proxy::start(server).await;
        let store = open(&format!("{who}@{}/{database}", proxy.address())).await.unwrap();
        let epoch = claim(&*store, "one").await;
        // The statement is known to the connection.
        commit(&*store, put("a", epoch, "0")).await.unwrap();
        Self { proxy, store, epoch, url }
    }

    /// What the database itself says that is in a row.
    fn stored(&self, id: &str) -> String {
        let asked = format!("SELECT state_json FROM objects WHERE id = '{id}'");
        query(&self.url, &asked).unwrap().trim().to_owned()
    }
}

/// Waits until a condition holds.
async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < Duration::from_secs(20), "{what}: not in time");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_cut_before_a_commit_writes_nothing_and_is_made_again() {
    let databases = Databases::find();
    let behind = Behind::new(databases.database()).await;
    behind.proxy.cut();
    // An idle connection is asked before it is used.
    tokio::time::sleep(Duration::from_millis(150)).await;
    let version = commit(&*behind.store, put("a", behind.epoch, "1")).await.unwrap();
    assert_eq!(version, Version(2));
    assert_eq!(read(&*behind.store, "a").await.unwrap(), (version, "1".to_owned()));

    behind.proxy.pass(Passage { refuse: true, ..Passage::default() });
    behind.proxy.cut();
    tokio::time::sleep(Duration::from_millis(150)).await;
    let begun = Instant::now();
    let answer = commit(&*behind.store, put("a", behind.epoch, "2")).await;
    assert!(matches!(answer, Err(Error::Unavailable(_))), "{answer:?}");
    assert!(begun.elapsed() < Duration::from_secs(8), "it took {:?}", begun.elapsed());
    behind.proxy.pass(Passage::default());
    assert_eq!(behind.stored("a"), "1");
    assert_eq!(commit(&*behind.store, put("a", behind.epoch, "3")).await, Ok(Version(3)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_cut_in_a_commit_leaves_it_unknown_and_written_whole_or_not_at_all() {
    let databases = Databases::find();
    let behind = Behind::new(databases.database()).await;
    // All of the request, a part of it, and all but its end.
    for (n, hold) in [usize::MAX, 200, 5].into_iter().enumerate() {
        let (before, data) = ((n * 2 + 10).to_string(), (n * 2 + 11).to_string());
        // The connection is there, and was used just now.
        commit(&*behind.store, put("a", behind.epoch, &before)).await.unwrap();
        behind.proxy.pass(Passage { hold_requests: hold, ..Passage::default() });
        let (store, row) = (Arc::clone(&behind.store), put("a", behind.epoch, &data));
        let committing = async { commit(&*store, row).await };
        let cutting = async {
            eventually("the request", || behind.proxy.held() > 0).await;
            tokio::time::sleep(Duration::from_millis(50)).await;
            behind.proxy.cut();
            behind.proxy.pass(Passage::default());
        };
        let (answer, ()) = futures_util::future::join(committing, cutting).await;
        assert!(matches!(answer, Err(Error::Unknown(_))), "{hold}: {answer:?}");
        // A statement whose last bytes are missing was committed by itself.
        let wanted = if hold == 5 { &data } else { &before };
        assert_eq!(&behind.stored("a"), wanted, "{hold}");
        assert_eq!(&read(&*behind.store, "a").await.unwrap().1, wanted, "{hold}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_acknowledgement_leaves_it_unknown_though_it_was_written() {
    let databases = Databases::find();
    let behind = Behind::new(databases.database()).await;
    behind.proxy.pass(Passage { hold_answers: true, ..Passage::default() });
    let (store, row) = (Arc::clone(&behind.store), put("a", behind.epoch, "1"));
    let committing = async { commit(&*store, row).await };
    let cutting = async {
        eventually("the commit", || behind.stored("a") == "1").await;
        behind.proxy.cut();
        behind.proxy.pass(Passage::default());
    };
    let (answer, ()) = futures_util::future::join(committing, cutting).await;
    assert!(matches!(answer, Err(Error::Unknown(_))), "{answer:?}");
    assert_eq!(read(&*behind.store, "a").await.unwrap(), (Version(2), "1".to_owned()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn once_settled_nothing_is_written_any_more_of_which_nobody_knew() {
    let databases = Databases::find();
    let behind = Behind::new(databases.database()).await;
    let trigger = "CREATE FUNCTION trouble() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
            PERFORM pg_sleep(2); RETURN new; END $$; \
        CREATE TRIGGER trouble BEFORE UPDATE OF version ON objects \
            FOR EACH ROW EXECUTE FUNCTION trouble()";
    query(&behind.url, trigger).unwrap();
    let sleeping = || {
        let asleep = "SELECT count(*) FROM pg_stat_activity \
                      WHERE wait_event = 'PgSleep' AND datname = current_database()";
        query(&behind.url, asleep).unwrap().trim() == "1"
    };
    let (store, row) = (Arc::clone(&behind.store), put("a", behind.epoch, "7"));
    let committing = async { commit(&*store, row).await };
    let cutting = async {
        eventually("the commit", &sleeping).await;
        behind.proxy.cut();
    };
    let before = behind.stored("a");
    let (answer, ()) = futures_util::future::join(committing, cutting).await;
    assert!(matches!(answer, Err(Error::Unknown(_))), "{answer:?}");
    assert!(sleeping(), "it would be written");
    behind.store.settle().await.unwrap();
    assert!(!sleeping());
    assert_eq!(behind.stored("a"), before);
    behind.store.settle().await.unwrap();
    query(&behind.url, "DROP TRIGGER trouble ON objects").unwrap();
    assert_eq!(commit(&*behind.store, put("a", behind.epoch, "8")).await, Ok(Version(2)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_in_the_way_is_tried_again_and_what_is_refused_fails_alone() {
    let databases = Databases::find();
    let url = databases.database();
    let store = open(&url).await.unwrap();
    let epoch = claim(&*store, "one").await;
    let trigger = "CREATE SEQUENCE attempts; \
        CREATE FUNCTION trouble() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
            IF new.id = 'serial' AND nextval('attempts') <= 3 THEN \
                RAISE 'not now' USING ERRCODE = '40001'; END IF; \
            IF new.id LIKE 'bad%' THEN RAISE 'no bad ones' USING ERRCODE = '23514'; END IF; \
            IF new.id = 'slow' THEN PERFORM pg_sleep(0.5); END IF; \
            RETURN new; END $$; \
        CREATE TRIGGER trouble BEFORE INSERT OR UPDATE OF version ON objects \
            FOR EACH ROW EXECUTE FUNCTION trouble()";
    query(&url, trigger).unwrap();
    assert_eq!(commit(&*store, put("serial", epoch, "1")).await, Ok(Version(1)));
    assert_eq!(query(&url, "SELECT last_value FROM attempts").unwrap().trim(), "4");

    let id = |n: usize| if n % 50 == 7 { format!("bad{n}") } else { n.to_string() };
    let answers = store.commit((0..150).map(|n| put(&id(n), epoch, "1")).collect()).await.unwrap();
    for (n, answer) in answers.iter().enumerate() {
        let bad = matches!(answer, Err(Error::Refused(told)) if told.contains("no bad ones"));
        assert_eq!(bad, n % 50 == 7, "{n}: {answer:?}");
        let held = store.storage_get(&crate::rows::object(&id(n)), "of").await.unwrap();
        assert_eq!(held.is_none(), bad, "{n}: its storage");
    }

    // While one is slow, many gather, and share what comes after.
    let begun = Instant::now();
    let many = join_all((0..200).map(|n| {
        let id = if n == 0 { "slow".to_owned() } else { format!("fast{n}") };
        let store = &store;
        async move { commit(&**store, put(&id, epoch, "1")).await }
    }));
    assert!(many.await.iter().all(Result::is_ok));
    assert!(begun.elapsed() < Duration::from_secs(5), "it took {:?}", begun.elapsed());
}

/// Commits again and again; answers what was answered last, and how the others failed.
async fn persist(store: &dyn Store, epoch: Epoch, id: &str, until: Instant) -> (u64, Vec<Error>) {
    let (mut answered, mut errors) = (0, Vec::new());
    for n in 1.. {
        if Instant::now() > until {
            break;
        }
        match commit(store, put(id, epoch, &n.to_string())).await {
            Ok(_) => answered = n,
            Err(error) => errors.push(error),
        }
    }
    (answered, errors)
}

async fn through(hurt: impl FnOnce(&Postgres) + Send + 'static) -> Vec<Error> {
    let server = Arc::new(Postgres::start(&[]));
    let store = open(&server.database()).await.unwrap();
    let epoch = claim(&*store, "one").await;
    let until = Instant::now() + Duration::from_secs(4);
    let ids: Vec<String> = (0..8).map(|n| n.to_string()).collect();
    let writers = join_all(ids.iter().map(|id| persist(&*store, epoch, id, until)));
    let hurting = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let server = Arc::clone(&server);
        tokio::task::spawn_blocking(move || hurt(&server)).await.unwrap();
    };
    let (written, ()) = futures_util::future::join(writers, hurting).await;
    let mut all = Vec::new();
    for (id, (answered, errors)) in ids.iter().zip(written) {
        let (_, data) = read(&*store, id).await.unwrap();
        let found: u64 = data.parse().unwrap();
        assert!(found >= answered, "{id}: {answered} was answered, and it holds {found}");
        all.extend(errors);
    }
    // It works again.
    commit(&*store, put("after", epoch, "1")).await.unwrap();
    store.close().await.unwrap();
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_restarted_loses_nothing_that_was_answered() {
    let errors = through(|server| {
        server.stop();
        server.start_again();
    });
    for error in errors.await {
        assert!(matches!(error, Error::Unknown(_) | Error::Unavailable(_)), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_killed_loses_nothing_that_was_answered() {
    let errors = through(|server| {
        server.kill();
        server.start_again();
    });
    let errors = errors.await;
    assert!(errors.iter().any(|error| matches!(error, Error::Unknown(_))), "{errors:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_paused_is_waited_for() {
    let errors = through(|server| {
        server.pause();
        std::thread::sleep(Duration::from_secs(2));
        server.resume();
    });
    let errors = errors.await;
    assert!(errors.is_empty(), "{errors:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_without_room_is_unavailable_until_there_is_some() {
    let server = Postgres::start(&[]);
    let url = server.database();
    let Some(small) = Tmpfs::mount() else {
        println!("skipped: nothing can be mounted here, so no disk can be made full");
        return;
    };
    let store = open(&url).await.unwrap();
    let epoch = claim(&*store, "one").await;
    query(&url, &format!("CREATE TABLESPACE small LOCATION '{}'", small.0.display())).unwrap();
    query(&url, "ALTER TABLE storage SET TABLESPACE small").unwrap();
    let large = |n: usize| {
        let mut row = put(&n.to_string(), epoch, "1");
        // Nothing that could be compressed.
        let mut noise = vec![0; 1 << 20];
        std::fs::File::open("/dev/urandom").unwrap().read_exact(&mut noise).unwrap();
        row.storage.push(("large".to_owned(), Some(noise.into())));
        row
    };
    let mut full = None;
    for n in 0..40 {
        match commit(&*store, large(n)).await {
            Ok(_) => {}
            Err(error) => {
                full = Some((n, error));
                break;
            }
        }
    }
    let (at, error) = full.expect("the disk is small");
    assert!(matches!(&error, Error::Unavailable(told) if told.contains("room")), "{error}");
    assert!(read(&*store, &at.to_string()).await.is_none(), "half of it was written");
    small.grow();
    commit(&*store, large(at)).await.unwrap();
    store.close().await.unwrap();
    drop(server);
}

/// A small disk.
struct Tmpfs(std::path::PathBuf);

impl Tmpfs {
    fn mount() -> Option<Self> {
        let folder = tempfile::Builder::new().prefix("wasmverse-small-").tempdir().unwrap().keep();
        let mounted = std::process::Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=12m,uid=65534,gid=65534,mode=700", "tmpfs"])
            .arg(&folder)
            .output();
        if mounted.is_ok_and(|mounted| mounted.status.success()) {
            return Some(Self(folder));
        }
        let _ = std::fs::remove_dir(folder);
        None
    }

    fn grow(&self) {
        let grown = std::process::Command::new("mount")
            .args(["-o", "remount,size=64m"])
            .arg(&self.0)
            .status();
        assert!(grown.unwrap().success());
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg("-l").arg(&self.0).output();
        let _ = std::fs::remove_dir(&self.0);
    }
}
