//! Keeps the process registered: by a leased key that names its incarnation, written anew whenever
//! it was lost.
//!
//! The registration is taken for lost as soon as it could be: when the lease may lapse by our own
//! clock, when the lease is gone, or when the view shows that the key is gone or another's.

use std::{sync::Arc, time::Duration};

use tokio::{sync::watch, time::timeout};
use tracing::{info, warn};
use wasmverse_core::cluster::{Incarnation, Lease, View};

use super::{
    Registration, Seen, Shared, Who,
    keys::{DrainValue, GateValue, IncarnationValue, Key, NodeValue, decode, encode},
    pause::Pause,
    settings,
};
use crate::{Error, Guard, LeaseId, Op, Row};

/// How long to wait until it is written that the process leaves.
pub(super) const LEAVING_TOLD_MAX: Duration = Duration::from_secs(10);
/// How long the last words may take.
const FAREWELL: Duration = Duration::from_secs(2);
/// So many leases of lost registrations are remembered, to be ended.
const STALE_MAX: usize = 8;

/// What is wanted of the member.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Wanted {
    pub(super) is_registered: bool,
    pub(super) is_leaving: bool,
    pub(super) has_left: bool,
}

struct Member {
    shared: Arc<Shared>,
    wanted: watch::Receiver<Wanted>,
    seen: watch::Receiver<Seen>,
    key: String,
    /// Every incarnation that we may have written.
    ours: Vec<Incarnation>,
    was_registered: bool,
    /// What we lease now, and what was leased before and may be there still.
    lease: Option<LeaseId>,
    stale: Vec<LeaseId>,
}

/// Why a registration is over.
#[derive(Debug)]
enum Lost {
    Lapsed,
    LeaseGone,
    Replaced,
}

pub(super) async fn run(
    shared: Arc<Shared>,
    wanted: watch::Receiver<Wanted>,
    seen: watch::Receiver<Seen>,
) {
    let _has_left = shared.has_left.clone().drop_guard();
    let mut until_left = wanted.clone();
    let key = shared.own_key().text();
    let mut member = Member {
        shared: Arc::clone(&shared),
        wanted,
        seen,
        key,
        ours: Vec::new(),
        was_registered: false,
        lease: None,
        stale: Vec::new(),
    };
    tokio::select! {
        () = shared.end.cancelled() => {}
        _ = until_left.wait_for(|wanted| wanted.has_left) => {}
        () = member.take_part() => {}
    }
    // From here on this process owns nothing. Only then do others hear of it.
    shared.lease.drop_it();
    shared.registration.send_replace(None);
    let farewell = async {
        for lease in member.lease.into_iter().chain(member.stale) {
            if let Err(error) = shared.coordination.revoke(lease).await {
                warn!(%error, "left without a word: others wait until the lease lapses");
            }
        }
    };
    let _ = timeout(FAREWELL, farewell).await;
}

impl Member {
    async fn take_part(&mut self) {
        if self.wanted.wait_for(|wanted| wanted.is_registered).await.is_err() {
            return std::future::pending().await;
        }
        loop {
            let lease = self.register().await;
            let lost = self.hold(lease).await;
            self.shared.lease.drop_it();
            self.shared.registration.send_replace(None);
            self.shared.metrics.leases_lost.increment(1);
            warn!(
                ?lost,
                "the registration is lost: this process owns nothing until it has another"
            );
        }
    }

    async fn register(&mut self) -> Lease {
        let mut pause = Pause::new();
        let mut is_told = false;
        loop {
            let error = match self.try_to_register().await {
                Ok(lease) => return lease,
                Err(error) => error,
            };
            if !std::mem::replace(&mut is_told, true) {
                warn!(%error, "no registration yet: trying on");
            }
            pause.wait().await;
        }
    }

