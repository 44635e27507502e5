//! What a failure of the database means to the caller.

use sqlx::{
    migrate::MigrateError,
    postgres::{PgDatabaseError, PgSeverity},
};

use crate::Error;

/// Classes and codes (<https://www.postgresql.org/docs/current/errcodes-appendix.html>).
const REFUSED: [&str; 3] = ["22", "23", "54"];
const DAMAGED: [&str; 2] = ["42", "XX"];
const NO_ACCESS: [&str; 3] = ["28", "3D", "3F"];
const NO_PRIVILEGE: &str = "42501";
const NO_ROOM: &str = "53100";
const CONFLICTING: [&str; 3] = ["40001", "40P01", "55P03"];
const CANCELED: &str = "57014";

/// What became of a statement that failed.
#[derive(Debug)]
pub(super) enum Failed {
    /// Nothing was written, and it may be tried again at once: others were in the way.
    InTheWay,
    /// Nothing was written: the server ended it, because it took too long.
    TooLong(Error),
    /// Nothing was written.
    NotDone(Error),
    /// Nobody knows.
    Unknown(Error),
}

impl Failed {
    /// What the caller is told.
    pub(super) fn error(self) -> Error {
        match self {
            Self::InTheWay => Error::Unavailable("others are in the way".to_owned()),
            Self::TooLong(error) | Self::NotDone(error) | Self::Unknown(error) => error,
        }
    }
}

/// What a failure means if nothing can have been written.
pub(super) fn of(error: &sqlx::Error) -> Error {
    match error {
        sqlx::Error::Database(_) => of_database(error),
        sqlx::Error::ColumnDecode { .. }
        | sqlx::Error::Decode(_)
        | sqlx::Error::ColumnNotFound(_)
        | sqlx::Error::RowNotFound => Error::Damaged(error.to_string()),
        // Of sqlx's many, and growing, all the others are about the connection.
        _ => Error::Unavailable(error.to_string()),
    }
}

fn of_database(error: &sqlx::Error) -> Error {
    let (told, code) = (told(error), code(error).unwrap_or_default());
    let class = code.get(..2).unwrap_or_default();
    match (class, &*code) {
        (_, NO_PRIVILEGE) => Error::NotOurs(told),
        (_, NO_ROOM) => Error::Unavailable(format!("there is no room: {told}")),
        (_, CANCELED) => Error::Unavailable(format!("it took too long: {told}")),
        (class, _) if REFUSED.contains(&class) => Error::Refused(told),
        (class, _) if DAMAGED.contains(&class) => Error::Damaged(told),
        (class, _) if NO_ACCESS.contains(&class) => Error::NotOurs(told),
        _ => Error::Unavailable(told),
    }
}

/// What a failure means while a statement that writes is under way.
pub(super) fn of_write(error: &sqlx::Error) -> Failed {
    let fatal = error.as_database_error().is_some_and(|error| {
        let severity = error.downcast_ref::<PgDatabaseError>().severity();
        matches!(severity, PgSeverity::Fatal | PgSeverity::Panic)
    });
    match error {
        // The server ends the connection: before the statement did, or right after.
        sqlx::Error::Database(_) if fatal => Failed::Unknown(Error::Unknown(told(error))),
        sqlx::Error::Database(_)
            if code(error).is_some_and(|code| CONFLICTING.contains(&&*code)) =>
        {
            Failed::InTheWay
        }
        sqlx::Error::Database(_) if code(error).as_deref() == Some(CANCELED) => {
            Failed::TooLong(of(error))
        }
        sqlx::Error::Database(_)
        | sqlx::Error::Encode(_)
        | sqlx::Error::ColumnDecode { .. }
        | sqlx::Error::Decode(_) => Failed::NotDone(of(error)),
        _ => Failed::Unknown(Error::Unknown(error.to_string())),
    }
}

/// What a failure to bring the tables up to date means.
pub(super) fn of_migration(error: MigrateError, name: &str) -> Error {
    match error {
        MigrateError::VersionMissing(version) => Error::NotOurs(format!(
            "{name} was written by a newer program (its schema {version} is unknown to this \
             one): run that one, or use another database"
        )),
        MigrateError::VersionMismatch(version) => Error::NotOurs(format!(
            "{name} was written by a different program (its schema {version} is not this one's): \
             run that one, or use another database"
        )),
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => {
            named(of(&error), name)
        }
        other => Error::Damaged(format!("{name}: {other}")),
    }
}

/// The same error, saying which database it is about.
pub(super) fn named(error: Error, name: &str) -> Error {
    match error {
        Error::Damaged(told) => Error::Damaged(format!(
            "{name}: {told}; restore it from a backup, or use another database to begin anew"
        )),
        Error::Unavailable(told) => Error::Unavailable(format!("{name}: {told}")),
        Error::NotOurs(told) if !told.contains(name) => Error::NotOurs(format!("{name}: {told}")),
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

/// What the database says, with its code.
fn told(error: &sqlx::Error) -> String {
    let code = code(error).unwrap_or_default();
    let message = error.as_database_error().map(|error| error.message().to_owned());
    format!("{} ({code})", message.unwrap_or_else(|| error.to_string()))
}

fn code(error: &sqlx::Error) -> Option<String> {
    Some(error.as_database_error()?.code()?.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_that_breaks_while_writing_leaves_it_open() {
        let broken = sqlx::Error::Io(std::io::Error::other("gone"));
        assert!(matches!(of(&broken), Error::Unavailable(_)));
        assert!(matches!(of_write(&broken), Failed::Unknown(Error::Unknown(_))));
        let not_sent = sqlx::Error::Encode("too large".into());
        assert!(matches!(of_write(&not_sent), Failed::NotDone(_)));
    }
}
