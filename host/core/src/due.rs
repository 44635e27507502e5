//! Reminders that are due soon: what fires when, and what becomes of a firing.
//!
//! Memory holds all that is due until a horizon, and no more than there is room for; what is due
//! later is in the store alone, and read when the horizon comes near. Times are in microseconds since
//! 1970, by the wall clock.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;

use crate::{ObjectId, When};

/// What a reminder takes in memory beside its texts and its payload.
const REMINDER_BYTES: usize = 384;
/// Between two tries of a firing: at first, and at most.
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// Bounds of what is held in memory.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// What it takes.
    pub bytes_max: usize,
    /// How far ahead it looks.
    pub ahead: Duration,
    /// Firings under way at once.
    pub under_way_max: usize,
    /// A firing that does not end is tried so often.
    pub tries_max: u32,
}

/// A reminder, as the store has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// Its object.
    pub object: ObjectId,
    /// Its name among those of its object.
    pub name: Arc<str>,
    /// When it fires, in words.
    pub when: Arc<str>,
    /// The method that it calls.
    pub method: Arc<str>,
    /// The argument of that call.
    pub payload: Bytes,
    /// When it is due.
    pub due: i64,
}

impl Waiting {
    fn key(&self) -> Key {
        (self.object.clone(), Arc::clone(&self.name))
    }

    fn bytes(&self) -> usize {
        REMINDER_BYTES + self.payload.len() + self.method.len() + self.when.len()
    }
}

type Key = (ObjectId, Arc<str>);

/// A reminder that fires.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Firing {
    /// Which one, as it is now.
    pub reminder: Waiting,
    /// Differs from that of every other firing, and of this reminder once it is set anew.
    pub ticket: u64,
}

/// How a firing ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fired {
    /// Its turn was committed, and said when it is due next; or it is gone or changed.
    Done,
    /// It did not have its turn to the end.
    NotExecuted,
    /// Nobody knows, or it could not be given up.
    Unsure,
}

/// The reminders of the objects of a node.
#[derive(Debug)]
pub struct DueQueue {
    bounds: Bounds,
    reminders: BTreeMap<Key, Held>,
    /// Those that wait for their time, by the time at which they fire.
    order: BTreeSet<(i64, Key)>,
    under_way: usize,
    bytes: usize,
    tickets: u64,
    /// All that is due until then is here.
    horizon: i64,
    /// The store may hold something else than what is here.
    is_stale: bool,
    load: Option<Load>,
}

#[derive(Debug)]
struct Held {
    reminder: Waiting,
    ticket: u64,
    /// When it fires; none: it is under way.
    fires_at: Option<i64>,
    /// So often it was surely not executed.
    tries: u32,
    /// So often it did not end well.
    failures: u32,
}

/// On the way through the store.
#[derive(Debug)]
struct Load {
    until: i64,
    after: Option<Waiting>,
    is_reading: bool,
    /// What changed since it began: a page may be older.
    changed: BTreeSet<Key>,
    forgotten: BTreeSet<ObjectId>,
}

