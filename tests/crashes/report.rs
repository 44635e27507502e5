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

/// Calls and pushes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) acknowledged: u64,
    pub(crate) unknown: u64,
    pub(crate) refused: u64,
    pub(crate) pushes: u64,
}

impl Report {
    /// Both together.
    pub(crate) fn and(mut self, other: Self) -> Self {
        self.kills += other.kills;
        self.at_steps += other.at_steps;
        self.counts.acknowledged += other.counts.acknowledged;
        self.counts.unknown += other.counts.unknown;
        self.counts.refused += other.counts.refused;
        self.counts.pushes += other.counts.pushes;
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
        let Counts { acknowledged, unknown, refused, pushes } = counts;
        write!(
            f,
            "{kills} kills at random moments and {at_steps} at steps of a commit; calls: \
             {acknowledged} acknowledged, {unknown} unknown, {refused} refused; {pushes} pushes \
             seen; violations: {}",
            violations.len()
        )?;
        violations.iter().try_for_each(|found| write!(f, " ({found})"))
    }
}
