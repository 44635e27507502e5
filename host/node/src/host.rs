//! What all activations of a node share, and the way of a call into a mailbox.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU8, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use futures_util::{
    FutureExt as _,
    future::{self, BoxFuture},
};
use parking_lot::Mutex;
use tokio::sync::{Semaphore, oneshot};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use wasmverse_core::{
    Action, Call, CallError, Caller, Durability, ErrorKind, ObjectId, Placement, Reply, ShardCount,
    ShardId,
};
use wasmverse_engine::{Engine, TurnId};
use wasmverse_store::Store;

use crate::{
    activation::Activation,
    asleep::Asleep,
    budget::{Budget, Charge},
    config::{self, NodeConfig},
    deploy::{Deploys, unstored},
    directory::Directory,
    entry::{Entry, Pushed},
    gates::Gates,
    gone::GoneClients,
    known_types::{Revision, Types},
    letter::{self, Admitted, Answer, Letter, ReplyTo, Work},
    logs::LogHub,
    memory::Memory,
    metrics::Metrics,
    outgoing::Outgoing,
    owned::Owned,
    room::Room,
    saver::Saver,
};

/// When to try again at an object whose mailbox is full.
const FULL_RETRY_AFTER: Duration = Duration::from_millis(200);
/// Instances of both revisions live side by side while an object changes over: so many at once.
const UPGRADES_AT_ONCE: usize = 256;
/// So many at once go through all objects that the node knows.
const LISTS_AT_ONCE: usize = 4;
/// All mailboxes are cleared of stale letters so often at most, while there is no room for more.
const CLEAR_ALL_EVERY: Duration = Duration::from_millis(100);
/// A mailbox of a type that is unknown holds so many deletes.
const MAILBOX_LENGTH: usize = 1024;

/// What all activations of a node share.
pub(crate) struct Host {
    pub(crate) config: NodeConfig,
    pub(crate) shards: ShardCount,
    pub(crate) engine: Engine,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) owned: Owned,
    pub(crate) types: Types,
    pub(crate) deploys: Deploys,
    /// Held while an older revision is compiled: many objects may want the same one at once.
    pub(crate) loading: tokio::sync::Mutex<()>,
    pub(crate) directory: Directory,
    pub(crate) room: Room,
    pub(crate) upgrades: Arc<Semaphore>,
    pub(crate) listing: Semaphore,
    pub(crate) memory: Memory,
    pub(crate) queued: Arc<Budget>,
    /// When all mailboxes were cleared of stale letters last.
    cleared: Mutex<Option<Instant>>,
    pub(crate) asleep: Asleep,
    pub(crate) saver: Saver,
    pub(crate) logs: Arc<LogHub>,
    pub(crate) metrics: Metrics,
    pub(crate) outgoing: Arc<Outgoing>,
    /// The way to clients.
    pub(crate) gates: Arc<Gates>,
    pub(crate) gone: GoneClients,
    /// The tasks of activations.
    pub(crate) activations: TaskTracker,
    /// All other tasks, and what ends them: the writer goes last.
    pub(crate) background: TaskTracker,
    pub(crate) background_end: CancellationToken,
    pub(crate) writer_end: CancellationToken,
    /// Whether it has stopped; held while it does.
    pub(crate) stopping: tokio::sync::Mutex<bool>,
    door: AtomicU8,
    process: u32,
    turns: AtomicU64,
}

/// Whose calls a node takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Door {
    Open,
    /// It stops: turns under way may still call objects.
    Draining,
    Closed,
}

impl Host {
    pub(crate) fn new(
        config: NodeConfig,
        shards: ShardCount,
        engine: Engine,
        store: Arc<dyn Store>,
        owned: Owned,
        live_max: usize,
    ) -> Arc<Self> {
        let logs = Arc::new(LogHub::new(config.log_lines_kept));
        let host = Arc::new(Self {
            shards,
            engine,
            store,
            owned,
            types: Types::new(),
            deploys: Deploys::default(),
            loading: tokio::sync::Mutex::default(),
            directory: Directory::new(),
            room: Room::new(live_max),
            listing: Semaphore::new(LISTS_AT_ONCE),
            upgrades: Arc::new(Semaphore::new(UPGRADES_AT_ONCE)),
            memory: Memory::new(config.memory_bytes_max.unwrap_or_else(config::memory_bytes_max)),
            queued: Budget::new(config.queued_bytes_max),
            cleared: Mutex::default(),
            asleep: Asleep::new(config.asleep_bytes_max),
            saver: Saver::default(),
            outgoing: Arc::new(Outgoing::new(logs.clone())),
            gates: Gates::new(config.gate_window),
            gone: GoneClients::default(),
            logs,
            metrics: Metrics::new(),
            activations: TaskTracker::new(),
            background: TaskTracker::new(),
            background_end: CancellationToken::new(),
            writer_end: CancellationToken::new(),
            stopping: tokio::sync::Mutex::default(),
            door: AtomicU8::new(Door::Open as u8),
            process: rand::random(),
            turns: AtomicU64::new(0),
            config,
        });
        host.outgoing.bind(&host);
        host
    }

