//! A real etcd that dies, forgets, falls silent, or answers to nobody.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::StreamExt as _;
use tokio::time::timeout;
use wasmverse_core::{ShardId, cluster::View};

use super::{Process, SOON, gate, node, proxy::Proxy, reaches, server::Server, target};
use crate::{Coordination as _, Error, Etcd, EtcdConfig, Op};

/// Whatever is in the way between two that both see a pin come.
async fn follows(a: &Process, b: &Process, shard: u16) {
    let id = wasmverse_core::NodeId::new("somewhere");
    a.cluster.pin(ShardId(shard), &id).await.unwrap();
    let has_it = |view: &Arc<View>| view.pins.contains_key(&ShardId(shard));
    a.sees(has_it).await;
    b.sees(has_it).await;
}

#[tokio::test]
async fn all_comes_back_when_etcd_does() {
    let mut server = Server::start().await;
    let etcd = server.client().await;
    let a = Process::start(&etcd, node("a")).await;
    let g = Process::start(&server.client().await, gate("g")).await;
    target(&etcd, 0..300, "a").await;
    a.sees(|view| view.slot(ShardId(299)).target.is_some()).await;
    let claims: Vec<_> = (0..300).map(|shard| a.bid(shard, 1)).collect();
    assert!(a.cluster.claim(claims).await.iter().all(Option::is_some));
    g.sees(|view| view.shards().all(|shard| view.owner(shard).is_some())).await;
    let first = a.incarnation();

    server.kill();
    a.is_registered(false).await;
    assert!(!a.cluster.lease().is_held());
    let view = g.cluster.view().borrow().clone();
    assert_eq!(view.nodes.len(), 1, "the view stays readable");
    server.run();
    a.is_registered(true).await;
    g.is_registered(true).await;
    assert_ne!(a.incarnation(), first);
    let view = g.sees(|view| view.nodes.values().any(|it| it.incarnation.as_str() != first)).await;
    assert!(view.owner(ShardId(0)).is_none(), "its former registration owned it");
    follows(&a, &g, 1).await;
}

#[tokio::test]
async fn a_short_outage_costs_no_registration() {
    let mut server = Server::start().await;
    let settings = |id| crate::Settings { lease_ttl: Duration::from_secs(20), ..node(id) };
    let a = Process::start(&server.client().await, settings("a")).await;
    let b = Process::start(&server.client().await, settings("b")).await;
    let first = a.incarnation();
    server.kill();
    server.run();
    server.answers().await;
    follows(&a, &b, 2).await;
    assert_eq!(a.incarnation(), first);
    assert!(a.cluster.lease().is_held());
}

