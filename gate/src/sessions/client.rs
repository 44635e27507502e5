//! One client: its session, whether it is connected or not, and its connection.

use std::{
    collections::VecDeque,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Instant,
};

use parking_lot::Mutex;
use wasmverse_core::ObjectId;

use super::{
    Event, Sessions, Token,
    buffer::{Bounds, Buffer, Told},
};
use crate::budget::Share;

/// Objects that are to hear when a client is gone; beyond it the earliest are forgotten.
const CALLED_MAX: usize = 1024;

/// A client, connected or away.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) id: Arc<str>,
    pub(super) token: Token,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    buffer: Buffer,
    waker: Option<Waker>,
    /// Counts connections: only the latest counts.
    connection: u64,
    /// When it ends, unless its client comes back; none: it is connected.
    until: Option<Instant>,
    is_over: bool,
    called: VecDeque<ObjectId>,
}

impl Session {
    pub(super) fn new(id: Arc<str>, token: Token) -> Self {
        Self { id, token, state: Mutex::default() }
    }

    /// `false`: it was dropped, for want of room.
    pub(super) fn push(&self, event: Option<(&Arc<Event>, Share)>, bounds: Bounds) -> bool {
        self.change(|buffer| match event {
            Some((event, share)) => buffer.push(Arc::clone(event), share, bounds),
            None => {
                buffer.skip();
                false
            }
        })
    }

    /// Something was lost on the way to it.
    pub(super) fn lose(&self, bounds: Bounds) {
        self.change(|buffer| buffer.lose(bounds));
    }

    /// What it holds, in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.state.lock().buffer.bytes()
    }

    /// Lets go of all that it holds, which is told as a gap.
    pub(super) fn clear(&self) {
        self.change(|buffer| {
            buffer.clear();
            true
        });
    }

    /// Wakes the connection outside the lock.
    fn change(&self, change: impl FnOnce(&mut Buffer) -> bool) -> bool {
        let mut state = self.state.lock();
        let changed = change(&mut state.buffer);
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
        changed
    }

    pub(super) fn is_over(&self, now: Instant) -> bool {
        self.state.lock().until.is_some_and(|until| until <= now)
    }

    pub(super) fn forget(&self, since: Instant) {
        self.state.lock().buffer.forget(since);
    }

    /// Forgets what a connected client was told.
    pub(super) fn forget_told(&self) {
        let mut state = self.state.lock();
        if state.until.is_none() {
            state.buffer.forget(Instant::now());
        }
    }

    /// Ends it, if it is still time; whom it called.
    pub(super) fn end(&self, now: Instant, whatever: bool) -> Option<VecDeque<ObjectId>> {
        let mut state = self.state.lock();
        if !whatever && state.until.is_none_or(|until| until > now) {
            return None;
        }
        state.is_over = true;
        state.connection += 1;
        let (waker, called) = (state.waker.take(), std::mem::take(&mut state.called));
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
        Some(called)
    }
}

/// A client with a session, as the caller of objects.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    pub(super) session: Arc<Session>,
}

impl Client {
    /// `gate-address/unique`
    pub(crate) fn id(&self) -> &Arc<str> {
        &self.session.id
    }

    /// Notes that it called an object, which is to hear when it is gone.
    pub(crate) fn called(&self, object: &ObjectId) {
        let mut state = self.session.state.lock();
        if state.called.contains(object) {
            return;
        }
        if state.called.len() >= CALLED_MAX {
            state.called.pop_front();
        }
        state.called.push_back(object.clone());
    }
}

/// A client that is connected. Dropped: it has lost its connection.
#[derive(Debug)]
pub(crate) struct Attached {
    pub(crate) client: Client,
    /// The secret, to be told to this client alone.
    pub(crate) token: Token,
    /// The last event that it has: 0 for a new one.
    pub(crate) seq: u64,
    connection: u64,
    sessions: Arc<Sessions>,
}

impl Attached {
    pub(super) fn begin(sessions: &Arc<Sessions>, session: &Arc<Session>, with_gap: bool) -> Self {
        if with_gap {
            session.lose(sessions.bounds.of_buffer());
        }
        Self::new(sessions, session, 0, 0)
    }

    /// None: the session ended just now.
    pub(super) fn resume(
        sessions: &Arc<Sessions>,
        session: &Arc<Session>,
        seq: u64,
    ) -> Option<Self> {
        let mut state = session.state.lock();
        if state.is_over {
            return None;
        }
        state.buffer.rewind(seq);
        state.until = None;
        state.connection += 1;
        let (seq, connection, waker) = (state.buffer.told(), state.connection, state.waker.take());
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
        Some(Self::new(sessions, session, seq, connection))
    }

    fn new(sessions: &Arc<Sessions>, session: &Arc<Session>, seq: u64, connection: u64) -> Self {
        let client = Client { session: Arc::clone(session) };
        let (token, sessions) = (session.token.clone(), Arc::clone(sessions));
        Self { client, token, seq, connection, sessions }
    }

    /// The next thing to tell; none: somebody else has resumed the session, or it was ended.
    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Told>> {
        let mut state = self.client.session.state.lock();
        if state.connection != self.connection {
            return Poll::Ready(None);
        }
        if let Some(told) = state.buffer.next(Instant::now()) {
            return Poll::Ready(Some(told));
        }
        match &mut state.waker {
            Some(waker) => waker.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
        Poll::Pending
    }

    /// How often the client hears something at least.
    pub(super) fn heartbeat(&self) -> std::time::Duration {
        self.sessions.bounds.heartbeat
    }

    /// The last event that it was told.
    pub(crate) fn told(&self) -> u64 {
        self.client.session.state.lock().buffer.told()
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        let mut state = self.client.session.state.lock();
        if state.connection == self.connection {
            state.until = Some(Instant::now() + self.sessions.bounds.window);
            state.waker = None;
        }
    }
}
