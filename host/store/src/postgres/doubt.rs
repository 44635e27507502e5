//! Sessions of the server of which nobody knows whether they write still: what they were told may be
//! done at any time, until they are gone.

use std::sync::{Mutex, PoisonError};

use sqlx::{FromRow, PgConnection};

use super::failure;
use crate::Error;

/// A session of the server, at its end of a connection.
#[derive(Clone, Debug, FromRow, PartialEq, Eq)]
pub(super) struct Session {
    pid: i32,
    /// Numbers of processes are used again.
    started: String,
}

impl Session {
    /// That of a connection.
    pub(super) async fn of(connection: &mut PgConnection) -> Result<Self, sqlx::Error> {
        sqlx::query_as(
            "SELECT pid, backend_start::text AS started FROM pg_stat_activity \
             WHERE pid = pg_backend_pid()",
        )
        .fetch_one(connection)
        .await
    }

    /// Ends it, if it is there still, and waits until it is gone.
    pub(super) async fn end(&self, connection: &mut PgConnection) -> Result<(), Error> {
        let ended: Option<bool> = sqlx::query_scalar(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity \
             WHERE pid = $1 AND backend_start = $2::timestamptz",
        )
        .bind(self.pid)
        .bind(&self.started)
        .fetch_optional(connection)
        .await
        .map_err(|error| failure::of(&error))?;
        match ended {
            None | Some(true) => Ok(()),
            Some(false) => Err(Error::Unavailable(format!(
                "the server's session {} does not end, and may write still",
                self.pid
            ))),
        }
    }
}

/// The sessions that are in doubt.
#[derive(Debug, Default)]
pub(super) struct Doubts(Mutex<Vec<Session>>);

impl Doubts {
    pub(super) fn add(&self, session: Session) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(session);
    }

    /// Those that are in doubt now.
    pub(super) fn all(&self) -> Vec<Session> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn remove(&self, session: &Session) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).retain(|other| other != session);
    }
}
