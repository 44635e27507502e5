//! Reminders that are due: what fires, once, whatever the clock and the store do.

use proptest::prelude::*;

use super::*;

const SECOND: i64 = 1_000_000;

fn bounds() -> Bounds {
    Bounds {
        bytes_max: 1 << 20,
        ahead: Duration::from_secs(100),
        under_way_max: usize::MAX,
        tries_max: 3,
    }
}

fn object(id: usize) -> ObjectId {
    ObjectId::parse("T", &format!("{id:06}")).unwrap()
}

fn reminder(id: usize, due: i64) -> Waiting {
    let (name, when): (Arc<str>, Arc<str>) = ("r".into(), "every 5s".into());
    let (method, payload) = ("m".into(), Bytes::new());
    Waiting { object: object(id), name, when, method, payload, due }
}

/// Reads all pages of a store that holds these.
fn read(queue: &mut DueQueue, stored: &[Waiting], length: usize, now: i64) {
    let order = |waiting: &Waiting| (waiting.due, waiting.object.clone());
    let mut stored: Vec<&Waiting> = stored.iter().collect();
    stored.sort_by_key(|waiting| order(waiting));
    while let Some((until, after)) = queue.next_page(now) {
        let after = after.as_ref().map(order);
        let first = after.map_or(0, |after| stored.partition_point(|w| order(w) <= after));
        let page = stored[first..].iter().take(length).filter(|waiting| waiting.due <= until);
        queue.page(page.map(|waiting| (*waiting).clone()).collect(), now, |_| true);
    }
}

/// One that has read the store, and found nothing.
fn caught_up(bounds: Bounds) -> DueQueue {
    let mut queue = DueQueue::new(bounds);
    read(&mut queue, &[], 10, 0);
    queue
}

fn started(queue: &mut DueQueue, now: i64) -> Vec<Firing> {
    std::iter::from_fn(|| queue.start(now)).collect()
}

#[test]
fn what_is_due_fires_in_its_order_and_once() {
    let mut queue = caught_up(bounds());
    for (id, due) in [(1, 30), (2, 10), (3, 20)] {
        queue.set(reminder(id, due), 0);
    }
    assert!(started(&mut queue, 9).is_empty());
    assert_eq!(queue.next_at(), Some(10));
    let due: Vec<_> = started(&mut queue, 20).into_iter().map(|f| f.reminder.due).collect();
    assert_eq!(due, [10, 20]);
    assert_eq!((queue.under_way(), queue.len()), (2, 3));
    assert!(started(&mut queue, 20).is_empty());
}

#[test]
fn a_firing_is_dropped_if_its_reminder_is_set_anew_or_gone() {
    for change in 0..3 {
        let mut queue = caught_up(bounds());
        queue.set(reminder(1, 10), 0);
        let firing = started(&mut queue, 10).remove(0);
        assert!(queue.is_current(&firing));
        match change {
            // Even if it is due at the same time.
            0 => queue.set(reminder(1, 10), 10),
            1 => queue.cancel(&object(1), &"r".into()),
            _ => queue.deleted(&object(1)),
        }
        assert!(!queue.is_current(&firing));
        assert_eq!(queue.under_way(), 0);
        queue.ended(&firing, Fired::NotExecuted, 10);
        assert_eq!(started(&mut queue, 10).len(), usize::from(change == 0));
    }
}

#[test]
fn one_that_does_not_end_is_tried_again_and_given_up() {
    let mut queue = caught_up(bounds());
    queue.set(reminder(1, 10), 0);
    let mut now = 10;
    for (fired, is_last) in
        [(Fired::Unsure, false), (Fired::NotExecuted, false), (Fired::NotExecuted, false)]
    {
        let firing = started(&mut queue, now).remove(0);
        assert_eq!(queue.is_last_try(&firing), is_last);
        queue.ended(&firing, fired, now);
        assert!(started(&mut queue, now).is_empty());
        now = queue.next_at().unwrap();
    }
    let firing = started(&mut queue, now).remove(0);
    assert!(queue.is_last_try(&firing));
    queue.ended(&firing, Fired::Done, now);
    assert!(queue.is_empty());
}

#[test]
fn many_that_are_due_at_once_all_fire_though_memory_holds_a_tenth() {
    let bytes_max = 1_000 * reminder(0, 0).bytes();
    let mut queue = DueQueue::new(Bounds { bytes_max, ..bounds() });
    let mut stored: Vec<Waiting> = (0..10_000).map(|id| reminder(id, 10)).collect();
    let mut fired = 0;
    for _ in 0..100 {
        read(&mut queue, &stored, 100, 10);
        assert!(queue.bytes <= bytes_max + reminder(0, 0).bytes());
        for firing in started(&mut queue, 10) {
            fired += 1;
            let place = stored.binary_search_by_key(&firing.reminder.object, |w| w.object.clone());
            stored.remove(place.unwrap());
            queue.cancel(&firing.reminder.object, &firing.reminder.name);
        }
        if stored.is_empty() {
            break;
        }
    }
    assert_eq!((fired, stored.len()), (10_000, 0));
}

#[test]
fn what_is_due_late_is_left_to_the_store_until_the_time_comes_near() {
    let mut queue = DueQueue::new(bounds());
    let stored = [reminder(1, 10 * SECOND), reminder(2, 200 * SECOND)];
    read(&mut queue, &stored, 10, 0);
    assert_eq!(queue.len(), 1);
    queue.set(reminder(3, 300 * SECOND), 0);
    assert_eq!(queue.len(), 1);
    assert!(queue.next_page(10 * SECOND).is_none());
    read(&mut queue, &stored, 10, 120 * SECOND);
    assert_eq!(queue.len(), 2);
}

