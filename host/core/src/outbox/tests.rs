//! Sends on their way: in order, none lost, and none in the way of others.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::Version;

// The rules take no clock; tests may.
#[expect(clippy::disallowed_methods, reason = "an arbitrary instant to begin with")]
fn start() -> Instant {
    Instant::now()
}

fn bounds() -> Bounds {
    Bounds { bytes_max: 1 << 20, under_way_max: 100, tries_max: 3 }
}

fn send(from: u64, to: u64, version: u64) -> Pending {
    let object = |id: u64| ObjectId::parse("T", &id.to_string()).unwrap();
    Pending {
        from: object(from),
        shard: ShardId(u16::try_from(from).unwrap()),
        number: SendNumber { version: Version(version), place: 0 },
        to: object(to),
        method: "m".into(),
        payload: Bytes::new(),
    }
}

/// One that has read the store, and found nothing.
fn caught_up(bounds: Bounds) -> Outbox {
    let mut outbox = Outbox::new(bounds);
    assert_eq!(outbox.next_page(), Some(None));
    outbox.page(Vec::new(), |_| true);
    assert_eq!(outbox.size(), (0, false));
    outbox
}

fn started(outbox: &mut Outbox, now: Instant) -> Vec<Pending> {
    std::iter::from_fn(|| outbox.start(now)).collect()
}

#[test]
fn one_sender_sends_one_after_the_other_to_one_target_and_to_others_meanwhile() {
    let (mut outbox, now) = (caught_up(bounds()), start());
    let sends = [send(1, 2, 1), send(1, 2, 2), send(1, 3, 3), send(4, 2, 1)];
    outbox.committed(sends.clone());
    let first = started(&mut outbox, now);
    assert_eq!(first, [sends[0].clone(), sends[2].clone(), sends[3].clone()]);
    outbox.ended(&sends[0], Tried::Gone, now);
    assert_eq!(started(&mut outbox, now), [sends[1].clone()]);
}

#[test]
fn one_that_does_not_arrive_is_tried_again_with_growing_pauses_and_given_up() {
    let (mut outbox, mut now) = (caught_up(bounds()), start());
    outbox.committed([send(1, 2, 1), send(1, 2, 2), send(1, 3, 1)]);
    let mut pauses = Vec::new();
    for (tried, is_last) in
        [(Tried::Unsure, false), (Tried::NotExecuted, false), (Tried::NotExecuted, false)]
    {
        let first = started(&mut outbox, now).remove(0);
        assert_eq!(first, send(1, 2, 1));
        assert_eq!(outbox.is_last_try(&first), is_last);
        outbox.ended(&first, tried, now);
        let next = outbox.next_try().unwrap();
        pauses.push(next - now);
        now = next;
    }
    assert!(pauses.is_sorted() && pauses[0] < pauses[2], "{pauses:?}");
    let first = started(&mut outbox, now).remove(0);
    assert!(outbox.is_last_try(&first), "what is not known does not count");
    outbox.ended(&first, Tried::Gone, now);
    let next = started(&mut outbox, now).remove(0);
    assert_eq!(next, send(1, 2, 2));
    assert!(!outbox.is_last_try(&next), "each begins anew");
}

#[test]
fn a_target_that_is_stuck_leaves_room_for_others() {
    let (mut outbox, now) = (caught_up(bounds()), start());
    outbox.committed((0..1000).map(|from| send(from, 5000, 1)));
    assert_eq!(started(&mut outbox, now).len(), UNDER_WAY_AT_ONE_MAX);
    outbox.committed((0..50).map(|from| send(from, 6000 + from, 2)));
    let others = started(&mut outbox, now);
    assert_eq!(others.len(), 50);
    for other in &others {
        outbox.ended(other, Tried::Gone, now);
    }
    outbox.ended(&send(0, 5000, 1), Tried::Unsure, now);
    assert_eq!(started(&mut outbox, now).len(), 1, "another one goes on");
}

#[test]
fn no_more_are_under_way_than_may_be() {
    let (mut outbox, now) = (caught_up(bounds()), start());
    outbox.committed((0..1000).map(|from| send(from, 5000 + from, 1)));
    let first = started(&mut outbox, now);
    assert_eq!(first.len(), 100);
    outbox.ended(&first[0], Tried::Gone, now);
    outbox.ended(&first[1], Tried::Unsure, now);
    assert_eq!(started(&mut outbox, now).len(), 2);
}

#[test]
fn a_send_that_was_read_while_it_was_committed_is_here_once() {
    let (mut outbox, now) = (caught_up(bounds()), start());
    outbox.committed([send(1, 2, 1)]);
    outbox.read_again();
    assert_eq!(outbox.next_page(), Some(None));
    outbox.page(vec![send(1, 2, 1), send(1, 2, 2)], |_| true);
    assert_eq!(outbox.size(), (2, true));
    assert_eq!(started(&mut outbox, now), [send(1, 2, 1)]);
    assert!(!outbox.is_quiet());
}

