//! Pushes on their way to gates.

use wasmverse_router::{Audience, Delivery};

use std::task::{Context, Poll};

use super::{queue::BYTES_MAX, *};

/// A process without clients.
pub(crate) struct Nobody;

impl Audience for Nobody {
    fn deliver(&self, delivery: Delivery) -> Vec<Arc<str>> {
        match delivery.push.to {
            PushTo::Clients(clients) => clients,
            PushTo::Everyone => Vec::new(),
        }
    }

    fn missed(&self, _: &PushTo) {}
}

const WINDOW: Duration = Duration::from_secs(3600);

fn from() -> ObjectId {
    "Room/r".parse().unwrap()
}

fn push(clients: &[&str], payload: usize) -> Push {
    let clients = clients.iter().map(|client| (*client).into()).collect();
    Push { to: PushTo::Clients(clients), event: "e".into(), payload: vec![b'x'; payload].into() }
}

/// What the line gives out now: id and clients of each frame.
fn taken(line: &Line) -> Vec<(u64, Vec<String>, bool)> {
    let mut cx = Context::from_waker(Waker::noop());
    let mut taken = Vec::new();
    while let Poll::Ready((_, frame)) = line.poll_take(&mut cx) {
        taken.push((frame.id, frame.clients.clone(), frame.lost));
    }
    taken
}

fn ids(line: &Line) -> Vec<u64> {
    taken(line).into_iter().map(|(id, ..)| id).collect()
}

#[test]
fn each_gate_gets_one_frame_for_all_of_its_clients() {
    let gates = Gates::new(WINDOW);
    let lines = ["a:1", "b:1"].map(|address| gates.attach(address, "1", None));
    let (dropped, gone) = gates.push(&from(), &push(&["a:1/x", "b:1/y", "a:1/z", "nobody"], 1));
    assert_eq!((dropped, gone), (0, vec!["nobody".into()]));
    assert_eq!(taken(&lines[0]), [(1, vec!["a:1/x".to_owned(), "a:1/z".to_owned()], false)]);
    assert_eq!(taken(&lines[1]), [(1, vec!["b:1/y".to_owned()], false)]);
    let all = Push { to: PushTo::Everyone, ..push(&[], 1) };
    assert_eq!(gates.push(&from(), &all), (0, Vec::new()));
    assert_eq!(taken(&lines[1]), [(2, Vec::new(), false)]);
}

#[test]
fn what_was_not_acknowledged_is_given_out_again_to_the_same_gate() {
    let gates = Gates::new(WINDOW);
    let line = gates.attach("a:1", "1", None);
    for _ in 0..4 {
        gates.push(&from(), &push(&["a:1/x"], 1));
    }
    assert_eq!(ids(&line), [1, 2, 3, 4]);
    line.acknowledge(1);
    drop(line);
    gates.push(&from(), &push(&["a:1/x"], 1));
    // It had taken two more, and its word of that was lost.
    let again = gates.attach("a:1", "1", Some(3));
    assert_eq!(ids(&again), [4, 5]);
    assert!(!again.is_flushed());
    again.acknowledge(5);
    assert!(again.is_flushed());
}

#[test]
fn a_later_link_takes_over_from_one_that_is_not_known_to_be_lost() {
    let gates = Gates::new(WINDOW);
    let first = gates.attach("a:1", "1", None);
    gates.push(&from(), &push(&["a:1/x"], 1));
    let second = gates.attach("a:1", "1", None);
    assert_eq!(ids(&first), [0; 0]);
    assert_eq!(ids(&second), [1]);
    drop(first);
    gates.push(&from(), &push(&["a:1/x"], 1));
    assert_eq!(ids(&second), [2]);
}

#[test]
fn a_gate_that_takes_nothing_costs_so_much_and_no_more_and_is_told_what_it_lost() {
    let gates = Gates::new(WINDOW);
    let line = gates.attach("a:1", "1", None);
    let mut dropped = 0;
    for _ in 0..BYTES_MAX / (1 << 20) + 8 {
        dropped += gates.push(&from(), &push(&["a:1/x"], 1 << 20)).0;
    }
    assert!(dropped >= 8, "{dropped}");
    let all = taken(&line);
    assert_eq!(all.last().map(|(_, clients, lost)| (clients.len(), *lost)), Some((1, true)));
    line.acknowledge(all.len() as u64);
    assert_eq!(gates.push(&from(), &push(&["a:1/x"], 1)).0, 0);
    assert_eq!(ids(&line), [all.len() as u64 + 1]);
}

#[test]
fn pushes_wait_for_a_gate_that_is_away_and_then_its_clients_are_gone() {
    let gates = Gates::new(WINDOW);
    drop(gates.attach("a:1", "1", None));
    assert_eq!(gates.push(&from(), &push(&["a:1/x"], 1)), (0, Vec::new()));
    assert_eq!(gates.sweep(Instant::now(), |_| false), []);
    let later = Instant::now() + WINDOW;
    assert_eq!(gates.sweep(later, |_| false), [(from(), vec!["a:1/x".into()])]);
    assert_eq!(gates.sweep(later, |_| false), []);
}

