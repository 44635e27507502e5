//! What all activations of a node share.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU8, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use wasmverse_core::{CallError, ErrorKind, ObjectId, ShardCount, TypeName};
use wasmverse_engine::{Engine, TurnId};
use wasmverse_store::Store;

use crate::{
    asleep::Asleep,
    budget::Budget,
    clock::Clock,
    cluster::Joined,
    config::{self, NodeConfig},
    deploy::Deploys,
    directory::Directory,
    gates::Gates,
    gone::GoneClients,
    known_types::{Revision, Types},
    logs::LogHub,
    memory::Memory,
    metrics::Metrics,
    outgoing::Outgoing,
    owned::Owned,
    reminders::Reminders,
    room::Room,
    saver::Saver,
    sends::Sends,
};

/// Instances of both revisions live side by side while an object changes over: so many at once.
const UPGRADES_AT_ONCE: usize = 256;
/// So many at once go through all objects that the node knows.
const LISTS_AT_ONCE: usize = 4;

/// What all activations of a node share.
pub(crate) struct Host {
    pub(crate) config: NodeConfig,
    pub(crate) shards: ShardCount,
    pub(crate) engine: Engine,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) owned: Owned,
    pub(crate) types: Types,
    pub(crate) deploys: Deploys,
    /// What is about to be deployed is kept compiled until it is.
    pub(crate) prepared: Mutex<BTreeMap<TypeName, Arc<Revision>>>,
    /// Held while an older revision is compiled: many objects may want the same one at once.
    pub(crate) loading: tokio::sync::Mutex<()>,
    pub(crate) directory: Directory,
    pub(crate) room: Room,
    pub(crate) upgrades: Arc<Semaphore>,
    pub(crate) listing: Semaphore,
    pub(crate) memory: Memory,
    pub(crate) queued: Arc<Budget>,
    /// When all mailboxes were cleared of stale letters last.
    pub(crate) cleared: Mutex<Option<Instant>>,
    pub(crate) asleep: Asleep,
    pub(crate) saver: Saver,
    pub(crate) logs: Arc<LogHub>,
    pub(crate) metrics: Metrics,
    pub(crate) outgoing: Arc<Outgoing>,
    /// The way to clients.
    pub(crate) gates: Arc<Gates>,
    pub(crate) gone: GoneClients,
    pub(crate) clock: Clock,
    pub(crate) sends: Sends,
    pub(crate) reminders: Reminders,
    /// The tasks of activations.
    pub(crate) activations: TaskTracker,
    /// All other tasks, and what ends them: the writer goes last.
    pub(crate) background: TaskTracker,
    pub(crate) background_end: CancellationToken,
    pub(crate) writer_end: CancellationToken,
    /// What it has as a member of a cluster.
    pub(crate) joined: OnceLock<Joined>,
    /// The tasks that keep it in touch with others, and what ends them: last of all.
    pub(crate) links: TaskTracker,
    pub(crate) links_end: CancellationToken,
    /// Whoever serves peers: they are let go before the registration is.
    pub(crate) listening: TaskTracker,
    /// It has nothing to hand over any more: no more calls are taken from others.
    pub(crate) departed: CancellationToken,
    /// Whether it has stopped; held while it does.
    pub(crate) stopping: tokio::sync::Mutex<bool>,
    pub(crate) door: AtomicU8,
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
            prepared: Mutex::default(),
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
            clock: Clock::default(),
            sends: Sends::new(config.delivery_tries_max),
            reminders: Reminders::new(config.delivery_tries_max),
            logs,
            metrics: Metrics::new(),
            activations: TaskTracker::new(),
            background: TaskTracker::new(),
            background_end: CancellationToken::new(),
            writer_end: CancellationToken::new(),
            joined: OnceLock::new(),
            links: TaskTracker::new(),
            links_end: CancellationToken::new(),
            listening: TaskTracker::new(),
            departed: CancellationToken::new(),
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
}

pub(crate) fn already_exists(object: &ObjectId) -> CallError {
    CallError::new(ErrorKind::AlreadyExists, format!("{object} exists already"))
}

pub(crate) fn paused(pause: Duration) -> CallError {
    let message = "it trapped too often in a row and is left alone for a while";
    CallError::new(ErrorKind::Unavailable, message).retry_after(pause)
}