#[tokio::test]
async fn what_was_forgotten_meanwhile_is_read_anew() {
    let server = Server::start().await;
    let proxy = Proxy::start(server.port).await;
    let etcd = server.client().await;
    let endpoints = vec![format!("127.0.0.1:{}", proxy.port)];
    let config = EtcdConfig { endpoints, ..server.config() };
    let a = Process::start(&Etcd::connect(&config).await.unwrap(), node("a")).await;
    // Nothing comes through, and meanwhile a lot happens, most of which is forgotten.
    proxy.hold_answers(true);
    let mut last = 0;
    for turn in 0..50 {
        let value = format!(r#"{{"node":"n{turn}"}}"#).into();
        let put = Op::Put { key: "pins/1".to_owned(), value, lease: None };
        last = etcd.commit(vec![], vec![put]).await.unwrap().unwrap();
    }
    etcd.commit(vec![], vec![Op::Delete("pins/1".to_owned())]).await.unwrap();
    let revision = i64::try_from(last).unwrap();
    server.plain().await.kv_client().compact(revision, None).await.unwrap();
    proxy.hold_answers(false);
    proxy.cut();
    let view = a.sees(|view| view.revision > last).await;
    assert!(view.pins.is_empty());
    a.is_registered(true).await;
}

#[tokio::test]
async fn a_connection_that_dies_without_a_word_is_noticed() {
    let server = Server::start().await;
    let proxy = Proxy::start(server.port).await;
    let endpoints = vec![format!("127.0.0.1:{}", proxy.port)];
    let config = EtcdConfig { endpoints, ..server.config() };
    let a = Process::start(&Etcd::connect(&config).await.unwrap(), node("a")).await;
    let b = Process::start(&server.client().await, node("b")).await;
    a.sees(|view| view.nodes.len() == 2).await;
    proxy.freeze();
    let frozen = Instant::now();
    follows(&b, &a, 3).await;
    assert!(frozen.elapsed() < Duration::from_secs(10), "{:?}", frozen.elapsed());
    a.is_registered(true).await;
}

#[tokio::test]
async fn claims_are_definite_though_connections_are_cut_after_each_was_sent() {
    let server = Server::start().await;
    let proxy = Proxy::start(server.port).await;
    let direct = server.client().await;
    let endpoints = vec![format!("127.0.0.1:{}", proxy.port)];
    let config = EtcdConfig { endpoints, ..server.config() };
    let settings = crate::Settings { lease_ttl: Duration::from_secs(20), ..node("a") };
    let a = Process::start(&Etcd::connect(&config).await.unwrap(), settings).await;
    target(&direct, 0..8, "a").await;
    a.sees(|view| view.slot(ShardId(7)).target.is_some()).await;
    for shard in 0..8 {
        let claim = a.bid(shard, 1);
        let now = direct.get("cluster").await.unwrap().0;
        proxy.hold_answers(true);
        let cuts = async {
            let mut watch = direct.watch(now).await.unwrap();
            // It is done, and nobody says so.
            assert!(timeout(SOON, watch.next()).await.unwrap().is_some());
            proxy.cut();
            proxy.hold_answers(false);
        };
        let (answers, ()) = tokio::join!(a.cluster.claim(vec![claim]), cuts);
        let row = direct.get(&format!("owners/{shard}")).await.unwrap().1.unwrap();
        assert_eq!(answers, [Some(row.revision)]);
    }
}

#[tokio::test]
async fn a_member_of_three_may_die() {
    let mut servers = Server::three().await;
    let endpoints: Vec<_> = servers.iter().map(|it| format!("127.0.0.1:{}", it.port)).collect();
    let config = EtcdConfig { endpoints, ..servers[0].config() };
    let settings = |id| crate::Settings { lease_ttl: Duration::from_secs(5), ..node(id) };
    let a = Process::start(&Etcd::connect(&config).await.unwrap(), settings("a")).await;
    let b = Process::start(&Etcd::connect(&config).await.unwrap(), settings("b")).await;
    let first = a.incarnation();
    for (turn, place) in (10..).zip(0..3) {
        servers[place].kill();
        follows(&a, &b, turn).await;
        servers[place].run();
        servers[place].answers().await;
    }
    let mut registration = a.cluster.registration();
    let now = reaches(&mut registration, Option::is_some).await.unwrap();
    assert_eq!(now.incarnation.as_str(), first, "nobody lost a registration by that");
}

#[tokio::test]
async fn a_member_that_has_lost_its_leader_shows_no_stale_view() {
    let mut servers = Server::three().await;
    let etcd = servers[0].client().await;
    let now = etcd.snapshot().await.unwrap().revision;
    let mut watch = etcd.watch(now).await.unwrap();
    servers[1].kill();
    servers[2].kill();
    let told = timeout(SOON, watch.next()).await.unwrap();
    assert!(matches!(told, Some(Err(Error::Unavailable(_)))), "{told:?}");
    assert!(etcd.get("cluster").await.is_err());
    assert!(etcd.watch(now).await.is_err());
    servers[1].run();
    servers[1].answers().await;
    assert!(etcd.watch(now).await.is_ok());
}

#[tokio::test]
async fn of_two_nodes_on_etcd_the_other_leads_when_the_leader_dies() {
    let server = Server::start().await;
    let proxy = Proxy::start(server.port).await;
    let endpoints = vec![format!("127.0.0.1:{}", proxy.port)];
    let config = EtcdConfig { endpoints, ..server.config() };
    let a = Process::start(&Etcd::connect(&config).await.unwrap(), node("a")).await;
    a.sees(|view| view.leader.is_some()).await;
    let b = Process::start(&server.client().await, node("b")).await;
    b.sees(|view| view.leader.as_ref().is_some_and(|it| it.as_str() == "a")).await;
    drop(proxy);
    b.sees(|view| view.leader.as_ref().is_some_and(|it| it.as_str() == "b")).await;
    a.is_registered(false).await;
}
