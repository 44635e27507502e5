//! What was done to one object, by all its callers, and whether it can be of one history: that of an
//! object which does one thing after the other, each between its call and its answer.
//!
//! The object is one that grows: a counter to which ones are added, a list that is appended to. So
//! each answer tells a place in the one order that there is, and what remains is to see that these
//! places and the times of calls and answers agree. That is checked wholly, and in one pass.

use std::{fmt, time::Duration};

/// What happened to an object is not of one history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Violation {
    /// Two writes were told the same place.
    Twice(i64),
    /// A write was told a place that the object does not have at the end.
    Lost(i64),
    /// There is a write at this place that nobody asked for, or that was made twice.
    Unasked(i64),
    /// After somebody was told the second place, somebody was told the first one.
    Stale(i64, i64),
}

/// A call of which something is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) invoked: Duration,
    /// [`Duration::MAX`]: it may take effect at any time, or never.
    pub(crate) returned: Duration,
    pub(crate) what: What,
}

/// What it was, and what it was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    /// It was the write at this place: the first, the second …
    Write(i64),
    /// It saw so many writes.
    Read(i64),
    /// It was a write that may have been made.
    Perhaps,
}

impl Violation {
    /// Where it is.
    pub(crate) fn place(&self) -> i64 {
        match self {
            Self::Twice(place) | Self::Lost(place) | Self::Unasked(place) => *place,
            Self::Stale(_, now) => *now,
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Twice(place) => write!(f, "two writes were told {place}"),
            Self::Lost(place) => write!(f, "a write was told {place}, which is gone"),
            Self::Unasked(place) => write!(f, "nobody asked for the write at {place}"),
            Self::Stale(then, now) => write!(f, "{now} was told after {then}"),
        }
    }
}

/// Whether there is a history in which all of it happened, and which ends with `last` writes.
pub(crate) fn check(steps: &[Step], last: i64) -> Result<(), Violation> {
    let known = places(steps, last)?;
    let mut told: Vec<Told> = steps.iter().filter_map(Told::of).collect();
    in_order(&mut told)?;
    let gaps = (1..=last).filter(|place| known.binary_search(place).is_err());
    filled(gaps, &told, steps)
}

/// A call that was told a place.
#[derive(Clone, Copy)]
struct Told {
    invoked: Duration,
    returned: Duration,
    place: i64,
    is_write: bool,
}

impl Told {
    fn of(step: &Step) -> Option<Self> {
        let (place, is_write) = match step.what {
            What::Write(place) => (place, true),
            What::Read(place) => (place, false),
            What::Perhaps => return None,
        };
        Some(Self { invoked: step.invoked, returned: step.returned, place, is_write })
    }
}

/// The places of writes, each told once.
fn places(steps: &[Step], last: i64) -> Result<Vec<i64>, Violation> {
    let place = |step: &Step| match step.what {
        What::Write(place) => Some(place),
        What::Read(_) | What::Perhaps => None,
    };
    let mut places: Vec<_> = steps.iter().filter_map(place).collect();
    places.sort_unstable();
    if let Some(twice) = places.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(Violation::Twice(twice[0]));
    }
    let told = steps.iter().filter_map(Told::of).map(|told| told.place);
    match told.max().filter(|place| *place > last) {
        Some(lost) => Err(Violation::Lost(lost)),
        None => Ok(places),
    }
}

/// Who calls after another was answered is told a later place, or the same if both only read.
fn in_order(told: &mut [Told]) -> Result<(), Violation> {
    let mut answers = told.to_vec();
    answers.sort_by_key(|told| told.returned);
    told.sort_by_key(|told| told.invoked);
    let (mut answers, mut then) = (answers.into_iter().peekable(), 0);
    for now in told {
        while let Some(before) = answers.next_if(|before| before.returned < now.invoked) {
            then = then.max(before.place);
        }
        if now.place < then + i64::from(now.is_write) {
            return Err(Violation::Stale(then, now.place));
        }
    }
    Ok(())
}

/// Each place of which nobody was told is that of a write of which nobody knows: one that began
/// before anybody was told of that place, or a later one, and had an answer to it.
fn filled(gaps: impl Iterator<Item = i64>, told: &[Told], steps: &[Step]) -> Result<(), Violation> {
    let perhaps = steps.iter().filter(|step| step.what == What::Perhaps);
    let mut perhaps: Vec<_> = perhaps.map(|step| step.invoked).collect();
    perhaps.sort_unstable();
    // From the last place down: when it, or a later one, was first known.
    let mut by_place = told.to_vec();
    by_place.sort_by_key(|told| told.place);
    let mut known_at = vec![Duration::MAX; by_place.len() + 1];
    for (number, told) in by_place.iter().enumerate().rev() {
        known_at[number] = known_at[number + 1].min(told.returned);
    }
    // Later places may begin later: the first that began takes the first place.
    let mut perhaps = perhaps.into_iter();
    for gap in gaps {
        let known_at = known_at[by_place.partition_point(|told| told.place < gap)];
        if perhaps.next().is_none_or(|began| began > known_at) {
            return Err(Violation::Unasked(gap));
        }
    }
    Ok(())
}
