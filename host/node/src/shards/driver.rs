//! Carries out what [`wasmverse_core::cluster::owner`] decides for each shard, in batches: one task
//! that looks at the view, and one at a time under way for each shard.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, atomic::Ordering::SeqCst},
    time::{Duration, Instant},
};

use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use wasmverse_cluster::{Cluster, Registration};
use wasmverse_core::{
    Epoch, NodeId, ShardId,
    cluster::{
        View,
        owner::{Action, Bid, Change, Done, Held, Me, State},
    },
};

use crate::host::Host;

use super::Door;

/// Answers that wait for the driver.
const ANSWERS: usize = 1024;

/// What became of actions, each with the tag under which it was begun.
pub(super) type Answers = Vec<(ShardId, u64, Done)>;

/// Carries out what is decided for each shard.
pub(crate) struct Driver {
    pub(super) host: Arc<Host>,
    pub(super) cluster: Cluster,
    pub(super) me: NodeId,
    states: Vec<State>,
    /// The action that is under way for a shard: an answer to another one is of no use.
    tags: Vec<u64>,
    next_tag: u64,
    /// The epoch that a claim ends: what was left for the next one is good for that alone. Epochs
    /// that the store gave, and that nobody came to serve in, do not count.
    follows: BTreeMap<ShardId, Epoch>,
    /// Shards that drain, and until when.
    draining: BTreeMap<ShardId, Drain>,
    /// Shards that are packed, and what tells when that has ended.
    pub(super) packing: BTreeMap<ShardId, CancellationToken>,
    /// The revision of the last view.
    revision: u64,
    pub(super) answers: mpsc::Sender<Answers>,
    /// How many shards are ours in some way, or about to be.
    held: watch::Sender<usize>,
    /// Told whenever shards have opened or closed.
    opened: watch::Sender<()>,
}

/// A drain that stalls this long may wait for an object that is busy with a chain which began later,
/// and which itself waits at this very shard: it is let in.
const STALL: Duration = Duration::from_millis(200);

/// A shard that drains.
struct Drain {
    /// Until then at most.
    limit: Instant,
    /// Then it is looked at whether it stalls.
    look: Instant,
}

impl Drain {
    fn next(&self) -> Instant {
        self.limit.min(self.look)
    }
}

/// What is known when shards are looked at.
struct Moment<'a> {
    view: &'a View,
    registration: Option<Registration>,
    holds_lease: bool,
    /// Every type that is active is ready here.
    has_types: bool,
}

impl Moment<'_> {
    fn me<'b>(&'b self, id: &'b NodeId) -> Me<'b> {
        let registration = self.registration.as_ref();
        let registration = registration.map(|it| (&it.incarnation, it.revision));
        Me { id, registration, holds_lease: self.holds_lease }
    }
}

/// Actions of one kind that begin together.
#[derive(Default)]
struct Batch {
    raise: Vec<(ShardId, u64, Bid)>,
    claim: Vec<(ShardId, u64, Bid, Epoch)>,
    pack: Vec<(ShardId, u64)>,
    release: Vec<(ShardId, u64, Held, Option<u64>)>,
    fence: Vec<(ShardId, u64)>,
    has_opened: bool,
    has_closed: bool,
}

