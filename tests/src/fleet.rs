//! A cluster of real processes on this machine: etcd, PostgreSQL, nodes and gates, each on a folder
//! and ports of its own, each started, ended, killed and stopped by itself, with all ways between
//! them in the hands of the test where it wants that.

pub mod doors;
pub mod etcd;
pub mod links;
pub mod place;
pub mod status;

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;

use self::{
    doors::Doors,
    etcd::Etcd,
    links::Links,
    place::{Kind, Place},
    status::{Shards, Status},
};
use crate::{
    http::{Answer, Http},
    postgres::{Postgres, query},
};

/// How long what the whole cluster does may take on a slow machine before it counts as never.
pub const LONG: Duration = Duration::from_secs(90);
const PAUSE: Duration = Duration::from_millis(20);

/// The database, as the other end of a way; members of etcd have the names `etcd-0`, `etcd-1` …
pub const DATABASE: &str = "database";

/// What a fleet is to be made of.
#[derive(Clone, Copy, Debug)]
pub struct Setup {
    /// Nodes at first.
    pub nodes: usize,
    /// Gates, all the time.
    pub gates: usize,
    /// Members of etcd.
    pub etcd: usize,
    /// The ways are to be cut.
    pub cuttable: bool,
    /// `cluster.lease_ttl`
    pub lease_ttl: Duration,
    /// `cluster.stability`
    pub stability: Duration,
}

/// A cluster that runs.
#[derive(Debug)]
pub struct Fleet {
    /// What it was made of.
    pub setup: Setup,
    /// Where clients come in.
    pub doors: Arc<Doors>,
    /// The nodes that there are or were; `node-0` is the first.
    pub nodes: Vec<Place>,
    /// The gates.
    pub gates: Vec<Place>,
    /// Its etcd.
    pub etcd: Etcd,
    /// Its database server.
    pub postgres: Postgres,
    /// The ways between them.
    pub links: Links,
    database: String,
    _folder: TempDir,
}

impl Fleet {
    /// Starts all of it, and waits until all shards are served and balanced.
    ///
    /// # Panics
    /// If it does not come about.
    pub async fn start(setup: Setup) -> Self {
        let folder = TempDir::new().expect("a folder");
        let state = folder.path().join("etcd");
        std::fs::create_dir(&state).expect("a folder for etcd");
        let database = tokio::task::spawn_blocking(|| Postgres::start(&[]));
        let (etcd, postgres) = tokio::join!(Etcd::start(setup.etcd, state), database);
        let postgres = postgres.expect("the database starts");
        let database = postgres.database();
        let gates =
            (0..setup.gates).map(|number| Place::new(Kind::Gate, &format!("gate-{number}")));
        let gates: Vec<_> = gates.collect();
        let doors = Arc::new(Doors::new(gates.iter().map(|gate| gate.http)));
        let (nodes, links) = (Vec::new(), Links::default());
        let mut fleet =
            Self { setup, doors, nodes, gates, etcd, postgres, links, database, _folder: folder };
        for number in 0..setup.nodes {
            fleet.place_node().await;
            fleet.nodes[number].begin(fleet.links.roster());
        }
        for number in 0..setup.gates {
            let etcd = fleet.etcd_for(&format!("gate-{number}")).await;
            let gate = &mut fleet.gates[number];
            agree(gate, setup, &etcd);
            gate.begin(fleet.links.roster());
        }
        fleet.settled().await;
        for place in fleet.nodes.iter_mut().chain(&mut fleet.gates) {
            place.ready().await;
        }
        fleet
    }

    /// Starts one node more, and does not wait.
    pub async fn add_node(&mut self) {
        self.place_node().await;
        self.begin_node(self.nodes.len() - 1);
    }

    /// Starts a node again that was stopped or killed, and does not wait.
    pub fn begin_node(&mut self, number: usize) {
        self.nodes[number].begin(self.links.roster());
    }

    /// Starts a gate again, waits until it is ready, and sends clients to it.
    pub async fn start_gate(&mut self, number: usize) {
        self.gates[number].begin(self.links.roster());
        self.gates[number].ready().await;
        self.doors.set_open(number, true);
    }

    /// Stops a gate as whoever operates it does: no client is sent there any more, and then it is asked
    /// to end.
    pub fn stop_gate(&mut self, number: usize) {
        self.doors.set_open(number, false);
        self.gates[number].stop();
    }

    /// Deploys a component through a gate, which must be accepted.
    pub async fn deploy(&self, component: Bytes) -> u64 {
        self.doors.open_from(0).http.deploy(component).await
    }

    /// What a gate says of the cluster; none: nothing.
    pub async fn status(&self) -> Option<Status> {
        let answer = self.get("/v1/admin/cluster").await?;
        serde_json::from_slice(&answer.body).ok()
    }

    /// What a gate says of all shards; none: nothing.
    pub async fn shards(&self) -> Option<Shards> {
        let answer = self.get("/v1/admin/shards").await?;
        serde_json::from_slice(&answer.body).ok()
    }

