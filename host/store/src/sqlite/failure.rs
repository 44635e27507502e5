//! What a failure of the database means to the caller.

use sqlx::migrate::MigrateError;

use crate::Error;

/// Primary result codes of SQLite (<https://www.sqlite.org/rescode.html>).
mod code {
    pub(super) const ERROR: i32 = 1;
    pub(super) const READONLY: i32 = 8;
    pub(super) const IOERR: i32 = 10;
    pub(super) const CORRUPT: i32 = 11;
    pub(super) const FULL: i32 = 13;
    pub(super) const TOOBIG: i32 = 18;
    pub(super) const CONSTRAINT: i32 = 19;
    pub(super) const NOTADB: i32 = 26;
}

/// What a failure means while nothing is being committed.
pub(super) fn of(error: &sqlx::Error) -> Error {
    let told = error.to_string();
    match error {
        sqlx::Error::Database(_) => match result_code(error) {
            Some(code::TOOBIG | code::CONSTRAINT) => Error::Refused(told),
            Some(code::CORRUPT | code::NOTADB | code::ERROR) => Error::Damaged(told),
            Some(code::FULL) => Error::Unavailable(format!("there is no room: {told}")),
            Some(code::READONLY) => Error::Unavailable(format!("it is read-only: {told}")),
            _ => Error::Unavailable(told),
        },
        sqlx::Error::ColumnDecode { .. }
        | sqlx::Error::Decode(_)
        | sqlx::Error::ColumnNotFound(_)
        | sqlx::Error::RowNotFound => Error::Damaged(told),
        sqlx::Error::PoolClosed => closed(),
        // Of sqlx's many, and growing, all the others are about the connection.
        _ => Error::Unavailable(told),
    }
}

/// That the database will never take it, if that is what a failure means.
pub(super) fn refused(error: &sqlx::Error) -> Option<Error> {
    let refused = of(error);
    matches!(refused, Error::Refused(_)).then_some(refused)
}

/// What a failure of the commit itself means.
pub(super) fn of_commit(error: &sqlx::Error) -> Error {
    match (error, result_code(error)) {
        (sqlx::Error::WorkerCrashed | sqlx::Error::Io(_), _) | (_, Some(code::IOERR)) => {
            Error::Unknown(error.to_string())
        }
        _ => of(error),
    }
}

/// What a failure to bring the tables up to date means.
pub(super) fn of_migration(error: MigrateError, path: &str) -> Error {
    match error {
        MigrateError::VersionMissing(version) => Error::NotOurs(format!(
            "{path} was written by a newer program (its schema {version} is unknown to this \
             one): run that one, or use another data directory"
        )),
        MigrateError::VersionMismatch(version) => Error::NotOurs(format!(
            "{path} was written by a different program (its schema {version} is not this one's): \
             run that one, or use another data directory"
        )),
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => {
            named(of(&error), path)
        }
        other => Error::Damaged(format!("{path}: {other}")),
    }
}

/// The same error, saying which database it is about.
pub(super) fn named(error: Error, path: &str) -> Error {
    match error {
        Error::Damaged(told) => Error::Damaged(format!(
            "{path}: {told}; restore it from a backup, or move it away to begin anew"
        )),
        Error::Unavailable(told) => Error::Unavailable(format!("{path}: {told}")),
        other @ (Error::NotFound(_)
        | Error::Conflict(_)
        | Error::Fenced(_)
        | Error::Repeated(_)
        | Error::Refused(_)
        | Error::Unknown(_)
        | Error::InUse { .. }
        | Error::NotOurs(_)) => other,
    }
}

pub(super) fn closed() -> Error {
    Error::Unavailable("it is closed".to_owned())
}

fn result_code(error: &sqlx::Error) -> Option<i32> {
    let extended: i32 = error.as_database_error()?.code()?.parse().ok()?;
    Some(extended & 0xff)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_that_breaks_at_the_commit_leaves_it_open() {
        let broken = || sqlx::Error::Io(std::io::Error::other("gone"));
        assert!(matches!(of(&broken()), Error::Unavailable(_)));
        assert!(matches!(of_commit(&broken()), Error::Unknown(_)));
        assert!(matches!(of_commit(&sqlx::Error::WorkerCrashed), Error::Unknown(_)));
        assert!(matches!(of_commit(&sqlx::Error::PoolClosed), Error::Unavailable(_)));
    }
}