    async fn try_to_register(&mut self) -> Result<Lease, Error> {
        let before = self.lease.take();
        self.retire(before);
        if self.was_registered {
            // A coordination service that has lost all is told again.
            settings::agree(&*self.shared.coordination, &self.shared.settings).await?;
        }
        let ttl = self.shared.settings.lease_ttl;
        let lease = Lease::new(ttl, self.shared.lease.now());
        let id = self.shared.coordination.grant(ttl).await?;
        self.lease = Some(id);
        let (read_at, found) = self.shared.coordination.get(&self.key).await?;
        if let Some(row) = &found
            && self.was_registered
            && !self.is_ours(row)
        {
            warn!(key = self.key, "another process has taken our place: waiting until it is gone");
            self.until_free(read_at).await;
            return Err(Error::Unavailable("the place has just become free".to_owned()));
        }
        let incarnation = self.shared.new_incarnation();
        let drained = self.stay_drained(&incarnation).await?;
        self.ours.push(incarnation.clone());
        let is_leaving = self.wanted.borrow().is_leaving;
        let guard = match &found {
            None => Guard::Absent(self.key.clone()),
            // Of this process, or of one that ran under this id before.
            Some(row) => Guard::Revision(self.key.clone(), row.revision),
        };
        let put = put(&self.shared, &incarnation, is_leaving, id);
        let (more, puts) = drained.unzip();
        let guards = std::iter::once(guard).chain(more).collect();
        let ops = std::iter::once(put).chain(puts).collect();
        let Some(revision) = self.shared.commit(guards, ops).await? else {
            return Err(Error::Unavailable("somebody else registers under this id".to_owned()));
        };
        if self.shared.lease.now() >= lease.until() {
            return Err(Error::Unavailable("it took longer than the lease lasts".to_owned()));
        }
        self.retire(found.and_then(|row| row.lease));
        self.was_registered = true;
        self.ours = vec![incarnation.clone()];
        self.shared.lease.hold(&lease);
        info!(key = self.key, %incarnation, revision, "registered");
        let registration = Registration { incarnation, revision, lease: id, is_leaving };
        self.shared.registration.send_replace(Some(registration));
        Ok(lease)
    }

    /// A node that was drained stays so until its process ends: what renews that, and rests on it.
    async fn stay_drained(&self, incarnation: &Incarnation) -> Result<Option<(Guard, Op)>, Error> {
        let Who::Node { id, .. } = &self.shared.settings.who else { return Ok(None) };
        if !self.was_registered {
            return Ok(None);
        }
        let key = Key::Drain(id.clone()).text();
        let (_, row) = self.shared.coordination.get(&key).await?;
        let Some(row) = row.filter(|row| self.is_ours(row)) else { return Ok(None) };
        let value = encode(&DrainValue { incarnation: incarnation.to_string() });
        let guard = Guard::Revision(key.clone(), row.revision);
        Ok(Some((guard, Op::Put { key, value, lease: None })))
    }

    fn is_ours(&self, row: &Row) -> bool {
        let found: Result<IncarnationValue, _> = decode(&row.value);
        found.is_ok_and(|found| self.ours.iter().any(|it| it.as_str() == found.incarnation))
    }

    /// Until the view is as new as that and there is nobody under our id.
    async fn until_free(&mut self, revision: u64) {
        let who = &self.shared.settings.who;
        let is_free = |seen: &Seen| seen.view.revision >= revision && at(who, &seen.view).is_none();
        // If nobody follows any more we are about to end.
        let _ = self.seen.wait_for(is_free).await;
    }

    fn retire(&mut self, lease: Option<LeaseId>) {
        self.stale.extend(lease.filter(|lease| self.lease != Some(*lease)));
        let surplus = self.stale.len().saturating_sub(STALE_MAX);
        self.stale.drain(..surplus);
    }

    /// Until it is over.
    async fn hold(&mut self, mut lease: Lease) -> Lost {
        let shared = Arc::clone(&self.shared);
        let Some(registration) = shared.registered() else { return Lost::Replaced };
        let (seen, wanted) = (self.seen.clone(), self.wanted.clone());
        tokio::select! {
            biased;
            () = shared.lease.until_lapse() => Lost::Lapsed,
            () = until_replaced(&shared, seen, &registration) => Lost::Replaced,
            () = beat(&shared, &mut lease, registration.lease) => Lost::LeaseGone,
            () = say_that_we_leave(&shared, wanted) => Lost::Replaced,
            () = self.end_stale() => Lost::LeaseGone,
        }
    }

    /// Ends what earlier registrations left behind, and then does nothing.
    async fn end_stale(&mut self) {
        while let Some(lease) = self.stale.last() {
            // What cannot be ended lapses.
            let _ = self.shared.coordination.revoke(*lease).await;
            self.stale.pop();
        }
        std::future::pending::<()>().await;
    }
}

