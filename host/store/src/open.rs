//! Which store a configuration means.

use std::{path::PathBuf, sync::Arc};

use crate::{
    Error, Store,
    sqlite::{Place, SqliteStore},
};

/// Which store, and whose.
#[derive(Clone, Debug)]
pub struct Config {
    /// `sqlite:PATH` or `sqlite::memory:`; none: SQLite in the data directory.
    pub url: Option<String>,
    /// Where data is kept unless the URL says otherwise.
    pub data_dir: PathBuf,
    /// How many shards the cluster has; a store of another count is refused.
    pub shards: u16,
}

impl Default for Config {
    fn default() -> Self {
        Self { url: None, data_dir: "./.wasmverse".into(), shards: 8192 }
    }
}

/// The name of the database in the data directory.
const DATABASE: &str = "wasmverse.db";

/// Opens the store of a configuration, and makes it if there is none.
///
/// # Errors
/// [`Error::NotOurs`] if it belongs to another process, cluster or newer program, or is of a kind
/// that this version does not know; [`Error::Damaged`] if it cannot be read; else
/// [`Error::Unavailable`].
pub async fn open(config: &Config) -> Result<Arc<dyn Store>, Error> {
    let place = place(config)?;
    Ok(Arc::new(SqliteStore::open(place, config.shards).await?))
}

fn place(config: &Config) -> Result<Place, Error> {
    let Some(url) = &config.url else {
        return Ok(Place::File(config.data_dir.join(DATABASE)));
    };
    let (kind, rest) = url.split_once(':').unwrap_or((url, ""));
    match kind {
        "sqlite" if rest == ":memory:" => Ok(Place::Memory),
        "sqlite" => {
            let path = rest.strip_prefix("//").unwrap_or(rest);
            if path.is_empty() || path.contains('?') {
                return Err(Error::NotOurs(format!(
                    "store.url `{url}` names no file: write `sqlite:PATH`, without parameters"
                )));
            }
            Ok(Place::File(path.into()))
        }
        "postgres" | "postgresql" => Err(Error::NotOurs(
            "store.url names a PostgreSQL server, which this version does not support yet: \
             use `sqlite:PATH`, or leave the key out"
                .to_owned(),
        )),
        _ => Err(Error::NotOurs(
            "store.url names no kind of store that is known: use `sqlite:PATH` or \
             `sqlite::memory:`"
                .to_owned(),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn placed(url: &str) -> Result<Place, Error> {
        place(&Config { url: Some(url.to_owned()), ..Config::default() })
    }

    #[test]
    fn a_url_names_a_file_or_memory() {
        assert_eq!(placed("sqlite::memory:"), Ok(Place::Memory));
        assert_eq!(placed("sqlite:a/b.db"), Ok(Place::File("a/b.db".into())));
        assert_eq!(placed("sqlite:///a/b.db"), Ok(Place::File("/a/b.db".into())));
        let default = place(&Config { data_dir: "/data".into(), ..Config::default() });
        assert_eq!(default, Ok(Place::File("/data/wasmverse.db".into())));
    }

    #[test]
    fn other_urls_are_refused_without_showing_a_password() {
        for url in ["postgres://me:hunter2@host/db", "postgresql:x", "mysql://hunter2", "x", ""] {
            let told = placed(url).unwrap_err().to_string();
            assert!(told.contains("sqlite:PATH") && !told.contains("hunter2"), "{told}");
        }
        for url in ["sqlite:", "sqlite:a.db?mode=rwc"] {
            assert!(placed(url).is_err(), "{url}");
        }
    }
}
