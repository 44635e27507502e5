//! The buffer of one client, held against a model: whatever is pushed, lost, read, cut and
//! resumed, the client pieces together every push once, in order, and knows what is missing.

use std::time::Duration;

use proptest::prelude::*;
use wasmverse_core::{Encoding, Push, PushTo};

use super::*;
use crate::budget::Budget;

/// A small one, so that it overflows.
const LENGTH_MAX: usize = 4;

#[derive(Clone, Debug)]
enum Step {
    Push,
    /// There is no room for it in the whole gate.
    Skip,
    /// Something was lost on its way to the gate.
    Lose,
    Read(usize),
    /// The connection is cut, and so many of the last things that were told did not arrive.
    Cut(usize),
    /// Time passes, and what was told before is forgotten.
    Forget,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => Just(Step::Push),
        1 => Just(Step::Skip),
        1 => Just(Step::Lose),
        4 => (0..6_usize).prop_map(Step::Read),
        2 => (0..6_usize).prop_map(Step::Cut),
        1 => Just(Step::Forget),
    ]
}

fn event(number: u64) -> Arc<Event> {
    let push = Push {
        to: PushTo::Everyone,
        event: "e".into(),
        payload: number.to_string().into_bytes().into(),
    };
    Arc::new(Event::new(&push, Encoding::Json, Budget::new(0).share()))
}

/// What a client has received: each thing with its ordinal.
#[derive(Default)]
struct Client {
    seq: u64,
    received: Vec<Told>,
}

fn seq(told: &Told) -> u64 {
    match told {
        Told::Push { seq, .. } | Told::Gap { seq, .. } => *seq,
    }
}

impl Client {
    fn take(&mut self, told: Told) {
        let next = match &told {
            Told::Push { seq, event } => {
                assert_eq!(event.payload, seq.to_string(), "a push has the place it was pushed at");
                self.seq + 1
            }
            Told::Gap { missed: Some(missed), .. } => {
                assert!(*missed > 0, "a gap of nothing");
                self.seq + missed
            }
            Told::Gap { missed: None, .. } => self.seq + 1,
        };
        assert_eq!(seq(&told), next, "told in order, once, and gaps are exact");
        self.seq = next;
        self.received.push(told);
    }

    /// The last ones did not arrive.
    fn cut(&mut self, lost: usize) {
        self.received.truncate(self.received.len().saturating_sub(lost));
        self.seq = self.received.last().map_or(0, seq);
    }
}

proptest! {
    #[test]
    fn a_client_gets_every_push_once_in_order_and_knows_what_it_missed(
        steps in proptest::collection::vec(step(), 0..200),
    ) {
        let (mut buffer, mut client) = (Buffer::default(), Client::default());
        let (mut pushed, mut kept, mut losses) = (0, Vec::new(), Vec::new());
        let mut now = Instant::now();
        for step in steps {
            match step {
                Step::Push => {
                    pushed += 1;
                    if buffer.push(Some(event(pushed)), LENGTH_MAX) {
                        kept.push(pushed);
                    }
                }
                Step::Skip => {
                    pushed += 1;
                    buffer.skip();
                }
                Step::Lose => {
                    pushed += 1;
                    if buffer.push(None, LENGTH_MAX) {
                        losses.push(pushed);
                    }
                }
                Step::Read(count) => {
                    for told in std::iter::from_fn(|| buffer.next(now)).take(count) {
                        client.take(told);
                    }
                }
                Step::Cut(lost) => {
                    client.cut(lost);
                    buffer.rewind(client.seq);
                }
                Step::Forget => {
                    now += Duration::from_secs(1);
                    buffer.forget(now);
                }
            }
            prop_assert!(buffer.entries.len() <= LENGTH_MAX);
        }
        while let Some(told) = buffer.next(now) {
            client.take(told);
        }
        prop_assert_eq!(client.seq, pushed, "in the end nothing is owed");
        for told in client.received {
            match told {
                Told::Push { seq, .. } => prop_assert!(kept.contains(&seq)),
                Told::Gap { seq, missed: None } => prop_assert!(losses.contains(&seq)),
                Told::Gap { .. } => {}
            }
        }
    }

    #[test]
    fn nothing_is_missing_while_there_is_room(
        reads in proptest::collection::vec((0..LENGTH_MAX, 0..=LENGTH_MAX), 0..50),
    ) {
        let (mut buffer, mut client) = (Buffer::default(), Client::default());
        let now = Instant::now();
        let mut pushed = 0;
        for (pushes, lost) in reads {
            for _ in 0..pushes {
                pushed += 1;
                buffer.push(Some(event(pushed)), LENGTH_MAX);
                // At most so many may be lost with a connection: they are kept.
                if let Some(told) = buffer.next(now) {
                    client.take(told);
                }
            }
            client.cut(lost);
            buffer.rewind(client.seq);
            while let Some(told) = buffer.next(now) {
                client.take(told);
            }
        }
        let all = client.received.iter().all(|told| matches!(told, Told::Push { .. }));
        prop_assert!(all && client.seq == pushed);
    }
}

#[test]
fn a_client_that_knows_of_things_that_never_were_is_told_of_a_gap() {
    let (mut buffer, now) = (Buffer::default(), Instant::now());
    buffer.push(Some(event(1)), LENGTH_MAX);
    buffer.rewind(100);
    assert!(matches!(buffer.next(now), Some(Told::Gap { seq: 2, missed: None })));
    assert!(buffer.next(now).is_none());
}

#[test]
fn a_client_that_reads_nothing_is_told_how_many_it_missed_once_it_reads() {
    let (mut buffer, now) = (Buffer::default(), Instant::now());
    for number in 1..=10 {
        assert_eq!(buffer.push(Some(event(number)), LENGTH_MAX), number <= LENGTH_MAX as u64);
    }
    let told: Vec<_> = std::iter::from_fn(|| buffer.next(now)).collect();
    assert_eq!(told.len(), LENGTH_MAX + 1);
    assert!(matches!(told.last(), Some(Told::Gap { seq: 10, missed: Some(6) })));
}

#[test]
fn what_is_forgotten_takes_no_room() {
    let (mut buffer, now) = (Buffer::default(), Instant::now());
    for number in 1..=4 {
        buffer.push(Some(event(number)), LENGTH_MAX);
        buffer.next(now);
    }
    buffer.forget(now);
    assert_eq!(buffer.entries.capacity(), 0);
}
