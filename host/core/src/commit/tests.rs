//! The turn commit between an instance, a store and a caller that are modelled here: whatever
//! happens, nobody hears of what is not stored. The checker proves itself on drivers with planted
//! bugs.

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::{Effects, ErrorKind};

/// What a turn does, to a count that an object keeps in its state and in its storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    Counts,
    /// It writes what it read.
    ChangesNothing,
    Reads,
    CountsAndFails,
    Fails,
    CountsAndTraps,
    HasNoSnapshot,
    Deletes,
}

/// What the store does about a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Luck {
    Stores,
    Refuses,
    /// The acknowledgement is lost.
    StoresUnheard,
    RefusesUnheard,
    /// The process dies before the write has arrived, or after it.
    DiesBefore,
    DiesAfter,
}

const TURNS: [Turn; 8] = [
    Turn::Counts,
    Turn::ChangesNothing,
    Turn::Reads,
    Turn::CountsAndFails,
    Turn::Fails,
    Turn::CountsAndTraps,
    Turn::HasNoSnapshot,
    Turn::Deletes,
];
const LUCKS: [Luck; 6] = [
    Luck::Stores,
    Luck::Refuses,
    Luck::StoresUnheard,
    Luck::RefusesUnheard,
    Luck::DiesBefore,
    Luck::DiesAfter,
];

/// What a driver does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bug {
    None,
    RepliesBeforeTheCommit,
    StoresStateAndStorageApart,
    KeepsInstancesThatAreNotTrue,
    ForgetsStorage,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Stored {
    state: Option<u64>,
    storage: Option<u64>,
}

#[derive(Debug)]
struct World {
    bug: Bug,
    store: Stored,
    /// The instance's memory, and the digest of its last commit.
    awake: Option<(u64, Option<u64>)>,
    /// The counts that are possible, as callers know.
    possible: Vec<u64>,
}

enum Died {
    Yes,
    No,
}

impl World {
    fn new(bug: Bug) -> Self {
        Self { bug, store: Stored::default(), awake: None, possible: vec![0] }
    }

    /// Runs a turn; `Err`: what a caller must never see.
    fn turn(&mut self, turn: Turn, luck: Luck) -> Result<(), String> {
        let (before, committed) = *self
            .awake
            .get_or_insert_with(|| (self.store.state.unwrap_or_default(), self.store.state));
        self.check(before)?;
        let after = match turn {
            Turn::Counts | Turn::CountsAndFails | Turn::CountsAndTraps => before + 1,
            Turn::HasNoSnapshot => before + 1,
            Turn::ChangesNothing | Turn::Reads | Turn::Fails | Turn::Deletes => before,
        };
        self.awake = Some((after, committed));
        let outcome = outcome(turn, after);
        let expected = if turn == Turn::Deletes { 0 } else { after };
        let writes_late = self.bug == Bug::RepliesBeforeTheCommit;
        if writes_late && matches!(outcome.end, TurnEnd::Well(_)) {
            self.possible = vec![expected];
        }
        let mut step = begin(&outcome, Durability::Durable, committed, Some(before));
        let end = loop {
            step = match step {
                Step::Snapshot(waiting) if turn == Turn::HasNoSnapshot => {
                    waiting.took(Err(CallError::new(ErrorKind::Trapped, "no snapshot")))
                }
                Step::Snapshot(waiting) => waiting.took(Ok(after)),
                Step::Write(write, waiting) => {
                    let put = Stored {
                        state: if write == Write::State { Some(after) } else { self.store.state },
                        storage: Some(after),
                    };
                    match self.store(put, luck) {
                        (Died::Yes, _) => return self.die(expected),
                        (Died::No, answer) => Step::End(waiting.answered(answer)),
                    }
                }
                Step::Erase(waiting) => match self.store(Stored::default(), luck) {
                    (Died::Yes, _) => return self.die(expected),
                    (Died::No, answer) => Step::End(waiting.answered(answer)),
                },
                Step::End(end) => break end,
            };
        };
        match &end.released {
            Ok(()) if matches!(outcome.end, TurnEnd::Well(_)) => self.possible = vec![expected],
            Err(error) if error.may_have_executed() => self.possible.push(expected),
            Ok(()) | Err(_) => {}
        }
        let is_true = end.instance == Fate::Kept || self.bug == Bug::KeepsInstancesThatAreNotTrue;
        let stored = self.store.state;
        self.awake = self.awake.filter(|_| is_true && turn != Turn::Deletes);
        self.awake = self.awake.map(|(held, _)| (held, stored));
        self.check_store()
    }

    fn store(&mut self, mut put: Stored, luck: Luck) -> (Died, Result<(), CallError>) {
        if self.bug == Bug::ForgetsStorage {
            put.storage = self.store.storage;
        }
        let unavailable = || CallError::new(ErrorKind::Unavailable, "no");
        match luck {
            Luck::DiesAfter if self.bug == Bug::StoresStateAndStorageApart => {
                self.store.state = put.state;
            }
            Luck::Stores | Luck::StoresUnheard | Luck::DiesAfter => self.store = put,
            Luck::Refuses | Luck::RefusesUnheard | Luck::DiesBefore => {}
        }
        match luck {
            Luck::Stores => (Died::No, Ok(())),
            Luck::Refuses => (Died::No, Err(unavailable())),
            Luck::StoresUnheard | Luck::RefusesUnheard => {
                (Died::No, Err(unavailable().maybe_executed()))
            }
            Luck::DiesBefore | Luck::DiesAfter => (Died::Yes, Ok(())),
        }
    }

    /// The caller hears nothing.
    fn die(&mut self, expected: u64) -> Result<(), String> {
        if self.bug != Bug::RepliesBeforeTheCommit {
            self.possible.push(expected);
        }
        self.awake = None;
        self.check_store()
    }

