//! What a trial has come to: who failed, how long an object was away, how long calls took.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    ops::Range,
    sync::Arc,
    time::Duration,
};

use super::calls::{Call, Outcome};

/// If nobody asks an object for so long, nobody knows whether it is away.
const IDLE: Duration = Duration::from_millis(150);

/// The figures of all calls of a trial.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    pub(crate) calls: usize,
    pub(crate) keyed: usize,
    /// Calls without a key that were not done.
    pub(crate) failed: Vec<String>,
    /// Calls with a key to which a gate said no, though they were done in the end.
    pub(crate) keyed_failed: Vec<String>,
    /// So many of each kind, both together.
    kinds: BTreeMap<String, usize>,
    /// So often a gate was not there, or went away.
    pub(crate) breaks: u32,
    /// The longest time in which an object was asked and did nothing, and which object that was.
    pub(crate) gap: (Duration, String),
    /// The longest time until a call without a key was answered, well or not.
    pub(crate) slowest: Duration,
    outside: Spread,
    inside: Spread,
    window: Duration,
}

/// How long calls took that were done.
#[derive(Clone, Copy, Debug, Default)]
struct Spread {
    p50: Duration,
    p99: Duration,
}

impl Figures {
    /// Of these calls; the fault was made and healed in that time.
    pub(crate) fn of(calls: &[Call], window: &Range<Duration>) -> Self {
        let mut figures = Self { calls: calls.len(), ..Self::default() };
        for call in calls {
            figures.count(call);
        }
        let inside = |call: &&Call| call.invoked < window.end && call.returned > window.start;
        figures.inside = Spread::of(calls.iter().filter(inside));
        figures.outside = Spread::of(calls.iter().filter(|call| !inside(call)));
        figures.window = window.end.saturating_sub(window.start);
        figures.gap = longest_gap(calls);
        figures
    }

    fn count(&mut self, call: &Call) {
        let is_done = matches!(call.outcome, Outcome::Done(..));
        self.keyed += usize::from(call.is_keyed);
        self.breaks += call.breaks;
        for (code, _) in &call.failures {
            *self.kinds.entry(code.clone()).or_default() += 1;
        }
        if !call.is_keyed {
            self.slowest = self.slowest.max(call.returned - call.invoked);
        }
        if is_done && call.failures.is_empty() {
            return;
        }
        let told =
            call.failures.first().map_or("the gate went away".to_owned(), |(code, message)| {
                format!("{code}: {message}")
            });
        let told = format!("{} at {:.3?}: {told}", call.object, call.invoked);
        match call.is_keyed {
            true => self.keyed_failed.push(told),
            false => self.failed.push(told),
        }
    }

    /// What failed in another way than by being away for a while.
    pub(crate) fn strange(&self) -> Vec<&str> {
        let is_usual = |code: &&str| ["unavailable", "timeout", "overloaded"].contains(code);
        self.kinds.keys().map(|code| &**code).filter(|code| !is_usual(code)).collect()
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { calls, keyed, breaks, kinds, gap: (gap, object), slowest, .. } = self;
        let (failed, keyed_failed) = (self.failed.len(), self.keyed_failed.len());
        write!(
            f,
            "{calls} calls ({keyed} keyed); failed: {failed} without a key, {keyed_failed} with one \
             {kinds:?}, {breaks} lost gates; longest gap {:.3} s ({object}), slowest answer {:.3} s; \
             calm {}, in the {:.1} s of it {}",
            gap.as_secs_f64(),
            slowest.as_secs_f64(),
            self.outside,
            self.window.as_secs_f64(),
            self.inside,
        )
    }
}

impl Spread {
    fn of<'a>(calls: impl Iterator<Item = &'a Call>) -> Self {
        let done = calls.filter(|call| matches!(call.outcome, Outcome::Done(..)));
        let mut took: Vec<_> = done.map(|call| call.returned - call.invoked).collect();
        took.sort_unstable();
        let at = |percent: usize| took.get(took.len() * percent / 100).copied().unwrap_or_default();
        Self { p50: at(50), p99: at(99) }
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = |it: Duration| it.as_secs_f64() * 1e3;
        write!(f, "p50 {:.0} ms p99 {:.0} ms", millis(self.p50), millis(self.p99))
    }
}

