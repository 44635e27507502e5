//! Which store is meant, how it is opened, and how it is named: never with the password of its URL.

use std::{fmt, path::PathBuf, sync::Arc};

use anyhow::anyhow;
use reqwest::Url;
use wasmverse_daemon::config::{self, Source};
use wasmverse_store::{Config, Error, Location, Store};

use super::flags::PlaceArgs;
use crate::failure::{Away, Failure, Result};

/// A store that is meant, opened or not.
#[derive(Debug)]
pub(super) struct Place {
    config: Config,
    kind: Kind,
}

#[derive(Debug, PartialEq, Eq)]
enum Kind {
    /// SQLite.
    File(PathBuf),
    /// PostgreSQL, by a name without who and their password.
    Server(String),
    /// No kind that is known here: the store says what is wrong with it.
    Unknown,
}

impl Place {
    /// From flags, environment and file, as a node reads them.
    pub(super) fn of(args: &PlaceArgs) -> Result<Self> {
        if args.url().is_some() && args.data_dir.is_some() {
            return Err(Failure::usage("--url and --data-dir name two stores: give one of them"));
        }
        let source = Source::from_args(args.config.clone())
            .flag("store.url", args.url())
            .flag("store.data_dir", args.data_dir.as_ref().map(|folder| folder.display()));
        let config = config::load::<wasmverse_node::Config>(&source);
        let mut config = config.map_err(|error| Failure::usage(error.to_string()))?.store();
        if args.data_dir.is_some() {
            config.url = None;
        }
        Self::new(config)
    }

    fn new(config: Config) -> Result<Self> {
        let kind = match wasmverse_store::locate(&config) {
            Ok(Location::Memory) => {
                return Err(Failure::usage(
                    "a store in memory ends with the process that has it: say which one you mean \
                     with --data-dir, --url or store.url",
                ));
            }
            Ok(Location::File(path)) => Kind::File(path),
            Ok(Location::Server(url)) => {
                Url::parse(&url).map_or(Kind::Unknown, |url| Kind::Server(without_password(&url)))
            }
            Err(_) => Kind::Unknown,
        };
        Ok(Self { config, kind })
    }

    /// How many shards the cluster of this configuration has.
    pub(super) fn shards(&self) -> u16 {
        self.config.shards
    }

    /// Whether it is there.
    pub(super) async fn is_there(&self) -> Result<bool> {
        let exists = wasmverse_store::exists(&self.config).await;
        exists.map_err(|error| self.failure(&error, ToString::to_string))
    }

    /// Opens it, and makes it if there is none.
    pub(super) async fn make(&self) -> Result<Arc<dyn Store>> {
        let opened = wasmverse_store::open(&self.config).await;
        // These errors name the store themselves.
        opened.map_err(|error| self.failure(&error, ToString::to_string))
    }

    /// Opens one that is there.
    pub(super) async fn open(&self) -> Result<Arc<dyn Store>> {
        if !self.is_there().await? {
            return Err(Failure::Local(anyhow!(
                "there is no store at {self}: make one with `wasmverse store init`, or say where \
                 it is with --data-dir, --url or store.url"
            )));
        }
        self.make().await
    }

    /// Ends it in good order.
    pub(super) async fn close(&self, store: &dyn Store) -> Result<()> {
        let closed = store.close().await;
        closed.map_err(|error| {
            self.failure(&error, |error| format!("failed to close {self}: {error}"))
        })
    }

    /// Why the store did not do as asked; `words` says it where nothing better is known.
    pub(super) fn failure(&self, error: &Error, words: impl FnOnce(&Error) -> String) -> Failure {
        match (error, &self.kind) {
            (Error::NotOurs(told), Kind::Unknown) => Failure::usage(told.clone()),
            (Error::InUse { database, holder }, _) => Failure::Local(anyhow!(
                "{database} is in use by {holder}: a SQLite store belongs to one process at a \
                 time. Stop the node (or `wasmverse dev`) first, then do this again"
            )),
            (Error::Unavailable(_), Kind::Server(_)) => Failure::Away(Box::new(Away {
                code: "unavailable",
                message: words(error),
                hint: Some("is the server up, and is the address right?".to_owned()),
                maybe_executed: false,
            })),
            _ => Failure::Local(anyhow!(words(error))),
        }
    }
}

