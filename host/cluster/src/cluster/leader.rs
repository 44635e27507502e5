//! Leads, if elected: turns each view into targets.
//!
//! The leader is whoever could write the key `leader`; its lease is that of its registration. All
//! that it writes asserts that the key is still its own, so what a deposed leader writes is refused.

mod writing;

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use tokio::{sync::watch, time::Instant};
use tracing::{info, warn};
use wasmverse_core::{
    NodeId,
    cluster::{
        Incarnation, View,
        plan::{Assignment, Terms, plan},
    },
};

use super::{
    Registration, Seen, Shared, Who,
    keys::{Key, LeaderValue, encode},
    loads,
    pause::Pause,
};
use crate::{Error, Guard, Op};
use writing::{Trouble, Written};

struct Leader {
    shared: Arc<Shared>,
    seen: watch::Receiver<Seen>,
    registration: watch::Receiver<Option<Registration>>,
    membership: Membership,
    pause: Pause,
}

/// Who is there, and since when nothing of that has changed.
struct Membership {
    members: BTreeSet<(NodeId, Incarnation, bool)>,
    since: Instant,
}

pub(super) async fn run(shared: Arc<Shared>, seen: watch::Receiver<Seen>) {
    let end = shared.end.clone();
    let registration = shared.registration.subscribe();
    let membership = Membership { members: BTreeSet::new(), since: Instant::now() };
    let pause = Pause::new();
    let mut leader = Leader { shared, seen, registration, membership, pause };
    tokio::select! {
        () = end.cancelled() => {}
        _ = leader.take_turns() => {}
    }
}

impl Membership {
    fn observe(&mut self, view: &View) {
        let member = |id: &NodeId| (id.clone(), view.is_eligible(id));
        let members = view.nodes.values().map(|node| {
            let (id, is_eligible) = member(&node.id);
            (id, node.incarnation.clone(), is_eligible)
        });
        let members: BTreeSet<_> = members.collect();
        if members != self.members {
            self.members = members;
            self.since = Instant::now();
        }
    }

    /// How long to wait until shards may be moved for balance; zero: they may.
    fn unrest(&self, view: &View, stability: Duration) -> Duration {
        // At the very first start there is nothing to disturb.
        if view.shards().all(|shard| view.slot(shard).owner.is_none()) {
            return Duration::ZERO;
        }
        stability.saturating_sub(self.since.elapsed())
    }
}

impl Leader {
    /// Until nobody follows the view any more.
    async fn take_turns(&mut self) -> Option<()> {
        loop {
            let seen = self.seen.borrow_and_update().clone();
            self.membership.observe(&seen.view);
            let registration = self.registration.borrow_and_update().clone();
            let Some(ours) = registration else {
                self.news(None).await?;
                continue;
            };
            match &seen.leader {
                Some(leader) if leader.incarnation == ours.incarnation => {
                    self.lead(&ours.incarnation, leader.revision).await?;
                }
                None if seen.view.revision >= ours.revision => {
                    if let Some(revision) = self.campaign(&ours).await? {
                        self.lead(&ours.incarnation, revision).await?;
                    }
                }
                _ => self.news(None).await?,
            }
        }
    }

    /// Waits for a new view or another registration, but not beyond a time.
    async fn news(&mut self, wait: Option<Duration>) -> Option<()> {
        let timer = async {
            match wait {
                Some(wait) => tokio::time::sleep(wait).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            changed = self.seen.changed() => changed.ok(),
            changed = self.registration.changed() => changed.ok(),
            () = timer => Some(()),
        }
    }

    /// The revision of the key `leader` if it is ours now; else there is something new to see.
    async fn campaign(&mut self, ours: &Registration) -> Option<Option<u64>> {
        let Who::Node { id, .. } = &self.shared.settings.who else { return None };
        let (node, incarnation) = (id.to_string(), ours.incarnation.to_string());
        let value = encode(&LeaderValue { node, incarnation });
        let key = Key::Leader.text();
        let guards = vec![
            Guard::Absent(key.clone()),
            Guard::Revision(self.shared.own_key().text(), ours.revision),
        ];
        let put = Op::Put { key, value, lease: Some(ours.lease) };
        match self.shared.commit(guards, vec![put]).await {
            Ok(Some(revision)) => {
                self.pause.reset();
                Some(Some(revision))
            }
            // Another was faster, or we are registered anew: the word of it is here, or is to come.
            Ok(None) => self.news(None).await.map(|()| None),
            // If it was written without a word, the view will show that.
            Err(error) => {
                warn!(%error, "failed to stand for leader");
                self.pause.wait().await;
                Some(None)
            }
        }
    }

    /// Until we lead no more.
    async fn lead(&mut self, ours: &Incarnation, since: u64) -> Option<()> {
        info!(since, "this node leads");
        let mut written = since;
        loop {
            let seen = self.seen.borrow_and_update().clone();
            self.membership.observe(&seen.view);
            let registration = self.registration.borrow_and_update().clone();
            let is_registered = registration.is_some_and(|now| now.incarnation == *ours);
            let is_leader = seen.leader.as_ref().is_some_and(|leader| leader.revision == since);
            if !is_registered || (seen.view.revision >= since && !is_leader) {
                info!(since, "this node does not lead any more");
                return Some(());
            }
            // What we wrote ourselves must be seen before anything follows from the view.
            if seen.view.revision < written {
                self.news(None).await?;
                continue;
            }
            let unrest = self.membership.unrest(&seen.view, self.shared.settings.stability);
            let planned = self.plan(&seen, unrest.is_zero());
            let Some(planned) = planned else {
                self.news(None).await?;
                continue;
            };
            let Written { last, trouble } = self.shared.write_targets(since, &seen, planned).await;
            written = last.unwrap_or(written);
            match trouble {
                None if last.is_some() => {}
                None => {
                    self.pause.reset();
                    self.news((!unrest.is_zero()).then_some(unrest)).await?;
                }
                // The word of that is here, or is to come.
                Some(Trouble::Refused) => self.news(None).await?,
                Some(Trouble::Failed(error)) => {
                    warn!(%error, "failed to write targets");
                    self.rest(&error).await?;
                }
            }
        }
    }

    /// None: there are too few nodes for anything.
    fn plan(&self, seen: &Seen, is_stable: bool) -> Option<Vec<Assignment>> {
        let settings = &self.shared.settings;
        let (min_nodes, moves_max) = (settings.min_nodes, settings.moves_max);
        let loads = settings.by_load.then(|| loads::add_up(&seen.view, &seen.loads));
        let terms = Terms { min_nodes, is_stable, moves_max, load: loads.as_ref() };
        (seen.view.nodes.len() >= min_nodes).then(|| plan(&seen.view, &terms))
    }

    /// A little while, or until there is news if trying again is of no use.
    async fn rest(&mut self, error: &Error) -> Option<()> {
        self.pause.wait().await;
        if let Error::Refused(_) = error { self.news(None).await } else { Some(()) }
    }
}
