//! Which objects the node knows, and the one way into their mailboxes.
//!
//! Finding an entry and pushing a letter is synchronous: order of arrival is order of turns. An
//! entry leaves the map under the locks of map and entry, with its mailbox empty; whoever holds it
//! still finds it marked and looks again, so no letter is lost and no object wakes twice.

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    sync::Arc,
    time::Instant,
};

use fnv::FnvBuildHasher;
use parking_lot::Mutex;
use wasmverse_core::{ObjectId, ShardId, life::Phase};

use crate::entry::{Entry, Inner};

/// Locks of the map; more than cores, so that they are seldom waited for.
const STRIPES: usize = 64;

/// Clients choose ids: a hash that they cannot foresee keeps them from making them collide.
type Stripe = HashMap<ObjectId, Arc<Entry>, RandomState>;

/// The objects that a node knows.
pub(crate) struct Directory {
    stripes: Box<[Mutex<Stripe>]>,
}

impl Directory {
    pub(crate) fn new() -> Self {
        Self { stripes: (0..STRIPES).map(|_| Mutex::default()).collect() }
    }

    pub(crate) fn get(&self, object: &ObjectId) -> Option<Arc<Entry>> {
        self.stripe(object).lock().get(object).cloned()
    }

    /// The entry of an object; a new one is placed first.
    pub(crate) fn find<E>(
        &self,
        object: &ObjectId,
        place: impl FnOnce(&ObjectId) -> Result<ShardId, E>,
    ) -> Result<Arc<Entry>, E> {
        let mut stripe = self.stripe(object).lock();
        if let Some(entry) = stripe.get(object) {
            return Ok(entry.clone());
        }
        let entry = Arc::new(Entry::new(object.clone(), place(object)?));
        stripe.insert(object.clone(), entry.clone());
        Ok(entry)
    }

    /// The activation of an entry ends, unless a letter has come or a save is under way: then
    /// `false`.
    pub(crate) fn retire(&self, entry: &Arc<Entry>) -> bool {
        let mut stripe = self.stripe(&entry.object).lock();
        let mut inner = entry.lock();
        if !inner.mailbox.is_empty() || inner.saving {
            return false;
        }
        inner.phase = Phase::Nothing;
        inner.revision = None;
        inner.task = None;
        let wanted = std::mem::take(&mut inner.wanted);
        if !inner.is_worth_keeping(Instant::now()) {
            inner.removed = true;
            stripe.remove(&entry.object);
        }
        drop(inner);
        drop(stripe);
        // Tickets and departures report when they go: not under the locks.
        drop(wanted);
        true
    }

    /// Forgets an entry that has nothing worth keeping.
    pub(crate) fn forget(&self, entry: &Arc<Entry>) {
        let mut stripe = self.stripe(&entry.object).lock();
        let mut inner = entry.lock();
        if !inner.is_worth_keeping(Instant::now()) && !inner.removed {
            inner.removed = true;
            stripe.remove(&entry.object);
        }
    }

    /// Shows every entry, a stripe at a time.
    pub(crate) fn each(&self, mut show: impl FnMut(&Arc<Entry>, &mut Inner)) {
        for part in 0..self.parts() {
            self.each_in(part, &mut show);
        }
    }

    /// How many parts it has.
    pub(crate) fn parts(&self) -> usize {
        self.stripes.len()
    }

    /// Shows every entry of one part.
    pub(crate) fn each_in(&self, part: usize, mut show: impl FnMut(&Arc<Entry>, &mut Inner)) {
        for entry in self.stripes[part].lock().values() {
            show(entry, &mut entry.lock());
        }
    }

    /// The entries that pass.
    pub(crate) fn filter(
        &self,
        mut takes: impl FnMut(&Entry, &mut Inner) -> bool,
    ) -> Vec<Arc<Entry>> {
        let mut taken = Vec::new();
        self.each(|entry, inner| {
            if takes(entry, inner) {
                taken.push(entry.clone());
            }
        });
        taken
    }

    /// Which stripe need not be hard to foresee: ids that share one share a lock, no more.
    fn stripe(&self, object: &ObjectId) -> &Mutex<Stripe> {
        let hash = FnvBuildHasher::default().hash_one(object);
        let place = usize::try_from(hash % STRIPES as u64).expect("below their number");
        &self.stripes[place]
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::sync::oneshot;
    use wasmverse_core::{Caller, Chain, Reply};

    use super::*;
    use crate::{
        entry::{Next, Pushed},
        letter::{Letter, ReplyTo, Work},
        metrics::Metrics,
    };

    /// Lives as an activation does, and answers without an instance.
    async fn answer_all(directory: Arc<Directory>, entry: Arc<Entry>) {
        let metrics = Metrics::new();
        loop {
            match entry.next(false).await {
                Next::Wake => {
                    let letters = entry.lock().take_leading_invokes();
                    for letter in letters {
                        letter.reply.answer(&metrics, &entry.object, Ok(Reply::Done));
                    }
                    tokio::task::yield_now().await;
                }
                Next::End => {
                    if directory.retire(&entry) {
                        return;
                    }
                }
                _ => unreachable!("nobody asks for more"),
            }
        }
    }

    fn letter() -> (Letter, oneshot::Receiver<crate::letter::Answer>) {
        let (reply, answer) = oneshot::channel();
        let arrived = Instant::now();
        let letter = Letter {
            work: Work::Wake,
            caller: Caller::Platform,
            chain: Chain::default(),
            deadline: arrived + Duration::from_secs(60),
            traceparent: None,
            reply: ReplyTo::Caller(reply),
            arrived,
            charge: None,
            pass: None,
        };
        (letter, answer)
    }

    async fn push_and_wait(directory: &Arc<Directory>, object: &ObjectId) {
        let (mut letter, answer) = letter();
        loop {
            let entry = directory.find(object, |_| Ok::<_, ()>(ShardId(0))).unwrap();
            let start = || {
                let task = answer_all(directory.clone(), entry.clone());
                tokio_util::task::TaskTracker::new().spawn(task).abort_handle()
            };
            letter = match entry.push(letter, 1000, start) {
                Pushed::Removed(letter) => letter,
                Pushed::Queued => break,
                Pushed::Full(_) | Pushed::Paused(..) => unreachable!("neither full nor trapped"),
            };
        }
        assert_eq!(answer.await.unwrap(), Ok(Reply::Done));
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn no_letter_is_lost_while_entries_come_and_go() {
        let directory = Arc::new(Directory::new());
        let objects: Arc<[ObjectId]> =
            (0..3).map(|n| ObjectId::parse("T", &n.to_string()).unwrap()).collect();
        let callers = (0..8).map(|caller: usize| {
            let (directory, objects) = (directory.clone(), objects.clone());
            tokio_util::task::TaskTracker::new().spawn(async move {
                for call in 0..2000 {
                    push_and_wait(&directory, &objects[(caller + call) % objects.len()]).await;
                }
            })
        });
        let all = futures_util::future::join_all(callers);
        for ended in tokio::time::timeout(Duration::from_secs(60), all).await.unwrap() {
            ended.unwrap();
        }
        for object in objects.iter() {
            if let Some(entry) = directory.get(object) {
                tokio::time::timeout(Duration::from_secs(10), async {
                    while !entry.lock().removed {
                        tokio::task::yield_now().await;
                    }
                })
                .await
                .unwrap();
            }
        }
    }
}
