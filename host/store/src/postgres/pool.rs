//! Connections that are lent one at a time.
//!
//! Not sqlx's pool: that one asks the server after every use whether the connection still lives,
//! which is a way there and back for every commit.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use sqlx::{Connection as _, PgConnection, postgres::PgConnectOptions};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use super::failure;
use crate::{Error, metrics};

/// How long a connection, or the server, is waited for before a caller is told that it is away.
pub(super) const PATIENCE: Duration = Duration::from_secs(3);
/// Pauses between attempts: the first, and the longest.
pub(super) const PAUSE_MIN: Duration = Duration::from_millis(20);
pub(super) const PAUSE_MAX: Duration = Duration::from_millis(500);
/// A connection that was idle for longer is asked whether it lives before it is used.
const TRUSTED: Duration = Duration::from_millis(100);

/// At most so many connections, made when they are wanted.
pub(super) struct Pool {
    options: PgConnectOptions,
    permits: Arc<Semaphore>,
    /// The one that was used last is used next.
    idle: Mutex<Vec<Idle>>,
}

struct Idle {
    connection: PgConnection,
    since: Instant,
}

/// A connection that is lent. Unless it is given back it is closed: who knows what it would answer
/// to the next one.
pub(super) struct Lent {
    pub(super) connection: PgConnection,
    permit: OwnedSemaphorePermit,
}

impl Pool {
    /// Makes no connection yet.
    pub(super) fn new(options: PgConnectOptions, connections_max: u32) -> Self {
        let size = usize::try_from(connections_max).unwrap_or(usize::MAX);
        let permits = Arc::new(Semaphore::new(size.min(Semaphore::MAX_PERMITS)));
        Self { options, permits, idle: Mutex::default() }
    }

    /// A connection that works, as far as one can know. Tries for a while to make one.
    pub(super) async fn acquire(&self) -> Result<Lent, Error> {
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
            let failed = match self.connection().await {
                Ok(connection) => {
                    metrics::connected(begun);
                    return Ok(Lent { connection, permit });
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

    /// One that is idle, if it lives; else a new one.
    async fn connection(&self) -> Result<PgConnection, Error> {
        while let Some(Idle { mut connection, since }) = self.take() {
            if since.elapsed() < TRUSTED {
                return Ok(connection);
            }
            match timeout(PATIENCE, connection.ping()).await {
                Ok(Ok(())) => return Ok(connection),
                // It is gone; the next one may be, too.
                Ok(Err(_)) => {}
                Err(_) => break,
            }
        }
        match timeout(PATIENCE, PgConnection::connect_with(&self.options)).await {
            Ok(made) => made.map_err(|error| failure::of(&error)),
            Err(_) => Err(Error::Unavailable("the database does not answer".to_owned())),
        }
    }

    /// Takes back a connection that ended in good order.
    pub(super) fn give_back(&self, lent: Lent) {
        let Lent { connection, permit } = lent;
        if !self.is_closed() {
            self.idle().push(Idle { connection, since: Instant::now() });
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
