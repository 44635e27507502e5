//! Fires reminders when they are due, as [`wasmverse_core::due`] decides.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use futures_util::{StreamExt as _, stream::FuturesUnordered};
use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};
use tokio_util::sync::CancellationToken;
use wasmverse_core::{
    CallError, Caller, Chain, ErrorKind, Invocation, ObjectId, ReminderChanges, When,
    due::{Bounds, DueQueue, Fired, Firing, Waiting},
};
use wasmverse_store::{self as store, Effect, NewReminder, StoredReminder};

use crate::{
    activation::reason,
    clock::Clock,
    deploy::unstored,
    host::Host,
    letter::{Answer, Letter, ReplyTo, Source, Work, stopping},
    saver::gauge,
};

/// A firing has so long to have its turn.
const TIMEOUT: Duration = Duration::from_secs(60);
/// What waits in memory, and how far ahead.
const BYTES_MAX: usize = 64 << 20;
const AHEAD: Duration = Duration::from_secs(600);
/// Under way at once.
const UNDER_WAY_MAX: usize = 1024;
/// Reminders that are read from the store at once.
const PAGE: u32 = 1000;
/// Between two tries to read them.
const READ_PAUSE: Duration = Duration::from_millis(500);
/// The clock is looked at so often, lest it was set.
const LOOK: Duration = Duration::from_secs(1);
/// A clock that is behind by less was not set back.
const SET_BACK_MICROS: i64 = 1_000_000;

/// The reminders of the objects of this node.
pub(crate) struct Reminders {
    queue: Mutex<DueQueue>,
    /// The store has to settle, and then to be read again.
    is_unsure: AtomicBool,
    changed: Notify,
}

impl Reminders {
    pub(crate) fn new(tries_max: u32) -> Self {
        let (bytes_max, ahead, under_way_max) = (BYTES_MAX, AHEAD, UNDER_WAY_MAX);
        let bounds = Bounds { bytes_max, ahead, under_way_max, tries_max };
        let queue = Mutex::new(DueQueue::new(bounds));
        Self { queue, is_unsure: AtomicBool::default(), changed: Notify::new() }
    }

    /// Reminders of an object were changed, and it is committed.
    pub(crate) fn changed(
        &self,
        clock: &Clock,
        object: &ObjectId,
        changes: ReminderChanges,
        is_ours: impl Fn(&ObjectId) -> bool,
    ) {
        if changes.is_empty() {
            return;
        }
        let now = clock.now_micros();
        let mut queue = self.queue.lock();
        if !is_ours(object) {
            // Its next owner reads them; what is here would be old when the object comes back.
            return;
        }
        for (name, change) in changes {
            match change {
                None => queue.cancel(object, &name),
                Some(reminder) => queue.set(
                    Waiting {
                        object: object.clone(),
                        name,
                        when: reminder.when,
                        method: reminder.method,
                        payload: reminder.payload,
                        due: reminder.due_micros,
                    },
                    now,
                ),
            }
        }
        drop(queue);
        self.changed.notify_one();
    }

    /// There are reminders in the store that nobody here knows of.
    pub(crate) fn read_again(&self) {
        self.queue.lock().read_again();
        self.changed.notify_one();
    }

    /// Forgets the reminders of objects that are another node's.
    pub(crate) fn keep_only(&self, is_ours: impl Fn(&ObjectId) -> bool) {
        self.queue.lock().keep_only(is_ours);
    }

    /// Nobody knows whether a commit of reminders was done.
    pub(crate) fn doubt(&self) {
        self.is_unsure.store(true, Relaxed);
        self.changed.notify_one();
    }

    /// An object is gone, and its reminders with it.
    pub(crate) fn deleted(&self, object: &ObjectId) {
        self.queue.lock().deleted(object);
    }

    /// Whether a reminder still is as it was when it fired.
    pub(crate) fn is_current(&self, firing: &Firing) -> bool {
        self.queue.lock().is_current(firing)
    }
}

/// Fires reminders until it is told to end.
pub(crate) async fn run(host: Arc<Host>, end: CancellationToken) {
    end.run_until_cancelled(fire_all(host)).await;
}

