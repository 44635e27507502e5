//! An activation: the one task that owns an object's instance and takes one step at a time.
//!
//! What it does next is decided by [`wasmverse_core::life`]; each kind of step has a file of its
//! own. The task ends when there is neither instance nor letter; the entry may outlive it.

mod check;
mod commit;
mod leave;
mod once;
mod pack;
mod recall;
mod save;
mod settle;
mod sure;
mod turn;
mod upgrade;
mod wake;

pub(crate) use once::reason;
use upgrade::InLine;
pub(crate) use wake::PAUSE_WAITED_FOR;

use std::sync::Arc;

use wasmverse_core::{CallError, Durability, ErrorKind, ObjectId, ledger::Ledger, life::Phase};
use wasmverse_engine::Instance;
use wasmverse_store::StateDigest;

use crate::{
    budget::Charge,
    entry::{Entry, Next, Row},
    host::Host,
    known_types::Revision,
    room::Slot,
};

/// An activation, driven by its own task.
pub(crate) struct Activation {
    host: Arc<Host>,
    entry: Arc<Entry>,
    awake: Option<Awake>,
    /// There is something to clear up if the task is cut. Not before it runs: a runtime that ends
    /// drops it under the lock of its entry.
    under_way: bool,
}

/// A live object.
struct Awake {
    instance: Instance,
    revision: Arc<Revision>,
    slot: Slot,
    /// For its memory.
    charge: Charge,
    in_line: Option<InLine>,
    /// The state as it woke, if that was never committed and a turn that writes has come.
    before: Option<StateDigest>,
    /// It woke from a state of another schema, and that is what is stored.
    is_migrated: bool,
    /// What it has answered already; none: nobody has looked.
    ledger: Option<Ledger>,
}

impl Activation {
    pub(crate) fn new(host: &Arc<Host>, entry: &Arc<Entry>) -> Self {
        Self { host: host.clone(), entry: entry.clone(), awake: None, under_way: false }
    }

    /// Lives. Steps that are rare are boxed, so that ten thousand resting tasks stay small.
    pub(crate) async fn run(mut self) {
        self.under_way = true;
        loop {
            // An object that is called without end lets others have the thread, too.
            tokio::task::coop::consume_budget().await;
            let next = match self.awake.as_mut().and_then(|awake| awake.in_line.as_mut()) {
                None => self.entry.next(self.awake.is_some()).await,
                Some(in_line) => tokio::select! {
                    biased;
                    permit = in_line.head() => {
                        Box::pin(self.upgrade_at_last(permit)).await;
                        continue;
                    }
                    next = self.entry.next(true) => next,
                },
            };
            match next {
                Next::Turn(letter) => self.turn(letter).await,
                Next::Wake => Box::pin(self.wake()).await,
                Next::Save => Box::pin(self.save()).await,
                Next::Settle(letter) => Box::pin(self.settle(letter)).await,
                Next::Upgrade(ticket) => Box::pin(self.upgrade(ticket)).await,
                Next::Leave(why, departure) => {
                    Box::pin(self.leave(why)).await;
                    drop(departure);
                }
                Next::Discard => {
                    tracing::warn!(object = %self.object(), "the row changed under a live object");
                    self.discard();
                }
                Next::Pack(into) => {
                    Box::pin(self.pack(into)).await;
                    if self.end() {
                        return;
                    }
                }
                Next::Stop => {
                    Box::pin(self.stop()).await;
                    if self.end() {
                        return;
                    }
                }
                Next::End => {
                    if self.end() {
                        return;
                    }
                }
            }
            self.weigh();
        }
    }

    /// Notes what the instance takes after a step.
    fn weigh(&mut self) {
        let Some(awake) = &mut self.awake else { return };
        let bytes = awake.instance.memory_bytes();
        if awake.charge.bytes() != bytes {
            awake.charge.set(bytes);
            self.entry.lock().memory_bytes = bytes;
            self.host.memory.resized();
        }
    }

    fn object(&self) -> &ObjectId {
        &self.entry.object
    }

    /// Drops the instance without a word: the object is as its last save, or starts anew.
    fn discard(&mut self) {
        let keeps_row =
            matches!(self.durability(), Some(Durability::Periodic | Durability::Durable));
        self.awake = None;
        let mut inner = self.entry.lock();
        inner.dirty = false;
        inner.revision = None;
        if std::mem::take(&mut inner.wanted.overtaken) {
            // The row is the truth, and somebody has to look at it again.
            inner.row = Row::default();
        }
        if keeps_row {
            inner.exists = inner.row.version.is_some() && !inner.row.unsure;
            inner.looked = false;
        }
    }

    fn is_periodic(&self) -> bool {
        self.durability() == Some(Durability::Periodic)
    }

    fn is_volatile(&self) -> bool {
        self.durability() == Some(Durability::Volatile)
    }

    /// As the revision that runs has it; none: no instance.
    fn durability(&self) -> Option<Durability> {
        self.awake.as_ref().map(|awake| awake.revision.spec().durability)
    }

    /// Leaves the entry to others, unless something has come up.
    fn end(&mut self) -> bool {
        self.remember();
        self.under_way = !self.host.directory.retire(&self.entry);
        !self.under_way
    }

    /// Keeps in memory that an object without a row exists.
    fn remember(&self) {
        let alone = {
            let inner = self.entry.lock();
            inner.exists && inner.row.version.is_none() && inner.nap.is_none()
        };
        if alone {
            self.host.nap(&self.entry, None);
        }
    }
}

/// Only one whose task was cut, or panicked, still has something to say.
impl Drop for Activation {
    fn drop(&mut self) {
        if !self.under_way {
            return;
        }
        self.discard();
        self.sleep_on();
        self.remember();
        let (letters, wanted) = {
            let mut inner = self.entry.lock();
            inner.phase = Phase::Nothing;
            inner.task = None;
            (std::mem::take(&mut inner.mailbox), std::mem::take(&mut inner.wanted))
        };
        drop(wanted);
        let kind =
            if std::thread::panicking() { ErrorKind::Internal } else { ErrorKind::Unavailable };
        for letter in letters {
            let error = CallError::new(kind, "the activation was cut off before the call's turn");
            letter.reply.answer(&self.host.metrics, &self.entry.object, Err(error));
        }
        self.host.directory.forget(&self.entry);
    }
}
