//! One object that the node knows: its mailbox, what is wanted of it, and what is known of it.
//!
//! The mailbox outlives activations: calls keep their order while the object wakes, traps or moves
//! to another revision. One task at a time drives an entry (its activation); everyone else only
//! pushes letters and leaves wishes, and wakes that task.

use std::{
    collections::VecDeque,
    future::poll_fn,
    sync::Arc,
    task::{Poll, Waker},
    time::{Duration, Instant},
};

use parking_lot::{Mutex, MutexGuard};
use tokio::{sync::oneshot, task::AbortHandle};
use wasmverse_core::{
    Backoff, Durability, ObjectId, ShardId, State, Version,
    life::{self, Boundary, Head, Phase, Step},
};
use wasmverse_engine::Leaving;
use wasmverse_store::{self as store, StateDigest, StoredObject};

use crate::{
    activation::PAUSE_WAITED_FOR,
    known_types::Revision,
    letter::{Letter, Work},
    rollout::Ticket,
    room::Departure,
    shards::Piece,
};

/// A full mailbox is cleared of stale letters so often at most.
const CLEAR_EVERY: Duration = Duration::from_millis(10);

/// One object that the node knows.
pub(crate) struct Entry {
    pub(crate) object: ObjectId,
    /// Where its row belongs.
    pub(crate) shard: ShardId,
    inner: Mutex<Inner>,
}

/// What changes about an object.
pub(crate) struct Inner {
    pub(crate) phase: Phase,
    /// It is in no directory any more: find it anew.
    pub(crate) removed: bool,
    pub(crate) mailbox: VecDeque<Letter>,
    pub(crate) wanted: Wanted,
    /// It exists: created, or completed a write turn. False may mean that nobody has looked yet.
    pub(crate) exists: bool,
    /// Somebody has looked: `exists` is the truth.
    pub(crate) looked: bool,
    /// Its memory may differ from what was last saved.
    pub(crate) dirty: bool,
    /// The saver has it on its list.
    pub(crate) noted: bool,
    /// A save is under way.
    pub(crate) saving: bool,
    /// How the latest save ended.
    pub(crate) saved: Result<(), store::Error>,
    pub(crate) row: Row,
    /// An earlier revision left a row that the volatile one does not know of.
    pub(crate) left_row: bool,
    /// The revision that runs it; none: not live.
    pub(crate) revision: Option<Arc<Revision>>,
    /// Its state while it sleeps in memory.
    pub(crate) nap: Option<Nap>,
    pub(crate) backoff: Backoff,
    pub(crate) last_used: Instant,
    /// What its instance takes, or took when it was last live.
    pub(crate) memory_bytes: usize,
    /// Its mailbox was last cleared of stale letters.
    cleared: Option<Instant>,
    /// It could not sleep, and need not try before then.
    pub(crate) restless_until: Option<Instant>,
    /// Its activation's task.
    pub(crate) task: Option<AbortHandle>,
    waker: Option<Waker>,
}

/// What is wanted of an activation at its next boundary.
#[derive(Default)]
pub(crate) struct Wanted {
    pub(crate) upgrade: Option<Ticket>,
    pub(crate) save: bool,
    pub(crate) leave: Option<(Leaving, Option<Departure>)>,
    pub(crate) stop: bool,
    /// Its shard moves: what it has in memory goes there.
    pub(crate) pack: Option<oneshot::Sender<Option<Piece>>>,
    /// Its row changed under it.
    pub(crate) overtaken: bool,
}

/// What is known of an object's row in the store.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Row {
    /// None: there is no row.
    pub(crate) version: Option<Version>,
    /// Nobody knows whether the latest write arrived: read the version before the next one.
    pub(crate) unsure: bool,
    /// Of the state in it, as it was saved.
    pub(crate) digest: Option<StateDigest>,
    pub(crate) updated_at_micros: i64,
}

impl Row {
    /// The digest of the state that is stored, if there is one.
    pub(crate) fn committed(&self) -> Option<StateDigest> {
        self.digest.filter(|_| self.version.is_some())
    }

    /// As it was read.
    pub(crate) fn of(stored: Option<&StoredObject>) -> Self {
        stored.map_or_else(Self::default, |stored| Self {
            version: Some(stored.version),
            unsure: false,
            digest: stored.digest,
            updated_at_micros: stored.updated_at_micros,
        })
    }
}

