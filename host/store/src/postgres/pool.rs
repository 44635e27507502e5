//! Connections that are lent one at a time.
//!
//! Not sqlx's pool: that one asks the server after every use whether the connection still lives,
//! which is a way there and back for every commit.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use sqlx::{AssertSqlSafe, Connection as _, PgConnection, postgres::PgConnectOptions};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use super::{
    doubt::{Doubts, Session},
    failure,
};
use crate::{Error, metrics};

/// How long a connection, or the server, is waited for before a caller is told that it is away.
pub(super) const PATIENCE: Duration = Duration::from_secs(3);
/// Pauses between attempts: the first, and the longest.
pub(super) const PAUSE_MIN: Duration = Duration::from_millis(20);
pub(super) const PAUSE_MAX: Duration = Duration::from_millis(500);
/// A connection that was idle for longer is asked whether it lives before it is used.
const TRUSTED: Duration = Duration::from_millis(100);

/// How long the server lets a statement take; none: as long as it takes.
pub(super) type Limit = Option<Duration>;

/// At most so many connections, made when they are wanted.
pub(super) struct Pool {
    options: PgConnectOptions,
    /// With which a connection is made.
    limit: Limit,
    permits: Arc<Semaphore>,
    /// The one that was used last is used next.
    idle: Mutex<Vec<Idle>>,
    /// Sessions that were told to write, and have not answered.
    pub(super) doubts: Doubts,
}

struct Idle {
    connection: PgConnection,
    session: Session,
    limit: Limit,
    since: Instant,
}

/// A connection that is lent. Unless it is given back it is closed: who knows what it would answer
/// to the next one.
pub(super) struct Lent {
    pub(super) connection: PgConnection,
    pub(super) session: Session,
    limit: Limit,
    permit: OwnedSemaphorePermit,
}

impl Pool {
    /// Makes no connection yet. `limit` is that of the options.
    pub(super) fn new(options: PgConnectOptions, connections_max: u32, limit: Limit) -> Self {
        let size = usize::try_from(connections_max).unwrap_or(usize::MAX);
        let permits = Arc::new(Semaphore::new(size.min(Semaphore::MAX_PERMITS)));
        Self { options, limit, permits, idle: Mutex::default(), doubts: Doubts::default() }
    }

    /// A connection that works, as far as one can know, and has this limit. Tries for a while to
    /// make one.
    pub(super) async fn acquire(&self, limit: Limit) -> Result<Lent, Error> {
        let begun = Instant::now();
        let permit = match timeout(PATIENCE, Arc::clone(&self.permits).acquire_owned()).await {
            Ok(Ok(permit)) => permit,
            Ok(Err(_)) => return Err(failure::closed()),
            Err(_) => {
                let told = "no connection to the database became free in time";
                return Err(Error::Unavailable(told.to_owned()));
            }
        };
        let mut pause = PAUSE_MIN;
        loop {
            let failed = match self.limited(limit).await {
                Ok((connection, session)) => {
                    metrics::connected(begun);
                    return Ok(Lent { connection, session, limit, permit });
                }
                Err(error) => error,
            };
            let again = matches!(failed, Error::Unavailable(_)) && !self.is_closed();
            if !again || begun.elapsed() + pause > PATIENCE {
                return Err(failed);
            }
            metrics::repeated("connect");
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    async fn limited(&self, limit: Limit) -> Result<(PgConnection, Session), Error> {
        let (mut connection, session, found) = self.connection().await?;
        if found != limit {
            let milliseconds = limit.map_or(0, |limit| limit.as_millis());
            let set = format!("SET statement_timeout = {milliseconds}");
            let set = sqlx::raw_sql(AssertSqlSafe(set)).execute(&mut connection);
            timeout(PATIENCE, set)
                .await
                .map_err(|_| silent())?
                .map_err(|error| failure::of(&error))?;
            // What takes longer is to end with us, or claims would wait for it. Not every server
            // can tell.
            let set = sqlx::raw_sql("SET client_connection_check_interval = 1000");
            let _ = timeout(PATIENCE, set.execute(&mut connection)).await;
        }
        Ok((connection, session))
    }

    /// One that is idle, if it lives; else a new one.
    async fn connection(&self) -> Result<(PgConnection, Session, Limit), Error> {
        while let Some(Idle { mut connection, session, limit, since }) = self.take() {
            if since.elapsed() < TRUSTED {
                return Ok((connection, session, limit));
            }
            match timeout(PATIENCE, connection.ping()).await {
                Ok(Ok(())) => return Ok((connection, session, limit)),
                // It is gone; the next one may be, too.
                Ok(Err(_)) => {}
                Err(_) => break,
            }
        }
        let connecting = async {
            let mut made = PgConnection::connect_with(&self.options).await?;
            let session = Session::of(&mut made).await?;
            Ok((made, session, self.limit))
        };
        match timeout(PATIENCE, connecting).await {
            Ok(Ok(made)) => Ok(made),
            Ok(Err(error)) => Err(failure::of(&error)),
            Err(_) => Err(silent()),
        }
    }

    /// Takes back a connection that ended in good order.
    pub(super) fn give_back(&self, lent: Lent) {
        let Lent { connection, session, limit, permit } = lent;
        if !self.is_closed() {
            self.idle().push(Idle { connection, session, limit, since: Instant::now() });
        }
        // Only now may another one look for it.
        drop(permit);
    }

    pub(super) fn is_closed(&self) -> bool {
        self.permits.is_closed()
    }

    /// Lends none any more.
    pub(super) async fn close(&self) {
        self.permits.close();
        while let Some(idle) = self.take() {
            // The server notices in any case.
            let _ = timeout(PATIENCE, idle.connection.close()).await;
        }
    }

    fn take(&self) -> Option<Idle> {
        self.idle().pop()
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Idle>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn silent() -> Error {
    Error::Unavailable("the database does not answer".to_owned())
}
