//! The engine of sessions: who may resume what, and what all of them may take.

use std::task::{Poll, Waker};

use bytes::Bytes;
use wasmverse_core::{Encoding, Push};

use super::*;

mod model;

fn bounds() -> SessionBounds {
    SessionBounds {
        sessions_max: 100,
        buffer_length: 4,
        bytes_max: 1 << 20,
        window: Duration::from_secs(30),
        heartbeat: Duration::from_secs(15),
    }
}

fn sessions(bounds: SessionBounds) -> Arc<Sessions> {
    Sessions::new("gate:1".into(), bounds)
}

fn delivery(to: PushTo, payload: usize) -> Delivery {
    let payload = Bytes::from(vec![b'1'; payload]);
    Delivery { from: "T/a".parse().unwrap(), push: Push { to, event: "e".into(), payload } }
}

fn to(clients: &[&Attached]) -> PushTo {
    PushTo::Clients(clients.iter().map(|attached| Arc::clone(attached.client.id())).collect())
}

/// What it is told now: ordinals, and of gaps how many were missed.
fn told(attached: &mut Attached) -> Vec<(u64, Option<Option<u64>>)> {
    let mut cx = std::task::Context::from_waker(Waker::noop());
    let mut all = Vec::new();
    while let Poll::Ready(Some(told)) = attached.poll_next(&mut cx) {
        all.push(match told {
            Told::Push { seq, .. } => (seq, None),
            Told::Gap { seq, missed } => (seq, Some(missed)),
        });
    }
    all
}

fn is_over(attached: &mut Attached) -> bool {
    let mut cx = std::task::Context::from_waker(Waker::noop());
    matches!(attached.poll_next(&mut cx), Poll::Ready(None))
}

#[test]
fn a_client_has_an_id_for_all_and_a_secret_of_its_own() {
    let sessions = sessions(bounds());
    let (one, two) = (sessions.open().unwrap(), sessions.open().unwrap());
    assert!(one.client.id().starts_with("gate:1/"));
    assert_ne!(one.client.id(), two.client.id());
    assert_ne!(one.token.expose(), two.token.expose());
    assert_eq!(sessions.client(one.token.expose()).unwrap().id(), one.client.id());
    for forged in ["", "x", &**one.client.id(), &one.token.expose()[1..]] {
        let error = sessions.client(forged).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unauthenticated);
        assert!(forged.is_empty() || !error.message().contains(forged) || forged == "x");
    }
    assert!(!format!("{one:?}{sessions:?}").contains(one.token.expose()));
}

#[test]
fn a_client_that_is_back_gets_what_it_missed() {
    let sessions = sessions(bounds());
    let mut first = sessions.open().unwrap();
    let token = first.token.clone();
    let everyone = to(&[&first]);
    assert_eq!(sessions.deliver(delivery(everyone.clone(), 1)), []);
    assert_eq!(told(&mut first), [(1, None)]);
    drop(first);
    sessions.deliver(delivery(everyone.clone(), 1));
    let mut second = sessions.resume(token.expose(), 0).unwrap();
    assert_eq!((second.seq, told(&mut second)), (0, vec![(1, None), (2, None)]));
    let mut third = sessions.resume(token.expose(), 2).unwrap();
    assert!(is_over(&mut second), "the latest connection counts");
    drop(second);
    sessions.deliver(delivery(everyone, 1));
    assert_eq!(told(&mut third), [(3, None)]);
}

#[test]
fn who_stays_away_too_long_is_gone_and_begins_anew_with_a_gap() {
    let sessions = sessions(bounds());
    let first = sessions.open().unwrap();
    let (token, id) = (first.token.clone(), Arc::clone(first.client.id()));
    let object: ObjectId = "Room/r".parse().unwrap();
    first.client.called(&object);
    first.client.called(&object);
    let soon = Instant::now() + Duration::from_secs(29);
    let late = Instant::now() + Duration::from_secs(31);
    assert_eq!(sessions.sweep(late, false), [], "it is connected");
    drop(first);
    assert_eq!(sessions.sweep(soon, false), []);
    assert_eq!(sessions.sweep(late, false), [(object, Arc::clone(&id))]);
    assert!(sessions.client(token.expose()).is_err());
    let to = PushTo::Clients(vec![Arc::clone(&id)]);
    assert_eq!(sessions.deliver(delivery(to, 1)), [Arc::clone(&id)]);
    let mut again = sessions.resume(token.expose(), 7).unwrap();
    assert_ne!(*again.client.id(), id);
    assert_eq!((again.seq, told(&mut again)), (0, vec![(1, Some(None))]));
}

