//! Where clients come in: the gates of a fleet, as a load balancer before them sees them.

use std::{
    net::SocketAddr,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    time::Duration,
};

use reqwest::Method;
use serde_json::Value;

use crate::http::{Http, path_of};

/// The client's own patience is longer than any call's.
const CLIENT_TIMEOUT: Duration = Duration::from_secs(90);

/// All gates. One that is shut is not called: it is about to stop, or away.
#[derive(Debug)]
pub struct Doors(Vec<Door>);

/// One gate.
#[derive(Debug)]
pub struct Door {
    /// A client of it.
    pub http: Http,
    /// Where it is.
    pub at: SocketAddr,
    is_open: AtomicBool,
}

/// A call of a method.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    /// `Type/id`
    pub object: &'a str,
    /// What is called.
    pub method: &'a str,
    /// `null`: none.
    pub argument: &'a Value,
    /// What makes it happen once.
    pub key: Option<&'a str>,
    /// How long it may take.
    pub timeout: Duration,
}

/// What its caller was told.
#[derive(Clone, Debug, PartialEq)]
pub enum Said {
    /// Its result.
    Value(Value),
    /// It was surely not executed: the name of the error, and what it says.
    Refused(String, String),
    /// The same, but nobody knows.
    Unknown(String, String),
    /// There is no gate: it was surely not executed.
    Unreached,
    /// The connection broke.
    Broken,
}

impl Doors {
    /// All of them open.
    pub fn new(gates: impl IntoIterator<Item = SocketAddr>) -> Self {
        let door = |at| Door {
            http: Http::new(format!("http://{at}")),
            at,
            is_open: AtomicBool::new(true),
        };
        Self(gates.into_iter().map(door).collect())
    }

    /// Nobody is sent there from now on, or again.
    pub fn set_open(&self, number: usize, is_open: bool) {
        self.0[number].is_open.store(is_open, Relaxed);
    }

    /// One of them.
    pub fn door(&self, number: usize) -> &Door {
        &self.0[number]
    }

    /// How many there are, open or shut.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// This one, or, if it is shut, one that is open.
    ///
    /// # Panics
    /// If all are shut.
    pub fn open_from(&self, number: usize) -> &Door {
        let mut doors = (0..self.0.len()).map(|step| &self.0[(number + step) % self.0.len()]);
        doors.find(|door| door.is_open.load(Relaxed)).expect("a gate is open")
    }
}

impl Door {
    /// Calls a method, once.
    pub async fn ask(&self, ask: Ask<'_>) -> Said {
        let Ask { object, method, argument, key, timeout } = ask;
        let path = format!("{}/{method}", path_of(object));
        let body = if argument.is_null() { String::new() } else { argument.to_string() };
        let timeout = format!("{}ms", timeout.as_millis());
        let mut headers = vec![("wasmverse-timeout", &*timeout)];
        headers.extend(key.map(|key| ("idempotency-key", key)));
        let asked = self.http.try_request(Method::POST, &path, body, &headers);
        let answer = match tokio::time::timeout(CLIENT_TIMEOUT, asked).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) if error.is_connect() => return Said::Unreached,
            Ok(Err(_)) => return Said::Broken,
            Err(_) => return Said::Unknown("silence".to_owned(), "no answer at all".to_owned()),
        };
        let value: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        if answer.status.is_success() {
            return Said::Value(value);
        }
        let error = &value["error"];
        let word = |name: &str| error[name].as_str().unwrap_or_default().to_owned();
        let code = match word("code") {
            code if code.is_empty() => answer.status.as_u16().to_string(),
            code => code,
        };
        match error["maybe_executed"].as_bool() {
            Some(false) => Said::Refused(code, word("message")),
            _ => Said::Unknown(code, word("message")),
        }
    }
}