#[test]
fn gates_that_nobody_has_seen_may_come_while_the_node_is_young() {
    let young = Gates::new(WINDOW);
    assert_eq!(young.push(&from(), &push(&["a:1/x"], 1)).1.len(), 0);
    assert_eq!(ids(&young.attach("a:1", "1", None)), [1]);
    for gate in 0..2 * UNSEEN_MAX {
        young.push(&from(), &push(&[&format!("g{gate}/x")], 1));
    }
    assert_eq!(young.push(&from(), &push(&["z/x"], 1)).1.len(), 1);
    let old = Gates::new(Duration::ZERO);
    assert_eq!(old.push(&from(), &push(&["a:1/x"], 1)).1.len(), 1);
}

#[test]
fn who_was_called_through_a_gate_that_was_started_again_hears_that_its_clients_are_gone() {
    let gates = Gates::new(WINDOW);
    drop(gates.attach("a:1", "1", None));
    gates.callers.note(&"a:1/x".into(), &from(), None);
    let _again = gates.attach("a:1", "1", None);
    assert_eq!(gates.sweep(Instant::now(), |_| false), []);
    let _other = gates.attach("a:1", "2", None);
    gates.callers.note(&"a:1/y".into(), &from(), None);
    assert_eq!(gates.sweep(Instant::now(), |_| false), [(from(), vec!["a:1/x".into()])]);
    assert_eq!(gates.sweep(Instant::now(), |_| false), []);
}

#[test]
fn in_a_cluster_pushes_wait_for_gates_that_it_has_and_that_have_not_come_yet() {
    let old = Gates::new(Duration::ZERO);
    old.ask(|gate| gate == "b:1");
    assert_eq!(old.push(&from(), &push(&["a:1/x", "b:1/x"], 1)).1, ["a:1/x".into()]);
    assert_eq!(ids(&old.attach("b:1", "1", None)), [1]);
}

#[test]
fn a_gate_that_was_started_again_gets_no_broadcast_from_before() {
    let gates = Gates::new(WINDOW);
    drop(gates.attach("a:1", "1", None));
    gates.push(&from(), &Push { to: PushTo::Everyone, ..push(&[], 1) });
    gates.push(&from(), &push(&["a:1/x"], 1));
    assert_eq!(ids(&gates.attach("a:1", "2", None)), [2]);
}

#[test]
fn one_push_to_very_many_clients_goes_in_several_frames() {
    let gates = Gates::new(WINDOW);
    let line = gates.attach("a:1", "1", None);
    let clients: Vec<String> = (0..10_000).map(|n| format!("a:1/{n:032x}")).collect();
    gates.push(&from(), &push(&clients.iter().map(String::as_str).collect::<Vec<_>>(), 1));
    let all = taken(&line);
    assert!(all.len() > 1);
    let told: Vec<String> = all.into_iter().flat_map(|(_, clients, _)| clients).collect();
    assert_eq!(told, clients);
}

#[test]
fn a_gate_that_was_given_up_on_hears_that_it_missed_something_and_then_what_is_new() {
    let gates = Gates::new(WINDOW);
    let line = gates.attach("a:1", "1", None);
    gates.push(&from(), &push(&["a:1/x"], 1));
    gates.push(&from(), &push(&["a:1/x"], 1));
    drop(line);
    gates.sweep(Instant::now() + WINDOW, |_| false);
    let again = gates.attach("a:1", "1", Some(2));
    gates.push(&from(), &push(&["a:1/x"], 1));
    let told = taken(&again);
    assert_eq!(told, [(3, Vec::new(), true), (4, vec!["a:1/x".to_owned()], false)]);
}

#[test]
fn a_gate_that_comes_back_too_late_hears_of_it_also_before_anybody_looked() {
    let gates = Gates::new(Duration::ZERO);
    drop(gates.attach("a:1", "1", None));
    assert_eq!(gates.push(&from(), &push(&["a:1/x"], 1)).1, ["a:1/x".into()]);
    let again = gates.attach("a:1", "1", Some(0));
    assert_eq!(taken(&again), [(1, Vec::new(), true)]);
}

#[test]
fn a_gate_that_acknowledges_nothing_is_told_once_that_it_lost_something() {
    let gates = Gates::new(WINDOW);
    let line = gates.attach("a:1", "1", None);
    let mut lost = 0;
    for _ in 0..2 * (BYTES_MAX >> 20) {
        gates.push(&from(), &push(&["a:1/x"], 1 << 20));
        lost += taken(&line).into_iter().filter(|(.., lost)| *lost).count();
    }
    assert_eq!(lost, 1);
    line.acknowledge(u64::MAX);
    assert_eq!(taken(&line).into_iter().filter(|(.., lost)| *lost).count(), 1);
}

#[test]
fn in_a_cluster_a_gate_is_given_up_only_if_it_is_no_more() {
    let gates = Gates::new(WINDOW);
    gates.ask(|gate| gate == "b:1");
    drop(gates.attach("a:1", "1", None));
    gates.callers.note(&"a:1/x".into(), &from(), None);
    let now = Instant::now();
    // Its way to this node is cut: its clients are where they were.
    for later in [WINDOW, 10 * WINDOW] {
        assert_eq!(gates.sweep(now + later, |_| false), Vec::new());
        assert_eq!(gates.push(&from(), &push(&["a:1/x"], 1)).1, Vec::<Arc<str>>::new());
    }
    let gone_at = now + 20 * WINDOW;
    for waited in [gone_at, gone_at + WINDOW / 2] {
        assert_eq!(gates.sweep(waited, |_| true), Vec::new());
    }
    assert_eq!(gates.sweep(gone_at + WINDOW, |_| true).len(), 3, "two pushed, one called");
}
