//! Pushes on their way to a gate: in order, once each, whatever becomes of the link.

use std::{net::SocketAddr, sync::Arc};

use parking_lot::Mutex;
use tokio_stream::StreamExt as _;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use wasmverse_core::{Action, Caller, Push, PushTo};
use wasmverse_proto::{
    PROTOCOL,
    node::{Frame, Frames, Hello, frame::Frame as Kind},
};
use wasmverse_router::{Audience, Delivery, Router, RouterConfig};

use super::{
    proxy::{Proxy, until},
    running::{Running, Setup, config, router},
};

/// The clients of a gate; those whose ids end with `/gone` are not there.
#[derive(Default)]
struct Ear {
    heard: Mutex<Vec<String>>,
    missed: Mutex<Vec<PushTo>>,
}

impl Audience for Ear {
    fn deliver(&self, delivery: Delivery) -> Vec<Arc<str>> {
        self.heard.lock().push(delivery.push.event.to_string());
        match delivery.push.to {
            PushTo::Clients(clients) => {
                clients.into_iter().filter(|client| client.ends_with("/gone")).collect()
            }
            PushTo::Everyone => Vec::new(),
        }
    }

    fn missed(&self, to: &PushTo) {
        self.missed.lock().push(to.clone());
    }
}

fn listen(config: RouterConfig, node: SocketAddr, tasks: &TaskTracker) -> (Router, Arc<Ear>) {
    let ear = Arc::new(Ear::default());
    let audience = Arc::<Ear>::clone(&ear);
    let nodes = vec![node.to_string()];
    (Router::to(config, nodes, Some(audience), tasks, CancellationToken::new()), ear)
}

fn push(node: &Running, client: &str, event: &(impl ToString + ?Sized), bytes: usize) -> usize {
    let push = Push {
        to: PushTo::Clients(vec![client.into()]),
        event: event.to_string().into(),
        payload: vec![b'1'; bytes].into(),
    };
    node.fake.gates.push(&"Room/r".parse().unwrap(), &push).0
}

fn numbers(to: usize) -> Vec<String> {
    (0..to).map(|n| n.to_string()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn links_that_are_cut_lose_and_double_no_push() {
    let tasks = TaskTracker::new();
    let node = Running::start(Setup::default(), &tasks).await;
    let proxy = Proxy::start(Some(node.address), &tasks).await;
    let (_router, ear) = listen(config(), proxy.address, &tasks);
    for round in 0..10 {
        for n in 0..200 {
            push(&node, "g1/x", &(round * 200 + n), 1000);
        }
        let (half, ear) = (round * 200 + 20 * round, &ear);
        until("some have arrived", || ear.heard.lock().len() >= half).await;
        proxy.cut(Some(node.address));
    }
    until("all have arrived", || ear.heard.lock().len() >= 2000).await;
    assert_eq!(*ear.heard.lock(), numbers(2000));
    assert_eq!(*ear.missed.lock(), []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_stops_brings_its_last_pushes_first() {
    let tasks = TaskTracker::new();
    let node = Running::start(Setup::default(), &tasks).await;
    let (router, ear) = listen(config(), node.address, &tasks);
    until("linked", || router.linked().is_some()).await;
    for n in 0..2000 {
        push(&node, "g1/x", &n, 1000);
    }
    node.stop().await;
    assert_eq!(*ear.heard.lock(), numbers(2000));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_object_hears_of_the_clients_that_its_gate_does_not_know() {
    let tasks = TaskTracker::new();
    let node = Running::start(Setup::default(), &tasks).await;
    let (_router, _ear) = listen(config(), node.address, &tasks);
    push(&node, "g1/x", "e", 1);
    push(&node, "g1/gone", "e", 1);
    node.fake.arrived(1).await;
    let seen = node.fake.seen.lock();
    assert_eq!(seen[0].object.to_string(), "Room/r");
    assert_eq!(seen[0].caller, Caller::Platform);
    let Action::ClientsGone(gone) = &seen[0].action else { panic!("{:?}", seen[0]) };
    assert_eq!(gone[..], ["g1/gone".into()]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gate_that_reads_nothing_loses_pushes_and_others_lose_none() {
    let tasks = TaskTracker::new();
    let node = Running::start(Setup::default(), &tasks).await;
    let (other, ear) = listen(config(), node.address, &tasks);
    let nobody = RouterConfig { address: String::new(), ..config() };
    let control = router(nobody, &[node.address], &tasks);
    until("linked", || other.linked().is_some() && control.linked().is_some()).await;
    let hello = Hello {
        protocol: PROTOCOL,
        shards: 8192,
        role: "gate".into(),
        incarnation: "1".into(),
        address: "g2".into(),
        ..Hello::default()
    };
    let first = Frames { frames: vec![Frame { frame: Some(Kind::Hello(hello)) }] };
    let said = tokio_stream::iter([first]).chain(tokio_stream::pending());
    let mut deaf = control.control().unwrap().link(said).await.unwrap().into_inner();
    let mut dropped = 0;
    for n in 0..100 {
        dropped += push(&node, "g2/x", &n, 1 << 20);
        push(&node, "g1/x", &n, 1000);
    }
    assert!(dropped > 0);
    until("the other has all", || ear.heard.lock().len() >= 100).await;
    assert_eq!(*ear.heard.lock(), numbers(100));
    // Once it reads, it hears all that was kept, and then who lost something.
    let mut last = None;
    let mut kept = 0;
    while last.is_none() {
        for frame in deaf.message().await.unwrap().unwrap().frames {
            match frame.frame {
                Some(Kind::Push(push)) if push.lost => last = Some(push.clients),
                Some(Kind::Push(_)) => kept += 1,
                _ => {}
            }
        }
    }
    assert_eq!(kept + dropped, 100);
    assert_eq!(last, Some(vec!["g2/x".to_owned()]));
}