/// What is in memory of an object that sleeps, and nowhere else.
pub(crate) struct Nap {
    /// Its state, and the revision that wrote it; none: it only exists.
    pub(crate) state: Option<(State, Arc<Revision>)>,
    /// Its place among the sleeping.
    pub(crate) place: u64,
}

/// What became of a letter that was pushed.
pub(crate) enum Pushed {
    /// It waits for its turn.
    Queued,
    /// The entry is in no directory any more.
    Removed(Letter),
    /// Too many wait.
    Full(Letter),
    /// The object traps again and again.
    Paused(Duration, Letter),
}

/// What an activation does next, with what it needs for it.
pub(crate) enum Next {
    Discard,
    Stop,
    Pack(oneshot::Sender<Option<Piece>>),
    Upgrade(Ticket),
    Save,
    Settle(Letter),
    Wake,
    Turn(Letter),
    Leave(Leaving, Option<Departure>),
    End,
}

impl Entry {
    pub(crate) fn new(object: ObjectId, shard: ShardId) -> Self {
        Self {
            object,
            shard,
            inner: Mutex::new(Inner {
                phase: Phase::Nothing,
                removed: false,
                mailbox: VecDeque::new(),
                wanted: Wanted::default(),
                exists: false,
                looked: false,
                dirty: false,
                noted: false,
                saving: false,
                saved: Ok(()),
                row: Row::default(),
                left_row: false,
                revision: None,
                nap: None,
                backoff: Backoff::default(),
                last_used: Instant::now(),
                memory_bytes: 0,
                cleared: None,
                restless_until: None,
                task: None,
                waker: None,
            }),
        }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock()
    }

    /// Puts a letter into the mailbox.
    ///
    /// `start` starts the activation; it runs under the lock, so that its task is known before it
    /// does anything.
    pub(crate) fn push(
        &self,
        letter: Letter,
        length_max: usize,
        start: impl FnOnce() -> AbortHandle,
    ) -> Pushed {
        let mut inner = self.inner.lock();
        if inner.removed {
            return Pushed::Removed(letter);
        }
        if inner.mailbox.len() >= length_max {
            return Pushed::Full(letter);
        }
        if !inner.phase.is_live() && letter.work.head() == Head::Invoke {
            let pause = inner.backoff.left(letter.arrived);
            if pause > PAUSE_WAITED_FOR {
                return Pushed::Paused(pause, letter);
            }
        }
        inner.mailbox.push_back(letter);
        if inner.phase.is_live() {
            let waker = inner.waker.take();
            drop(inner);
            waker.into_iter().for_each(Waker::wake);
            return Pushed::Queued;
        }
        inner.phase = Phase::Waking;
        inner.task = Some(start());
        Pushed::Queued
    }

    /// Leaves a wish for the activation, if there is one.
    pub(crate) fn wish(&self, wish: impl FnOnce(&mut Inner)) {
        let waker = {
            let mut inner = self.inner.lock();
            wish(&mut inner);
            inner.waker.take()
        };
        waker.into_iter().for_each(Waker::wake);
    }

    /// What the activation does next; waits while there is nothing to do.
    pub(crate) async fn next(&self, awake: bool) -> Next {
        poll_fn(|context| {
            let mut inner = self.inner.lock();
            match inner.next(awake) {
                Some(next) => Poll::Ready(next),
                None => inner.wait(context.waker()),
            }
        })
        .await
    }

    /// Waits until no save is under way, and says how the latest one ended.
    pub(crate) async fn saved(&self) -> Result<(), store::Error> {
        poll_fn(|context| {
            let mut inner = self.inner.lock();
            if inner.saving {
                inner.wait(context.waker())
            } else {
                Poll::Ready(inner.saved.clone())
            }
        })
        .await
    }
}

impl Inner {
    fn wait<T>(&mut self, waker: &Waker) -> Poll<T> {
        if !self.waker.as_ref().is_some_and(|known| known.will_wake(waker)) {
            self.waker = Some(waker.clone());
        }
        Poll::Pending
    }

