//! The sessions of clients: who they are, what is pushed to them, and how they come back.
//!
//! One engine under gRPC, SSE and WebSocket: a surface opens or resumes a session, reads what its
//! client is told as a stream, and gives it up by dropping that.

use std::{
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use wasmverse_core::{CallError, ErrorKind, ObjectId, PushTo};
use wasmverse_router::{Audience, Delivery};

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

impl Default for SessionBounds {
    fn default() -> Self {
        Self {
            sessions_max: 50_000,
            buffer_length: 1024,
            bytes_max: 256 << 20,
            window: Duration::from_secs(30),
            heartbeat: Duration::from_secs(15),
        }
    }
}

/// All sessions of this gate.
#[derive(Debug)]
pub(crate) struct Sessions {
    pub(crate) bounds: SessionBounds,
}

/// An event that is pushed, shared by all clients that it is for.
#[derive(Debug)]
pub(crate) struct Event {
    pub(crate) name: Arc<str>,
    /// As the object wrote it.
    pub(crate) payload: Bytes,
}

/// What a client is told.
#[derive(Clone, Debug)]
pub(crate) enum Told {
    Push { seq: u64, event: Arc<Event> },
    /// `seq` is that of the last push that was missed.
    Gap { seq: u64, missed: Option<u64> },
}

/// A client that is connected. Dropped: it has lost its connection.
#[derive(Debug)]
pub(crate) struct Attached {
    pub(crate) client: Client,
    /// The secret, to be told to this client alone. Shows as `…` in logs.
    pub(crate) token: Token,
    /// The last event that it has: 0 for a new one.
    pub(crate) seq: u64,
}

/// A client with a session, as the caller of objects.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    /// `gate-address/unique`
    pub(crate) id: Arc<str>,
}

/// The secret of a session.
#[derive(Clone)]
pub(crate) struct Token(Arc<str>);

impl Token {
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("…")
    }
}

impl Sessions {
    pub(crate) fn new(_address: String, bounds: SessionBounds) -> Arc<Self> {
        Arc::new(Self { bounds })
    }

    /// A new session.
    ///
    /// # Errors
    /// `overloaded` beyond the limit.
    pub(crate) fn open(self: &Arc<Self>) -> Result<Attached, CallError> {
        Err(CallError::new(ErrorKind::Overloaded, "no sessions"))
    }

    /// The session of this token, from the event after `seq` on; whoever is connected as it is
    /// sent away. A new one that begins with a gap if there is none (any more).
    ///
    /// # Errors
    /// `overloaded` beyond the limit.
    pub(crate) fn resume(self: &Arc<Self>, _token: &str, _seq: u64) -> Result<Attached, CallError> {
        self.open()
    }

    /// Who shows this token.
    ///
    /// # Errors
    /// `unauthenticated` if nobody has a session by it here.
    pub(crate) fn client(&self, _token: &str) -> Result<Client, CallError> {
        Err(crate::call::no_session())
    }
}

impl Client {
    /// Notes that it called an object, which is to hear when it is gone.
    pub(crate) fn called(&self, _object: &ObjectId) {}
}

impl Attached {
    /// The next thing to tell; none: somebody else has resumed the session.
    pub(crate) fn poll_next(&mut self, _cx: &mut Context<'_>) -> Poll<Option<Told>> {
        Poll::Pending
    }
}

impl Event {
    /// The payload as JSON: as it is from a type that speaks JSON, else as base64 in a string;
    /// `null` for none.
    pub(crate) fn json(&self) -> &Bytes {
        &self.payload
    }
}

impl Audience for Sessions {
    fn deliver(&self, delivery: Delivery) -> Vec<Arc<str>> {
        match delivery.push.to {
            PushTo::Clients(clients) => clients,
            PushTo::Everyone => Vec::new(),
        }
    }

    fn missed(&self, _: &PushTo) {}
}
