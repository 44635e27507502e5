//! Of two writers the older never changes a row once the newer has claimed, wherever it was
//! stopped; and stopping it holds up nobody.

use std::{
    io::BufReader,
    net::SocketAddr,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use wasmverse_core::{Epoch, ShardId, Version};
use wasmverse_store::{Config, Error, Raised};
use wasmverse_tests::{
    postgres::{Databases, query},
    proxy::{Passage, Proxy},
};

use crate::rows::{SHARD, claim, commit, object, open, owner, put, read};

/// Longer than a statement takes, on a machine that is busy.
const STATEMENT: Duration = Duration::from_secs(2);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_held_anywhere_delays_no_claim_and_comes_too_late() {
    let databases = Databases::find();
    // All of the request, a part of it, and all but its last bytes, or byte.
    for hold in [usize::MAX, 2_000, 60, 17, 5, 1] {
        let url = databases.database();
        let (front, database) = url.rsplit_once('/').unwrap();
        let (who, address) = front.rsplit_once('@').unwrap();
        let proxy = Proxy::start(address.parse::<SocketAddr>().unwrap()).await;
        let older = open(&format!("{who}@{}/{database}", proxy.address())).await.unwrap();
        let newer = open(&url).await.unwrap();
        let first = claim(&*older, "older").await;
        let rows = |data: &str| (0..20).map(|n| put(&n.to_string(), first, data)).collect();
        for answer in older.commit(rows("0")).await.unwrap() {
            answer.unwrap();
        }
        proxy.pass(Passage { hold_requests: hold, ..Passage::default() });
        let (writer, batch) = (Arc::clone(&older), rows("1"));
        let committing = async { writer.commit(batch).await };
        let claiming = async {
            while proxy.held() == 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
            let begun = Instant::now();
            let second = claim(&*newer, "newer").await;
            let took = begun.elapsed();
            assert!(took < STATEMENT, "holding {hold} bytes delayed the claim by {took:?}");
            let mut versions = Vec::new();
            for n in 0..20 {
                let (version, _) = read(&*newer, &n.to_string()).await.unwrap();
                versions.push(version);
            }
            proxy.pass(Passage::default());
            (second, versions)
        };
        let (answer, (second, versions)) = futures_util::future::join(committing, claiming).await;
        for (n, answer) in answer.unwrap().into_iter().enumerate() {
            let (version, _) = read(&*newer, &n.to_string()).await.unwrap();
            assert_eq!(version, versions[n], "row {n} changed after the claim ({hold} held)");
            match answer {
                Ok(answered) => assert_eq!(answered, version, "row {n}: it was before the claim"),
                Err(error) => assert!(matches!(error, Error::Fenced(_)), "{error}"),
            }
            commit(&*newer, put(&n.to_string(), second, "2")).await.unwrap();
        }
        older.close().await.unwrap();
        newer.close().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_waits_for_a_commit_that_is_under_way_and_no_longer() {
    let databases = Databases::find();
    for raises in [false, true] {
        waits_and_no_longer(&databases.database(), raises).await;
    }
}

async fn waits_and_no_longer(url: &str, raises: bool) {
    let (older, newer) = (open(url).await.unwrap(), open(url).await.unwrap());
    let slow = "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
            PERFORM pg_sleep(1); RETURN new; END $$; \
        CREATE TRIGGER slow BEFORE INSERT ON objects FOR EACH ROW EXECUTE FUNCTION slow()";
    query(url, slow).unwrap();
    let first = claim(&*older, "older").await;
    let committing = commit(&*older, put("a", first, "1"));
    let claiming = async {
        tokio::time::sleep(Duration::from_millis(400)).await;
        let begun = Instant::now();
        if raises {
            // In vain: it waits for nobody, and fences nobody.
            let outdated = newer.raise(owner("newer"), vec![(SHARD, Epoch(first.0 + 1))]).await;
            assert_eq!(outdated, Ok(vec![Raised::Has(first)]));
            assert!(begun.elapsed() < Duration::from_millis(300), "{:?}", begun.elapsed());
            let raised = newer.raise(owner("newer"), vec![(SHARD, first)]).await;
            assert_eq!(raised, Ok(vec![Raised::To(Epoch(first.0 + 1))]));
        } else {
            claim(&*newer, "newer").await;
        }
        // The claim was answered: what was under way is done.
        let seen = read(&*newer, "a").await;
        (begun.elapsed(), seen)
    };
    let (answer, (took, seen)) = futures_util::future::join(committing, claiming).await;
    assert_eq!(answer, Ok(Version(1)));
    assert_eq!(seen, Some((Version(1), "1".to_owned())), "it was answered, and nobody sees it");
    assert!(took > Duration::from_millis(300) && took < Duration::from_secs(4), "{took:?}");
    let late = commit(&*older, put("a", first, "2")).await;
    assert!(matches!(late, Err(Error::Fenced(_))), "{late:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_shards_are_raised_at_once_and_as_fast_when_plans_are_kept() {
    const SHARDS: u16 = 8192;
    let databases = Databases::find();
    let url = Some(databases.database());
    let config = Config { url, shards: SHARDS, ..Config::default() };
    let store = wasmverse_store::open(&config).await.unwrap();
    // The server keeps a plan from the sixth time on.
    for epoch in 0..8 {
        let shards = (0..SHARDS).map(|shard| (ShardId(shard), Epoch(epoch))).collect();
        let begun = Instant::now();
        let raised = store.raise(owner("one"), shards).await.unwrap();
        let took = begun.elapsed();
        assert!(raised.iter().all(|raised| *raised == Raised::To(Epoch(epoch + 1))));
        assert!(took < STATEMENT, "{took:?} from epoch {epoch}");
    }
}

/// Run by [`a_process_that_is_stopped_changes_nothing_after_a_claim`], with the URL of its database.
const OLDER: &str = "WASMVERSE_TEST_OLDER_WRITER";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_is_stopped_changes_nothing_after_a_claim() {
    if let Ok(url) = std::env::var(OLDER) {
        return write_for_ever(&url).await;
    }
    let databases = Databases::find();
    let url = databases.database();
    let newer = open(&url).await.unwrap();
    for round in 0..12_u64 {
        let (mut older, mut said) = OlderWriter::start(&url);
        // It has written at least once.
        assert!(said.by_ref().map_while(Result::ok).any(|line| line.contains("wrote")));
        tokio::time::sleep(Duration::from_millis(37 * round % 101)).await;
        older.signal("STOP");
        let begun = Instant::now();
        let claimed = newer.claim(owner("newer"), vec![(SHARD, Epoch(0))]).await.unwrap();
        let took = begun.elapsed();
        assert!(took < STATEMENT, "a stopped process delayed the claim by {took:?}");
        let before: Vec<_> = versions(&*newer).await;
        older.signal("CONT");
        // It is refused, and says so.
        let last = said.by_ref().map_while(Result::ok).find(|line| line.contains("refused"));
        assert!(last.is_some_and(|line| line.contains("claimed by another")), "round {round}");
        assert_eq!(versions(&*newer).await, before, "round {round}: it wrote after the claim");
        older.end();
        commit(&*newer, put("0", claimed[0].1, "0")).await.unwrap();
    }
}

async fn versions(store: &dyn wasmverse_store::Store) -> Vec<Option<Version>> {
    let mut versions = Vec::new();
    for n in 0..ROWS {
        let found = store.load(&object(&n.to_string())).await.unwrap();
        versions.push(found.map(|found| found.version));
    }
    versions
}

const ROWS: usize = 50;

struct OlderWriter(Child);

impl OlderWriter {
    fn start(url: &str) -> (Self, std::io::Lines<BufReader<std::process::ChildStdout>>) {
        let test = "a_process_that_is_stopped_changes_nothing_after_a_claim";
        let name = std::thread::current().name().map(ToOwned::to_owned);
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([name.as_deref().filter(|name| name.ends_with(test)).unwrap_or(test)])
            .args(["--nocapture", "--test-threads=1"])
            .env(OLDER, url)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let said = std::io::BufRead::lines(BufReader::new(child.stdout.take().unwrap()));
        let mut lines = said;
        // The harness speaks first.
        let _ = lines.by_ref().map_while(Result::ok).find(|line| line.contains("begins"));
        (Self(child), lines)
    }

    fn signal(&self, signal: &str) {
        let pid = self.0.id().to_string();
        let sent = Command::new("kill").args([&format!("-{signal}"), &pid]).status().unwrap();
        assert!(sent.success());
    }

    fn end(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for OlderWriter {
    fn drop(&mut self) {
        self.end();
    }
}

/// Claims, and writes the same rows again and again, until it is refused.
async fn write_for_ever(url: &str) {
    let store = open(url).await.unwrap();
    println!("\nbegins");
    let epoch = claim(&*store, "older").await;
    for n in 0.. {
        let rows = (0..ROWS).map(|row| put(&row.to_string(), epoch, &n.to_string())).collect();
        let answers = store.commit(rows).await.unwrap();
        if let Some(error) = answers.iter().find_map(|answer| answer.as_ref().err()) {
            assert!(answers.iter().all(Result::is_err), "half of it is refused");
            println!("\nrefused: {error}");
            return;
        }
        if n == 0 {
            println!("\nwrote");
        }
    }
}