    fn next(&mut self, awake: bool) -> Option<Next> {
        let step = life::next(&Boundary {
            awake,
            head: self.mailbox.front().map(|letter| letter.work.head()),
            saving: self.saving,
            overtaken: self.wanted.overtaken,
            stopping: self.wanted.stop,
            upgrade: self.wanted.upgrade.is_some(),
            save: self.wanted.save,
            leave: self.wanted.leave.is_some(),
            packing: self.wanted.pack.is_some(),
        });
        let (phase, next) = match step {
            Step::Discard => (Phase::Leaving, Next::Discard),
            Step::Stop => (Phase::Leaving, Next::Stop),
            Step::Pack => (Phase::Leaving, Next::Pack(self.wanted.pack.take()?)),
            Step::Upgrade => (Phase::Upgrading, Next::Upgrade(self.wanted.upgrade.take()?)),
            Step::Save => {
                self.wanted.save = false;
                (Phase::Resting, Next::Save)
            }
            Step::Settle => (Phase::Turning, Next::Settle(self.mailbox.pop_front()?)),
            Step::Wake => (Phase::Waking, Next::Wake),
            Step::Turn => {
                self.wanted.leave = None;
                (Phase::Turning, Next::Turn(self.mailbox.pop_front()?))
            }
            Step::Leave => {
                let (why, departure) = self.wanted.leave.take()?;
                (Phase::Leaving, Next::Leave(why, departure))
            }
            Step::Rest => {
                self.phase = if awake { Phase::Resting } else { Phase::Waking };
                return None;
            }
            Step::End => (self.phase, Next::End),
        };
        self.phase = phase;
        Some(next)
    }

    /// Takes the letters out that need no turn any more, unless that was done a moment ago.
    pub(crate) fn take_stale(&mut self, now: Instant) -> VecDeque<Letter> {
        let recently = |at: Instant| now.saturating_duration_since(at) < CLEAR_EVERY;
        if self.mailbox.is_empty() || self.cleared.is_some_and(recently) {
            return VecDeque::new();
        }
        self.cleared = Some(now);
        let (stale, fresh) =
            std::mem::take(&mut self.mailbox).into_iter().partition(|letter| letter.is_stale(now));
        self.mailbox = fresh;
        stale
    }

    /// Whether it rests, and could sleep.
    pub(crate) fn is_idle(&self, now: Instant) -> bool {
        self.phase == Phase::Resting
            && self.mailbox.is_empty()
            && self.wanted.leave.is_none()
            && self.restless_until.is_none_or(|until| until <= now)
    }

    /// Whether there is something that only this entry remembers.
    pub(crate) fn is_worth_keeping(&self, now: Instant) -> bool {
        self.phase.is_live()
            || !self.mailbox.is_empty()
            || self.saving
            || self.nap.is_some()
            || self.row.unsure
            || !self.backoff.is_forgotten(now)
    }

    /// It is volatile now: nothing that the store has of it counts any more.
    pub(crate) fn leave_row(&mut self) {
        self.left_row |= self.row.version.is_some() || self.row.unsure || self.saving;
        self.row = Row::default();
    }

    /// Its shard is another's: nothing is known of it any more, but a write of which nobody knows.
    pub(crate) fn forget_row(&mut self) {
        self.row = Row { unsure: self.row.unsure, ..Row::default() };
        (self.exists, self.looked, self.dirty, self.left_row) = (false, false, false, false);
    }

    /// Whether a volatile revision runs it.
    pub(crate) fn runs_volatile(&self) -> bool {
        let running = self.revision.as_ref();
        running.is_some_and(|running| running.spec().durability == Durability::Volatile)
    }

    /// Whether the saver should have it on its list.
    pub(crate) fn is_to_be_noted(&mut self) -> bool {
        self.dirty && self.exists && !std::mem::replace(&mut self.noted, true)
    }

    /// The methods at the head of the mailbox, up to the first letter that needs no instance.
    pub(crate) fn take_leading_invokes(&mut self) -> Vec<Letter> {
        let leading = self
            .mailbox
            .iter()
            .position(|letter| letter.work.head() != Head::Invoke)
            .unwrap_or(self.mailbox.len());
        self.mailbox.drain(..leading).collect()
    }
}

impl Work {
    /// Whether it needs an instance.
    fn head(&self) -> Head {
        match self {
            Self::Invoke(..) | Self::Wake => Head::Invoke,
            Self::Create | Self::Delete => Head::Settle,
        }
    }
}