/// What may happen next.
#[derive(Clone, Copy, Debug)]
enum Event {
    /// An object sends to another.
    Commit(u64, u64),
    /// The store is read.
    Read(usize),
    /// The store cannot be read.
    ReadFails,
    /// One that is under way ends.
    End(usize, Tried),
    Wait,
}

fn events() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => (0..3_u64, 0..3_u64).prop_map(|(from, to)| Event::Commit(from, to)),
        3 => (1..4_usize).prop_map(Event::Read),
        1 => Just(Event::ReadFails),
        4 => (any::<usize>(), prop::sample::select(&[Tried::Gone, Tried::Gone, Tried::NotExecuted, Tried::Unsure][..]))
            .prop_map(|(which, tried)| Event::End(which, tried)),
        1 => Just(Event::Wait),
    ]
}

proptest! {
    /// Whatever happens, and however little room there is: nothing is lost, and nothing overtakes.
    #[test]
    fn every_send_leaves_in_its_order(events in prop::collection::vec(events(), 0..120), room in 1..8_usize) {
        let bounds = Bounds { bytes_max: room * SEND_BYTES, under_way_max: 4, tries_max: u32::MAX };
        let (mut outbox, mut now) = (Outbox::new(bounds), start());
        let mut stored: BTreeMap<Place, Pending> = BTreeMap::new();
        let mut versions = [0; 3];
        let mut under_way: Vec<Pending> = Vec::new();
        let mut last: BTreeMap<(ObjectId, ObjectId), SendNumber> = BTreeMap::new();
        let settle = |event: Event,
                          outbox: &mut Outbox,
                          stored: &mut BTreeMap<Place, Pending>,
                          under_way: &mut Vec<Pending>,
                          now: Instant| match event {
            Event::Read(length) => {
                if let Some(after) = outbox.next_page() {
                    let page = stored.iter().filter(|(place, _)| after.as_ref().is_none_or(|after| *place > after));
                    let page = page.map(|(_, send)| send.clone()).take(length).collect();
                    outbox.page(page, |_| true);
                }
            }
            Event::ReadFails if outbox.next_page().is_some() => outbox.no_page(),
            Event::End(which, tried) if !under_way.is_empty() => {
                let send = under_way.remove(which % under_way.len());
                if tried == Tried::Gone { stored.remove(&send.place()); }
                outbox.ended(&send, tried, now);
            }
            _ => {}
        };
        for event in events {
            match event {
                Event::Commit(from, to) => {
                    let version = &mut versions[usize::try_from(from).unwrap()];
                    *version += 1;
                    let send = send(from, to + 10, *version);
                    stored.insert(send.place(), send.clone());
                    outbox.committed([send]);
                }
                Event::Wait => now += PAUSE_MAX,
                other => settle(other, &mut outbox, &mut stored, &mut under_way, now),
            }
            while let Some(send) = outbox.start(now) {
                let lane = (send.from.clone(), send.to.clone());
                let before = last.insert(lane, send.number);
                // A page may be older than what has happened: then it is one that was there before.
                let is_old = !stored.contains_key(&send.place());
                prop_assert!(is_old || before.is_none_or(|before| before <= send.number), "{send:?} after {before:?}");
                prop_assert!(under_way.iter().all(|other| (&other.from, &other.to) != (&send.from, &send.to)));
                under_way.push(send);
            }
            prop_assert!(outbox.size().0 <= room.max(1));
        }
        for _ in 0..2_000 {
            if stored.is_empty() { break }
            settle(Event::Read(3), &mut outbox, &mut stored, &mut under_way, now);
            now += PAUSE_MAX;
            under_way.extend(std::iter::from_fn(|| outbox.start(now)));
            settle(Event::End(0, Tried::Gone), &mut outbox, &mut stored, &mut under_way, now);
        }
        prop_assert!(stored.is_empty(), "left: {stored:?} {outbox:?}");
    }
}

#[test]
fn what_another_node_sends_by_now_is_forgotten_and_holds_up_nobody() {
    let (mut outbox, now) = (caught_up(bounds()), start());
    // More than may be under way to one target: the last ones wait.
    let sends: Vec<_> = (1..=12).map(|from| send(from, 99, 1)).collect();
    outbox.committed(sends.clone());
    let first = started(&mut outbox, now);
    assert_eq!(first.len(), UNDER_WAY_AT_ONE_MAX);
    outbox.keep_only(|shard| shard.0 == 1 || shard.0 == 12);
    assert_eq!(outbox.size(), (2, false));
    for send in &first[1..] {
        outbox.ended(send, Tried::NotExecuted, now);
    }
    assert_eq!(started(&mut outbox, now), [sends[11].clone()], "the one that is left goes on");
    outbox.ended(&first[0], Tried::Gone, now);
    outbox.ended(&sends[11], Tried::Gone, now);
    assert!(outbox.is_quiet() && outbox.next_try().is_none());
    assert_eq!(outbox.size(), (0, false));
}
