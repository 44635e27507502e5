//! Saves periodic objects: a list of those that changed, asked for their state every interval,
//! and one writer that puts what they hand over into the store in batches.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use parking_lot::Mutex;
use tokio::sync::{Notify, Semaphore, watch};
use tokio_util::sync::CancellationToken;
use wasmverse_core::{Durability, Epoch, RevisionNumber, State, TypeSpec};
use wasmverse_store::{self as store, Change, Commit, Expected, StateDigest};

use crate::{entry::Entry, host::Host};

/// The largest batch, in rows and in bytes.
const BATCH_ROWS: usize = 500;
const BATCH_BYTES: usize = 16 << 20;

/// While more than this waits to be written, in bytes, nobody is asked for more.
const QUEUED_BYTES: usize = 64 << 20;
/// So many are asked for their state at once, and the pause before the next ones.
const ASKED_AT_ONCE: usize = 32;
const BETWEEN_ASKED: Duration = Duration::from_millis(1);
/// So many at once hand over their state and wait until it is saved.
const WAITING_AT_ONCE: usize = 256;

/// Nothing came to be written for so long: nothing waits for the store to recover.
const QUIET_INTERVALS: u32 = 3;
const QUIET_MIN: Duration = Duration::from_secs(2);

/// Saves periodic objects.
#[derive(Default)]
pub(crate) struct Saver {
    noted: Mutex<Vec<Arc<Entry>>>,
    /// At most one per object: an object hands over no other state before it has its answer.
    jobs: Mutex<Vec<Job>>,
    arrived: Notify,
    /// What waits to be written, in bytes.
    queued_bytes: AtomicUsize,
    /// The writer took some of it.
    taken: Notify,
    /// For those that wait for their save: all may want to sleep, or stop, at once.
    pub(crate) waiting: Waiting,
    /// Why what was to be written last could not be.
    trouble: watch::Sender<Option<String>>,
    /// Objects that the process ended without.
    lost: AtomicUsize,
}

/// So many at once wait for their save.
pub(crate) struct Waiting(pub(crate) Semaphore);

impl Default for Waiting {
    fn default() -> Self {
        Self(Semaphore::new(WAITING_AT_ONCE))
    }
}

struct Job {
    entry: Arc<Entry>,
    commit: Commit,
    digest: StateDigest,
    bytes: usize,
}

impl Saver {
    /// Puts a changed object on the list.
    pub(crate) fn note(&self, entry: Arc<Entry>) {
        self.noted.lock().push(entry);
    }

    /// Hands over what is to be written of an object. The answer is in [`Entry::saved`].
    pub(crate) fn submit(
        &self,
        entry: &Arc<Entry>,
        epoch: Epoch,
        spec: &TypeSpec,
        revision: RevisionNumber,
        state: State,
    ) {
        let (digest, bytes) = (StateDigest::of(&state), state.data.len());
        let version = {
            let mut inner = entry.lock();
            debug_assert!(!inner.saving, "one save at a time");
            (inner.saving, inner.dirty) = (true, false);
            inner.row.version
        };
        let commit = Commit {
            object: entry.object.clone(),
            shard: entry.shard,
            epoch,
            expected: version.map_or(Expected::Absent, Expected::Version),
            change: Change::Put {
                state: Some(state),
                encoding: spec.encoding,
                durability: Durability::Periodic,
                revision,
            },
            storage: Vec::new(),
            effects: Vec::new(),
        };
        self.queue(Job { entry: entry.clone(), commit, digest, bytes });
    }

    fn queue(&self, job: Job) {
        self.queued_bytes.fetch_add(job.bytes, Relaxed);
        self.jobs.lock().push(job);
        self.arrived.notify_one();
    }

    /// Why nothing can be saved now; none: it can, for all that is known.
    pub(crate) fn trouble(&self) -> watch::Receiver<Option<String>> {
        self.trouble.subscribe()
    }

    /// The process ends without these.
    pub(crate) fn lose(&self, objects: usize) {
        self.lost.fetch_add(objects, Relaxed);
    }

    /// How many objects the process ended without.
    pub(crate) fn lost(&self) -> usize {
        self.lost.load(Relaxed)
    }

    /// Every interval asks the changed ones for their state.
    pub(crate) async fn tick(host: Arc<Host>, end: CancellationToken) {
        let mut interval = tokio::time::interval(host.config.save_interval);
        interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while end.run_until_cancelled(interval.tick()).await.is_some() {
            let noted = std::mem::take(&mut *host.saver.noted.lock());
            host.metrics.unsaved.set(gauge(noted.len()));
            // Not all at once: what they hand over waits in memory.
            for some in noted.chunks(ASKED_AT_ONCE) {
                if end.run_until_cancelled(host.saver.until_room()).await.is_none() {
                    return;
                }
                for entry in some {
                    entry.wish(|inner| {
                        inner.noted = false;
                        inner.wanted.save = inner.phase.is_live();
                    });
                }
                tokio::time::sleep(BETWEEN_ASKED).await;
            }
        }
    }

    /// Waits until not too much waits to be written.
    async fn until_room(&self) {
        while self.queued_bytes.load(Relaxed) > QUEUED_BYTES {
            let mut taken = std::pin::pin!(self.taken.notified());
            taken.as_mut().enable();
            if self.queued_bytes.load(Relaxed) > QUEUED_BYTES {
                taken.await;
            }
        }
    }

