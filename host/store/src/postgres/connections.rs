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
    pool::{Lent, Limit, PATIENCE, PAUSE_MAX, PAUSE_MIN, Pool},
    writer::IN_FLIGHT,
};
use crate::{Answer, Error, metrics};

/// How long statements may take before the server ends them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// One that reads, or that writes whatever has gathered.
    pub statement: Duration,
    /// One that writes a single row of those that took too long together.
    pub apart: Duration,
    /// One that writes a row that was too slow for that; meanwhile others are written.
    pub slow: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        let [statement, apart, slow] = [10, 1, 120].map(Duration::from_secs);
        Self { statement, apart, slow }
    }
}

/// How long the server's word is waited for once it should have ended a statement.
const GRACE: Duration = Duration::from_secs(2);
/// How often a statement that others are in the way of is tried.
const ATTEMPTS: u32 = 10;

/// The connections to one database.
pub(super) struct Connections {
    /// The database, without who and their password.
    pub(super) name: String,
    pub(super) limits: Limits,
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
    pub(super) fn new(url: &str, connections_max: u32, limits: Limits) -> Result<Self, Error> {
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
        let milliseconds = limits.statement.as_millis().to_string();
        let options = options
            .application_name("wasmverse")
            .options([
                ("statement_timeout", milliseconds.as_str()),
                ("default_transaction_isolation", "read committed"),
            ])
            .disable_statement_logging();
        // Plans of commits are kept for good, and made when tables may be small: whatever their
        // size, rows are found by an index. What cannot be is taken to cost very much: it is not to
        // be compiled for that.
        let planned = options.clone().options([
            ("enable_seqscan", "off"),
            ("jit", "off"),
            ("plan_cache_mode", "force_generic_plan"),
            ("synchronous_commit", "on"),
        ]);
        let others = connections_max.saturating_sub(IN_FLIGHT).max(1);
        let limit = Some(limits.statement);
        let pool = Pool::new(options, others, limit);
        Ok(Self { name, limits, pool, commits: Pool::new(planned, IN_FLIGHT, limit) })
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
        self.read_within(Some(self.limits.statement), asked, work)
    }

    /// The same, for as long as it takes.
    pub(super) fn read_at_length<'a, A: Send + Sync + 'a, T: Send + 'a>(
        &'a self,
        asked: A,
        work: impl for<'c> Fn(&'c mut PgConnection, &'c A) -> BoxFuture<'c, Result<T, Error>>
        + Send
        + Sync
        + 'a,
    ) -> Answer<'a, T> {
        self.read_within(None, asked, work)
    }

    fn read_within<'a, A: Send + Sync + 'a, T: Send + 'a>(
        &'a self,
        limit: Limit,
        asked: A,
        work: impl for<'c> Fn(&'c mut PgConnection, &'c A) -> BoxFuture<'c, Result<T, Error>>
        + Send
        + Sync
        + 'a,
    ) -> Answer<'a, T> {
        async move {
            let (begun, mut pause) = (Instant::now(), PAUSE_MIN);
            loop {
                let failed = match self.attempt(limit, &asked, &work).await {
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
        limit: Limit,
        asked: &A,
        work: &(impl for<'c> Fn(&'c mut PgConnection, &'c A) -> BoxFuture<'c, Result<T, Error>> + Sync),
    ) -> Result<T, Error> {
        let mut lent = self.pool.acquire(limit).await?;
        let Some(answer) = in_time(limit, work(&mut lent.connection, asked)).await else {
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
        let written = write(&self.pool, self.limits.statement, told, work).await;
        written.map_err(Failed::error)
    }

    /// The same, on the connections for commits.
    pub(super) async fn commit<A, T>(
        &self,
        limit: Duration,
        told: &A,
        work: impl for<'c> Fn(&'c mut PgConnection, &'c A) -> BoxFuture<'c, Result<T, Failed>>,
    ) -> Result<T, Failed> {
        write(&self.commits, limit, told, work).await
    }

    /// Ends all sessions of which nobody knows whether they write still.
    pub(super) async fn settle(&self) -> Result<(), Error> {
        for doubts in [&self.commits.doubts, &self.pool.doubts] {
            for session in doubts.all() {
                self.read(session.clone(), |c, session| session.end(c).boxed()).await?;
                doubts.remove(&session);
            }
        }
        Ok(())
    }

    /// A connection, for something that takes long; it is not used again.
    pub(super) async fn acquire_at_length(&self) -> Result<Lent, Error> {
        self.pool.acquire(None).await
    }

    pub(super) async fn close(&self) {
        self.commits.close().await;
        self.pool.close().await;
    }
}

async fn write<A, T>(
    pool: &Pool,
    limit: Duration,
    told: &A,
    work: impl for<'c> Fn(&'c mut PgConnection, &'c A) -> BoxFuture<'c, Result<T, Failed>>,
) -> Result<T, Failed> {
    let limit = Some(limit);
    for attempt in 1..=ATTEMPTS {
        let mut lent = pool.acquire(limit).await.map_err(Failed::NotDone)?;
        let Some(answer) = in_time(limit, work(&mut lent.connection, told)).await else {
            pool.doubts.add(lent.session);
            let told = "the database does not answer".to_owned();
            return Err(Failed::Unknown(Error::Unknown(told)));
        };
        match answer {
            Err(Failed::Unknown(error)) => {
                pool.doubts.add(lent.session);
                return Err(Failed::Unknown(error));
            }
            Err(Failed::InTheWay) => pool.give_back(lent),
            answered => {
                pool.give_back(lent);
                return answered;
            }
        }
        metrics::repeated("in-the-way");
        tokio::time::sleep(PAUSE_MIN * attempt / 4).await;
    }
    Err(Failed::InTheWay)
}

/// None: it took longer than the server lets it take.
async fn in_time<T>(limit: Limit, work: impl Future<Output = T>) -> Option<T> {
    match limit {
        Some(limit) => timeout(limit + GRACE, work).await.ok(),
        None => Some(work.await),
    }
}
