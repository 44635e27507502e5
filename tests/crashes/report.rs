//! What a campaign has come to, in one line.

use std::{fmt, time::Duration};

use super::{site::Kind, verdict::Found};

/// What was seen in a lane, or in all of them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Report {
    /// At random moments.
    pub(crate) kills: usize,
    /// Deaths at named steps.
    pub(crate) at_steps: usize,
    pub(crate) counts: Counts,
    pub(crate) violations: Vec<Found>,
}

/// Calls and pushes, and what is to happen once.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) acknowledged: u64,
    pub(crate) unknown: u64,
    pub(crate) refused: u64,
    pub(crate) pushes: u64,
    /// Keyed requests that were answered.
    pub(crate) keyed: u64,
    /// Of these, by a failure of the object's own: there was too little.
    pub(crate) lacking: u64,
    /// So often a request was made again before it was answered.
    pub(crate) asked_again: u64,
    /// Requests that were made again after they were answered.
    pub(crate) repeats: u64,
    /// Keyed requests that sent money on its way.
    pub(crate) transfers: u64,
    /// Of reminders.
    pub(crate) firings: u64,
}

impl Counts {
    /// Both together.
    pub(crate) fn and(self, other: Self) -> Self {
        Self {
            acknowledged: self.acknowledged + other.acknowledged,
            unknown: self.unknown + other.unknown,
            refused: self.refused + other.refused,
            pushes: self.pushes + other.pushes,
            keyed: self.keyed + other.keyed,
            lacking: self.lacking + other.lacking,
            asked_again: self.asked_again + other.asked_again,
            repeats: self.repeats + other.repeats,
            transfers: self.transfers + other.transfers,
            firings: self.firings + other.firings,
        }
    }
}

impl Report {
    /// Both together.
    pub(crate) fn and(mut self, other: Self) -> Self {
        self.kills += other.kills;
        self.at_steps += other.at_steps;
        self.counts = self.counts.and(other.counts);
        self.violations.extend(other.violations);
        self
    }

    /// The line for those who read.
    pub(crate) fn line(&self, kind: Kind, seed: u64, took: Duration) -> String {
        let seconds = took.as_secs_f64();
        format!("{kind:?}: {self}; seed {seed}, {seconds:.1} s")
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kills, at_steps, counts, violations } = self;
        let Counts { acknowledged, unknown, refused, pushes, .. } = counts;
        let Counts { keyed, lacking, asked_again, repeats, transfers, firings, .. } = counts;
        write!(
            f,
            "{kills} kills at random moments and {at_steps} at steps of a commit; calls: \
             {acknowledged} acknowledged, {unknown} unknown, {refused} refused; {pushes} pushes \
             seen; exactly once: {keyed} keyed requests ({lacking} failed, {asked_again} asked \
             again, {repeats} repeated), {transfers} transfers, {firings} firings; violations: {}",
            violations.len()
        )?;
        violations.iter().try_for_each(|found| write!(f, " ({found})"))
    }
}
