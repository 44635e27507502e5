//! Which store a configuration means.

use std::{path::PathBuf, sync::Arc};

use crate::{
    Error, Store,
    postgres::PostgresStore,
    sqlite::{Place, SqliteStore},
};

/// Which store, and whose.
#[derive(Clone, Debug)]
pub struct Config {
    /// `sqlite:PATH`, `sqlite::memory:` or `postgres://USER:PASSWORD@HOST:PORT/DATABASE`; none:
    /// SQLite in the data directory.
    pub url: Option<String>,
    /// Where data is kept unless the URL says otherwise.
    pub data_dir: PathBuf,
    /// How many shards the cluster has; a store of another count is refused.
    pub shards: u16,
    /// The most connections to a PostgreSQL server at once; three at least, two of them for
    /// commits.
    pub connections_max: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            url: None,
            data_dir: "./.wasmverse".into(),
            shards: 8192,
            connections_max: CONNECTIONS_MAX,
        }
    }
}

/// By default: what a node of a few cores keeps busy.
const CONNECTIONS_MAX: u32 = 10;

/// The name of the database in the data directory.
const DATABASE: &str = "wasmverse.db";

/// Opens the store of a configuration, and makes it if there is none.
///
/// # Errors
/// [`Error::NotOurs`] if it belongs to another process, cluster or newer program, or is of a kind
/// that this version does not know; [`Error::Damaged`] if it cannot be read; else
/// [`Error::Unavailable`].
pub async fn open(config: &Config) -> Result<Arc<dyn Store>, Error> {
    let place = match locate(config)? {
        Location::Memory => Place::Memory,
        Location::File(path) => Place::File(path),
        Location::Server(url) => {
            let opened = PostgresStore::open(&url, config.connections_max, config.shards).await;
            return Ok(Arc::new(opened?));
        }
    };
    Ok(Arc::new(SqliteStore::open(place, config.shards).await?))
}

/// Whether there is a store already. Makes none.
///
/// # Errors
/// As [`open`], where it has to be asked.
pub async fn exists(config: &Config) -> Result<bool, Error> {
    match locate(config)? {
        Location::Memory => Ok(false),
        Location::File(path) => path.try_exists().map_err(|error| {
            Error::Unavailable(format!("failed to look for {}: {error}", path.display()))
        }),
        Location::Server(url) => PostgresStore::exists(&url).await,
    }
}

/// Where a store is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// SQLite in the memory of a process.
    Memory,
    /// SQLite in a file.
    File(PathBuf),
    /// PostgreSQL at this URL, which may hold a password.
    Server(String),
}

/// Where the store of a configuration is.
///
/// # Errors
/// [`Error::NotOurs`] if its URL names no kind that is known.
pub fn locate(config: &Config) -> Result<Location, Error> {
    let Some(url) = &config.url else {
        return Ok(Location::File(config.data_dir.join(DATABASE)));
    };
    let (kind, rest) = url.split_once(':').unwrap_or((url, ""));
    match kind {
        "sqlite" if rest == ":memory:" => Ok(Location::Memory),
        "sqlite" => {
            let path = rest.strip_prefix("//").unwrap_or(rest);
            if path.is_empty() || path.contains('?') {
                return Err(Error::NotOurs(format!(
                    "store.url `{url}` names no file: write `sqlite:PATH`, without parameters"
                )));
            }
            Ok(Location::File(path.into()))
        }
        "postgres" | "postgresql" if rest.starts_with("//") => Ok(Location::Server(url.clone())),
        _ => Err(Error::NotOurs(
            "store.url names no kind of store that is known: use `sqlite:PATH`, \
             `sqlite::memory:` or `postgres://USER:PASSWORD@HOST:PORT/DATABASE`"
                .to_owned(),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn located(url: &str) -> Result<Location, Error> {
        locate(&Config { url: Some(url.to_owned()), ..Config::default() })
    }

    fn file(path: &str) -> Location {
        Location::File(path.into())
    }

    #[test]
    fn a_url_names_a_file_or_memory_or_a_server() {
        assert_eq!(located("sqlite::memory:"), Ok(Location::Memory));
        assert_eq!(located("sqlite:a/b.db"), Ok(file("a/b.db")));
        assert_eq!(located("sqlite:///a/b.db"), Ok(file("/a/b.db")));
        let default = locate(&Config { data_dir: "/data".into(), ..Config::default() });
        assert_eq!(default, Ok(file("/data/wasmverse.db")));
        for url in ["postgres://me:secret@host:1/db", "postgresql:///db?host=/run/postgresql"] {
            assert_eq!(located(url), Ok(Location::Server(url.to_owned())));
        }
    }

    #[test]
    fn other_urls_are_refused_without_showing_a_password() {
        for url in ["postgres:me:hunter2@host/db", "mysql://hunter2", "x", ""] {
            let told = located(url).unwrap_err().to_string();
            assert!(told.contains("sqlite:PATH") && !told.contains("hunter2"), "{told}");
        }
        for url in ["sqlite:", "sqlite:a.db?mode=rwc"] {
            assert!(located(url).is_err(), "{url}");
        }
    }

    #[tokio::test]
    async fn a_server_that_cannot_be_had_is_told_without_the_password() {
        for url in [
            "postgres://me:hunter2@127.0.0.1:1/db",
            "postgres://me:hunter2@host:port/db",
            "postgres://me:hunter2@host/db?sslmode=hunter2",
        ] {
            let config = Config { url: Some(url.to_owned()), ..Config::default() };
            let told = open(&config).await.err().unwrap().to_string();
            assert!(told.contains("postgres://") && !told.contains("hunter2"), "{told}");
        }
    }
}
