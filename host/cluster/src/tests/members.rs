//! Registrations come and go, in memory: time is stopped but where something waits.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;
use wasmverse_core::NodeId;

use super::{Process, gate, node, reaches};
use crate::{Coordination as _, Error, Memory, Settings};

#[tokio::test(start_paused = true)]
async fn who_is_registered_is_seen_by_all() {
    let memory = Memory::new();
    let a = Process::start(&memory, node("a")).await;
    let g = Process::start(&memory, gate("g")).await;
    for process in [&a, &g] {
        let view = process.sees(|view| view.nodes.len() == 1 && view.gates.len() == 1).await;
        assert_eq!(*view.nodes[&NodeId::new("a")].addresses, ["a:1".to_owned()]);
        assert_eq!(&*view.gates[&NodeId::new("g")].address, "g:9");
        assert!(!view.cluster.is_empty());
    }
    let registration = a.cluster.registration().borrow().clone().unwrap();
    let view = a.cluster.view().borrow().clone();
    assert!(view.is_registered(&NodeId::new("a"), &registration.incarnation));
    g.cluster.leave().await;
    a.sees(|view| view.gates.is_empty()).await;
    assert!(!g.cluster.lease().is_held() && g.cluster.registration().borrow().is_none());
}

#[tokio::test(start_paused = true)]
async fn whoever_only_joins_is_not_seen() {
    let memory = Memory::new();
    let a = Process::join(Arc::new(memory.clone()), node("a")).await.unwrap();
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(a.cluster.view().borrow().nodes.is_empty());
    a.cluster.leave().await;
    a.cluster.register().await;
    assert!(a.cluster.registration().borrow().is_none(), "who has left does not come back");
}

#[tokio::test(start_paused = true)]
async fn settings_that_do_not_fit_are_refused_in_words() {
    let memory = Memory::new();
    let _a = Process::start(&memory, node("a")).await;
    let other = Settings { protocol: 2, ..node("b") };
    let Err(Error::Refused(told)) = Process::join(Arc::new(memory), other).await else {
        panic!("it joined");
    };
    assert!(told.contains("300 shards") && told.contains("protocol 1"), "{told}");
    assert!(told.contains("protocol 2"), "{told}");
}

