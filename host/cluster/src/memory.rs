//! A coordination service within one process: for clusters in one process, and for tests.

mod faulty;

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use futures_util::{
    FutureExt as _, StreamExt as _,
    future::{BoxFuture, ready},
    stream::{self, BoxStream},
};
use parking_lot::Mutex;
use tokio::{sync::watch, time::Instant};

use crate::{
    Batch, Change, Clock, Coordination, Error, Guard, LeaseId, Op, Row, Snapshot, TRANSACTION_MAX,
};
pub use faulty::Faulty;

/// So many revisions are remembered for watches; who is further behind begins with a snapshot.
const HISTORY_MAX: usize = 100_000;

/// A coordination service in memory. A clone is the same one. Leases lapse by the time of tokio,
/// so that a test may stop it.
#[derive(Clone, Debug)]
pub struct Memory {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    /// The latest revision, and how often a lease has changed: for those who watch.
    moved: watch::Sender<(u64, u64)>,
    start: Instant,
}

#[derive(Debug)]
struct State {
    revision: u64,
    rows: BTreeMap<String, Row>,
    history: VecDeque<Batch>,
    /// What happened up to here is forgotten.
    compacted: u64,
    leases: BTreeMap<LeaseId, Granted>,
    last_lease: i64,
}

#[derive(Debug)]
struct Granted {
    ttl: Duration,
    until: Instant,
}

impl Default for Memory {
    fn default() -> Self {
        Self::new()
    }
}

impl Memory {
    /// Nothing in it.
    pub fn new() -> Self {
        let state = State {
            revision: 1,
            rows: BTreeMap::new(),
            history: VecDeque::new(),
            compacted: 0,
            leases: BTreeMap::new(),
            last_lease: 0,
        };
        let moved = watch::Sender::new((1, 0));
        Self { shared: Arc::new(Shared { state: Mutex::new(state), moved, start: Instant::now() }) }
    }

    /// The same one, for somebody whose way to it may be cut or slow.
    pub fn faulty(&self) -> Faulty {
        Faulty::new(Arc::new(self.clone()))
    }

    /// Forgets what happened up to a revision.
    pub fn compact(&self, revision: u64) {
        self.shared.with(|state| state.compact(revision));
    }

    /// Loses everything, as if it were made anew: keys, leases, and how many revisions there were.
    pub fn lose_all(&self) {
        self.shared.with(|state| {
            (state.revision, state.compacted) = (1, 0);
            state.rows.clear();
            state.history.clear();
            state.leases.clear();
        });
        self.shared.moved.send_modify(|(_, turns)| *turns += 1);
    }
}

impl Shared {
    /// Leases that are over lapse first; who watches hears of it.
    fn with<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.state.lock();
        let before = (state.revision, state.next_lapse());
        state.lapse(Instant::now());
        let answer = act(&mut state);
        if before != (state.revision, state.next_lapse()) {
            let revision = state.revision;
            self.moved.send_modify(|(seen, turns)| {
                *seen = revision;
                *turns += 1;
            });
        }
        answer
    }

    /// What happened after a revision; nothing yet: when the next lease may lapse.
    fn news(&self, after: u64) -> Result<Result<Batch, Option<Instant>>, Error> {
        self.with(|state| {
            // Nobody knows of what is to come, but for who saw what is lost.
            if after < state.compacted || after > state.revision {
                return Err(Error::Compacted);
            }
            let skipped = state.history.partition_point(|batch| batch.revision <= after);
            let news: Vec<_> = state.history.range(skipped..).collect();
            Ok(match news.last() {
                None => Err(state.next_lapse()),
                Some(last) => Ok(Batch {
                    revision: last.revision,
                    changes: news.iter().flat_map(|batch| batch.changes.clone()).collect(),
                }),
            })
        })
    }
}

impl State {
    fn next_lapse(&self) -> Option<Instant> {
        self.leases.values().map(|lease| lease.until).min()
    }

