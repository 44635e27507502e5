//! Where the cluster is: `--url`, and what follows from it for the side it does not name.
//! To `wasmverse store`, which talks to no cluster, the same flag names a database.

use std::{fmt, str::FromStr};

use reqwest::Url;

use crate::failure::Failure;

/// The port of each side, where the address says none or names the other side.
const HTTP_PORT: u16 = 8080;
const GRPC_PORT: u16 = 49000;

/// Which side of a gate is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Side {
    /// JSON over HTTP.
    Http,
    /// gRPC.
    Grpc,
}

/// What stands after `--url`, as it was typed. It may hold the password of a database: it is not
/// shown.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Address(String);

impl Address {
    /// As the address of a cluster.
    ///
    /// # Errors
    /// If it is none.
    pub(crate) fn endpoint(&self) -> Result<Endpoint, Failure> {
        let told = |problem| Failure::usage(format!("--url names no cluster: {problem}"));
        self.0.parse().map_err(told)
    }

    /// As it was typed.
    pub(crate) fn text(&self) -> &str {
        &self.0
    }
}

impl From<String> for Address {
    fn from(typed: String) -> Self {
        Self(typed)
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"…\"")
    }
}

/// `http://HOST:PORT[/PREFIX]` or `grpc://HOST:PORT`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Endpoint {
    pub(crate) side: Side,
    host: String,
    port: u16,
    prefix: String,
}

impl Endpoint {
    /// The same cluster by that side: as given if the address names it, else on the same host at
    /// that side's usual port.
    pub(crate) fn via(&self, side: Side) -> Self {
        if self.side == side {
            return self.clone();
        }
        let port = match side {
            Side::Http => HTTP_PORT,
            Side::Grpc => GRPC_PORT,
        };
        Self { side, host: self.host.clone(), port, prefix: String::new() }
    }

    /// The name of the side that is not spoken here, and this same port as that side's address.
    pub(crate) fn other_side(&self) -> (&'static str, Self) {
        let (name, side) = match self.side {
            Side::Http => ("gRPC", Side::Grpc),
            Side::Grpc => ("HTTP", Side::Http),
        };
        (name, Self { side, host: self.host.clone(), port: self.port, prefix: String::new() })
    }

    /// `HOST:PORT`.
    pub(crate) fn authority(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    /// The address that an HTTP library takes, for either side; no slash at its end.
    pub(crate) fn http_url(&self) -> String {
        format!("http://{}{}", self.authority(), self.prefix)
    }

    /// The path before all routes.
    pub(crate) fn prefix(&self) -> &str {
        &self.prefix
    }
}

impl FromStr for Endpoint {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let form = "use http://HOST:PORT or grpc://HOST:PORT";
        let url = Url::parse(text).map_err(|error| format!("{error}; {form}"))?;
        let (side, port) = match url.scheme() {
            "http" => (Side::Http, url.port().unwrap_or(80)),
            "grpc" => (Side::Grpc, url.port().unwrap_or(GRPC_PORT)),
            other => return Err(format!("`{other}:` is not spoken here; {form}")),
        };
        let host = url.host_str().filter(|host| !host.is_empty()).ok_or(form)?.to_owned();
        let prefix = url.path().trim_end_matches('/').to_owned();
        Ok(Self { side, host, port, prefix })
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.side {
            Side::Http => "http",
            Side::Grpc => "grpc",
        };
        write!(f, "{scheme}://{}{}", self.authority(), self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Endpoint {
        text.parse().unwrap()
    }

    #[test]
    fn both_sides_have_their_scheme_and_print_as_they_were_given() {
        for text in ["http://127.0.0.1:8080", "grpc://[::1]:49000", "http://a.example:81/verse"] {
            assert_eq!(parse(text).to_string(), text);
        }
        assert_eq!(parse("http://localhost").authority(), "localhost:80");
        assert_eq!(parse("grpc://localhost").http_url(), "http://localhost:49000");
    }

    #[test]
    fn the_other_side_is_at_its_usual_port_on_the_same_host() {
        assert_eq!(parse("http://h:9999").via(Side::Grpc).to_string(), "grpc://h:49000");
        assert_eq!(parse("grpc://h:9999").via(Side::Http).to_string(), "http://h:8080");
        assert_eq!(parse("http://h:9999/p").via(Side::Http).to_string(), "http://h:9999/p");
    }

    #[test]
    fn what_is_no_address_says_what_one_looks_like() {
        for text in ["localhost:8080", "https://h", "127.0.0.1", "grpc://", ""] {
            let problem = text.parse::<Endpoint>().unwrap_err();
            assert!(problem.contains("http://HOST:PORT"), "{text}: {problem}");
        }
    }

    #[test]
    fn an_address_that_is_no_clusters_is_a_mistake_of_usage_and_not_shown() {
        let address = Address::from("postgres://me:hunter2@h/db".to_owned());
        let failure = address.endpoint().unwrap_err();
        assert_eq!(failure.exit_code(), 2);
        let told = format!("{failure} {address:?}");
        assert!(told.contains("`postgres:` is not spoken here") && !told.contains("hunter2"));
    }
}