#[tokio::test(start_paused = true)]
async fn a_gate_may_come_first_and_the_nodes_name_the_cluster_as_their_store_does() {
    let memory = Memory::new();
    let g = Process::start(&memory, gate("g")).await;
    assert!(g.cluster.view().borrow().cluster.is_empty());
    let _a = Process::start(&memory, node("a")).await;
    g.sees(|view| &*view.cluster == "c1").await;
    let other = Settings { cluster: Some("c2".to_owned()), ..node("b") };
    let Err(Error::Refused(told)) = Process::join(Arc::new(memory.clone()), other).await else {
        panic!("it joined");
    };
    assert!(
        told.contains("c1") && told.contains("c2") && told.contains("cluster.prefix"),
        "{told}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_service_that_has_lost_all_is_told_all_again() {
    let memory = Memory::new();
    let a = Process::start(&memory, node("a")).await;
    let g = Process::start(&memory, gate("g")).await;
    let first = a.incarnation();
    memory.lose_all();
    for process in [&a, &g] {
        process
            .sees(|view| {
                let again = view.nodes.values().any(|node| node.incarnation.to_string() != first);
                again && view.gates.len() == 1 && &*view.cluster == "c1" && view.leader.is_some()
            })
            .await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_that_is_cut_off_gives_up_before_others_take_over() {
    let memory = Memory::new();
    let way = memory.faulty();
    let a = Process::start(&way, node("a")).await;
    let b = Process::start(&memory, node("b")).await;
    b.sees(|view| view.nodes.len() == 2).await;
    let first = a.incarnation();
    way.cut(true);
    let cut = Instant::now();
    let (lapsed, given_up, gone) = tokio::join!(
        async {
            a.cluster.lease().until_lapse().await;
            cut.elapsed()
        },
        async {
            a.is_registered(false).await;
            cut.elapsed()
        },
        async {
            b.sees(|view| view.nodes.len() == 1).await;
            cut.elapsed()
        },
    );
    assert!(lapsed < gone && given_up < gone, "{lapsed:?}, {given_up:?}, {gone:?}");
    assert!(gone <= Duration::from_secs(2), "{gone:?}");
    assert_eq!(a.cluster.view().borrow().nodes.len(), 2, "its view stays readable");
    tokio::time::sleep(Duration::from_secs(600)).await;
    way.cut(false);
    a.is_registered(true).await;
    assert_ne!(a.incarnation(), first);
    let (id, ours) = (NodeId::new("a"), a.incarnation());
    a.sees(|view| view.nodes.get(&id).is_some_and(|it| it.incarnation.as_str() == ours)).await;
}

#[tokio::test(start_paused = true)]
async fn a_short_cut_harms_nobody() {
    let memory = Memory::new();
    let way = memory.faulty();
    let a = Process::start(&way, node("a")).await;
    let first = a.incarnation();
    for _ in 0..10 {
        way.cut(true);
        tokio::time::sleep(Duration::from_millis(900)).await;
        assert!(a.cluster.lease().is_held());
        way.cut(false);
        tokio::time::sleep(Duration::from_millis(900)).await;
    }
    assert_eq!(a.incarnation(), first);
}

#[tokio::test(start_paused = true)]
async fn a_restart_under_the_same_id_takes_over_at_once() {
    let memory = Memory::new();
    let old = Process::start(&memory, node("a")).await;
    old.sees(|view| view.leader.is_some()).await;
    let before = Instant::now();
    let new = Process::start(&memory, node("a")).await;
    assert!(before.elapsed() < Duration::from_millis(100), "{:?}", before.elapsed());
    old.is_registered(false).await;
    assert!(!old.cluster.lease().is_held());
    // The old registration's lease is ended, so its leadership does not linger.
    let ours = new.incarnation();
    let leads = async {
        loop {
            let (_, row) = memory.get("leader").await.unwrap();
            let value = row.map(|row| String::from_utf8_lossy(&row.value).into_owned());
            if value.is_some_and(|value| value.contains(&ours)) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(1), leads).await.unwrap();
    // The old one waits for its place.
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(new.incarnation(), ours);
    assert!(old.cluster.registration().borrow().is_none());
    new.cluster.leave().await;
    old.is_registered(true).await;
}

#[tokio::test(start_paused = true)]
async fn registering_survives_lost_answers() {
    let memory = Memory::new();
    let way = memory.faulty();
    let a = Process::join(Arc::new(way.clone()), node("a")).await.unwrap();
    way.lose_answers(2);
    a.cluster.register().await;
    let view = a.sees(|view| !view.nodes.is_empty()).await;
    assert_eq!(view.nodes[&NodeId::new("a")].incarnation.as_str(), a.incarnation());
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert!(a.cluster.lease().is_held());
}

#[tokio::test(start_paused = true)]
async fn who_is_about_to_leave_says_so_and_stays_registered() {
    let memory = Memory::new();
    let way = memory.faulty();
    let a = Process::start(&way, node("a")).await;
    let before = a.cluster.registration().borrow().clone().unwrap();
    way.lose_answers(1);
    a.cluster.mark_leaving().await.unwrap();
    let after = a.cluster.registration().borrow().clone().unwrap();
    assert_eq!(after.incarnation, before.incarnation);
    assert!(after.revision > before.revision);
    let view = a.sees(|view| view.revision >= after.revision).await;
    let member = &view.nodes[&NodeId::new("a")];
    assert!(member.is_leaving && member.revision == after.revision);
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert!(a.cluster.lease().is_held());
    // It says so again if it has to register anew.
    way.cut(true);
    a.is_registered(false).await;
    way.cut(false);
    a.is_registered(true).await;
    let id = NodeId::new("a");
    let ours = a.incarnation();
    a.sees(|view| {
        let member = view.nodes.get(&id);
        member.is_some_and(|it| it.incarnation.as_str() == ours && it.is_leaving)
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_registration_that_somebody_deletes_is_lost_and_regained() {
    let memory = Memory::new();
    let a = Process::start(&memory, node("a")).await;
    let first = a.incarnation();
    memory.commit(vec![], vec![crate::Op::Delete("nodes/a".to_owned())]).await.unwrap();
    let mut registration = a.cluster.registration();
    let again = reaches(&mut registration, |now| {
        now.as_ref().is_some_and(|now| now.incarnation.as_str() != first)
    });
    assert!(again.await.is_some());
    assert!(a.cluster.lease().is_held());
}

#[tokio::test(start_paused = true)]
async fn whoever_ends_leaves() {
    let memory = Memory::new();
    let a = Process::start(&memory, node("a")).await;
    a.end.cancel();
    a.tasks.close();
    a.tasks.wait().await;
    assert!(memory.get("nodes/a").await.unwrap().1.is_none());
}
