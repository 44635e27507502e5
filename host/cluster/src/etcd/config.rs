//! How etcd is reached.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use etcd_client::{Certificate, ConnectOptions, Identity, TlsOptions};

use super::endpoints::{CONNECT, PING, PONG};
use crate::Error;

/// How etcd is reached.
#[derive(Clone, Default)]
pub struct EtcdConfig {
    /// `HOST:PORT`, `http://HOST:PORT` or `https://HOST:PORT`, of one etcd. Without a scheme it is
    /// https if `ca` is given.
    pub endpoints: Vec<String>,
    /// All keys are below this one.
    pub prefix: String,
    /// Whom to log in as.
    pub user: Option<String>,
    /// With this password.
    pub password: Option<String>,
    /// For https: who signed etcd's certificate (PEM).
    pub ca: Option<PathBuf>,
    /// For https, where etcd wants one: our certificate (PEM).
    pub cert: Option<PathBuf>,
    /// For https: its key (PEM).
    pub key: Option<PathBuf>,
}

/// Without the password.
impl fmt::Debug for EtcdConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EtcdConfig")
            .field("endpoints", &self.endpoints)
            .field("prefix", &self.prefix)
            .field("user", &self.user)
            .field("ca", &self.ca)
            .field("cert", &self.cert)
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}

/// One endpoint, and how to speak to it.
pub(super) struct Target {
    pub(super) url: String,
    pub(super) options: ConnectOptions,
}

impl EtcdConfig {
    pub(super) async fn targets(&self) -> Result<Vec<Target>, Error> {
        if self.endpoints.is_empty() {
            return Err(refused("no endpoints of etcd are given"));
        }
        let options = self.options()?;
        let urls: Vec<_> = self.endpoints.iter().map(|endpoint| self.url(endpoint)).collect();
        let is_tls = |url: &str| url.starts_with("https://");
        let tls = if urls.iter().any(|url| is_tls(url)) { Some(self.tls().await?) } else { None };
        let target = |url: String| {
            let options = match &tls {
                Some(tls) if is_tls(&url) => options.clone().with_tls(tls.clone()),
                _ => options.clone(),
            };
            Target { url, options }
        };
        Ok(urls.into_iter().map(target).collect())
    }

    fn url(&self, endpoint: &str) -> String {
        let endpoint = endpoint.trim_end_matches('/');
        match (endpoint.contains("://"), &self.ca) {
            (true, _) => endpoint.to_owned(),
            (false, Some(_)) => format!("https://{endpoint}"),
            (false, None) => format!("http://{endpoint}"),
        }
    }

    fn options(&self) -> Result<ConnectOptions, Error> {
        let options = ConnectOptions::new()
            .with_connect_timeout(CONNECT)
            .with_keep_alive(PING, PONG)
            .with_require_leader(true)
            .with_auto_token_refresh(true);
        match (&self.user, &self.password) {
            (Some(user), Some(password)) => Ok(options.with_user(user, password)),
            (None, None) => Ok(options),
            _ => Err(refused("etcd's user and password go together")),
        }
    }

    async fn tls(&self) -> Result<TlsOptions, Error> {
        let Some(ca) = &self.ca else {
            return Err(refused("an https endpoint of etcd needs the CA that signed for it"));
        };
        let tls = TlsOptions::new().ca_certificate(Certificate::from_pem(read(ca).await?));
        match (&self.cert, &self.key) {
            (Some(cert), Some(key)) => {
                Ok(tls.identity(Identity::from_pem(read(cert).await?, read(key).await?)))
            }
            (None, None) => Ok(tls),
            _ => Err(refused("a certificate for etcd and its key go together")),
        }
    }
}

fn refused(why: &str) -> Error {
    Error::Refused(why.to_owned())
}

async fn read(path: &Path) -> Result<Vec<u8>, Error> {
    let told = |error| Error::Refused(format!("read {}: {error}", path.display()));
    tokio::fs::read(path).await.map_err(told)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_without_a_scheme_gets_one() {
        let plain = EtcdConfig::default();
        assert_eq!(plain.url("a:2379"), "http://a:2379");
        assert_eq!(plain.url("https://a:2379/"), "https://a:2379");
        let tls = EtcdConfig { ca: Some("ca.pem".into()), ..plain };
        assert_eq!(tls.url("a:2379"), "https://a:2379");
    }

    #[tokio::test]
    async fn what_makes_no_sense_is_refused_in_words() {
        let one = EtcdConfig { endpoints: vec!["a:1".to_owned()], ..EtcdConfig::default() };
        for (config, why) in [
            (EtcdConfig::default(), "no endpoints"),
            (EtcdConfig { user: Some("u".to_owned()), ..one.clone() }, "password"),
            (EtcdConfig { ca: Some("/nowhere".into()), ..one.clone() }, "/nowhere"),
            (EtcdConfig { endpoints: vec!["https://a:1".to_owned()], ..one }, "CA"),
        ] {
            let told = config.targets().await.err().unwrap().to_string();
            assert!(told.contains(why), "{told}");
        }
    }
}
