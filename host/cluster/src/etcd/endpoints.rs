//! Which member of etcd is asked: the one that answered last, until it fails.
//!
//! A balancer would go on asking the dead ones now and then. With one connection for each endpoint,
//! and one endpoint in use, a failure costs one request, and whoever comes next goes elsewhere.

use std::{
    fmt,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use etcd_client::Client;
use parking_lot::Mutex;
use tokio::time::{Instant, timeout};

use super::{
    config::Target,
    fault::{Fault, judge},
};
use crate::Error;

/// How long a connection may take.
pub(super) const CONNECT: Duration = Duration::from_secs(1);
/// How long an answer may take.
const ANSWER: Duration = Duration::from_secs(3);
/// How often a connection is probed. etcd closes those that do so more often than every 5 s.
pub(super) const PING: Duration = Duration::from_secs(6);
/// How long the answer to that may take.
pub(super) const PONG: Duration = Duration::from_secs(2);
/// Whoever gives up on an answer after so long takes the connection for dead.
const DEAD: Duration = Duration::from_secs(1);

/// What it means to make a request twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Nothing: if one endpoint does not answer, another is asked.
    Repeatable,
    /// It may be done already: that is for the caller to say.
    Once,
}

pub(super) struct Endpoints {
    all: Vec<Endpoint>,
    current: AtomicUsize,
}

struct Endpoint {
    target: Target,
    client: Mutex<Option<Client>>,
}

impl fmt::Debug for Endpoints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.all.iter().map(|endpoint| &endpoint.target.url)).finish()
    }
}

impl Endpoints {
    pub(super) fn new(targets: Vec<Target>) -> Self {
        let endpoint = |target| Endpoint { target, client: Mutex::new(None) };
        Self { all: targets.into_iter().map(endpoint).collect(), current: AtomicUsize::new(0) }
    }

    /// Asks the current endpoint, and others as long as it surely was not done.
    pub(super) async fn call<T, F>(&self, kind: Kind, act: impl Fn(Client) -> F) -> Result<T, Error>
    where
        F: Future<Output = Result<T, etcd_client::Error>>,
    {
        let mut may_log_in = true;
        let mut left = self.all.len();
        loop {
            let attempt = self.attempt();
            let url = attempt.endpoint().target.url.clone();
            let fault = match attempt.make(&act).await {
                Ok(answer) => return Ok(answer),
                Err(fault) => fault,
            };
            left -= usize::from(!matches!(fault, Fault::LoggedOut));
            match fault {
                Fault::LoggedOut if may_log_in => may_log_in = false,
                Fault::LoggedOut => {
                    return Err(Error::Unavailable(format!("{url}: it logs us out")));
                }
                Fault::Final(error) => return Err(error),
                Fault::NotDone(_) if left > 0 => {}
                Fault::Unsure(_) if left > 0 && kind == Kind::Repeatable => {}
                Fault::NotDone(why) => return Err(Error::Unavailable(format!("{url}: {why}"))),
                Fault::Unsure(why) => return Err(Error::Unknown(format!("{url}: {why}"))),
            }
        }
    }

    /// At the current endpoint.
    pub(super) fn attempt(&self) -> Attempt<'_> {
        let index = self.current.load(Ordering::Relaxed);
        Attempt { endpoints: self, index, started: Instant::now(), has_answered: false }
    }

    /// From now on the next endpoint is used, unless somebody saw to that already.
    pub(super) fn turn(&self, index: usize) {
        let next = index.wrapping_add(1);
        let (set, read) = (Ordering::Relaxed, Ordering::Relaxed);
        let _ = self.current.compare_exchange(index, next, set, read);
    }

    /// The connection is dead: the next one who comes makes another.
    pub(super) fn forget(&self, index: usize) {
        self.at(index).client.lock().take();
    }

    fn at(&self, index: usize) -> &Endpoint {
        &self.all[index % self.all.len()]
    }
}

impl Endpoint {
    async fn client(&self) -> Result<Client, etcd_client::Error> {
        if let Some(client) = self.client.lock().as_ref() {
            return Ok(client.clone());
        }
        // It logs in, if there is a password; else it connects with its first request.
        let made = Client::connect([&self.target.url], Some(self.target.options.clone())).await?;
        Ok(self.client.lock().get_or_insert(made).clone())
    }
}

/// One request to one endpoint. Dropped without an answer, the next request goes to the next one:
/// somebody has lost patience.
pub(super) struct Attempt<'a> {
    endpoints: &'a Endpoints,
    index: usize,
    started: Instant,
    has_answered: bool,
}

impl Attempt<'_> {
    pub(super) fn index(&self) -> usize {
        self.index
    }

    fn endpoint(&self) -> &Endpoint {
        self.endpoints.at(self.index)
    }

    /// Asks, and remembers what the answer says of the endpoint.
    pub(super) async fn make<T, F>(mut self, act: impl Fn(Client) -> F) -> Result<T, Fault>
    where
        F: Future<Output = Result<T, etcd_client::Error>>,
    {
        let mut is_sent = false;
        let answer = timeout(ANSWER, async {
            let client = self.endpoint().client().await?;
            is_sent = true;
            act(client).await
        });
        let fault = match answer.await {
            Ok(Ok(answer)) => {
                self.has_answered = true;
                return Ok(answer);
            }
            Ok(Err(error)) => judge(error),
            Err(_) => Fault::Unsure(format!("no answer within {} s", ANSWER.as_secs())),
        };
        self.has_answered = matches!(fault, Fault::Final(_) | Fault::LoggedOut);
        if matches!(fault, Fault::LoggedOut) {
            self.endpoints.forget(self.index);
        }
        Err(match fault {
            Fault::Unsure(why) if !is_sent => Fault::NotDone(why),
            fault => fault,
        })
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        if self.has_answered {
            return;
        }
        self.endpoints.turn(self.index);
        if self.started.elapsed() >= DEAD {
            self.endpoints.forget(self.index);
        }
    }
}