/// As people know it, and may see it.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            Kind::File(path) => {
                let absolute = std::path::absolute(path);
                write!(f, "{}", absolute.as_deref().unwrap_or(path).display())
            }
            Kind::Server(name) => f.write_str(name),
            Kind::Unknown => f.write_str("the store of store.url"),
        }
    }
}

/// Where a database is: what the URL says of that, and nothing else of it.
fn without_password(url: &Url) -> String {
    let mut host = url.host_str().unwrap_or_default().to_owned();
    let mut port = url.port().map(|port| port.to_string());
    let mut database = url.path().trim_start_matches('/').to_owned();
    for (key, value) in url.query_pairs() {
        match &*key {
            "host" | "hostaddr" => host = value.into_owned(),
            "port" => port = Some(value.into_owned()),
            "dbname" => database = value.into_owned(),
            _ => {}
        }
    }
    let port = port.map(|port| format!(":{port}")).unwrap_or_default();
    // A slash too many makes all of it the database's name.
    let database = database.rsplit('@').next().unwrap_or_default();
    format!("postgres://{host}{port}/{database}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(url: Option<&str>) -> Result<Place> {
        let config = Config { url: url.map(str::to_owned), ..Config::default() };
        Place::new(Config { data_dir: "/data".into(), ..config })
    }

    fn name(url: &str) -> String {
        place(Some(url)).unwrap().to_string()
    }

    #[test]
    fn a_store_is_named_without_its_password() {
        assert_eq!(place(None).unwrap().to_string(), "/data/wasmverse.db");
        assert_eq!(name("sqlite:/a/b.db"), "/a/b.db");
        assert_eq!(name("sqlite:///a/b.db"), "/a/b.db");
        assert_eq!(name("postgres://me:hunter2@h:1/db"), "postgres://h:1/db");
        assert_eq!(name("postgresql://h/db?user=me&password=hunter2"), "postgres://h/db");
        let socket = "postgresql:///db?host=/run/postgresql&password=hunter2@x&port=2";
        assert_eq!(name(socket), "postgres:///run/postgresql:2/db");
        for url in [
            "postgres://me:a/hunter2@h/db",
            "postgres://me:hunter2?@h/db",
            "postgres:///me:hunter2@h/db",
            "postgres:me:hunter2@h/db",
            "x:hunter2",
        ] {
            let shown = name(url);
            assert!(!shown.contains("hunter2"), "{shown}");
        }
        assert_eq!(place(Some("sqlite::memory:")).unwrap_err().exit_code(), 2);
    }

    #[test]
    fn a_store_that_is_in_use_names_its_holder_and_what_to_stop() {
        let error = Error::InUse { database: "/a.db".into(), holder: "process 7".into() };
        let failure = place(None).unwrap().failure(&error, |_| "no".into());
        assert_eq!(failure.exit_code(), 1);
        let told = failure.to_string();
        assert!(told.starts_with("/a.db is in use by process 7: a SQLite store"), "{told}");
        assert!(told.contains("Stop the node"), "{told}");
    }

    #[test]
    fn a_server_that_is_away_is_told_apart_from_what_went_wrong_here() {
        let away = Error::Unavailable("gone".into());
        let server = place(Some("postgres://h/db")).unwrap();
        assert_eq!(server.failure(&away, ToString::to_string).exit_code(), 3);
        assert_eq!(place(None).unwrap().failure(&away, ToString::to_string).exit_code(), 1);
        let unknown = place(Some("mysql://h/db")).unwrap();
        let failure = unknown.failure(&Error::NotOurs("no kind".into()), ToString::to_string);
        assert_eq!((failure.exit_code(), &*failure.to_string()), (2, "no kind"));
    }

    #[tokio::test]
    async fn one_that_is_not_there_is_not_made_by_looking_at_it() {
        let folder = tempfile::tempdir().unwrap();
        let data_dir = folder.path().join("state");
        let missing = Place::new(Config { data_dir: data_dir.clone(), ..Config::default() });
        let told = missing.unwrap().open().await.err().unwrap().to_string();
        assert!(told.contains("wasmverse store init") && told.contains("state"), "{told}");
        assert!(!data_dir.exists());
    }
}