    /// Writes what was handed over, until asked to end with nothing left.
    pub(crate) async fn write(host: Arc<Host>, end: CancellationToken) {
        loop {
            let batch = host.saver.batch();
            if batch.is_empty() {
                // What arrived since has left a permit.
                let arrived = end.run_until_cancelled(host.saver.arrived.notified());
                let pause = host.config.save_interval.saturating_mul(QUIET_INTERVALS);
                let pause = pause.saturating_add(QUIET_MIN);
                match tokio::time::timeout(pause, arrived).await {
                    Ok(None) if host.saver.jobs.lock().is_empty() => return,
                    // What could not be saved would have come again.
                    Err(_) => host.saver.tell(None),
                    Ok(_) => {}
                }
            } else {
                host.saver.save(&host, batch).await;
            }
        }
    }

    fn batch(&self) -> Vec<Job> {
        let mut jobs = self.jobs.lock();
        let mut bytes = 0;
        let rows = jobs
            .iter()
            .take(BATCH_ROWS)
            .take_while(|job| {
                let first = bytes == 0;
                bytes += job.bytes + 1;
                first || bytes <= BATCH_BYTES
            })
            .count();
        let batch: Vec<_> = jobs.drain(..rows).collect();
        drop(jobs);
        self.queued_bytes.fetch_sub(batch.iter().map(|job| job.bytes).sum(), Relaxed);
        self.taken.notify_waiters();
        batch
    }

    /// What a write came to: the store is away, or is there.
    pub(crate) fn tell_of(&self, answer: Result<(), &store::Error>) {
        match answer {
            Err(error @ (store::Error::Unavailable(_) | store::Error::Unknown(_))) => {
                self.tell(Some(error.to_string()));
            }
            // Nothing to tell, mostly.
            _ if self.trouble.borrow().is_some() => self.tell(None),
            _ => {}
        }
    }

    fn tell(&self, trouble: Option<String>) {
        self.trouble.send_if_modified(|known| {
            let changed = *known != trouble;
            *known = trouble;
            changed
        });
    }

    async fn save(&self, host: &Host, batch: Vec<Job>) {
        let began = Instant::now();
        let rows = batch.iter().map(|job| job.commit.clone()).collect();
        let answers = match host.store.commit(rows).await {
            Ok(answers) => {
                self.tell(None);
                answers
            }
            Err(error) => {
                self.tell(Some(error.to_string()));
                tracing::warn!(objects = batch.len(), %error, "failed to save objects");
                vec![Err(error); batch.len()]
            }
        };
        host.metrics.save_time.record(began.elapsed());
        for (job, answer) in batch.into_iter().zip(answers) {
            match &answer {
                Ok(_) => host.metrics.saves.increment(1),
                Err(_) => host.metrics.saves_failed.increment(1),
            }
            if let Err(error) = &answer {
                host.note_fence(error, job.commit.shard, job.commit.epoch);
            }
            self.settle(&job, answer);
        }
    }

    fn settle(&self, job: &Job, answer: Result<wasmverse_core::Version, store::Error>) {
        let mut note = false;
        job.entry.wish(|inner| {
            inner.saving = false;
            match &answer {
                // It was under way when the object became volatile.
                _ if inner.runs_volatile() => {}
                Ok(version) => {
                    inner.row.version = Some(*version);
                    inner.row.digest = Some(job.digest);
                    inner.row.updated_at_micros = now_micros();
                    inner.exists = true;
                }
                Err(error @ (store::Error::Conflict(_) | store::Error::Fenced(_))) => {
                    inner.wanted.overtaken = true;
                    self.lose(1);
                    let object = &job.entry.object;
                    tracing::error!(%object, %error, "what an object changed was not saved");
                }
                Err(error) => {
                    inner.dirty = true;
                    inner.row.unsure |= matches!(error, store::Error::Unknown(_));
                }
            }
            inner.saved = answer.map(|_| ());
            note = inner.is_to_be_noted();
        });
        if note {
            self.note(job.entry.clone());
        }
    }
}

/// Microseconds since 1970.
pub(crate) fn now_micros() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

#[expect(clippy::cast_precision_loss, reason = "a gauge of sizes far below 2^52")]
pub(crate) fn gauge(size: usize) -> f64 {
    size as f64
}

#[cfg(test)]
mod tests {
    use wasmverse_core::{ObjectId, ShardId};

    use super::*;

    fn job(id: &str, bytes: usize) -> Job {
        let object = ObjectId::parse("T", id).unwrap();
        let entry = Arc::new(Entry::new(object.clone(), ShardId(0)));
        let digest = StateDigest::of(&State::default());
        let (shard, epoch, change) = (ShardId(0), Epoch(1), Change::Touch);
        let (expected, storage, effects) = (Expected::Any, Vec::new(), Vec::new());
        let commit = Commit { object, shard, epoch, expected, change, storage, effects };
        Job { entry, commit, digest, bytes }
    }

    #[tokio::test]
    async fn nobody_is_asked_for_more_while_too_much_waits_to_be_written() {
        let saver = Saver::default();
        saver.until_room().await;
        for id in ["a", "b", "c"] {
            saver.queue(job(id, QUEUED_BYTES / 2));
        }
        let mut room = std::pin::pin!(saver.until_room());
        assert!(futures_util::poll!(&mut room).is_pending());
        assert_eq!(saver.batch().len(), 1);
        room.await;
        assert_eq!(saver.batch().len() + saver.batch().len(), 2);
        assert_eq!(saver.queued_bytes.load(Relaxed), 0);
    }
}