fn longest_gap(calls: &[Call]) -> (Duration, String) {
    let mut by_object = HashMap::<&Arc<str>, Vec<&Call>>::new();
    for call in calls {
        by_object.entry(&call.object).or_default().push(call);
    }
    let gaps = by_object.into_iter().map(|(object, calls)| (gap(calls), object.to_string()));
    gaps.max().unwrap_or_default()
}

/// From the first call after the object did something until it did something again, as long as
/// somebody asked.
fn gap(mut calls: Vec<&Call>) -> Duration {
    calls.sort_by_key(|call| call.invoked);
    let done = calls.iter().filter(|call| matches!(call.outcome, Outcome::Done(..)));
    let mut done: Vec<_> = done.map(|call| call.returned).collect();
    done.sort_unstable();
    // If it does nothing any more, that lasts until the last caller gave up.
    done.extend(calls.iter().map(|call| call.returned).max());
    let (mut calls, mut longest) = (calls.into_iter().peekable(), Duration::ZERO);
    for done in done {
        let Some(first) = calls.next_if(|call| call.invoked <= done) else { continue };
        let (mut since, mut until) = (first.invoked, first.returned);
        while let Some(call) = calls.next_if(|call| call.invoked <= done) {
            if call.invoked > until + IDLE {
                longest = longest.max(until - since);
                since = call.invoked;
            }
            until = until.max(call.returned);
        }
        longest = longest.max(done - since);
    }
    longest
}

#[cfg(test)]
mod tests {
    use super::{super::calls::Deed, *};

    fn call(invoked: u64, returned: u64, is_done: bool) -> Call {
        let outcome = if is_done { Outcome::Done(1, None) } else { Outcome::Unknown };
        let failures = match is_done {
            true => Vec::new(),
            false => vec![("unavailable".to_owned(), "away".to_owned())],
        };
        Call {
            object: "Counter/c".into(),
            deed: Deed::Write(None),
            is_keyed: false,
            invoked: Duration::from_millis(invoked),
            returned: Duration::from_millis(returned),
            outcome,
            failures,
            breaks: 0,
        }
    }

    #[test]
    fn a_gap_lasts_from_the_first_call_that_waits_until_one_is_done() {
        let gap_of = |calls: &[Call]| longest_gap(calls).0.as_millis();
        // Nobody asked for a second: that is no gap.
        assert_eq!(gap_of(&[call(0, 5, true), call(1000, 1010, true)]), 10);
        // The first one fails, the next one is done.
        assert_eq!(gap_of(&[call(0, 5, true), call(10, 500, false), call(510, 900, true)]), 890);
        // While one waits, others are done.
        assert_eq!(gap_of(&[call(0, 900, true), call(300, 310, true), call(600, 605, true)]), 310);
        // Nobody asks again for a while after one has failed.
        assert_eq!(gap_of(&[call(0, 5, true), call(10, 90, false), call(900, 910, true)]), 80);
        // It does not come back.
        assert_eq!(gap_of(&[call(0, 5, true), call(10, 20, false), call(30, 700, false)]), 690);
    }

    #[test]
    fn failures_are_counted_by_kind_and_by_key() {
        let keyed = Call { is_keyed: true, ..call(3, 700, false) };
        let calls = [call(0, 5, true), call(10, 500, false), keyed];
        let figures = Figures::of(&calls, &(Duration::ZERO..Duration::from_secs(1)));
        assert_eq!((figures.failed.len(), figures.keyed_failed.len()), (1, 1));
        assert_eq!(figures.slowest, Duration::from_millis(490));
        assert_eq!(figures.kinds["unavailable"], 2);
        assert!(figures.strange().is_empty());
    }
}
