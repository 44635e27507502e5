//! Connections: how they are made, waited for, tried again, and given up.

use std::{
    fmt,
    str::FromStr as _,
    time::{Duration, Instant},
};

use futures_util::{FutureExt as _, future::BoxFuture};
use sqlx::{ConnectOptions as _, PgConnection, postgres::PgConnectOptions};
use tokio::time::timeout;

use super::{
    failure::Failed,
    pool::{Lent, PATIENCE, PAUSE_MAX, PAUSE_MIN, Pool},
    writer::IN_FLIGHT,
};
use crate::{Answer, Error, metrics};

/// How long a statement may take before the server ends it, and before we no longer wait for the
/// server's word.
const STATEMENT: Duration = Duration::from_secs(10);
const ANSWER: Duration = Duration::from_secs(12);
/// How often a statement that others are in the way of is tried.
const ATTEMPTS: u32 = 10;

/// The connections to one database.
pub(super) struct Connections {
    /// The database, without who and their password.
    pub(super) name: String,
    /// For what is read, and what is seldom written.
    pool: Pool,
    /// For commits, so that they never stand behind reads.
    commits: Pool,
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
        Ok(Self { name, pool: Pool::new(options, others), commits: Pool::new(planned, IN_FLIGHT) })
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
        let mut lent = self.pool.acquire().await?;
        let Ok(answer) = timeout(ANSWER, work(&mut lent.connection, asked)).await else {
            return Err(Error::Unavailable("the database does not answer".to_owned()));
        };
        if !matches!(answer, Err(Error::Unavailable(_))) {
            self.pool.give_back(lent);
        }
        answer
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

    /// A connection, for something that takes long; it is not used again.
    pub(super) async fn acquire(&self) -> Result<Lent, Error> {
        self.pool.acquire().await
    }

    pub(super) async fn close(&self) {
        self.commits.close().await;
        self.pool.close().await;
    }
}

async fn write<A, T>(
    pool: &Pool,
    told: &A,
    work: impl for<'c> Fn(&'c mut PgConnection, &'c A) -> BoxFuture<'c, Result<T, Failed>>,
) -> Result<T, Error> {
    for attempt in 1..=ATTEMPTS {
        let mut lent = pool.acquire().await?;
        let Ok(answer) = timeout(ANSWER, work(&mut lent.connection, told)).await else {
            return Err(Error::Unknown("the database does not answer".to_owned()));
        };
        match answer {
            Err(Failed::Unknown(error)) => return Err(error),
            Err(Failed::NotDone(error)) => {
                pool.give_back(lent);
                return Err(error);
            }
            Err(Failed::InTheWay) => pool.give_back(lent),
            Ok(answer) => {
                pool.give_back(lent);
                return Ok(answer);
            }
        }
        metrics::repeated("in-the-way");
        tokio::time::sleep(PAUSE_MIN * attempt / 4).await;
    }
    Err(Error::Unavailable("others are in the way".to_owned()))
}