/// Drives the shards of a node until it ends.
pub(crate) async fn run(
    host: Arc<Host>,
    cluster: Cluster,
    (held, opened): (watch::Sender<usize>, watch::Sender<()>),
    end: CancellationToken,
) {
    let (sender, mut answers) = mpsc::channel(ANSWERS);
    let count = usize::from(host.shards.get());
    let mut driver = Driver {
        me: NodeId::new(host.config.id()),
        states: vec![State::default(); count],
        tags: vec![0; count],
        next_tag: 0,
        follows: BTreeMap::new(),
        draining: BTreeMap::new(),
        packing: BTreeMap::new(),
        revision: 0,
        answers: sender,
        held,
        opened,
        cluster,
        host,
    };
    let driving = async {
        let (mut view, mut registration) = (driver.cluster.view(), driver.cluster.registration());
        let mut types = driver.host.types.versions();
        loop {
            let seen = view.borrow_and_update().clone();
            registration.borrow_and_update();
            types.borrow_and_update();
            let cluster = driver.cluster.clone();
            let was_held = cluster.lease().is_held();
            let lapse = async {
                if was_held {
                    return cluster.lease().until_lapse().await;
                }
                cluster.lease().until_held().await;
            };
            driver.look_at_all(&seen);
            // Answers and doors that came quiet concern single shards; all else concerns all.
            let concerns_all = async {
                tokio::select! {
                    changed = view.changed() => changed.is_ok(),
                    changed = registration.changed() => changed.is_ok(),
                    _ = types.changed() => true,
                    () = lapse => true,
                }
            };
            let mut concerns_all = std::pin::pin!(concerns_all);
            loop {
                let host = Arc::clone(&driver.host);
                let stirred = host.owned.shards.stirred.notified();
                let limit = driver.draining.values().map(Drain::next).min();
                tokio::select! {
                    goes_on = &mut concerns_all => {
                        if !goes_on {
                            return;
                        }
                        break;
                    }
                    Some(answered) = answers.recv() => driver.take(answered, &seen),
                    () = stirred => driver.look_at_doors(&seen),
                    () = until(limit) => driver.look_at_drains(&seen),
                }
            }
        }
    };
    end.run_until_cancelled(driving).await;
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

impl Driver {
    fn look_at_all(&mut self, view: &Arc<View>) {
        let mut batch = Batch::default();
        if view.revision < self.revision {
            // The coordination has lost all that it knew, and counts anew.
            self.states.iter_mut().for_each(State::forget_revisions);
        }
        self.revision = view.revision;
        let quorum = self.host.joined().map_or(0, |joined| joined.quorum);
        self.host.owned.shards.set_quorum(view.nodes.len() >= quorum);
        self.host.drop_useless_parcels(view, &self.states);
        let now = self.moment(view);
        for shard in view.shards() {
            self.look(shard, &now, &mut batch);
        }
        // After all doors have moved: a call that reads it has met what it says.
        self.host.owned.shards.revision.store(view.revision, SeqCst);
        self.carry_out(batch);
    }

    /// Looks at one shard again and again, until nothing follows.
    fn look(&mut self, shard: ShardId, now: &Moment<'_>, batch: &mut Batch) {
        loop {
            let state = &self.states[usize::from(shard.0)];
            if matches!(state, State::Away(_)) && !now.has_types {
                // Whoever calls shall find every type that is active.
                return;
            }
            match state.look(shard, now.me(&self.me), now.view) {
                Some(change) => self.change(shard, change, now, batch),
                None => return,
            }
        }
    }

    fn after(&mut self, shard: ShardId, done: Done, now: &Moment<'_>, batch: &mut Batch) {
        let state = &self.states[usize::from(shard.0)];
        if let Some(change) = state.after(done, shard, now.me(&self.me), now.view) {
            self.change(shard, change, now, batch);
        }
    }

    /// What is known at this moment.
    fn moment<'a>(&self, view: &'a View) -> Moment<'a> {
        Moment {
            view,
            registration: self.cluster.registration().borrow().clone(),
            holds_lease: self.cluster.lease().is_held(),
            has_types: self.host.has_types_of(view),
        }
    }

    fn take(&mut self, answered: Answers, view: &Arc<View>) {
        let (mut batch, now) = (Batch::default(), self.moment(view));
        for (shard, tag, done) in answered {
            if self.tags[usize::from(shard.0)] == tag {
                self.after(shard, done, &now, &mut batch);
                self.look(shard, &now, &mut batch);
            }
        }
        self.carry_out(batch);
    }

    /// Shards that drain are drained as soon as nobody is in them.
    fn look_at_doors(&mut self, view: &Arc<View>) {
        let (mut batch, now) = (Batch::default(), self.moment(view));
        for shard in self.host.owned.shards.take_quiet() {
            self.drained_if_quiet(shard, &now, &mut batch);
        }
        for (shard, epoch) in self.host.owned.shards.take_outrun() {
            if let Some(change) = self.states[usize::from(shard.0)].outrun(epoch) {
                tracing::warn!(%shard, epoch = epoch.0, "the store has another epoch: claiming anew");
                self.change(shard, change, &now, &mut batch);
                self.look(shard, &now, &mut batch);
            }
        }
        self.carry_out(batch);
    }

    fn drained_if_quiet(&mut self, shard: ShardId, now: &Moment<'_>, batch: &mut Batch) {
        let is_quiet =
            self.draining.contains_key(&shard) && self.host.owned.shards.seal_if_quiet(shard);
        if is_quiet {
            self.draining.remove(&shard);
            self.after(shard, Done::Drained, now, batch);
            self.look(shard, now, batch);
        }
    }

    /// The limit of some has passed, or nothing has come of it for a while.
    fn look_at_drains(&mut self, view: &Arc<View>) {
        let (mut batch, moment, now) = (Batch::default(), self.moment(view), Instant::now());
        let over: BTreeSet<_> = self
            .draining
            .iter()
            .filter(|(_, it)| it.limit <= now)
            .map(|(shard, _)| *shard)
            .collect();
        for (shard, drain) in self.draining.iter_mut().filter(|(_, it)| it.look <= now) {
            drain.look = now + STALL;
            self.host.let_in_chains(*shard);
        }
        for shard in over {
            self.draining.remove(&shard);
            self.host.owned.shards.seal(shard);
            self.after(shard, Done::Drained, &moment, &mut batch);
            self.look(shard, &moment, &mut batch);
        }
        self.carry_out(batch);
    }

    fn change(&mut self, shard: ShardId, change: Change, now: &Moment<'_>, batch: &mut Batch) {
        let (state, action) = change;
        let place = usize::from(shard.0);
        let is_busy = |state: &State| !matches!(state, State::Away(_));
        let (was, is) = (is_busy(&self.states[place]), is_busy(&state));
        if was != is {
            self.held.send_modify(|held| *held = if is { *held + 1 } else { *held - 1 });
        }
        tracing::trace!(%shard, ?state, ?action, "a shard changes");
        self.states[place] = state;
        let Some(action) = action else { return };
        self.next_tag += 1;
        let tag = self.next_tag;
        self.tags[place] = tag;
        self.begin(shard, tag, action, now, batch);
    }

    /// Begins an action: doors move at once, what takes time goes into the batch.
    fn begin(
        &mut self,
        shard: ShardId,
        tag: u64,
        action: Action,
        now: &Moment<'_>,
        batch: &mut Batch,
    ) {
        let shards = &self.host.owned.shards;
        match action {
            Action::Raise(bid) => batch.raise.push((shard, tag, bid)),
            Action::Claim(bid, epoch) => {
                // Others may hear of it before we do: whoever comes then waits, unless they were on their
                // way to an owner from before.
                shards.set_epoch(shard, epoch);
                shards.set_door(shard, Door::Sealed);
                self.follows.insert(shard, bid.above());
                batch.claim.push((shard, tag, bid, epoch));
            }
            Action::Serve(epoch) => {
                let ended = self.follows.remove(&shard).unwrap_or_default();
                let host = &self.host;
                host.sends.opening(|| host.serve(shard, epoch, ended));
                batch.has_opened = true;
            }
            Action::Drain(since) => {
                shards.drain(shard, since);
                batch.has_closed = true;
                let began = Instant::now();
                let (limit, look) = (began + self.host.config.drain, began + STALL);
                self.draining.insert(shard, Drain { limit, look });
                self.drained_if_quiet(shard, now, batch);
            }
            Action::Pack => {
                self.draining.remove(&shard);
                batch.pack.push((shard, tag));
            }
            Action::Send(to) => {
                self.packing.remove(&shard);
                self.send(shard, tag, to);
            }
            Action::Release(held, target) => {
                self.packing.remove(&shard);
                batch.release.push((shard, tag, held, target));
            }
            Action::Forget => self.forget(shard, now.view),
            Action::Fence(_) => {
                self.draining.remove(&shard);
                self.host.turn_away(shard);
                batch.has_closed = true;
                batch.fence.push((shard, tag));
            }
        }
    }

    /// It is another's: what was packed stays only if that is ourselves.
    fn forget(&self, shard: ShardId, view: &View) {
        let target = view.slot(shard).target.as_ref();
        let is_ours = target.is_some_and(|target| target.node == self.me);
        match self.host.owned.shards.take_outgoing(shard) {
            Some(parcel) if is_ours => self.host.put_aside(shard, parcel),
            Some(parcel) => {
                self.host.give_back(shard, parcel.calls, parcel.in_doubt.is_some());
            }
            None => {}
        }
        self.host.turn_away(shard);
    }

    fn carry_out(&mut self, batch: Batch) {
        let Batch { raise, claim, pack, release, fence, has_opened, has_closed } = batch;
        if has_closed {
            self.host.forget_others();
            self.opened.send_replace(());
        }
        if has_opened {
            self.host.reminders.read_again();
            self.opened.send_replace(());
        }
        self.raise(raise);
        self.claim(claim);
        self.pack(pack);
        self.release(release);
        self.fence(fence);
    }
}