    pub(crate) fn turn_id(&self) -> TurnId {
        TurnId { process: self.process, sequence: self.turns.fetch_add(1, Ordering::Relaxed) }
    }

    pub(crate) fn close_door(&self, door: Door) {
        self.door.fetch_max(door as u8, Ordering::SeqCst);
    }

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
            Err(error) => {
                self.metrics.refused(&error);
                Err(error)
            }
        }
    }

    /// Brings a call that nobody waits for.
    pub(crate) fn send(self: &Arc<Self>, call: Call) {
        if let (Action::ClientsGone(clients), Caller::Platform) = (&call.action, &call.caller) {
            return self.clients_gone(call.object, clients.clone());
        }
        let object = call.object.clone();
        if let Err(error) = self.accept(call, ReplyTo::Nobody) {
            ReplyTo::Nobody.answer(&self.metrics, &object, Err(error));
        }
    }

    /// Puts a call into its object's mailbox.
    fn accept(self: &Arc<Self>, call: Call, reply: ReplyTo) -> Result<(), CallError> {
        let now = Instant::now();
        self.admit(&call, now).map_err(|error| error.about(&call.object))?;
        let (object, mut letter) = Letter::new(call, now, reply);
        let revision = self.types.get(object.type_name());
        let revision = match letter.work {
            // What cannot be called can be deleted.
            Work::Delete => revision.ok(),
            Work::Invoke(..) | Work::Create | Work::Wake => {
                Some(revision.map_err(|error| error.about(&object))?)
            }
        };
        if let (Work::Invoke(asked, admitted), Some(revision)) = (&mut letter.work, &revision) {
            match revision.spec().admit(asked, &letter.caller) {
                Ok(method) => *admitted = Some(Admitted { by: revision.number, method }),
                // Its object may run another revision, which then decides.
                Err(_) if self.may_run_another(&object, revision) => {}
                Err(error) => return Err(error.about(&object)),
            }
        }
        letter.charge = Some(self.charge(letter.bytes()).map_err(|error| error.about(&object))?);
        self.push(&object, letter, revision.as_deref()).map_err(|error| error.about(&object))
    }

    /// Puts a letter of the node's own into a mailbox.
    pub(crate) fn wake(
        self: &Arc<Self>,
        object: &ObjectId,
        letter: Letter,
    ) -> Result<(), CallError> {
        let revision = self.types.get(object.type_name())?;
        self.push(object, letter, Some(&revision))
    }

    fn push(
        self: &Arc<Self>,
        object: &ObjectId,
        mut letter: Letter,
        revision: Option<&Revision>,
    ) -> Result<(), CallError> {
        let durability = revision.map(|revision| revision.spec().durability);
        let length_max =
            revision.map_or(MAILBOX_LENGTH, |revision| revision.spec().limits.mailbox_length);
        loop {
            let entry = self.directory.find(object, |object| self.place(object, durability))?;
            let start =
                || self.activations.spawn(Activation::new(self, &entry).run()).abort_handle();
            letter = match entry.push(letter, length_max, start) {
                Pushed::Queued => return Ok(()),
                Pushed::Removed(letter) => letter,
                Pushed::Full(letter) if self.clear(&entry) => letter,
                Pushed::Full(_) => {
                    let message = format!("{length_max} calls wait for it already");
                    let error = CallError::new(ErrorKind::Overloaded, message);
                    return Err(error.retry_after(FULL_RETRY_AFTER));
                }
                Pushed::Paused(pause) => return Err(paused(pause)),
            };
        }
    }

    /// Room for what a letter carries.
    fn charge(&self, bytes: usize) -> Result<Charge, CallError> {
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
                return Err(letter::stopping());
            }
        }
        self.check_owner()?;
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
        self.check_owner()?;
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

pub(crate) fn already_exists(object: &ObjectId) -> CallError {
    CallError::new(ErrorKind::AlreadyExists, format!("{object} exists already"))
}

pub(crate) fn paused(pause: Duration) -> CallError {
    let message = "it trapped too often in a row and is left alone for a while";
    CallError::new(ErrorKind::Unavailable, message).retry_after(pause)
}

fn gave_up() -> CallError {
    let message = "the deadline passed before the answer came; the turn may still run";
    CallError::new(ErrorKind::Timeout, message).maybe_executed()
}

/// The activation went without a word: its task was cut at the end of the process, or panicked.
fn lost() -> CallError {
    CallError::new(ErrorKind::Unavailable, "the turn was cut off").maybe_executed()
}