/// Until the lease is gone.
async fn beat(shared: &Shared, lease: &mut Lease, id: LeaseId) {
    let interval = lease.interval();
    let mut wait = interval;
    loop {
        tokio::time::sleep(wait).await;
        let sent = shared.lease.now();
        let answer = timeout(interval * 2, shared.coordination.keep_alive(id)).await;
        let took = shared.lease.now().saturating_sub(sent);
        wait = match answer {
            Ok(Ok(())) => {
                lease.confirm(sent);
                shared.lease.hold(lease);
                shared.metrics.keep_alive_seconds.record(took);
                interval.saturating_sub(took)
            }
            Ok(Err(Error::LeaseGone)) => return,
            Ok(Err(error)) => {
                warn!(%error, "a keep-alive failed");
                interval / 4
            }
            Err(_) => {
                warn!(?took, "a keep-alive was not answered");
                Duration::ZERO
            }
        };
    }
}

/// Until a view that is new enough shows another registration, or none.
async fn until_replaced(
    shared: &Shared,
    mut seen: watch::Receiver<Seen>,
    registration: &Registration,
) {
    let is_gone = |seen: &Seen| {
        seen.view.revision >= registration.revision
            && at(&shared.settings.who, &seen.view) != Some(&registration.incarnation)
    };
    if seen.wait_for(is_gone).await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// As soon as that is wanted, writes that we leave. Ends if our key turns out to be another's.
async fn say_that_we_leave(shared: &Shared, mut wanted: watch::Receiver<Wanted>) {
    let is_told = shared.registered().is_none_or(|now| now.is_leaving);
    if is_told || wanted.wait_for(|wanted| wanted.is_leaving).await.is_err() {
        return std::future::pending().await;
    }
    let mut pause = Pause::new();
    let key = shared.own_key().text();
    while let Some(now) = shared.registered() {
        let put = put(shared, &now.incarnation, true, now.lease);
        let guard = Guard::Revision(key.clone(), now.revision);
        let written = match shared.commit(vec![guard], vec![put]).await {
            Ok(Some(revision)) => Some(revision),
            // It may have been written before, without a word.
            Ok(None) => match shared.coordination.get(&key).await {
                Ok((_, Some(row))) if is_leaving(&row, &now.incarnation) => Some(row.revision),
                Ok(_) => return,
                Err(_) => None,
            },
            Err(error) => {
                warn!(%error, "others do not know yet that we leave");
                None
            }
        };
        if let Some(revision) = written {
            let told = Registration { revision, is_leaving: true, ..now };
            shared.registration.send_replace(Some(told));
            break;
        }
        pause.wait().await;
    }
    std::future::pending::<()>().await;
}

fn is_leaving(row: &Row, incarnation: &Incarnation) -> bool {
    let found: Result<IncarnationValue, _> = decode(&row.value);
    found.is_ok_and(|found| found.leaving && found.incarnation == incarnation.as_str())
}

/// Whoever is registered under our id.
fn at<'a>(who: &Who, view: &'a View) -> Option<&'a Incarnation> {
    match who {
        Who::Node { id, .. } => view.nodes.get(id).map(|member| &member.incarnation),
        Who::Gate { id, .. } => view.gates.get(id).map(|member| &member.incarnation),
    }
}

/// What is written of us.
fn put(shared: &Shared, incarnation: &Incarnation, is_leaving: bool, lease: LeaseId) -> Op {
    let settings = &shared.settings;
    let (version, protocol) = (settings.version.clone(), settings.protocol);
    let incarnation = incarnation.as_str().to_owned();
    let (key, value) = match &settings.who {
        Who::Node { id, process, addresses, weight } => {
            let (process, addresses) = (process.clone(), addresses.clone());
            let (weight, leaving) = (*weight, is_leaving);
            let value =
                NodeValue { incarnation, process, addresses, weight, leaving, version, protocol };
            (Key::Node(id.clone()), encode(&value))
        }
        Who::Gate { id, address } => {
            let (address, leaving) = (address.clone(), is_leaving);
            let value = GateValue { incarnation, address, leaving, version, protocol };
            (Key::Gate(id.clone()), encode(&value))
        }
    };
    Op::Put { key: key.text(), value, lease: Some(lease) }
}
