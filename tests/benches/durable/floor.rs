//! The floor: callers in one process whose changes gather for one statement while the one before is
//! under way, and nothing else: no objects, no sandbox, no network before it.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use axum::{
    Router,
    extract::{Path, State},
    routing::post,
};
use parking_lot::Mutex;
use sqlx::{
    Connection as _, PgConnection, SqliteConnection,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous},
};
use tokio::sync::{mpsc, oneshot};
use tokio_util::task::TaskTracker;

use super::{
    Kind, OBJECTS, Row,
    system::{Load, bench},
};

/// A caller's change: the object, and its new value.
type Change = (i64, i64, oneshot::Sender<()>);

/// Where the changes go.
enum Database {
    Sqlite(
        SqliteConnection,
        #[expect(dead_code, reason = "it is removed in the end")] tempfile::TempDir,
    ),
    Postgres(PgConnection),
}

/// The same behind HTTP: what answers `Counter.add` where gate and node would, for the same client.
pub(crate) fn serve(url: Option<String>, load: &Load) -> anyhow::Result<Row> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let address = runtime.block_on(async {
        let database = Database::open(url).await?;
        let (sender, receiver) = mpsc::channel(1024);
        let counters = Arc::new(Counters { values: Mutex::default(), changes: sender });
        let add = async |State(counters): State<Arc<Counters>>, Path(id), body: String| {
            counters.add(id, &body).await
        };
        let router = Router::new().route("/v1/objects/Counter/{id}/add", post(add));
        let router = router.with_state(counters);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let tasks = TaskTracker::new();
        tasks.spawn(write(database, receiver));
        tasks.spawn(axum::serve(listener, router).into_future());
        anyhow::Ok(address)
    })?;
    bench(&format!("http://{address}"), load)
}

struct Counters {
    values: Mutex<HashMap<String, (i64, i64)>>,
    changes: mpsc::Sender<Change>,
}

impl Counters {
    /// Answers the new value once it is stored.
    async fn add(&self, id: String, by: &str) -> Result<String, axum::http::StatusCode> {
        let by: i64 = by.trim().parse().map_err(|_| axum::http::StatusCode::BAD_REQUEST)?;
        let (number, value) = {
            let mut values = self.values.lock();
            let next = i64::try_from(values.len()).unwrap_or(i64::MAX) % i64::from(OBJECTS);
            let (number, value) = values.entry(id).or_insert((next, 0));
            *value += by;
            (*number, *value)
        };
        let (answer, answered) = oneshot::channel();
        let gone = axum::http::StatusCode::SERVICE_UNAVAILABLE;
        self.changes.send((number, value, answer)).await.map_err(|_| gone)?;
        answered.await.map_err(|_| gone)?;
        Ok(value.to_string())
    }
}

/// So many callers, each with an object of its own, for so long. None: SQLite.
pub(crate) fn measure(url: Option<String>, callers: u32, time: Duration) -> anyhow::Result<Row> {
    let kind = if url.is_some() { Kind::Postgres } else { Kind::Sqlite };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let mut spans = runtime.block_on(async move {
        let database = Database::open(url).await?;
        let tasks = TaskTracker::new();
        let (sender, receiver) = mpsc::channel(1024);
        let writing = tasks.spawn(write(database, receiver));
        let until = Instant::now() + time;
        let callers: Vec<_> =
            (0..callers).map(|n| tasks.spawn(call(n, sender.clone(), until))).collect();
        drop(sender);
        let mut spans = Vec::new();
        for caller in callers {
            spans.extend(caller.await?);
        }
        writing.await??;
        anyhow::Ok(spans)
    })?;
    spans.sort();
    let at = |percent: usize| {
        let span = spans.get(spans.len() * percent / 100).context("calls were made")?;
        anyhow::Ok(u64::try_from(span.as_micros())?)
    };
    Ok(Row {
        name: format!("bare group commit ({kind:?}), {callers} callers"),
        #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
        calls_per_second: spans.len() as f64 / time.as_secs_f64(),
        p50: at(50)?,
        p99: at(99)?,
    })
}

async fn call(number: u32, changes: mpsc::Sender<Change>, until: Instant) -> Vec<Duration> {
    let mut spans = Vec::new();
    for value in 1.. {
        let began = Instant::now();
        if began >= until {
            break;
        }
        let (answer, answered) = oneshot::channel();
        let sent = changes.send((i64::from(number % OBJECTS), value, answer)).await;
        if sent.is_err() || answered.await.is_err() {
            break;
        }
        spans.push(began.elapsed());
    }
    spans
}

/// What gathers while one statement is under way becomes the next one.
async fn write(mut database: Database, mut changes: mpsc::Receiver<Change>) -> anyhow::Result<()> {
    let mut group = Vec::new();
    while changes.recv_many(&mut group, 1024).await > 0 {
        let ids: Vec<i64> = group.iter().map(|(id, ..)| *id).collect();
        let values: Vec<i64> = group.iter().map(|(_, value, _)| *value).collect();
        database.update(&ids, &values).await?;
        for (_, _, answer) in group.drain(..) {
            let _ = answer.send(());
        }
    }
    Ok(())
}

const TABLE: &str =
    "CREATE TABLE counters (id BIGINT PRIMARY KEY, value BIGINT NOT NULL, version BIGINT NOT NULL)";

impl Database {
    async fn open(url: Option<String>) -> anyhow::Result<Self> {
        if let Some(url) = url {
            let mut connection = PgConnection::connect(&url).await?;
            sqlx::query(TABLE).execute(&mut connection).await?;
            sqlx::query("INSERT INTO counters SELECT n, 0, 0 FROM generate_series(0, $1) n")
                .bind(i64::from(OBJECTS))
                .execute(&mut connection)
                .await?;
            return Ok(Self::Postgres(connection));
        }
        let folder = tempfile::tempdir()?;
        let options = SqliteConnectOptions::new()
            .filename(folder.path().join("floor.db"))
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full);
        let mut connection = SqliteConnection::connect_with(&options).await?;
        sqlx::query(TABLE).execute(&mut connection).await?;
        for id in 0..=OBJECTS {
            let insert = sqlx::query("INSERT INTO counters VALUES (?, 0, 0)");
            insert.bind(id).execute(&mut connection).await?;
        }
        Ok(Self::Sqlite(connection, folder))
    }

    /// One autocommitted statement.
    async fn update(&mut self, ids: &[i64], values: &[i64]) -> anyhow::Result<()> {
        match self {
            Self::Postgres(connection) => {
                let update = "UPDATE counters c SET value = i.value, version = version + 1 \
                              FROM unnest($1::bigint[], $2::bigint[]) AS i (id, value) \
                              WHERE c.id = i.id";
                sqlx::query(update).bind(ids).bind(values).execute(connection).await?;
            }
            Self::Sqlite(connection, _) => {
                let update = "UPDATE counters SET value = i.value ->> 1, version = counters.version + 1 \
                              FROM json_each(?) AS i WHERE counters.id = i.value ->> 0";
                let pairs: Vec<_> = ids.iter().zip(values).collect();
                let pairs = serde_json::to_string(&pairs)?;
                sqlx::query(update).bind(pairs).execute(connection).await?;
            }
        }
        Ok(())
    }
}
