//! What is kept beside objects, where many nodes share a database: each thing is had once, nobody
//! stands in the way of anybody, and it costs the same however much there is.

use std::time::{Duration, Instant};

use futures_util::future::{join, join_all};
use wasmverse_core::{Epoch, SendNumber, ShardId, Version};
use wasmverse_store::{
    Change, Commit, Effect, Error, KeptResult, NewReminder, NewSend, ResultKey, SendId,
};
use wasmverse_tests::postgres::{Databases, query};

use crate::rows::{SHARD, claim, commit, object, open, owner, put};

fn send(to: &str) -> Effect {
    Effect::Send(NewSend { to: object(to), method: "m".into(), payload: "p".into() })
}

fn sent(from: &str, place: u64) -> SendId {
    let number = SendNumber { version: Version(1), place };
    SendId { shard: SHARD, from: object(from), number }
}

fn key(of: &str) -> ResultKey {
    ResultKey { origin: "me".to_owned(), key: of.to_owned() }
}

fn keep(of: &str) -> Effect {
    Effect::Result(KeptResult { key: key(of), asked: [1; 16], answer: "yes".into() })
}

fn remind(name: &str, due_micros: i64) -> Effect {
    Effect::Remind(NewReminder {
        name: name.into(),
        when: "w".into(),
        method: "m".into(),
        payload: "p".into(),
        due_micros,
    })
}

fn fired(name: &str, due_micros: i64, next_micros: Option<i64>) -> Effect {
    Effect::Fired { name: name.into(), due_micros, next_micros, dead: None }
}

fn with(row: Commit, effects: impl IntoIterator<Item = Effect>) -> Commit {
    Commit { effects: effects.into_iter().collect(), ..row }
}

