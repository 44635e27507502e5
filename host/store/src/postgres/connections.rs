//! Connections: how they are made, waited for, tried again, and given up.

use std::{
    fmt,
    str::FromStr as _,
    time::{Duration, Instant},
};

use futures_util::{FutureExt as _, future::BoxFuture};
use sqlx::{
    ConnectOptions as _, Connection as _, PgConnection, PgPool, Postgres,
    pool::PoolConnection,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use tokio::time::timeout;

use super::{failure, failure::Failed, writer::IN_FLIGHT};
use crate::{Answer, Error, metrics};

/// How long a connection, or the server, is waited for before a caller is told that it is away.
const PATIENCE: Duration = Duration::from_secs(3);
/// Pauses between attempts: the first, and the longest.
const PAUSE_MIN: Duration = Duration::from_millis(20);
const PAUSE_MAX: Duration = Duration::from_millis(500);
/// How long a statement may take before the server ends it, and before we no longer wait for the
/// server's word.
const STATEMENT: Duration = Duration::from_secs(10);
const ANSWER: Duration = Duration::from_secs(12);
/// A connection that was idle for longer is asked whether it lives before it is used.
const TRUSTED: Duration = Duration::from_millis(100);
/// How often a statement that others are in the way of is tried.
const ATTEMPTS: u32 = 10;

/// The connections to one database.
pub(super) struct Connections {
    /// The database, without who and their password.
    pub(super) name: String,
    /// For what is read, and what is seldom written.
    pool: PgPool,
    /// For commits, so that they never stand behind reads.
    commits: PgPool,
}

impl fmt::Debug for Connections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connections").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Connections {
    /// Makes none yet.
    pub(super) fn new(url: &str, connections_max: u32) -> Result<Self, Error> {
        // What is wrong with it is not told: it may hold a password.
        let options = PgConnectOptions::from_str(url).map_err(|_| {
            Error::NotOurs(
                "store.url cannot be read: write `postgres://USER:PASSWORD@HOST:PORT/DATABASE`"
                    .to_owned(),
            )
        })?;
        let (host, port) = (options.get_host(), options.get_port());
        let database = options.get_database().unwrap_or_else(|| options.get_username());
        let name = format!("postgres://{host}:{port}/{database}");
        let milliseconds = STATEMENT.as_millis().to_string();
        let options = options
            .application_name("wasmverse")
            .options([
                ("statement_timeout", milliseconds.as_str()),
                ("default_transaction_isolation", "read committed"),
            ])
            .disable_statement_logging();
        // Plans of commits are kept for good, and made when tables may be small: whatever their
        // size, rows are found by an index.
        let planned = options.clone().options([
            ("enable_seqscan", "off"),
            ("plan_cache_mode", "force_generic_plan"),
            ("synchronous_commit", "on"),
        ]);
        let others = connections_max.saturating_sub(IN_FLIGHT).max(1);
        Ok(Self { name, pool: pool(others, options), commits: pool(IN_FLIGHT, planned) })
    }

    /// Reads, and tries again for a while if the connection breaks or there is none.
    pub(super) fn read<'a, A: Send + Sync + 'a, T: Send + 'a>(
        &'a self,
        asked: A,
        work: impl for<'c> Fn(&'c mut PgConnection, &'c A) -> BoxFuture<'c, Result<T, Error>>
        + Send
        + Sync
        + 'a,
    ) -> Answer<'a, T> {
        async move {
            let (begun, mut pause) = (Instant::now(), PAUSE_MIN);
            loop {
                let failed = match self.attempt(&asked, &work).await {
                    Ok(answer) => return Ok(answer),
                    Err(error) => error,
                };
                let again = matches!(failed, Error::Unavailable(_)) && !self.pool.is_closed();
                if !again || begun.elapsed() + pause > PATIENCE {
                    return Err(failed).inspect_err(metrics::failed);
                }
                metrics::repeated("read");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(PAUSE_MAX);
            }
        }
        .boxed()
    }

    async fn attempt<A, T>(
        &self,
        asked: &A,
        work: &(impl for<'c> Fn(&'c mut PgConnection, &'c A) -> BoxFuture<'c, Result<T, Error>> + Sync),
    ) -> Result<T, Error> {
        let mut connection = acquire(&self.pool).await?;
        match timeout(ANSWER, work(&mut connection, asked)).await {
            Ok(answer) => answer,
            Err(_) => {
                // Who knows what it would answer to the next one.
                drop(connection.detach());
                Err(Error::Unavailable("the database does not answer".to_owned()))
            }
        }
    }

    /// Writes with one statement, and tries again while others are in its way.
    pub(super) async fn write<A, T>(
        &self,
        told: &A,
        work: impl for<'c> Fn(&'c mut PgConnection, &'c A) -> BoxFuture<'c, Result<T, Failed>>,
    ) -> Result<T, Error> {
        write(&self.pool, told, work).await
    }

    /// The same, on the connections for commits.
    pub(super) async fn commit<A, T>(
        &self,
        told: &A,
        work: impl for<'c> Fn(&'c mut PgConnection, &'c A) -> BoxFuture<'c, Result<T, Failed>>,
    ) -> Result<T, Error> {
        write(&self.commits, told, work).await
    }

    /// A connection, for something that takes long.
    pub(super) async fn acquire(&self) -> Result<PoolConnection<Postgres>, Error> {
        acquire(&self.pool).await
    }

    pub(super) async fn close(&self) {
        self.commits.close().await;
        self.pool.close().await;
    }
}

async fn write<A, T>(
    pool: &PgPool,
    told: &A,
    work: impl for<'c> Fn(&'c mut PgConnection, &'c A) -> BoxFuture<'c, Result<T, Failed>>,
) -> Result<T, Error> {
    for attempt in 1..=ATTEMPTS {
        let mut connection = acquire(pool).await?;
        match timeout(ANSWER, work(&mut connection, told)).await {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(Failed::NotDone(error))) => return Err(error),
            Ok(Err(Failed::Unknown(error))) => {
                drop(connection.detach());
                return Err(error);
            }
            Err(_) => {
                drop(connection.detach());
                return Err(Error::Unknown("the database does not answer".to_owned()));
            }
            Ok(Err(Failed::InTheWay)) => {
                metrics::repeated("in-the-way");
                drop(connection);
                tokio::time::sleep(PAUSE_MIN * attempt / 4).await;
            }
        }
    }
    Err(Error::Unavailable("others are in the way".to_owned()))
}

/// A connection that works, as far as one can know. Tries for a while to make one.
async fn acquire(pool: &PgPool) -> Result<PoolConnection<Postgres>, Error> {
    let (begun, mut pause) = (Instant::now(), PAUSE_MIN);
    loop {
        let failed = match pool.acquire().await {
            Ok(connection) => {
                metrics::connected(begun);
                return Ok(connection);
            }
            Err(error) => failure::of(&error),
        };
        let again = matches!(failed, Error::Unavailable(_)) && !pool.is_closed();
        if !again || begun.elapsed() + pause > PATIENCE {
            return Err(failed);
        }
        metrics::repeated("connect");
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

fn pool(connections: u32, options: PgConnectOptions) -> PgPool {
    PgPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(PATIENCE)
        .idle_timeout(None)
        .test_before_acquire(false)
        .before_acquire(|connection, meta| {
            async move {
                if meta.idle_for < TRUSTED {
                    return Ok(true);
                }
                Ok(matches!(timeout(PATIENCE, connection.ping()).await, Ok(Ok(()))))
            }
            .boxed()
        })
        .connect_lazy_with(options)
}
