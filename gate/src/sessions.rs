//! The sessions of clients: who they are, what is pushed to them, and how they come back.
//!
//! One engine under gRPC, SSE and WebSocket: a surface opens or resumes a session, reads what its
//! client is told as a stream, and gives it up by dropping that.

mod buffer;
mod client;
mod event;
mod talk;

use std::{
    fmt,
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use fnv::FnvHashMap;
use parking_lot::RwLock;
use sha2::{Digest as _, Sha256};
use wasmverse_core::{CallError, ErrorKind, ObjectId, PushTo};
use wasmverse_router::{Audience, Delivery};

use crate::{budget::Budget, catalog::Catalog, metrics::SessionMetrics};

pub(crate) use buffer::Told;
pub(crate) use client::{Attached, Client};
pub(crate) use event::Event;
pub(crate) use talk::{Said, Talk};

use buffer::Bounds;
use client::Session;

/// When a client that found no room for its session may try again.
const RETRY_AFTER: Duration = Duration::from_secs(5);
/// What a push costs beside its payload, for each client.
const ENTRY_BYTES: usize = 64;
/// The part of all room that one client's pushes may hold, and that is made free at once when
/// there is none left.
const CLIENT_PART: usize = 16;
const FREED_PART: usize = 8;

/// What sessions may take, and how long they last.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SessionBounds {
    /// Sessions, connected or not.
    pub(crate) sessions_max: usize,
    /// Pushes that wait for one client, and that are kept for its return.
    pub(crate) buffer_length: usize,
    /// What all of these hold, in bytes.
    pub(crate) bytes_max: usize,
    /// How long a client that has lost its connection may stay away.
    pub(crate) window: Duration,
    /// How often a client hears something at least.
    pub(crate) heartbeat: Duration,
}

impl SessionBounds {
    fn of_buffer(&self) -> Bounds {
        Bounds { length: self.buffer_length, bytes: self.bytes_max / CLIENT_PART }
    }
}

/// All sessions of this gate.
pub(crate) struct Sessions {
    pub(crate) bounds: SessionBounds,
    address: String,
    known: RwLock<Known>,
    budget: Arc<Budget>,
    metrics: SessionMetrics,
    /// Bound when the gate is made.
    catalog: OnceLock<Catalog>,
}

#[derive(Default)]
struct Known {
    by_client: FnvHashMap<Arc<str>, Arc<Session>>,
    /// By the digest of the token: what a stranger can learn from the time that a search takes is
    /// of no use.
    by_token: FnvHashMap<[u8; 32], Arc<Session>>,
}

/// The secret of a session.
#[derive(Clone)]
pub(crate) struct Token(Arc<str>);