#[test]
fn there_are_so_many_sessions_and_no_more() {
    let sessions = sessions(SessionBounds { sessions_max: 2, ..bounds() });
    let open = [sessions.open().unwrap(), sessions.open().unwrap()];
    for refused in [sessions.open(), sessions.resume("stale", 1)] {
        let error = refused.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Overloaded);
        assert!(error.retry_after_hint().is_some());
    }
    sessions.resume(open[0].token.expose(), 0).unwrap();
    drop(open);
    sessions.sweep(Instant::now() + Duration::from_secs(60), false);
    sessions.open().unwrap();
}

#[test]
fn what_is_pushed_to_many_is_held_once_and_what_was_told_makes_room() {
    let sessions = sessions(SessionBounds { bytes_max: 1600, ..bounds() });
    let mut all = [sessions.open().unwrap(), sessions.open().unwrap(), sessions.open().unwrap()];
    let to = to(&all.each_ref());
    for seq in 1..=3 {
        // What was told is kept for their return, but yields.
        sessions.deliver(delivery(to.clone(), 1000));
        for client in &mut all {
            assert_eq!(told(client), [(seq, None)]);
        }
    }
}

#[test]
fn who_reads_nothing_keeps_no_room_from_others() {
    let bounds = SessionBounds { bytes_max: 64 << 10, buffer_length: 1000, ..bounds() };
    let sessions = sessions(bounds);
    // Some are connected and read nothing, others are away.
    let deaf: Vec<_> = (0..40).map(|_| sessions.open().unwrap()).collect();
    let away: Vec<_> = (0..40).map(|_| sessions.open().unwrap()).collect();
    let everybody: Vec<_> = deaf.iter().chain(&away).map(|client| to(&[client])).collect();
    let tokens: Vec<_> = away.iter().map(|client| client.token.clone()).collect();
    drop(away);
    let mut reader = sessions.open().unwrap();
    for round in 1..=100 {
        for to in &everybody {
            sessions.deliver(delivery(to.clone(), 1000));
        }
        sessions.deliver(delivery(to(&[&reader]), 1000));
        assert_eq!(told(&mut reader), [(round, None)]);
    }
    assert!(sessions.budget.left() < 64 << 10);
    // Each of them hears exactly how much it missed.
    for token in tokens {
        let mut back = sessions.resume(token.expose(), 0).unwrap();
        let heard = told(&mut back);
        let missed: u64 = heard.iter().map(|(_, gap)| gap.map_or(1, |gap| gap.unwrap())).sum();
        assert_eq!(missed, 100, "{heard:?}");
    }
}

#[test]
fn losses_on_the_way_are_told_to_those_concerned() {
    let sessions = sessions(bounds());
    let mut all = [sessions.open().unwrap(), sessions.open().unwrap()];
    sessions.missed(&to(&[&all[0]]));
    sessions.missed(&PushTo::Everyone);
    assert_eq!(told(&mut all[0]), [(1, Some(None))], "twice in a row says no more");
    assert_eq!(told(&mut all[1]), [(1, Some(None))]);
}

#[test]
fn payloads_are_json_or_become_it() {
    for (payload, encoding, expected) in [
        ("{\"a\":\n1}", Encoding::Json, "{\"a\":\n1}"),
        ("", Encoding::Json, "null"),
        ("{nope", Encoding::Json, "\"e25vcGU=\""),
        ("abc", Encoding::Bytes, "\"YWJj\""),
    ] {
        let push = Push { to: PushTo::Everyone, event: "e".into(), payload: payload.into() };
        let event = Event::new(&push, encoding, Budget::new(0).share());
        assert_eq!(event.json(), expected);
    }
}
