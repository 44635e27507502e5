//! A coordination service whose way there may be cut or slow: for tests.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::{
    FutureExt as _, StreamExt as _,
    future::BoxFuture,
    stream::{self, BoxStream},
};
use tokio::sync::watch;

use crate::{Batch, Clock, Coordination, Error, Guard, LeaseId, Op, Row, Snapshot};

/// Another one, with faults as it is told. A clone has the same faults.
#[derive(Clone)]
pub struct Faulty {
    inner: Arc<dyn Coordination>,
    told: Arc<Told>,
}

struct Told {
    way: watch::Sender<Way>,
    answers_to_lose: AtomicUsize,
}

#[derive(Clone, Copy, Debug, Default)]
struct Way {
    is_cut: bool,
    delay: Duration,
}

impl std::fmt::Debug for Faulty {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Faulty").field("way", &*self.told.way.borrow()).finish_non_exhaustive()
    }
}

impl Faulty {
    /// Without faults yet.
    pub fn new(inner: Arc<dyn Coordination>) -> Self {
        let way = watch::Sender::new(Way::default());
        Self { inner, told: Arc::new(Told { way, answers_to_lose: AtomicUsize::new(0) }) }
    }

    /// While it is cut, everything is unavailable, and watches end.
    pub fn cut(&self, is_cut: bool) {
        self.told.way.send_modify(|way| way.is_cut = is_cut);
    }

    /// So late come the batches of watches from now on.
    pub fn delay_watches(&self, delay: Duration) {
        self.told.way.send_modify(|way| way.delay = delay);
    }

    /// So many commits from now on are done, and nobody says so.
    pub fn lose_answers(&self, commits: usize) {
        self.told.answers_to_lose.store(commits, Ordering::SeqCst);
    }

    fn check(&self) -> Result<(), Error> {
        if self.told.way.borrow().is_cut { Err(cut()) } else { Ok(()) }
    }
}

fn cut() -> Error {
    Error::Unavailable("it is cut off".to_owned())
}

/// What a watch carries from batch to batch; none: it has ended.
type Watcher = Option<(BoxStream<'static, Result<Batch, Error>>, watch::Receiver<Way>)>;

async fn next(watcher: Watcher) -> Option<(Result<Batch, Error>, Watcher)> {
    let (mut inner, mut way) = watcher?;
    let arrives = async {
        let batch = inner.next().await;
        let delay = way.borrow().delay;
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        batch
    };
    let mut cuts = way.clone();
    let batch = tokio::select! {
        biased;
        _ = cuts.wait_for(|way| way.is_cut) => return Some((Err(cut()), None)),
        batch = arrives => batch?,
    };
    way.mark_unchanged();
    Some((batch, Some((inner, way))))
}

impl Coordination for Faulty {
    fn snapshot(&self) -> BoxFuture<'_, Result<Snapshot, Error>> {
        async {
            self.check()?;
            self.inner.snapshot().await
        }
        .boxed()
    }

    fn get<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<(u64, Option<Row>), Error>> {
        async {
            self.check()?;
            self.inner.get(key).await
        }
        .boxed()
    }

    fn watch(
        &self,
        after: u64,
    ) -> BoxFuture<'_, Result<BoxStream<'static, Result<Batch, Error>>, Error>> {
        async move {
            self.check()?;
            let inner = self.inner.watch(after).await?;
            let watcher = Some((inner, self.told.way.subscribe()));
            Ok(stream::unfold(watcher, next).boxed())
        }
        .boxed()
    }

    fn grant(&self, ttl: Duration) -> BoxFuture<'_, Result<LeaseId, Error>> {
        async move {
            self.check()?;
            self.inner.grant(ttl).await
        }
        .boxed()
    }

    fn keep_alive(&self, lease: LeaseId) -> BoxFuture<'_, Result<(), Error>> {
        async move {
            self.check()?;
            self.inner.keep_alive(lease).await
        }
        .boxed()
    }

    fn revoke(&self, lease: LeaseId) -> BoxFuture<'_, Result<(), Error>> {
        async move {
            self.check()?;
            self.inner.revoke(lease).await
        }
        .boxed()
    }

    fn commit(
        &self,
        guards: Vec<Guard>,
        ops: Vec<Op>,
    ) -> BoxFuture<'_, Result<Option<u64>, Error>> {
        async move {
            self.check()?;
            let answer = self.inner.commit(guards, ops).await;
            let less = |left: usize| left.checked_sub(1);
            let lost = &self.told.answers_to_lose;
            if lost.fetch_update(Ordering::SeqCst, Ordering::SeqCst, less).is_ok() {
                return Err(Error::Unknown("the answer is lost".to_owned()));
            }
            answer
        }
        .boxed()
    }

    fn clock(&self) -> Clock {
        self.inner.clock()
    }
}
