//! A process: its clock, its registration, its view, its router; of a node, its shards.

use std::{sync::Arc, sync::atomic::Ordering::Relaxed, time::Duration};

use rand::Rng as _;
use tokio::sync::watch;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use wasmverse_core::{
    NodeId, ShardCount,
    cluster::{Incarnation, Lease, View, owner::Me},
};

use crate::{
    Bearer, LinkBounds, Local, Role, RouterConfig, hub::Hub, metrics::Metrics, peer::Terms,
};

use super::{
    bells::{Bells, Inside},
    leader::Membership,
    links::Peers,
    node::Node,
    world::{Bug, Event, Time, Who, World},
};

const NAMES: [&str; 5] = ["a", "b", "c", "d", "e"];

/// A clock of its own, that is a little fast or slow.
#[derive(Clone, Copy)]
pub(super) struct Clock {
    offset: Time,
    /// Beside the true one, in thousandths.
    rate: u64,
}

pub(super) fn local(clock: &Clock, now: Time) -> Duration {
    Duration::from_micros(clock.offset + now * clock.rate / 1000)
}

impl Clock {
    /// When it will show this, or a little later.
    pub(super) fn when(&self, shows: Duration) -> Time {
        let shows = Time::try_from(shows.as_micros()).unwrap();
        shows.saturating_sub(self.offset) * 1000 / self.rate + 2
    }
}

/// A registration that holds, as far as the process knows.
#[derive(Clone)]
pub(super) struct Registration {
    pub(super) incarnation: Incarnation,
    pub(super) revision: u64,
    pub(super) lease: u64,
}

/// How a process calls itself on its links, by which of its lives it is.
pub(super) fn name_of(life: u32) -> String {
    format!("life {life}")
}

pub(super) struct Process {
    place: usize,
    pub(super) id: NodeId,
    pub(super) is_gate: bool,
    pub(super) life: u32,
    pub(super) is_up: bool,
    pub(super) paused_until: Time,
    pub(super) clock: Clock,
    pub(super) registration: Option<Registration>,
    pub(super) lease: Option<Lease>,
    /// It wants to be registered, and has asked for it.
    pub(super) registers: bool,
    pub(super) view: Arc<View>,
    /// Whom the view shows as the leader.
    pub(super) leader: Option<(Incarnation, u64)>,
    /// The watch is about to bring something.
    pub(super) watches: bool,
    pub(super) membership: Membership,
    pub(super) hub: Arc<Hub>,
    /// The router looks after what is parked before long.
    pub(super) looks: bool,
    pub(super) peers: Peers,
    pub(super) node: Node,
    _view: watch::Sender<Arc<View>>,
}

impl Process {
    pub(super) fn new(world: &World, place: usize, life: u32) -> Self {
        let is_gate = place >= world.nodes;
        let name = if is_gate { ["g", "h"][place - world.nodes] } else { NAMES[place] };
        let id = NodeId::new(name);
        let count = ShardCount::new(u16::try_from(world.shards).unwrap()).unwrap();
        let revision = world.etcd.revision();
        let seen = world.etcd.seen(revision);
        let (sender, receiver) = watch::channel(Arc::clone(&seen.view));
        let who = Who { process: place, life };
        let role = if is_gate { Role::Gate } else { Role::Node };
        let local = (!is_gate).then(|| Local {
            id: id.clone(),
            callee: Arc::new(Inside { who, bells: Bells::clone(&world.bells) }),
        });
        let terms = terms(&id, count, role);
        let end = CancellationToken::new();
        let hub = Hub::new(terms, local, receiver, TaskTracker::new(), end);
        Self {
            place,
            id,
            is_gate,
            life,
            is_up: false,
            paused_until: 0,
            clock: Clock { offset: 0, rate: 1000 },
            registration: None,
            lease: None,
            registers: false,
            view: Arc::clone(&seen.view),
            leader: seen.leader.clone(),
            watches: false,
            membership: Membership::default(),
            hub,
            looks: false,
            peers: Peers::new(),
            node: Node::new(world.shards, world.objects.len()),
            _view: sender,
        }
    }

    pub(super) fn who(&self) -> Who {
        Who { process: self.place, life: self.life }
    }

    /// The router has calls that wait.
    pub(super) fn is_busy(&self) -> bool {
        self.hub.busy.load(Relaxed) > 0
    }

    pub(super) fn holds_lease(&self, now: Time, bug: Bug) -> bool {
        if bug == Bug::LeaseIsNotLookedAt {
            return self.registration.is_some();
        }
        self.lease.is_some_and(|lease| lease.until() > local(&self.clock, now))
    }

    pub(super) fn me(&self, now: Time, bug: Bug) -> Me<'_> {
        Me {
            id: &self.id,
            registration: self.registration.as_ref().map(|it| (&it.incarnation, it.revision)),
            holds_lease: self.holds_lease(now, bug),
        }
    }
}

fn terms(id: &NodeId, shards: ShardCount, role: Role) -> Terms {
    let config = RouterConfig {
        secret: None,
        id: id.to_string(),
        incarnation: String::new(),
        address: id.to_string(),
        shards,
        bounds: LinkBounds::default(),
    };
    let (bearer, metrics) = (Bearer::new(None), Arc::new(Metrics::new()));
    Terms { config, role, is_static: false, bearer, metrics, audience: None }
}

impl World {
    /// A process starts: it reads all there is, and registers.
    pub(super) fn begin(&mut self, place: usize) {
        let life = self.processes[place].life + 1;
        let mut process = Process::new(self, place, life);
        process.clock = Clock {
            offset: self.random.random_range(0..1_000_000_000),
            rate: self.random.random_range(990..=1010),
        };
        process.is_up = true;
        self.processes[place] = process;
        self.know_peers(place);
        self.ask_to_register(place);
        let who = self.processes[place].who();
        self.within(1, 5_000, Event::Watch(who));
        self.processes[place].watches = true;
    }

    /// Nothing is left of a process but what it has told others.
    pub(super) fn end_process(&mut self, place: usize) {
        self.processes[place].is_up = false;
        self.processes[place].paused_until = 0;
        let calling: Vec<_> = self.calling.iter().filter(|(_, it)| it.process == place).collect();
        let calling: Vec<_> = calling.into_iter().map(|(id, _)| *id).collect();
        for id in calling {
            // Only nodes end: nobody is left to hear of it.
            drop(self.calling.remove(&id));
        }
        let links = self.links.iter().filter(|(_, it)| it.from == place || it.to == place);
        let links: Vec<_> = links.map(|(id, _)| *id).collect();
        for link in links {
            self.within(0, 20_000, Event::Break(link));
        }
        self.fail_relays_to(place);
    }
}