    async fn get(&self, path: &str) -> Option<Answer> {
        let asked = self.doors.open_from(0).http.try_request(Method::GET, path, "", &[]);
        let answer = tokio::time::timeout(Duration::from_secs(5), asked).await.ok()?.ok()?;
        (answer.status == 200).then_some(answer)
    }

    /// Waits until the nodes that run, and no others, serve all shards, evenly; answers how long that
    /// took.
    ///
    /// # Panics
    /// If it does not come about within [`LONG`], or a process ends by itself.
    pub async fn settled(&mut self) -> Duration {
        let began = Instant::now();
        let running = self.nodes.iter_mut().filter_map(|node| node.runs().then(|| node.id.clone()));
        let running: Vec<_> = running.collect();
        loop {
            let status = self.status().await;
            if let Some(status) = status.as_ref().filter(|status| status.is_settled(&running))
                && self.are_anew(status)
            {
                return began.elapsed();
            }
            for place in self.nodes.iter_mut().chain(&mut self.gates) {
                assert!(!place.has_died(), "{} ended by itself: {}", place.id, place.printed());
            }
            let told = || format!("{running:?} do not serve all shards evenly: {status:?}");
            assert!(began.elapsed() < LONG, "{}", told());
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Whether each process that was started again is registered as another than before; if so, this
    /// is kept.
    fn are_anew(&mut self, status: &Status) -> bool {
        let registrations: HashMap<_, _> =
            status.nodes.iter().map(|node| (&*node.id, &*node.incarnation)).collect();
        let seen = |node: &Place| registrations.get(&*node.id).copied().unwrap_or_default();
        let are_anew =
            self.nodes.iter().all(|node| node.replaced.is_empty() || seen(node) != node.replaced);
        for node in self.nodes.iter_mut().filter(|_| are_anew) {
            node.registration = seen(node).to_owned();
        }
        are_anew
    }

    /// The number of the node of that name.
    ///
    /// # Panics
    /// If there is none.
    pub fn number_of(&self, id: &str) -> usize {
        let number = self.nodes.iter().position(|node| node.id == id);
        number.unwrap_or_else(|| panic!("{id:?} is no node of this fleet"))
    }

    /// The node that decides on placement.
    ///
    /// # Panics
    /// If there is none.
    pub async fn leader(&self) -> usize {
        let began = Instant::now();
        loop {
            let leader = self.status().await.map(|status| status.leader).unwrap_or_default();
            if !leader.is_empty() {
                return self.number_of(&leader);
            }
            assert!(began.elapsed() < LONG, "nobody leads");
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Moves a shard, as an operator does; answers how long that took.
    ///
    /// # Panics
    /// If that is refused.
    pub async fn move_shard(&self, shard: u16, to: &str) -> Duration {
        let began = Instant::now();
        let path = format!("/v1/admin/shards/{shard}/move");
        let answer = self.post(&path, &json!({ "node": to })).await;
        assert_eq!(answer.status, 200, "{answer}");
        began.elapsed()
    }

    /// Asks a gate for something of the admin side.
    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        let http: &Http = &self.doors.open_from(0).http;
        http.request(Method::POST, path, body.to_string(), &[]).await
    }

    /// Runs SQL on the database of the cluster.
    ///
    /// # Panics
    /// If the database says no.
    pub fn query(&self, sql: &str) -> String {
        query(&self.database, sql).unwrap_or_else(|told| panic!("{sql}: {told}"))
    }

    async fn place_node(&mut self) {
        let id = format!("node-{}", self.nodes.len());
        let mut node = Place::new(Kind::Node, &id);
        let etcd = self.etcd_for(&id).await;
        agree(&mut node, self.setup, &etcd);
        let database = SocketAddr::from(([127, 0, 0, 1], self.postgres.port()));
        let (advertise, database) = match self.setup.cuttable {
            true => (
                self.links.front(None, &id, node.listen).await,
                self.links.front(Some(&id), DATABASE, database).await,
            ),
            false => (node.listen, database),
        };
        node.set("node.advertise", advertise);
        let (_, name) = self.database.rsplit_once('/').expect("a URL names a database");
        node.set("store.url", format!("postgres://postgres@{database}/{name}"));
        // Each keeps its connections; the server has 200.
        node.set("store.connections_max", 12);
        node.set("node.gate_window", "2s");
        self.nodes.push(node);
    }

    /// Where that process finds etcd.
    async fn etcd_for(&self, id: &str) -> String {
        let mut endpoints = Vec::new();
        for (name, client) in self.etcd.clients() {
            let address = match self.setup.cuttable {
                true => self.links.front(Some(id), name, client).await,
                false => client,
            };
            endpoints.push(format!("http://{address}"));
        }
        endpoints.join(",")
    }
}

/// What all processes of a cluster are told alike.
fn agree(place: &mut Place, setup: Setup, etcd: &str) {
    place.set("cluster.etcd", etcd);
    place.set("cluster.prefix", "/fleet");
    place.set("cluster.lease_ttl", format!("{}ms", setup.lease_ttl.as_millis()));
    place.set("cluster.stability", format!("{}ms", setup.stability.as_millis()));
    place.set("cluster.min_nodes", 1);
}
