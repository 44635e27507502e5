//! One process's part in a cluster.

mod claims;
mod definite;
mod follower;
#[cfg(test)]
mod golden;
mod keys;
mod leader;
mod loads;
mod member;
mod operator;
mod pause;
mod settings;
mod sight;

use std::{fmt, sync::Arc};

use parking_lot::Mutex;
use tokio::sync::watch;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use wasmverse_core::cluster::{Incarnation, View};

use crate::{Coordination, Error, Guard, LeaseClock, LeaseId, Op, Snapshot, metrics::Metrics};
pub use claims::{KeyClaim, KeyRelease};
use keys::Key;
use loads::Told;
use member::Wanted;
pub use settings::{Settings, Who};
use sight::{Seen, Sight};

/// A registration that holds, as far as this process knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registration {
    /// It has this name.
    pub incarnation: Incarnation,
    /// The revision that wrote its key last. It grows when the process says that it is leaving.
    pub revision: u64,
    lease: LeaseId,
    is_leaving: bool,
}

/// One process's part in a cluster. Cheap to clone; when the last clone is dropped, it leaves.
#[derive(Clone)]
pub struct Cluster {
    shared: Arc<Shared>,
    /// Of what is wanted of the member's task.
    wanted: watch::Sender<Wanted>,
    view: watch::Receiver<Arc<View>>,
}

/// What its tasks have in common.
struct Shared {
    coordination: Arc<dyn Coordination>,
    settings: Settings,
    lease: LeaseClock,
    registration: watch::Sender<Option<Registration>>,
    told: Mutex<Told>,
    /// No task of the member runs any more.
    has_left: CancellationToken,
    end: CancellationToken,
    metrics: Metrics,
}

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let revision = self.view.borrow().revision;
        f.debug_struct("Cluster")
            .field("who", &self.shared.settings.who)
            .field("revision", &revision)
            .finish_non_exhaustive()
    }
}

impl Cluster {
    /// Looks whether the settings fit the cluster's, or makes the cluster if there is none; reads
    /// the view, and follows it from then on. Nobody sees this process until it registers.
    ///
    /// # Errors
    /// [`Error::Refused`] if the settings do not fit, and whatever else the coordination service
    /// says. Nothing runs then.
    pub async fn join(
        coordination: Arc<dyn Coordination>,
        settings: Settings,
        tasks: &TaskTracker,
        end: CancellationToken,
    ) -> Result<Self, Error> {
        settings::agree(&*coordination, &settings).await?;
        let first = coordination.snapshot().await?;
        Ok(Self::start(coordination, settings, &first, tasks, end))
    }

    fn start(
        coordination: Arc<dyn Coordination>,
        settings: Settings,
        first: &Snapshot,
        tasks: &TaskTracker,
        end: CancellationToken,
    ) -> Self {
        let shared = Arc::new(Shared {
            lease: LeaseClock::new(coordination.clock()),
            coordination,
            settings,
            registration: watch::Sender::new(None),
            told: Mutex::default(),
            has_left: CancellationToken::new(),
            end,
            metrics: Metrics::new(),
        });
        let mut sight = Sight::new(shared.settings.shards);
        sight.read_all(first);
        let seen_to = watch::Sender::new(sight.seen().clone());
        let view_to = watch::Sender::new(Arc::clone(&sight.seen().view));
        let (seen, view) = (seen_to.subscribe(), view_to.subscribe());
        let wanted = watch::Sender::new(Wanted::default());
        tasks.spawn(follower::run(Arc::clone(&shared), sight, seen_to, view_to));
        tasks.spawn(member::run(Arc::clone(&shared), wanted.subscribe(), seen.clone()));
        if let Who::Node { .. } = shared.settings.who {
            tasks.spawn(leader::run(Arc::clone(&shared), seen));
        }
        Self { shared, wanted, view }
    }

    /// From now on this process is registered, and again under a new incarnation whenever it lost
    /// its registration, until it leaves. Waits until it is for the first time.
    pub async fn register(&self) {
        self.wanted.send_modify(|wanted| wanted.is_registered = true);
        let mut registration = self.registration();
        tokio::select! {
            _ = registration.wait_for(Option::is_some) => {}
            () = self.shared.has_left.cancelled() => {}
        }
    }

    /// The cluster as it is seen from here. When the coordination service cannot be reached, it
    /// stays as it was.
    pub fn view(&self) -> watch::Receiver<Arc<View>> {
        self.view.clone()
    }

    /// The registration; none: there is none, or it may be gone by now.
    pub fn registration(&self) -> watch::Receiver<Option<Registration>> {
        self.shared.registration.subscribe()
    }

    /// Whether the registration's lease is surely held.
    pub fn lease(&self) -> &LeaseClock {
        &self.shared.lease
    }

    /// Tells everybody that this process is about to leave and wants to own nothing. Waits until
    /// that is written.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if it takes too long. It is written as soon as that is possible.
    pub async fn mark_leaving(&self) -> Result<(), Error> {
        self.wanted.send_modify(|wanted| wanted.is_leaving = true);
        let mut registration = self.registration();
        let told = registration.wait_for(|now| now.as_ref().is_none_or(|now| now.is_leaving));
        match tokio::time::timeout(member::LEAVING_TOLD_MAX, told).await {
            Ok(_) => Ok(()),
            Err(_) => Err(Error::Unavailable("others do not know yet that we leave".to_owned())),
        }
    }

    /// Ends the registration, for good; others see it at once. The view is followed on.
    pub async fn leave(&self) {
        self.wanted.send_modify(|wanted| wanted.has_left = true);
        self.shared.has_left.cancelled().await;
    }
}

impl Shared {
    /// The key that this process is registered by.
    fn own_key(&self) -> Key {
        match &self.settings.who {
            Who::Node { id, .. } => Key::Node(id.clone()),
            Who::Gate { id, .. } => Key::Gate(id.clone()),
        }
    }

    fn registered(&self) -> Option<Registration> {
        self.registration.borrow().clone()
    }

    /// One try.
    async fn commit(&self, guards: Vec<Guard>, ops: Vec<Op>) -> Result<Option<u64>, Error> {
        self.metrics.commits.increment(1);
        let answer = self.coordination.commit(guards, ops).await;
        if answer == Ok(None) {
            self.metrics.commits_refused.increment(1);
        }
        answer
    }

    /// A name that nobody else ever has.
    fn new_incarnation(&self) -> Incarnation {
        Incarnation::new(&format!("{:032x}", rand::random::<u128>()))
    }
}