impl DueQueue {
    /// An empty one, that has the store yet to read.
    pub fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            reminders: BTreeMap::new(),
            order: BTreeSet::new(),
            under_way: 0,
            bytes: 0,
            tickets: 0,
            horizon: i64::MIN,
            is_stale: false,
            load: None,
        }
    }

    /// A reminder was set, or has fired and is due anew.
    pub fn set(&mut self, reminder: Waiting, now: i64) {
        let key = reminder.key();
        self.forget(&key);
        if let Some(load) = &mut self.load {
            load.changed.insert(key);
        }
        // While the store is read, what it may pass over is kept as well.
        let until = self.load.as_ref().map_or(self.horizon, |load| load.until);
        if reminder.due <= until {
            self.put(reminder, now);
        }
        if self.load.is_none() {
            self.make_room();
        }
    }

    /// A reminder was cancelled, or has fired for the last time.
    pub fn cancel(&mut self, object: &ObjectId, name: &Arc<str>) {
        let key = (object.clone(), Arc::clone(name));
        self.forget(&key);
        if let Some(load) = &mut self.load {
            load.changed.insert(key);
        }
    }

    /// An object was deleted.
    pub fn deleted(&mut self, object: &ObjectId) {
        let first = (object.clone(), Arc::from(""));
        let of_object = self.reminders.range(first..).map(|(key, _)| key);
        let keys: Vec<Key> = of_object.take_while(|key| key.0 == *object).cloned().collect();
        for key in keys {
            self.forget(&key);
        }
        if let Some(load) = &mut self.load {
            load.forgotten.insert(object.clone());
        }
    }

    /// Forgets the reminders of objects that are another node's by now.
    pub fn keep_only(&mut self, is_ours: impl Fn(&ObjectId) -> bool) {
        let others = self.reminders.keys().filter(|(object, _)| !is_ours(object));
        for key in others.cloned().collect::<Vec<_>>() {
            self.forget(&key);
        }
    }

    /// Nobody knows what the store holds of some reminder: it is read again.
    pub fn read_again(&mut self) {
        self.is_stale = true;
    }

    /// What is to be read from the store, if it is to be read now: all that is due until a time, after
    /// a reminder. Asked again only after [`DueQueue::page`] or [`DueQueue::no_page`].
    pub fn next_page(&mut self, now: i64) -> Option<(i64, Option<Waiting>)> {
        // Not for a few at a time: what is here already is read again.
        let has_room = self.bytes <= self.bounds.bytes_max / 2;
        let is_near = self.horizon < now.saturating_add(self.ahead() / 2);
        if self.load.is_none() && (self.is_stale || is_near && has_room) {
            self.is_stale = false;
            let until = now.saturating_add(self.ahead());
            let (changed, forgotten) = (BTreeSet::new(), BTreeSet::new());
            self.load = Some(Load { until, after: None, is_reading: false, changed, forgotten });
        }
        let load = self.load.as_mut().filter(|load| !load.is_reading)?;
        load.is_reading = true;
        Some((load.until, load.after.clone()))
    }

    /// The page could not be read: it is asked for again.
    pub fn no_page(&mut self) {
        if let Some(load) = &mut self.load {
            load.is_reading = false;
        }
    }

    /// A page that was read from the store, in its order; an empty one is its end. Only the reminders
    /// of these objects are for this node.
    pub fn page(&mut self, reminders: Vec<Waiting>, now: i64, is_ours: impl Fn(&ObjectId) -> bool) {
        let Some(mut load) = self.load.take() else { return };
        load.is_reading = false;
        if reminders.is_empty() {
            self.horizon = self.horizon.max(load.until);
            self.make_room();
            return;
        }
        for reminder in reminders {
            let key = reminder.key();
            let is_old = load.changed.contains(&key) || load.forgotten.contains(&key.0);
            let held = self.reminders.get(&key);
            // One that is under way says itself what becomes of it.
            let is_known = held
                .is_some_and(|held| held.fires_at.is_none() || held.reminder.due == reminder.due);
            if !is_old && !is_known && is_ours(&reminder.object) {
                if self.bytes >= self.bounds.bytes_max {
                    // All that is due before it is here; it is not.
                    self.horizon = reminder.due.saturating_sub(1);
                    return;
                }
                self.forget(&key);
                self.put(reminder.clone(), now);
            }
            load.after = Some(reminder);
        }
        self.load = Some(load);
    }

    fn ahead(&self) -> i64 {
        i64::try_from(self.bounds.ahead.as_micros()).unwrap_or(i64::MAX)
    }

    /// Leaves to the store what is due last, if there is too much.
    fn make_room(&mut self) {
        while self.bytes > self.bounds.bytes_max
            && let Some((at, key)) = self.order.last().cloned()
        {
            self.forget(&key);
            self.horizon = self.horizon.min(at.saturating_sub(1));
        }
    }

    fn put(&mut self, reminder: Waiting, now: i64) {
        let fires_at = fires_at(&reminder, now);
        let key = reminder.key();
        self.bytes += reminder.bytes();
        self.tickets += 1;
        self.order.insert((fires_at, key.clone()));
        let (ticket, fires_at) = (self.tickets, Some(fires_at));
        self.reminders.insert(key, Held { reminder, ticket, fires_at, tries: 0, failures: 0 });
    }

    fn forget(&mut self, key: &Key) {
        let Some(held) = self.reminders.remove(key) else { return };
        self.bytes -= held.reminder.bytes();
        match held.fires_at {
            Some(at) => drop(self.order.remove(&(at, key.clone()))),
            None => self.under_way -= 1,
        }
    }

    /// A reminder whose time has come, if not too many fire already.
    pub fn start(&mut self, now: i64) -> Option<Firing> {
        if self.under_way >= self.bounds.under_way_max {
            return None;
        }
        let (at, _) = self.order.first()?;
        if *at > now {
            return None;
        }
        let (_, key) = self.order.pop_first()?;
        let held = self.reminders.get_mut(&key).expect("what waits is held");
        held.fires_at = None;
        self.under_way += 1;
        Some(Firing { reminder: held.reminder.clone(), ticket: held.ticket })
    }

    /// Whether a reminder still is as it was when it fired.
    pub fn is_current(&self, firing: &Firing) -> bool {
        let held = self.reminders.get(&firing.reminder.key());
        held.is_some_and(|held| held.ticket == firing.ticket)
    }

    /// Whether a firing that is under way is given up, rather than tried again, if it was not
    /// executed: it is made a dead letter then, and is done.
    pub fn is_last_try(&self, firing: &Firing) -> bool {
        let held = self.reminders.get(&firing.reminder.key());
        held.is_some_and(|held| held.tries + 1 >= self.bounds.tries_max)
    }

    /// A firing has ended. One whose turn was committed is not current any more.
    pub fn ended(&mut self, firing: &Firing, fired: Fired, now: i64) {
        let key = firing.reminder.key();
        let Some(held) = self.reminders.get_mut(&key) else { return };
        if held.ticket != firing.ticket {
            return;
        }
        if fired == Fired::Done {
            // The store has another one, or none, and nobody has said so here.
            self.read_again();
            return self.forget(&key);
        }
        held.tries += u32::from(fired == Fired::NotExecuted);
        let pause = PAUSE_MIN.saturating_mul(1 << held.failures.min(16)).min(PAUSE_MAX);
        held.failures = held.failures.saturating_add(1);
        let at = now.saturating_add(i64::try_from(pause.as_micros()).unwrap_or(i64::MAX));
        held.fires_at = Some(at);
        self.under_way -= 1;
        self.order.insert((at, key));
    }

    /// The wall clock was set back: what fires every so often goes on doing so.
    pub fn clock_went_back(&mut self, now: i64) {
        let waiting = std::mem::take(&mut self.order);
        for (_, key) in waiting {
            let held = self.reminders.get_mut(&key).expect("what waits is held");
            let fires_at = fires_at(&held.reminder, now);
            held.fires_at = Some(fires_at);
            self.order.insert((fires_at, key));
        }
    }

    /// When the next one fires, of those that are here.
    pub fn next_at(&self) -> Option<i64> {
        self.order.first().map(|(at, _)| *at)
    }

    /// How many are in memory.
    pub fn len(&self) -> usize {
        self.reminders.len()
    }

    /// Whether none is in memory.
    pub fn is_empty(&self) -> bool {
        self.reminders.is_empty()
    }

    /// How many firings are under way.
    pub fn under_way(&self) -> usize {
        self.under_way
    }
}

/// Only a period fires at another time than it is due.
fn fires_at(reminder: &Waiting, now: i64) -> i64 {
    let is_period = reminder.when.starts_with("every ");
    let period = is_period.then(|| reminder.when.parse::<When>().ok()).flatten();
    period.map_or(reminder.due, |when| when.clamped(reminder.due, now))
}

#[cfg(test)]
mod tests;