impl Token {
    fn random() -> Self {
        Self(BASE64_URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>()).into())
    }

    /// The secret itself, for the client alone.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }

    fn digest(text: &str) -> [u8; 32] {
        Sha256::digest(text.as_bytes()).into()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

impl fmt::Debug for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sessions").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Sessions {
    /// For a gate at this address, which the ids of its clients begin with.
    pub(crate) fn new(address: String, bounds: SessionBounds) -> Arc<Self> {
        Arc::new(Self {
            budget: Budget::new(bounds.bytes_max),
            bounds,
            address,
            known: RwLock::default(),
            metrics: SessionMetrics::new(),
            catalog: OnceLock::new(),
        })
    }

    /// Says where types are described. The first time counts.
    pub(crate) fn bind(&self, catalog: Catalog) {
        self.catalog.get_or_init(|| catalog);
    }

    /// A new session.
    ///
    /// # Errors
    /// `overloaded` beyond the limit.
    pub(crate) fn open(self: &Arc<Self>) -> Result<Attached, CallError> {
        self.begin(false)
    }

    /// The session of this token, from the event after `seq` on; whoever is connected as it is
    /// sent away. A new one that begins with a gap if there is none (any more).
    ///
    /// # Errors
    /// `overloaded` beyond the limit.
    pub(crate) fn resume(self: &Arc<Self>, token: &str, seq: u64) -> Result<Attached, CallError> {
        let attached = self.find(token).and_then(|session| Attached::resume(self, &session, seq));
        match attached {
            Some(attached) => {
                self.metrics.resumed.increment(1);
                Ok(attached)
            }
            None => self.begin(true),
        }
    }

    /// Who shows this token.
    ///
    /// # Errors
    /// `unauthenticated` if nobody has a session by it here.
    pub(crate) fn client(&self, token: &str) -> Result<Client, CallError> {
        let session = self.find(token).ok_or_else(no_session)?;
        Ok(Client { session })
    }

    /// Ends the sessions whose clients stayed away for too long (or all), and forgets what nobody
    /// will ask for again. Whoever is to hear that a client is gone.
    pub(crate) fn sweep(&self, now: Instant, all: bool) -> Vec<(ObjectId, Arc<str>)> {
        let kept = self.bounds.window + 2 * self.bounds.heartbeat;
        let since = now.checked_sub(kept);
        let mut over = Vec::new();
        for session in self.known.read().by_client.values() {
            if all || session.is_over(now) {
                over.push(Arc::clone(session));
            } else if let Some(since) = since {
                session.forget(since);
            }
        }
        if over.is_empty() {
            return Vec::new();
        }
        let mut known = self.known.write();
        let mut gone = Vec::new();
        for session in over {
            // It may have come back meanwhile.
            let Some(called) = session.end(now, all) else { continue };
            known.by_client.remove(&session.id);
            known.by_token.remove(&Token::digest(session.token.expose()));
            self.metrics.sessions.decrement(1.0);
            gone.extend(called.into_iter().map(|object| (object, Arc::clone(&session.id))));
        }
        gone
    }

    fn begin(self: &Arc<Self>, with_gap: bool) -> Result<Attached, CallError> {
        let token = Token::random();
        let id = format!("{}/{:032x}", self.address, rand::random::<u128>());
        let digest = Token::digest(token.expose());
        let session = Arc::new(Session::new(id.into(), token));
        let mut known = self.known.write();
        if known.by_client.len() >= self.bounds.sessions_max {
            self.metrics.refused.increment(1);
            let problem = "this gate has as many sessions as it may (`gate.sessions_max`)";
            return Err(CallError::new(ErrorKind::Overloaded, problem).retry_after(RETRY_AFTER));
        }
        let attached = Attached::begin(self, &session, with_gap);
        known.by_client.insert(Arc::clone(&session.id), Arc::clone(&session));
        known.by_token.insert(digest, session);
        drop(known);
        self.metrics.sessions.increment(1.0);
        self.metrics.opened.increment(1);
        Ok(attached)
    }

    fn find(&self, token: &str) -> Option<Arc<Session>> {
        let digest = Token::digest(token);
        self.known.read().by_token.get(&digest).cloned()
    }

    /// An event with room for its payload; none: there is no room.
    fn event(&self, delivery: &Delivery) -> Option<Arc<Event>> {
        let bytes = delivery.push.payload.len();
        let take = || {
            let mut share = self.budget.share();
            share.grow(bytes).ok().map(|()| share)
        };
        let share = take().or_else(|| {
            self.make_room(bytes);
            take()
        })?;
        let type_name = delivery.from.type_name();
        let encoding = self.catalog.get().and_then(|catalog| catalog.encoding(type_name).ok());
        Some(Arc::new(Event::new(&delivery.push, encoding.unwrap_or_default(), share)))
    }

    /// Frees a good part of all room: first what was told already, and is likely to have arrived;
    /// then what those hold who hold most, so that nobody who does not read keeps it from others.
    fn make_room(&self, bytes: usize) {
        let wanted = bytes.max(self.bounds.bytes_max / FREED_PART);
        let sessions: Vec<_> = self.known.read().by_client.values().map(Arc::clone).collect();
        sessions.iter().for_each(|session| session.forget_told());
        if self.budget.left() >= wanted {
            return;
        }
        let mut by_bytes: Vec<_> = sessions.iter().map(|s| (s.bytes(), s)).collect();
        by_bytes.sort_unstable_by_key(|(bytes, _)| std::cmp::Reverse(*bytes));
        for (_, session) in by_bytes {
            if self.budget.left() >= wanted {
                return;
            }
            session.clear();
            self.metrics.cleared.increment(1);
        }
    }

    fn push(&self, session: &Session, event: Option<&Arc<Event>>) {
        let event = event.map(|event| (event, self.budget.count(ENTRY_BYTES)));
        if session.push(event, self.bounds.of_buffer()) {
            self.metrics.pushes.increment(1);
        } else {
            self.metrics.dropped.increment(1);
        }
    }
}

impl Audience for Sessions {
    fn deliver(&self, delivery: Delivery) -> Vec<Arc<str>> {
        let mut gone = Vec::new();
        match &delivery.push.to {
            PushTo::Clients(clients) => {
                let event = self.event(&delivery);
                let known = self.known.read();
                for client in clients {
                    match known.by_client.get(client) {
                        Some(session) => self.push(session, event.as_ref()),
                        None => gone.push(Arc::clone(client)),
                    }
                }
            }
            PushTo::Everyone => {
                let event = self.event(&delivery);
                let known = self.known.read();
                known.by_client.values().for_each(|session| self.push(session, event.as_ref()));
            }
        }
        gone
    }

    fn missed(&self, to: &PushTo) {
        let known = self.known.read();
        let lose = |session: &Arc<Session>| {
            self.metrics.dropped.increment(1);
            session.lose(self.bounds.of_buffer());
        };
        match to {
            PushTo::Clients(clients) => {
                clients.iter().filter_map(|client| known.by_client.get(client)).for_each(lose);
            }
            PushTo::Everyone => known.by_client.values().for_each(lose),
        }
    }
}

/// No session is known by the token that a caller shows.
pub(crate) fn no_session() -> CallError {
    let problem = "the session is not known at this gate: it has expired, or never was; open a new \
                   one";
    CallError::new(ErrorKind::Unauthenticated, problem)
}

#[cfg(test)]
mod tests;
