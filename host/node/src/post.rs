//! The way of a call into a mailbox.

use std::{
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use futures_util::{
    FutureExt as _,
    future::{self, BoxFuture},
};
use tokio::sync::oneshot;
use wasmverse_core::{
    Action, Call, CallError, Caller, Durability, Elsewhere, ErrorKind, ON_CLIENT_GONE, ObjectId,
    Placement, Reply, ShardId, TypeName,
};

use crate::{
    activation::Activation,
    budget::Charge,
    deploy::unstored,
    entry::{Entry, Pushed},
    host::{Door, Host, paused},
    known_types::Revision,
    letter::{self, Admitted, Answer, Letter, ReplyTo, Work},
    shards::Met,
};

/// When to try again at an object whose mailbox is full.
const FULL_RETRY_AFTER: Duration = Duration::from_millis(200);
/// All mailboxes are cleared of stale letters so often at most, while there is no room for more.
const CLEAR_ALL_EVERY: Duration = Duration::from_millis(100);
/// A mailbox of a type that is unknown holds so many deletes.
const MAILBOX_LENGTH: usize = 1024;

impl Host {
    /// Brings a call to its object. The letter is in the mailbox when this returns; the future
    /// only waits for the answer, until the deadline.
    pub(crate) fn call(self: &Arc<Self>, call: Call) -> BoxFuture<'static, Answer> {
        if matches!(call.action, Action::Exists) {
            return Box::pin(self.clone().exists(call));
        }
        let deadline = call.deadline;
        match self.post(call) {
            Ok(answer) => Box::pin(async move {
                match tokio::time::timeout_at(deadline.into(), answer).await {
                    Ok(answer) => answer.unwrap_or_else(|_| Err(lost())),
                    Err(_) => Err(gave_up()),
                }
            }),
            Err(error) => Box::pin(future::ready(Err(error))),
        }
    }

    /// The same for the objects of this node: the engine, which asks for them, keeps the time.
    pub(crate) fn call_untimed(self: &Arc<Self>, call: Call) -> BoxFuture<'static, Answer> {
        if matches!(call.action, Action::Exists) {
            return Box::pin(self.clone().exists(call));
        }
        match self.post(call) {
            Ok(answer) => Box::pin(answer.map(|answer| answer.unwrap_or_else(|_| Err(lost())))),
            Err(error) => Box::pin(future::ready(Err(error))),
        }
    }

    fn post(self: &Arc<Self>, call: Call) -> Result<oneshot::Receiver<Answer>, CallError> {
        let (reply, answer) = oneshot::channel();
        match self.accept(call, ReplyTo::Caller(reply)) {
            Ok(()) => Ok(answer),
            Err((_, error)) => {
                self.metrics.refused(&error);
                Err(error)
            }
        }
    }

    /// Brings a call that nobody waits for.
    pub(crate) fn send(self: &Arc<Self>, call: Call) {
        self.send_or(call, |call, refusal| self.send_elsewhere(call, refusal));
    }

    /// The same, if its object is here; else it goes elsewhere.
    pub(crate) fn send_or(self: &Arc<Self>, call: Call, elsewhere: impl FnOnce(Call, Elsewhere)) {
        if let (Action::ClientsGone(clients), Caller::Platform) = (&call.action, &call.caller) {
            return self.clients_gone(call.object, clients.clone());
        }
        let again = self.joined().map(|_| call.clone());
        let object = call.object.clone();
        let Err((_, error)) = self.accept(call, ReplyTo::Nobody) else { return };
        match (again, error.as_elsewhere()) {
            (Some(call), Some(refusal)) => elsewhere(call, refusal),
            _ => ReplyTo::Nobody.answer(&self.metrics, &object, Err(error)),
        }
    }

    /// Puts a call into its object's mailbox, or has it wait while the object's shard moves.
    fn accept(self: &Arc<Self>, call: Call, reply: ReplyTo) -> Result<(), (ReplyTo, CallError)> {
        if let Err(error) = self.admit(&call, Instant::now()) {
            return Err((reply, error.about(&call.object)));
        }
        match self.shards.place(&call.object) {
            Ok(Placement::Shard(shard)) => self.meet(shard, call, reply),
            Ok(Placement::Node(_)) => self.put_in(call, reply, None),
            Err(error) => Err((reply, CallError::from(error).about(&call.object))),
        }
    }

    /// Puts a letter into its object's mailbox, if the object may be asked for that.
    pub(crate) fn deliver(
        self: &Arc<Self>,
        object: &ObjectId,
        mut letter: Letter,
    ) -> Result<(), (ReplyTo, CallError)> {
        let revision = match self.let_pass(object, &mut letter) {
            Ok(revision) => revision,
            Err(error) => return Err((letter.reply, error.about(object))),
        };
        let pushed = self.push(object, letter, revision.as_deref());
        pushed.map_err(|(reply, error)| (reply, error.about(object)))
    }

    /// Whether an object may be asked for what a letter asks for, and by which revision; and whether
    /// there is room for it.
    fn let_pass(
        &self,
        object: &ObjectId,
        letter: &mut Letter,
    ) -> Result<Option<Arc<Revision>>, CallError> {
        let revision = self.types.get(object.type_name());
        let revision = match letter.work {
            // What cannot be called can be deleted.
            Work::Delete => revision.ok(),
            Work::Invoke(..) | Work::Create | Work::Wake => Some(revision?),
        };
        if let (Work::Invoke(asked, admitted, _), Some(revision)) = (&mut letter.work, &revision) {
            match revision.spec().admit(asked, &letter.caller) {
                Ok(method) => {
                    *admitted = Some(Admitted { by: revision.number, method });
                    if let Caller::Client(Some(client)) = &letter.caller
                        && revision.spec().methods.contains_key(ON_CLIENT_GONE)
                    {
                        self.gates.callers.note(client, object, self.shard_of(object));
                    }
                }
                // Its object may run another revision, which then decides.
                Err(_) if self.may_run_another(object, revision) => {}
                Err(error) => return Err(error),
            }
        }
        letter.charge = Some(self.charge(letter.bytes())?);
        Ok(revision)
    }

    /// Puts a letter of the node's own into a mailbox.
    pub(crate) fn wake(
        self: &Arc<Self>,
        object: &ObjectId,
        letter: Letter,
    ) -> Result<(), CallError> {
        let revision = self.types.get(object.type_name())?;
        self.push(object, letter, Some(&revision)).map_err(|(_, error)| error)
    }

    fn push(
        self: &Arc<Self>,
        object: &ObjectId,
        mut letter: Letter,
        revision: Option<&Revision>,
    ) -> Result<(), (ReplyTo, CallError)> {
        let durability = revision.map(|revision| revision.spec().durability);
        let length_max =
            revision.map_or(MAILBOX_LENGTH, |revision| revision.spec().limits.mailbox_length);
        loop {
            let found = self.directory.find(object, |object| self.place(object, durability));
            let entry = match found {
                Ok(entry) => entry,
                Err(error) => return Err((letter.reply, error)),
            };
            let start =
                || self.activations.spawn(Activation::new(self, &entry).run()).abort_handle();
            letter = match entry.push(letter, length_max, start) {
                Pushed::Queued => return Ok(()),
                Pushed::Removed(letter) => letter,
                Pushed::Full(letter) if self.clear(&entry) => letter,
                Pushed::Full(letter) => {
                    let message = format!("{length_max} calls wait for it already");
                    let error = CallError::new(ErrorKind::Overloaded, message);
                    return Err((letter.reply, error.retry_after(FULL_RETRY_AFTER)));
                }
                Pushed::Paused(pause, letter) => return Err((letter.reply, paused(pause))),
            };
        }
    }

    /// Room for what a letter carries.
    pub(crate) fn charge(&self, bytes: usize) -> Result<Charge, CallError> {
        let charge = self.queued.charge(bytes);
        let charge = charge.or_else(|| {
            self.clear_all();
            self.queued.charge(bytes)
        });
        charge.ok_or_else(|| {
            let message = "the calls that wait on this node carry too much already";
            CallError::new(ErrorKind::Overloaded, message).retry_after(FULL_RETRY_AFTER)
        })
    }

    /// Clears a mailbox of letters that need no turn any more; `false`: there are none.
    fn clear(&self, entry: &Entry) -> bool {
        let stale = entry.lock().take_stale(Instant::now());
        let any = !stale.is_empty();
        for letter in stale {
            letter.reply.answer(&self.metrics, &entry.object, Err(letter::too_late()));
        }
        any
    }

    /// The same for all mailboxes, unless that was done a moment ago.
    fn clear_all(&self) {
        let Some(mut cleared) = self.cleared.try_lock() else { return };
        let now = Instant::now();
        if cleared.is_some_and(|at| now.saturating_duration_since(at) < CLEAR_ALL_EVERY) {
            return;
        }
        for entry in self.directory.filter(|_, inner| !inner.mailbox.is_empty()) {
            self.clear(&entry);
        }
        *cleared = Some(Instant::now());
    }

    /// What must hold of every call, whatever it asks for.
    fn admit(&self, call: &Call, now: Instant) -> Result<(), CallError> {
        let door = self.door.load(Ordering::Relaxed);
        if door != Door::Open as u8 {
            // Until the door is closed, turns under way may still call objects, and objects hear
            // which clients are gone.
            let inner = matches!(call.caller, Caller::Object(_) | Caller::Platform);
            if door == Door::Closed as u8 || !inner {
                return Err(match (self.joined(), self.shard_of(&call.object)) {
                    // Another node has it, or will.
                    (Some(_), Some(shard)) => CallError::elsewhere(shard, self.epoch(shard)),
                    _ => letter::stopping(),
                });
            }
        }
        self.check_owner(&call.object)?;
        if call.deadline <= now {
            return Err(letter::too_late());
        }
        call.chain.admit(&call.object)
    }

    /// Where an object's row belongs, if the object belongs here.
    fn place(
        &self,
        object: &ObjectId,
        durability: Option<Durability>,
    ) -> Result<ShardId, CallError> {
        match self.shards.place(object)? {
            Placement::Shard(shard) => Ok(shard),
            Placement::Node(node) if node.as_str() != self.config.advertised() => {
                let message = format!("the node {node} is not there");
                Err(CallError::new(ErrorKind::Unavailable, message))
            }
            Placement::Node(_) if durability.is_some_and(|d| d != Durability::Volatile) => {
                let message = format!("{object} is pinned to a node: only volatile types may be");
                Err(CallError::new(ErrorKind::InvalidArgument, message))
            }
            Placement::Node(_) => Ok(ShardId(0)),
        }
    }

    /// Whether objects of a type are durable, for all that is known.
    pub(crate) fn is_durable(&self, type_name: &TypeName) -> bool {
        let active = self.types.get(type_name);
        active.is_ok_and(|active| active.spec().durability == Durability::Durable)
    }

    /// The shard of an object's row, unless it has none.
    pub(crate) fn shard_of(&self, object: &ObjectId) -> Option<ShardId> {
        match self.shards.place(object) {
            Ok(Placement::Shard(shard)) => Some(shard),
            Ok(Placement::Node(_)) | Err(_) => None,
        }
    }

    /// Whether an object runs, or may wake on, another revision than the active one.
    fn may_run_another(&self, object: &ObjectId, active: &Revision) -> bool {
        let running = self.directory.get(object).and_then(|entry| entry.lock().revision.clone());
        match running {
            Some(running) => running.number != active.number,
            // State that the active revision refuses wakes on the one that wrote it.
            None => active.number.0 > 1,
        }
    }

    /// Whether an object exists. Waits for no turn.
    async fn exists(self: Arc<Self>, call: Call) -> Answer {
        let answer = self.look(&call).await.map_err(|error| error.about(&call.object));
        self.metrics.ended(&answer);
        answer.map(Reply::Exists)
    }

    async fn look(&self, call: &Call) -> Result<bool, CallError> {
        self.check_owner(&call.object)?;
        let _inside = match self.shard_of(&call.object) {
            Some(shard) => match self.owned.shards.meet(shard, &call.chain) {
                Met::In(pass) => {
                    self.owned.shards.count(shard, call);
                    Some(pass)
                }
                // It runs nothing, and what the drain waits for may wait for it.
                Met::Waits => Some(self.owned.shards.look_in(shard)?),
                Met::Away(error) => return Err(error),
            },
            None => None,
        };
        let revision = self.types.get(call.object.type_name())?;
        let durability = revision.spec().durability;
        self.place(&call.object, Some(durability))?;
        let mut unsure = false;
        if let Some(entry) = self.directory.get(&call.object) {
            let inner = entry.lock();
            if inner.exists || inner.looked {
                return Ok(inner.exists);
            }
            unsure = inner.row.unsure;
        }
        if durability == Durability::Volatile {
            return Ok(false);
        }
        let load = async {
            if unsure {
                self.store.settle().await?;
            }
            self.store.load(&call.object).await
        };
        match tokio::time::timeout_at(call.deadline.into(), load).await {
            Ok(stored) => Ok(stored.map_err(|error| unstored(&error))?.is_some()),
            Err(_) => Err(gave_up()),
        }
    }
}

fn gave_up() -> CallError {
    let message = "the deadline passed before the answer came; the turn may still run";
    CallError::new(ErrorKind::Timeout, message).maybe_executed()
}

/// The activation went without a word: its task was cut at the end of the process, or panicked.
fn lost() -> CallError {
    CallError::new(ErrorKind::Unavailable, "the turn was cut off").maybe_executed()
}