    fn lapse(&mut self, now: Instant) {
        let over = self.leases.iter().filter(|(_, lease)| lease.until <= now);
        for lease in over.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.end(lease);
        }
    }

    fn end(&mut self, lease: LeaseId) {
        if self.leases.remove(&lease).is_some() {
            let its = self.rows.values().filter(|row| row.lease == Some(lease));
            let ops = its.map(|row| Op::Delete(row.key.clone())).collect();
            self.apply(ops);
        }
    }

    fn compact(&mut self, revision: u64) {
        self.compacted = self.compacted.max(revision.min(self.revision));
        while self.history.front().is_some_and(|batch| batch.revision <= self.compacted) {
            self.history.pop_front();
        }
    }

    fn holds(&self, guard: &Guard) -> bool {
        match guard {
            Guard::Absent(key) => !self.rows.contains_key(key),
            Guard::Revision(key, revision) => {
                self.rows.get(key).is_some_and(|row| row.revision == *revision)
            }
        }
    }

    /// The revision is raised only if anything is changed.
    fn apply(&mut self, ops: Vec<Op>) -> u64 {
        let revision = self.revision + 1;
        let mut changes = Vec::new();
        for op in ops {
            match op {
                Op::Put { key, value, lease } => {
                    let row = Row { key: key.clone(), value, revision, lease };
                    self.rows.insert(key, row.clone());
                    changes.push(Change::Put(row));
                }
                Op::Delete(key) if self.rows.remove(&key).is_some() => {
                    changes.push(Change::Deleted { key });
                }
                Op::Delete(_) => {}
            }
        }
        if !changes.is_empty() {
            self.revision = revision;
            self.history.push_back(Batch { revision, changes });
            if let Some(first) = self.history.len().checked_sub(HISTORY_MAX) {
                self.compact(self.compacted.max(self.history[first].revision));
            }
        }
        self.revision
    }

    fn commit(&mut self, guards: &[Guard], ops: Vec<Op>) -> Result<Option<u64>, Error> {
        if guards.len() > TRANSACTION_MAX || ops.len() > TRANSACTION_MAX {
            return Err(Error::Refused("too many operations in one commit".to_owned()));
        }
        if !guards.iter().all(|guard| self.holds(guard)) {
            return Ok(None);
        }
        let gone = |op: &Op| match op {
            Op::Put { lease: Some(lease), .. } => !self.leases.contains_key(lease),
            Op::Put { lease: None, .. } | Op::Delete(_) => false,
        };
        if ops.iter().any(gone) {
            return Err(Error::LeaseGone);
        }
        Ok(Some(self.apply(ops)))
    }
}

impl Coordination for Memory {
    fn snapshot(&self) -> BoxFuture<'_, Result<Snapshot, Error>> {
        let rows = |state: &mut State| state.rows.values().cloned().collect();
        let taken = |state: &mut State| Snapshot { revision: state.revision, rows: rows(state) };
        ready(Ok(self.shared.with(taken))).boxed()
    }

    fn get<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<(u64, Option<Row>), Error>> {
        let row = |state: &mut State| (state.revision, state.rows.get(key).cloned());
        ready(Ok(self.shared.with(row))).boxed()
    }

    fn watch(
        &self,
        after: u64,
    ) -> BoxFuture<'_, Result<BoxStream<'static, Result<Batch, Error>>, Error>> {
        let watcher = (Arc::clone(&self.shared), self.shared.moved.subscribe(), Some(after));
        let batches = stream::unfold(watcher, |(shared, mut moved, after)| async move {
            let after = after?;
            loop {
                moved.borrow_and_update();
                match shared.news(after) {
                    Err(error) => return Some((Err(error), (shared, moved, None))),
                    Ok(Ok(batch)) => {
                        let after = Some(batch.revision);
                        return Some((Ok(batch), (shared, moved, after)));
                    }
                    Ok(Err(None)) => moved.changed().await.ok()?,
                    Ok(Err(Some(lapse))) => tokio::select! {
                        changed = moved.changed() => changed.ok()?,
                        () = tokio::time::sleep_until(lapse) => {}
                    },
                }
            }
        });
        ready(Ok(batches.boxed())).boxed()
    }

    fn grant(&self, ttl: Duration) -> BoxFuture<'_, Result<LeaseId, Error>> {
        let lease = self.shared.with(|state| {
            state.last_lease += 1;
            let lease = LeaseId(state.last_lease);
            state.leases.insert(lease, Granted { ttl, until: Instant::now() + ttl });
            lease
        });
        ready(Ok(lease)).boxed()
    }

    fn keep_alive(&self, lease: LeaseId) -> BoxFuture<'_, Result<(), Error>> {
        let kept = self.shared.with(|state| {
            let granted = state.leases.get_mut(&lease).ok_or(Error::LeaseGone)?;
            granted.until = Instant::now() + granted.ttl;
            Ok(())
        });
        ready(kept).boxed()
    }

    fn revoke(&self, lease: LeaseId) -> BoxFuture<'_, Result<(), Error>> {
        self.shared.with(|state| state.end(lease));
        ready(Ok(())).boxed()
    }

    fn commit(
        &self,
        guards: Vec<Guard>,
        ops: Vec<Op>,
    ) -> BoxFuture<'_, Result<Option<u64>, Error>> {
        ready(self.shared.with(|state| state.commit(&guards, ops))).boxed()
    }

    fn clock(&self) -> Clock {
        Clock::Runtime(self.shared.start)
    }
}
