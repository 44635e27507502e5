//! The buffer of one client, held against a model: whatever is pushed, lost, read, cut and
//! resumed, the client pieces together every push once, in order, and knows what is missing.

use std::time::Duration;

use proptest::prelude::*;
use wasmverse_core::{Encoding, Push, PushTo};

use super::*;
use crate::budget::Budget;

/// A small one, so that it overflows.
const LENGTH_MAX: usize = 4;
const BOUNDS: Bounds = Bounds { length: LENGTH_MAX, bytes: 1 << 20 };

#[derive(Clone, Copy, Debug)]
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
    /// Others need the room.
    Clear,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => Just(Step::Push),
        1 => Just(Step::Skip),
        1 => Just(Step::Lose),
        4 => (0..6_usize).prop_map(Step::Read),
        2 => (0..6_usize).prop_map(Step::Cut),
        1 => Just(Step::Forget),
        1 => Just(Step::Clear),
    ]
}

/// Steps after which nothing that was kept may be missing.
fn uncut_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => Just(Step::Push),
        1 => Just(Step::Skip),
        1 => Just(Step::Lose),
        4 => (0..6_usize).prop_map(Step::Read),
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

fn take_in(buffer: &mut Buffer, number: u64) -> bool {
    buffer.push(event(number), Budget::new(0).share(), BOUNDS)
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

/// What was pushed, and what became of it.
#[derive(Default)]
struct Story {
    buffer: Buffer,
    client: Client,
    kept: Vec<u64>,
    losses: Vec<u64>,
}

impl Story {
    fn of(steps: Vec<Step>) -> Self {
        let mut story = Self::default();
        let mut now = Instant::now();
        for step in steps {
            story.play(step, &mut now);
            assert!(story.buffer.entries.len() <= LENGTH_MAX);
            let held: usize = story.buffer.entries.iter().map(Entry::bytes).sum();
            assert_eq!(held, story.buffer.bytes());
            let told = story.buffer.told;
            let untold = story.buffer.entries.iter().filter(|entry| entry.seq > told).count();
            assert_eq!(story.buffer.entries.len() - story.buffer.untold, untold);
        }
        while let Some(told) = story.buffer.next(now) {
            story.client.take(told);
        }
        assert_eq!(story.client.seq, story.buffer.last, "in the end nothing is owed");
        story
    }

    fn play(&mut self, step: Step, now: &mut Instant) {
        let Self { buffer, client, kept, losses } = self;
        let next = buffer.last + 1;
        match step {
            Step::Push => {
                if take_in(buffer, next) {
                    kept.push(next);
                }
            }
            Step::Skip => buffer.skip(),
            Step::Lose => {
                if buffer.lose(BOUNDS) {
                    losses.push(buffer.last);
                }
            }
            Step::Read(count) => {
                for told in std::iter::from_fn(|| buffer.next(*now)).take(count) {
                    client.take(told);
                }
            }
            Step::Cut(lost) => {
                client.cut(lost);
                buffer.rewind(client.seq);
            }
            Step::Forget => {
                *now += Duration::from_secs(1);
                buffer.forget(*now);
            }
            Step::Clear => buffer.clear(),
        }
    }

    fn received(&self) -> Vec<u64> {
        let pushes = self.client.received.iter();
        pushes.filter(|told| matches!(told, Told::Push { .. })).map(seq).collect()
    }
}

proptest! {
    #[test]
    fn a_client_gets_every_push_once_in_order_and_knows_what_it_missed(
        steps in proptest::collection::vec(step(), 0..200),
    ) {
        let story = Story::of(steps);
        for told in &story.client.received {
            match told {
                Told::Push { seq, .. } => prop_assert!(story.kept.contains(seq)),
                Told::Gap { seq, missed: None } => prop_assert!(story.losses.contains(seq)),
                Told::Gap { .. } => {}
            }
        }
    }

    #[test]
    fn while_nothing_is_cut_a_client_gets_all_that_was_kept_and_hears_of_all_losses(
        steps in proptest::collection::vec(uncut_step(), 0..200),
    ) {
        let mut story = Story::of(steps);
        story.losses.dedup();
        prop_assert_eq!(story.received(), story.kept);
        let unknown = story.client.received.iter();
        let unknown = unknown.filter(|told| matches!(told, Told::Gap { missed: None, .. }));
        prop_assert_eq!(unknown.map(seq).collect::<Vec<_>>(), story.losses);
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
                take_in(&mut buffer, pushed);
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
    take_in(&mut buffer, 1);
    buffer.rewind(100);
    assert!(matches!(buffer.next(now), Some(Told::Gap { seq: 2, missed: None })));
    assert!(buffer.next(now).is_none());
}

#[test]
fn a_client_that_reads_nothing_is_told_how_many_it_missed_once_it_reads() {
    let (mut buffer, now) = (Buffer::default(), Instant::now());
    for number in 1..=10 {
        assert_eq!(take_in(&mut buffer, number), number <= LENGTH_MAX as u64);
    }
    let told: Vec<_> = std::iter::from_fn(|| buffer.next(now)).collect();
    assert_eq!(told.len(), LENGTH_MAX + 1);
    assert!(matches!(told.last(), Some(Told::Gap { seq: 10, missed: Some(6) })));
}

#[test]
fn what_is_forgotten_takes_no_room() {
    let (mut buffer, now) = (Buffer::default(), Instant::now());
    for number in 1..=4 {
        take_in(&mut buffer, number);
        buffer.next(now);
    }
    buffer.forget(now);
    assert_eq!(buffer.entries.capacity(), 0);
}

#[test]
fn who_knows_of_things_that_never_were_again_and_again_takes_no_more_room() {
    let mut buffer = Buffer::default();
    for seq in 1..100 {
        buffer.rewind(seq * 1000);
        assert_eq!(buffer.entries.len(), 1);
    }
}

#[test]
fn one_client_holds_so_many_bytes_and_no_more() {
    let (mut buffer, now) = (Buffer::default(), Instant::now());
    let bounds = Bounds { length: 100, bytes: 2 };
    let push = |buffer: &mut Buffer| buffer.push(event(1), Budget::new(0).share(), bounds);
    assert_eq!([push(&mut buffer), push(&mut buffer), push(&mut buffer)], [true, true, false]);
    buffer.next(now);
    assert!(push(&mut buffer), "what was told makes room");
    assert_eq!(buffer.bytes(), 2);
    // One that is larger than all of it has its place alone.
    let mut empty = Buffer::default();
    assert!(empty.push(event(1000), Budget::new(0).share(), bounds));
}