#[test]
fn a_clock_that_jumps_fires_what_was_missed_once_and_goes_on() {
    let mut queue = caught_up(bounds());
    queue.set(reminder(1, 5 * SECOND), 0);
    // Forward.
    let now = 1000 * SECOND;
    let firing = started(&mut queue, now);
    assert_eq!(firing.len(), 1);
    let next = firing[0].reminder.when.parse::<When>().unwrap().next(now).unwrap();
    queue.set(Waiting { due: next, ..firing[0].reminder.clone() }, now);
    assert!(started(&mut queue, now).is_empty());
    read(&mut queue, &[], 10, now);
    queue.set(reminder(1, next), now);
    // And back.
    let now = 10 * SECOND;
    queue.clock_went_back(now);
    assert_eq!(queue.next_at(), Some(now + 5 * SECOND));
    let firing = started(&mut queue, now + 5 * SECOND);
    assert_eq!(firing[0].reminder.due, next, "it is the same firing");
}

#[test]
fn what_changed_while_the_store_was_read_is_not_overwritten_by_a_page() {
    let mut queue = DueQueue::new(bounds());
    assert!(queue.next_page(0).is_some());
    queue.cancel(&object(1), &"r".into());
    queue.set(reminder(2, 30), 0);
    queue.deleted(&object(3));
    let page = vec![reminder(1, 10), reminder(2, 20), reminder(3, 30), reminder(4, 40)];
    queue.page(page, 0, |_| true);
    assert!(queue.next_page(0).is_some());
    queue.page(Vec::new(), 0, |_| true);
    let due: Vec<_> = started(&mut queue, 100).into_iter().map(|f| f.reminder).collect();
    assert_eq!(due, [reminder(2, 30), reminder(4, 40)]);
}

#[test]
fn after_doubt_the_store_is_right() {
    let mut queue = caught_up(bounds());
    queue.set(reminder(1, 50 * SECOND), 0);
    queue.read_again();
    read(&mut queue, &[reminder(1, 10), reminder(2, 20)], 1, 0);
    let due: Vec<_> = started(&mut queue, 100).into_iter().map(|f| f.reminder.due).collect();
    assert_eq!(due, [10, 20]);
}

#[derive(Clone, Copy, Debug)]
enum Event {
    Set(usize, i64),
    Cancel(usize),
    Read(usize),
    Pass(i64),
    Fail,
    Doubt,
}

fn events() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => (0..6_usize, 0..300_i64).prop_map(|(id, due)| Event::Set(id, due * SECOND)),
        1 => (0..6_usize).prop_map(Event::Cancel),
        3 => (1..4_usize).prop_map(Event::Read),
        3 => (0..40_i64).prop_map(|seconds| Event::Pass(seconds * SECOND)),
        1 => Just(Event::Fail),
        1 => Just(Event::Doubt),
    ]
}

proptest! {
    /// However little room there is, what the store has due fires, and nothing else.
    #[test]
    fn what_is_due_fires(events in prop::collection::vec(events(), 0..80), room in 1..5_usize) {
        let bytes_max = room * reminder(0, 0).bytes();
        let mut queue = DueQueue::new(Bounds { bytes_max, ..bounds() });
        let mut stored: BTreeMap<usize, Waiting> = BTreeMap::new();
        let mut now = 0;
        let all = |stored: &BTreeMap<usize, Waiting>| stored.values().cloned().collect::<Vec<_>>();
        for event in events {
            match event {
                Event::Set(id, due) => {
                    // One that fires by its due time alone.
                    let set = Waiting { when: "once".into(), ..reminder(id, due) };
                    stored.insert(id, set.clone());
                    queue.set(set, now);
                }
                Event::Cancel(id) => {
                    stored.remove(&id);
                    queue.cancel(&object(id), &"r".into());
                }
                Event::Read(length) => read(&mut queue, &all(&stored), length, now),
                Event::Pass(time) => now += time,
                Event::Fail => {
                    if queue.next_page(now).is_some() {
                        queue.no_page();
                    }
                }
                Event::Doubt => queue.read_again(),
            }
            for firing in started(&mut queue, now) {
                let id = firing.reminder.object.id().parse::<usize>().unwrap();
                prop_assert_eq!(stored.remove(&id), Some(firing.reminder.clone()));
                prop_assert!(firing.reminder.due <= now);
                queue.cancel(&firing.reminder.object, &firing.reminder.name);
            }
        }
        now += 1000 * SECOND;
        for _ in 0..100 {
            read(&mut queue, &all(&stored), 2, now);
            for firing in started(&mut queue, now) {
                stored.remove(&firing.reminder.object.id().parse::<usize>().unwrap());
                queue.cancel(&firing.reminder.object, &firing.reminder.name);
            }
        }
        prop_assert!(stored.is_empty(), "left: {:?} {:?}", stored, queue);
    }
}

#[test]
fn reminders_of_another_node_s_objects_are_forgotten_also_while_they_fire() {
    let mut queue = caught_up(bounds());
    for id in [1, 2, 3] {
        queue.set(reminder(id, 10), 0);
    }
    let firing = queue.start(10).unwrap();
    assert_eq!(firing.reminder.object, object(1));
    queue.keep_only(|it| *it == object(3));
    assert_eq!((queue.len(), queue.under_way()), (1, 0));
    assert!(!queue.is_current(&firing));
    queue.ended(&firing, Fired::Unsure, 10);
    let left: Vec<_> = started(&mut queue, 10).into_iter().map(|f| f.reminder.object).collect();
    assert_eq!(left, [object(3)]);
}
