//! A session that comes back by itself, whatever happens to its connection.

use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use serde_json::Value;

use crate::{
    client::{Client, Events, Mark, Told, is_passing},
    endpoint::Endpoint,
    failure::{Failure, Result},
};

/// Between two tries to come back: at first, and at most.
const PAUSE_MIN: Duration = Duration::from_millis(200);
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// Something that happens to a session.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Happening {
    /// It is connected. A client that is not the one before has lost what it was pushed meanwhile.
    Connected {
        client_id: String,
        is_same: bool,
    },
    /// The connection is lost, and why; it is looked for again.
    Lost(String),
    Push {
        event: String,
        payload: Value,
    },
    /// Pushes were missed; none: nobody knows how many.
    Gap {
        missed: Option<u64>,
    },
}

/// A session of one client.
pub(crate) struct Session {
    endpoint: Endpoint,
    token: Option<String>,
    client: Option<Client>,
    events: Option<Events>,
    mark: Mark,
    client_id: Option<String>,
    pause: Duration,
    /// When the next try to come back is due.
    due: Option<Instant>,
}

impl Session {
    /// Opens it.
    ///
    /// # Errors
    /// If the gate is not reached, or refuses: to begin with, that is no passing matter.
    pub(crate) async fn open(endpoint: &Endpoint, token: Option<&str>) -> Result<Self> {
        let mut client = Client::connect(endpoint, token).await?;
        let mark = Mark::default();
        let events = client.events(&mark).await?;
        Ok(Self {
            endpoint: endpoint.clone(),
            token: token.map(str::to_owned),
            client: Some(client),
            events: Some(events),
            mark,
            client_id: None,
            pause: PAUSE_MIN,
            due: None,
        })
    }

    /// The secret by which calls are this client's; none before it is connected.
    pub(crate) fn token(&self) -> Option<&str> {
        Some(self.mark.token.as_str()).filter(|token| !token.is_empty())
    }

    /// Whether there is a connection, for all that is known.
    pub(crate) fn is_connected(&self) -> bool {
        self.events.is_some()
    }

    /// What happens next. Dropping the future loses nothing, nor does it put off coming back.
    ///
    /// # Errors
    /// If the gate refuses for good.
    pub(crate) async fn next(&mut self) -> Result<Happening> {
        loop {
            let Some(events) = &mut self.events else {
                self.come_back().await?;
                continue;
            };
            match events.next().await {
                Some(Ok((told, mark))) => {
                    self.mark = mark;
                    return Ok(self.happened(told));
                }
                Some(Err(why)) => {
                    self.events = None;
                    return Ok(Happening::Lost(why));
                }
                None => self.events = None,
            }
        }
    }

    fn happened(&mut self, told: Told) -> Happening {
        match told {
            Told::Opened { client_id, .. } => {
                self.pause = PAUSE_MIN;
                let before = self.client_id.replace(client_id.clone());
                let is_same = before.as_ref() == Some(&client_id);
                Happening::Connected { client_id, is_same }
            }
            Told::Push { event, payload } => Happening::Push { event, payload },
            Told::Gap { missed } => Happening::Gap { missed },
        }
    }

    async fn come_back(&mut self) -> Result<()> {
        let due = *self.due.get_or_insert_with(|| Instant::now() + self.pause);
        tokio::time::sleep_until(due.into()).await;
        self.due = None;
        self.pause = (self.pause * 2).min(PAUSE_MAX);
        match self.try_again().await {
            Ok(events) => self.events = Some(events),
            Err(failure) if is_passing(&failure) => {}
            Err(failure) => return Err(failure),
        }
        Ok(())
    }

    async fn try_again(&mut self) -> std::result::Result<Events, Failure> {
        if self.client.is_none() {
            self.client = Some(Client::connect(&self.endpoint, self.token.as_deref()).await?);
        }
        let client = self.client.as_mut().expect("it was made just now");
        client.events(&self.mark).await
    }
}