    /// A turn sees what callers know, and what it sees is known from now on.
    fn check(&mut self, held: u64) -> Result<(), String> {
        if !self.possible.contains(&held) {
            return Err(format!("an object holds {held}, not one of {:?}", self.possible));
        }
        self.possible = vec![held];
        Ok(())
    }

    fn check_store(&self) -> Result<(), String> {
        let Stored { state, storage } = self.store;
        if state != storage {
            return Err(format!("the state is {state:?}, the storage {storage:?}"));
        }
        let count = state.unwrap_or_default();
        match self.possible.contains(&count) {
            true => Ok(()),
            false => Err(format!("{count} is stored, not one of {:?}", self.possible)),
        }
    }
}

fn outcome(turn: Turn, count: u64) -> Outcome {
    let failure = || CallError::new(ErrorKind::Application, "no");
    let end = match turn {
        Turn::Counts | Turn::ChangesNothing | Turn::Reads | Turn::Deletes | Turn::HasNoSnapshot => {
            TurnEnd::Well(Bytes::new())
        }
        Turn::CountsAndFails | Turn::Fails => TurnEnd::Failure(failure()),
        Turn::CountsAndTraps => TurnEnd::Trap(failure()),
    };
    let mut effects = Effects { delete: turn == Turn::Deletes, ..Effects::default() };
    if matches!(turn, Turn::Counts | Turn::CountsAndFails) {
        effects.storage.insert("count".into(), Some(count.to_string().into()));
    }
    Outcome::new(end, effects, turn == Turn::Reads)
}

fn run(bug: Bug, turns: &[(Turn, Luck)]) -> Result<(), String> {
    let mut world = World::new(bug);
    turns.iter().try_for_each(|(turn, luck)| world.turn(*turn, *luck))
}

type Check<'a> = &'a mut dyn FnMut(&[(Turn, Luck)]);

/// Calls `check` with all sequences of that length.
fn all(length: usize, check: Check<'_>) {
    fn deeper(length: usize, sequence: &mut Vec<(Turn, Luck)>, check: Check<'_>) {
        if sequence.len() == length {
            return check(sequence);
        }
        for turn in TURNS {
            for luck in LUCKS {
                sequence.push((turn, luck));
                deeper(length, sequence, check);
                sequence.pop();
            }
        }
    }
    deeper(length, &mut Vec::new(), check);
}

#[test]
fn nobody_hears_of_what_is_not_stored_in_any_three_turns() {
    let mut sequences = 0;
    all(3, &mut |turns| {
        sequences += 1;
        assert_eq!(run(Bug::None, turns), Ok(()), "{turns:?}");
    });
    assert_eq!(sequences, (TURNS.len() * LUCKS.len()).pow(3));
}

#[test]
fn each_planted_bug_is_found() {
    for bug in [
        Bug::RepliesBeforeTheCommit,
        Bug::StoresStateAndStorageApart,
        Bug::KeepsInstancesThatAreNotTrue,
        Bug::ForgetsStorage,
    ] {
        let mut found = 0;
        all(2, &mut |turns| found += usize::from(run(bug, turns).is_err()));
        assert!(found > 0, "{bug:?} is not found");
    }
}

#[test]
fn what_has_changed_nothing_is_not_written() {
    for turn in [Turn::ChangesNothing, Turn::Reads, Turn::Fails] {
        let mut step = begin(&outcome(turn, 7), Durability::Durable, Some(7), None);
        if let Step::Snapshot(waiting) = step {
            step = waiting.took(Ok(7));
        }
        assert!(matches!(&step, Step::End(end) if *end == RELEASED), "{turn:?}: {step:?}");
    }
}

#[test]
fn a_failed_turn_that_changed_nothing_keeps_an_object_that_was_never_committed() {
    for (after, fate) in [(7, Fate::Kept), (8, Fate::Dropped)] {
        let step = begin(&outcome(Turn::Fails, 7), Durability::Durable, None, Some(7));
        let Step::Snapshot(waiting) = step else { panic!("{step:?}") };
        let Step::End(end) = waiting.took(Ok(after)) else { panic!("nothing is stored") };
        assert_eq!(end, End { instance: fate, ..RELEASED });
    }
}

#[test]
fn storage_alone_leaves_the_state_alone() {
    let step = begin(&outcome(Turn::Counts, 7), Durability::Durable, Some(7), None);
    let Step::Snapshot(waiting) = step else { panic!("{step:?}") };
    assert!(matches!(waiting.took(Ok(7)), Step::Write(Write::Beside, _)));
}

#[test]
fn others_than_durable_objects_ask_the_store_for_deletes_only() {
    for durability in [Durability::Volatile, Durability::Periodic] {
        for turn in TURNS {
            let step = begin::<u64>(&outcome(turn, 7), durability, None, None);
            match (turn, step) {
                (Turn::Deletes, Step::Erase(waiting)) => {
                    let refused = CallError::new(ErrorKind::Unavailable, "no");
                    assert_eq!(waiting.answered(Err(refused)).instance, Fate::Kept);
                }
                (Turn::CountsAndTraps, Step::End(end)) => assert_eq!(end.instance, Fate::Dropped),
                (_, Step::End(end)) => assert_eq!(end, RELEASED),
                (_, step) => panic!("{turn:?}: {step:?}"),
            }
        }
    }
}

proptest! {
    #[test]
    fn nobody_hears_of_what_is_not_stored(
        turns in prop::collection::vec((prop::sample::select(&TURNS[..]), prop::sample::select(&LUCKS[..])), 1..40),
    ) {
        prop_assert_eq!(run(Bug::None, &turns), Ok(()));
    }
}