async fn fire_all(host: Arc<Host>) {
    let reminders = &host.reminders;
    let mut under_way = FuturesUnordered::new();
    let (mut reading, mut settling) = (FuturesUnordered::new(), FuturesUnordered::new());
    let mut watch = Watch::new(&host.clock);
    loop {
        if settling.is_empty() && reminders.is_unsure.swap(false, Relaxed) {
            settling.push(host.settled());
        }
        let pause = {
            let (mut queue, now) = (reminders.queue.lock(), host.clock.now_micros());
            if watch.was_set_back(now) {
                tracing::warn!("the wall clock was set back");
                queue.clock_went_back(now);
            }
            while let Some(firing) = queue.start(now) {
                under_way.push(fire(&host, firing));
            }
            if let Some((until, after)) = queue.next_page(now) {
                reading.push(read(&host, until, after));
            }
            host.metrics.reminders.set(gauge(queue.len()));
            pause(queue.next_at(), now)
        };
        tokio::select! {
            Some((firing, fired)) = under_way.next() => {
                reminders.queue.lock().ended(&firing, fired, host.clock.now_micros());
            }
            Some(page) = reading.next() => {
                let mut queue = reminders.queue.lock();
                match page {
                    Some(page) => {
                        queue.page(page, host.clock.now_micros(), |object| host.is_at_work(object));
                    }
                    None => queue.no_page(),
                }
            }
            Some(()) = settling.next() => reminders.queue.lock().read_again(),
            () = reminders.changed.notified() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// Until the next one is due, or the clock is to be looked at.
fn pause(next_at: Option<i64>, now: i64) -> Duration {
    let micros = next_at.map_or(i64::MAX, |at| at.saturating_sub(now).max(0));
    Duration::from_micros(micros.unsigned_abs()).min(LOOK)
}

/// Notices that the clock was set back.
struct Watch {
    wall: i64,
    at: Instant,
}

impl Watch {
    fn new(clock: &Clock) -> Self {
        Self { wall: clock.now_micros(), at: Instant::now() }
    }

    fn was_set_back(&mut self, now: i64) -> bool {
        let passed = i64::try_from(self.at.elapsed().as_micros()).unwrap_or(i64::MAX);
        let expected = self.wall.saturating_add(passed);
        *self = Self { wall: now, at: Instant::now() };
        now.saturating_add(SET_BACK_MICROS) < expected
    }
}

/// A page of what is in the store; none: it cannot be read now.
async fn read(host: &Host, until: i64, after: Option<Waiting>) -> Option<Vec<Waiting>> {
    let after = after.map(|after| StoredReminder {
        // It has no part in the order.
        shard: wasmverse_core::ShardId(0),
        object: after.object,
        reminder: NewReminder {
            name: after.name,
            when: after.when,
            method: after.method,
            payload: after.payload,
            due_micros: after.due,
        },
    });
    match host.store.due(host.all_shards(), until, after.as_ref(), PAGE).await {
        Ok(page) => Some(page.into_iter().map(waiting).collect()),
        Err(error) => {
            tracing::warn!(%error, "failed to read the reminders that are due");
            tokio::time::sleep(READ_PAUSE).await;
            None
        }
    }
}

fn waiting(stored: StoredReminder) -> Waiting {
    let NewReminder { name, when, method, payload, due_micros } = stored.reminder;
    Waiting { object: stored.object, name, when, method, payload, due: due_micros }
}

/// One try. Given up if it was tried often enough.
async fn fire(host: &Arc<Host>, firing: Firing) -> (Firing, Fired) {
    host.metrics.firings.increment(1);
    let Err(error) = host.fire(&firing).await else { return (firing, Fired::Done) };
    let fired = match error.kind() {
        _ if error.may_have_executed() => Fired::Unsure,
        // Nobody's fault, and it passes.
        ErrorKind::Unavailable => Fired::Unsure,
        _ if host.reminders.queue.lock().is_last_try(&firing) => bury(host, &firing, &error).await,
        _ => Fired::NotExecuted,
    };
    (firing, fired)
}

/// The firing becomes a dead letter, and the reminder is due anew.
async fn bury(host: &Host, firing: &Firing, error: &CallError) -> Fired {
    let reminder = &firing.reminder;
    let (object, name) = (&reminder.object, &reminder.name);
    tracing::warn!(%object, %name, %error, "the firing of a reminder is dead");
    let Some(shard) = host.shard_of(object) else { return Fired::Done };
    let now = host.clock.now_micros();
    let next = reminder.when.parse::<When>().ok().and_then(|when| when.next(now));
    let dead = Effect::Fired {
        name: Arc::clone(name),
        due_micros: reminder.due,
        next_micros: next,
        dead: Some(reason(error)),
    };
    match host.write(host.beside(object.clone(), shard, vec![dead])).await {
        Ok(_) => {
            host.metrics.dead_letters.increment(1);
            let mut queue = host.reminders.queue.lock();
            match next {
                Some(due) => queue.set(Waiting { due, ..reminder.clone() }, now),
                None => queue.cancel(object, name),
            }
            Fired::Done
        }
        Err(store::Error::Repeated(_)) => Fired::Done,
        Err(error) => {
            tracing::debug!(%object, %name, %error, "a dead firing was not stored");
            Fired::Unsure
        }
    }
}

impl Host {
    /// Has an object run the turn of a reminder.
    async fn fire(self: &Arc<Self>, firing: &Firing) -> Answer {
        let reminder = &firing.reminder;
        let invocation = Invocation {
            method: Arc::clone(&reminder.method),
            payload: reminder.payload.clone(),
            key: None,
            read_only: false,
        };
        let pass = self.pass_of(&reminder.object)?;
        let (reply, answer) = oneshot::channel();
        let arrived = Instant::now();
        let letter = Letter {
            work: Work::Invoke(invocation, None, Source::Reminder(Box::new(firing.clone()))),
            caller: Caller::Platform,
            chain: Chain::default(),
            deadline: arrived + TIMEOUT,
            traceparent: None,
            reply: ReplyTo::Caller(reply),
            arrived,
            charge: None,
            pass,
        };
        self.deliver(&reminder.object, letter).map_err(|(_, error)| error)?;
        answer.await.unwrap_or_else(|_| Err(stopping()))
    }

    /// The reminders of an object.
    pub(crate) async fn reminders_of(
        &self,
        object: &ObjectId,
    ) -> Result<Vec<StoredReminder>, CallError> {
        self.store.reminders(object).await.map_err(|error| unstored(&error))
    }
}