fn beside(id: &str, epoch: Epoch, effects: impl IntoIterator<Item = Effect>) -> Commit {
    let row = with(put(id, epoch, ""), effects);
    Commit { change: Change::Nothing, storage: Vec::new(), ..row }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_send_is_had_once_whoever_takes_it_or_gives_it_up() {
    const SENDS: u64 = 60;
    let databases = Databases::find();
    let url = databases.database();
    let stores = [open(&url).await.unwrap(), open(&url).await.unwrap(), open(&url).await.unwrap()];
    let mine = claim(&*stores[0], "one").await;
    let mut shards = [(SHARD, mine); 3];
    for (n, store) in (1_u16..).zip(&stores[1..]) {
        let shard = ShardId(SHARD.0 + n);
        let owner = owner(&n.to_string());
        let claimed = store.claim(owner, vec![(shard, Epoch(0))]).await.unwrap();
        shards[usize::from(n)] = claimed[0];
    }
    let sends = (0..SENDS).map(|_| send("a"));
    commit(&*stores[0], with(put("a", mine, "1"), sends)).await.unwrap();
    // Each node wants all of them, in its own order, and the first gives them up.
    let taking = stores.iter().enumerate().map(|(node, store)| {
        let (shard, epoch) = shards[node];
        let rows = (0..SENDS).map(|n| {
            let place = (n * [1, 7, 11][node] + 13 * node as u64) % SENDS;
            let send = sent("a", place);
            let effect = match node {
                0 => Effect::Dead { send, reason: "no".to_owned() },
                _ => Effect::Arrived(send),
            };
            let row = put(&format!("{node}-{place}"), epoch, &place.to_string());
            with(Commit { shard, ..row }, [effect])
        });
        let rows: Vec<Commit> = rows.collect();
        async move {
            let chunks = rows.chunks(7).map(|chunk| store.commit(chunk.to_vec()));
            let mut had = 0;
            for answers in join_all(chunks).await {
                for answer in answers.unwrap() {
                    match answer {
                        Ok(_) => had += 1,
                        Err(Error::Repeated(_)) => {}
                        Err(error) => panic!("{error}"),
                    }
                }
            }
            had
        }
    });
    let had: Vec<u64> = join_all(taking).await;
    assert_eq!(had.iter().sum::<u64>(), SENDS, "{had:?}");
    let status = stores[0].status().await.unwrap();
    assert_eq!((status.sends, status.dead_letters), (0, had[0]));
    // Whoever had one has written its row, and nobody else.
    assert_eq!(status.objects, [("T".to_owned(), SENDS + 1)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_that_settle_the_same_sends_in_different_orders_never_wait_for_each_other() {
    const SENDS: u64 = 100;
    let databases = Databases::find();
    let url = databases.database();
    let stores = [open(&url).await.unwrap(), open(&url).await.unwrap()];
    let slow = "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
            PERFORM pg_sleep(0.002); RETURN old; END $$; \
        CREATE TRIGGER slow BEFORE DELETE ON outbox FOR EACH ROW EXECUTE FUNCTION slow()";
    query(&url, slow).unwrap();
    let mine = claim(&*stores[0], "one").await;
    let claimed = stores[1].claim(owner("two"), vec![(ShardId(SHARD.0 + 1), Epoch(0))]).await;
    let shards = [(SHARD, mine), claimed.unwrap()[0]];
    for from in ["a", "b", "c"] {
        let sends = (0..SENDS).map(|_| send("x"));
        commit(&*stores[0], with(put(from, mine, "1"), sends)).await.unwrap();
        // One begins at the one end, the other at the other: each in one statement.
        let settling = stores.iter().zip(shards).enumerate().map(|(node, (store, of))| {
            let rows = (0..SENDS).map(|n| {
                let place = if node == 0 { n } else { SENDS - 1 - n };
                let row = beside(&place.to_string(), of.1, [Effect::Arrived(sent(from, place))]);
                Commit { shard: of.0, ..row }
            });
            store.commit(rows.collect())
        });
        let answers = join_all(settling).await.into_iter().flat_map(Result::unwrap);
        let (had, late): (Vec<_>, Vec<_>) = answers.partition(Result::is_ok);
        assert!(late.iter().all(|answer| matches!(answer, Err(Error::Repeated(_)))), "{late:?}");
        assert_eq!((had.len() as u64, late.len() as u64), (SENDS, SENDS));
    }
    for store in stores {
        store.close().await.unwrap();
    }
    // The server has counted what its sessions met once they are gone.
    let sessions = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'wasmverse' \
                    AND datname = current_database()";
    while query(&url, sessions).unwrap().trim() != "0" {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let deadlocks = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()";
    assert_eq!(query(&url, deadlocks).unwrap().trim(), "0");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_forgets_waits_for_nobody_and_nobody_for_long() {
    let databases = Databases::find();
    let url = databases.database();
    let store = open(&url).await.unwrap();
    let epoch = claim(&*store, "one").await;
    commit(&*store, with(put("a", epoch, "1"), [keep("k")])).await.unwrap();
    assert!(store.forget_results(Duration::ZERO).await.unwrap());
    // Somebody looks at all of them, and takes the time.
    let looking = tokio::task::spawn_blocking({
        let url = url.clone();
        move || query(&url, "BEGIN; SELECT count(*) FROM results; SELECT pg_sleep(3)").unwrap()
    });
    let looks = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep' \
                 AND datname = current_database()";
    while query(&url, looks).unwrap().trim() == "0" {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let begun = Instant::now();
    let forgetting = async {
        for _ in 0..5 {
            assert!(!store.forget_results(Duration::ZERO).await.unwrap());
        }
    };
    let others = async {
        for n in 0..20 {
            let of = n.to_string();
            commit(&*store, beside("a", epoch, [keep(&of)])).await.unwrap();
            assert!(store.result(&object("a"), &key(&of)).await.unwrap().is_some());
        }
    };
    join(forgetting, others).await;
    assert!(begun.elapsed() < Duration::from_millis(2500), "it took {:?}", begun.elapsed());
    looking.await.unwrap();
    for _ in 0..8 {
        assert!(store.forget_results(Duration::ZERO).await.unwrap());
    }
    assert!(store.result(&object("a"), &key("k")).await.unwrap().is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn results_are_kept_for_as_long_as_is_said_and_for_what_waits() {
    let outbox = "INSERT INTO outbox VALUES (3, 'T', 'x', 1, 0, 'T', 'x', 'm', '', ";
    let reminder = "INSERT INTO reminders VALUES ('T', 'x', 'r', 3, 'w', 'm', '', ";
    let databases = Databases::find();
    // The result's span ended so many hours ago, and the current one began.
    for (ended, current, waits, forgotten) in [
        (28.0, 4.1, None, true),
        (28.0, 3.9, None, false),
        (23.9, 4.1, None, false),
        (28.0, 4.1, Some((outbox, 28.1)), false),
        (28.0, 4.1, Some((outbox, 27.9)), true),
        (28.0, 4.1, Some((reminder, 400.0)), false),
        (28.0, 4.1, Some((reminder, 27.995)), false),
        (28.0, 4.1, Some((reminder, 27.9)), true),
        (28.0, 4.1, Some((reminder, -1.0)), true),
    ] {
        let url = databases.database();
        let store = open(&url).await.unwrap();
        let epoch = claim(&*store, "one").await;
        commit(&*store, with(put("a", epoch, "1"), [keep("k")])).await.unwrap();
        let ago = |hours: f64| format!("now_micros() - ({hours} * 3600000000)::bigint");
        let spans = format!(
            "UPDATE result_spans SET began_at = CASE span WHEN 0 THEN {} WHEN 7 THEN {} ELSE {} END",
            ago(32.0),
            ago(current),
            ago(ended)
        );
        query(&url, &spans).unwrap();
        if let Some((insert, hours)) = waits {
            query(&url, &format!("{insert} {})", ago(hours))).unwrap();
        }
        let forgot = store.forget_results(Duration::from_secs(24 * 3600)).await.unwrap();
        let there = store.result(&object("a"), &key("k")).await.unwrap().is_some();
        assert_eq!((forgot, there), (forgotten, !forgotten), "{ended} {current} {waits:?}");
        store.close().await.unwrap();
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
async fn what_goes_with_a_row_costs_the_same_however_much_there_is() {
    const ROUNDS: u64 = 100;
    let databases = Databases::find();
    let url = databases.database();
    let store = open(&url).await.unwrap();
    let epoch = claim(&*store, "one").await;
    // Plans are made while there is nothing.
    let first = [send("a"), remind("r", 0), keep("0")];
    commit(&*store, with(put("a", epoch, "1"), first)).await.unwrap();
    let ends = [Effect::Arrived(sent("a", 0)), fired("r", 0, Some(1))];
    commit(&*store, beside("a", epoch, ends)).await.unwrap();
    let fill = "INSERT INTO outbox SELECT 3, 'T', 'a', 1, n, 'T', 'a', 'm', 'p', 1 \
                    FROM generate_series(1, 5000) n; \
                INSERT INTO reminders SELECT 'T', 'a', 'x' || n, 3, 'w', 'm', 'p', n % 7 \
                    FROM generate_series(1, 5000) n; \
                INSERT INTO results SELECT 0, hash, type, id, origin, 'x' || n, asked, answer, n \
                    FROM results, generate_series(1, 10) n";
    query(&url, fill).unwrap();
    for n in 0..ROUNDS {
        let due = i64::try_from(n).unwrap() + 1;
        let effects = [
            Effect::Arrived(sent("a", n * 37 % 5000 + 1)),
            fired("r", due, Some(due + 1)),
            remind("s", due),
            keep(&due.to_string()),
        ];
        commit(&*store, beside("a", epoch, effects)).await.unwrap();
    }
    store.close().await.unwrap();
    let sessions = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
                    AND application_name = 'wasmverse'";
    while query(&url, sessions).unwrap().trim() != "0" {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    for (index, most) in [
        ("outbox_pkey", 20),
        ("reminders_pkey", 20),
        ("reminders_due", 20),
        ("results_0_hash_idx", 20),
    ] {
        let read = entries_read(&url, index);
        assert!(read < ROUNDS * most, "{index}: {read} entries were read");
    }
}
